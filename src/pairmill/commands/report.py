"""``pairmill report``: a page to judge a dataset by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    seed: Annotated[int, typer.Option(help="Chooses the pairs that are shown.")] = 0,
) -> None:
    """Write report.html into a run folder: figures, verdicts, and pairs to read; print its path."""
    from pairmill import __version__
    from pairmill.dataset.folder_report import report_on

    typer.echo(report_on(folder, version=__version__, seed=seed))
