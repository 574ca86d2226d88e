"""``pairmill recover``: repairs a run folder whose ledger is lost or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["recover"]


def recover(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
) -> None:
    """Rebuild a lost or damaged ledger from the shards and rejects; report what was saved."""
    from pairmill.run.recover import recover as rebuild

    for line in rebuild(folder):
        typer.echo(line)
