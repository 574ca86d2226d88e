"""``pairmill merge``: merges the parts of a run into one dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["merge"]


def merge(
    parts: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders of parts, or the one around them."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The run folder to make.")
    ],
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Merge even if parts are missing or unfinished."),
    ] = False,
) -> None:
    """Merge the parts written by 'run --partition' into one run folder."""
    from pairmill.run.merge import merge as merge_parts

    for line in merge_parts(parts, output, unfinished=unfinished).lines:
        typer.echo(line)
