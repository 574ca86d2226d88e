"""``pairmill recover``: repairs a run folder whose ledger is lost or damaged."""

from __future__ import annotations

import typer

from pairmill.commands.folders import LocalFolder  # noqa: TC001 (typer reads it)

__all__ = ["recover"]


def recover(folder: LocalFolder) -> None:
    """Rebuild a lost or damaged ledger from the shards and rejects; report what was saved."""
    from pairmill.run.recover import recover as rebuild

    for line in rebuild(folder):
        typer.echo(line)
