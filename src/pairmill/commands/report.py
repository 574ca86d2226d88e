"""``pairmill report``: writes a page to judge a dataset by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    seed: Annotated[int, typer.Option(help="Selects the pairs that are shown.")] = 0,
) -> None:
    """Write report.html into a run folder: figures, verdicts, and pairs to read; print its path.

    The judge's reliability and the gain by evolution are also printed to standard error.
    """
    from rich.console import Console

    from pairmill import api
    from pairmill.quality.trust import parse_figures, verdicts
    from pairmill.service.verdicts import print_checks
    from pairmill.store.folder import read_folder

    typer.echo(api.report(folder, seed=seed))
    known = read_folder(folder)
    figures = parse_figures(known.read_figures(), known.read_voice())
    print_checks(verdicts(figures), Console(stderr=True, highlight=False))
