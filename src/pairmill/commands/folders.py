"""Run folders as arguments: a path, or the URL of a run in an object store, which is fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pairmill.errors import UsageError
from pairmill.objects.url import WORK_NAME, cache_dir, default_work_dir, is_store_url, store_url
from pairmill.partition import find_parts
from pairmill.service.console import tell

__all__ = ["Folder", "LocalFolder", "local_only", "local_parts", "local_run", "work_folder"]


def local_run(text: str) -> Path:
    """Return the folder of one run; that of a URL is fetched into a cache.

    Raises:
        PairmillError: It cannot be fetched, or holds parts.
    """
    path = local_parts(text)
    if is_store_url(text) and (parts := find_parts(path)):
        url = store_url(text, "DIR")
        first = min(parts).name
        raise UsageError(
            f"{url}: holds {len(parts)} parts: name one, such as {url}/{first}, or make one run"
            f" of them with 'pairmill merge {url} -o DIR'"
        )
    return path


def local_parts(text: str) -> Path:
    """Return a run folder, or one around parts; that of a URL is fetched into a cache.

    Raises:
        PairmillError: It cannot be fetched.
    """
    if not is_store_url(text):
        return Path(text)
    from pairmill.replica.restore import fetch

    url = store_url(text, "DIR")
    return fetch(url, cache_dir(url, os.environ) / WORK_NAME, tell)


def local_only(text: str) -> Path:
    """Return a path; a URL is refused, by a line that says how to fetch it.

    Raises:
        UsageError: It is a URL.
    """
    if is_store_url(text):
        raise UsageError(f"{text}: fetch it first, with 'pairmill fetch {text} -o DIR'")
    return Path(text)


def work_folder(text: str) -> Path:
    """Return a run folder; for a URL, the one in which this machine works on it.

    Raises:
        UsageError: This machine does not.
    """
    if not is_store_url(text):
        return Path(text)
    url = store_url(text, "DIR")
    path = default_work_dir(url, os.environ) / WORK_NAME
    if not (path / ".run").is_dir():
        raise UsageError(
            f"{url}: is not worked on by this machine; run its 'pairmill run' here first, or name"
            " the folder in its work_dir"
        )
    return path


Folder = Annotated[
    Path,
    typer.Argument(metavar="DIR|URL", help="A run folder, or its URL.", parser=local_run),
]
"""A run that is only read."""

LocalFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="A run folder.", parser=local_only)
]
"""A run that is written to, or is worked on by hand."""
