"""``pairmill explain``: shows how one pair was made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairmill.commands.flags import RunCode  # noqa: TC001 (typer reads it)
from pairmill.commands.folders import local_run

__all__ = ["explain"]


def explain(
    pair_id: Annotated[
        str,
        typer.Argument(
            metavar="PAIR_ID", help="Id of a row in data/ or rejected/, or the beginning of it."
        ),
    ],
    folder: Annotated[
        Path,
        typer.Argument(metavar="[DIR|URL]", help="The run folder, or its URL.", parser=local_run),
    ] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    run_code: RunCode = False,
) -> None:
    """Show how one pair was made: chunk, prompts, raw answers, repairs, findings, cost."""
    from pairmill.output import explain as explaining
    from pairmill.output.explain import print_explanation

    found = explaining.explain(pair_id, folder, run_code=run_code)
    print_explanation(found, as_json=as_json)
