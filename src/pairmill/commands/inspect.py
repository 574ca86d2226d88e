"""``pairmill inspect``: shows what a run would make of an input, without a call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["inspect"]


def inspect(  # noqa: PLR0917 (typer makes them flags)
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT...", help="Files, folders, or - for standard input."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in YAML; flags override it.")
    ] = None,
    text_field: Annotated[str | None, typer.Option(help="Field that holds the text.")] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="MODULE:NAME", help="An input format of your own."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model whose price is used for the cost.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many chunks.")] = None,
    show_chunks: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Print the first N chunks instead.")
    ] = None,
    diff: Annotated[
        str | None, typer.Option(metavar="FILE", help="Print what cleaning removes from a file.")
    ] = None,
    duplicates: Annotated[
        str | None, typer.Option(metavar="WORD", help="Duplicates to find: off, exact or near.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of a run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what a run would read, use and skip of an input, and why; no model is asked."""
    from pairmill.commands.flags import read_settings
    from pairmill.errors import UsageError
    from pairmill.service.inspect import inspect_input, print_chunks, print_diff, print_inspection

    given = {
        "inputs": tuple(inputs) if inputs else None,
        "text_field": text_field,
        "sources": tuple(sources) if sources else None,
        "model": model,
        "limit": limit,
        "duplicates": duplicates,
    }
    settings, _ = read_settings(config, assignments, given)
    if diff is not None:
        print_diff(settings, diff)
        return
    if not settings.inputs:
        raise UsageError("nothing to read: name files or folders, or - for standard input")
    if show_chunks is not None:
        print_chunks(settings, show_chunks)
    else:
        print_inspection(inspect_input(settings), settings, as_json=as_json)
