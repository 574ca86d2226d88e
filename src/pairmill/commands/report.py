"""``pairmill report``: writes a page to judge a dataset by."""

from __future__ import annotations

from typing import Annotated

import typer

from pairmill.commands.flags import RunCode  # noqa: TC001 (typer reads it)
from pairmill.commands.folders import Folder  # noqa: TC001 (typer reads it)
from pairmill.service.console import tell

__all__ = ["report"]


def report(
    folder: Folder,
    seed: Annotated[int, typer.Option(help="Selects the pairs that are shown.")] = 0,
    run_code: RunCode = False,
) -> None:
    """Write report.html into a run folder: figures, verdicts, and pairs to read; print its path.

    The judge's reliability and the gain by evolution are also printed to standard error.
    """
    from rich.console import Console

    from pairmill import api
    from pairmill.output.source_texts import code_notice
    from pairmill.quality.trust import parse_figures, verdicts
    from pairmill.service.console import print_checks
    from pairmill.store.folder import read_folder

    typer.echo(api.report(folder, seed=seed, run_code=run_code))
    known = read_folder(folder)
    missing = "the texts of the pairs, and what is told by them, are not in it"
    for line in [] if run_code else code_notice(known, missing):
        tell(line)
    figures = parse_figures(known.read_figures(), known.read_voice())
    print_checks(verdicts(figures), Console(stderr=True, highlight=False))
