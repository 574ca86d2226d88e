"""``pairmill fetch``: brings a run from an object store to a local folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairmill.errors import UsageError

__all__ = ["fetch"]


def fetch(
    url: Annotated[str, typer.Argument(metavar="URL", help="A run, or what its parts lie below.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to create.")
    ],
) -> None:
    """Copy a run from an object store into a new folder, which is a run folder like any other.

    What is done there stays there: the run in the store is not changed.
    """
    from pairmill.objects.url import is_store_url
    from pairmill.replica.restore import fetch as fetch_run

    if not is_store_url(url):
        raise UsageError(f"{url}: is not the URL of an object store, such as s3://bucket/dataset")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output}: is there already; give a new folder with -o")
    fetch_run(url, output, typer.echo)
