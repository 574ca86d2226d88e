"""``pairmill merge``: merges the parts of a run into one dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairmill.commands.folders import local_only, local_parts

__all__ = ["merge"]


def merge(
    parts: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR|URL...",
            help="Folders or URLs of parts, or the one around them.",
            parser=local_parts,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="DIR", help="The run folder to make.", parser=local_only
        ),
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
