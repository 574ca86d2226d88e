"""``pairmill merge``: merges the parts of a run into one dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairmill.commands.folders import local_parts
from pairmill.objects.url import is_store_url
from pairmill.service.console import tell

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
        str,
        typer.Option(
            "-o", "--output", metavar="DIR|URL", help="The run folder to make, or its URL."
        ),
    ],
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Merge even if parts are missing or unfinished."),
    ] = False,
) -> None:
    """Merge the parts written by 'run --partition' into one run folder."""
    if is_store_url(output):
        from pairmill.run.merge import merge_to_store

        merged = merge_to_store(parts, output, unfinished=unfinished, tell=tell)
    else:
        from pairmill.run.merge import merge as merge_parts

        merged = merge_parts(parts, Path(output), unfinished=unfinished)
    for line in merged.lines:
        typer.echo(line)
