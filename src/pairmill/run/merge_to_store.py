"""``pairmill merge -o URL``: merges parts on this machine, and uploads the dataset."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from pairmill import __version__
from pairmill.objects.url import WORK_NAME, default_work_dir, open_store, store_url
from pairmill.replica.publish import check_free, publish
from pairmill.replica.takeover import spool_lock
from pairmill.run.merge import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pairmill.run.merge import Merged

__all__ = ["merge_to_store"]

_PLACE = "merging"


def merge_to_store(
    paths: Sequence[Path],
    url: str,
    *,
    unfinished: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Merged:
    """Make one run of the parts of a run, in an object store.

    It appears there complete or not at all. Nothing stays on this machine.

    Args:
        paths: See `pairmill.run.merge.merge`.
        url: Of the place to make.
        unfinished: See `pairmill.run.merge.merge`.
        tell: Told in a line what is waited for.

    Raises:
        PairmillError: As `pairmill.run.merge.merge`, and where the store cannot be used.
    """
    url = store_url(url, "output")
    store = open_store(url, "output")
    check_free(store)
    place = default_work_dir(url, os.environ) / _PLACE
    output = place / WORK_NAME
    with spool_lock(output, store.where) as spool:
        shutil.rmtree(output, ignore_errors=True)  # of a merge that was killed
        merged = merge(paths, output, unfinished=unfinished, place=store.where)
        publish(store, output, spool, replaces=None, version=__version__, tell=tell)
        shutil.rmtree(place, ignore_errors=True)
    return merged
