"""URLs of object stores: which texts are one, and the store behind it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pairmill.errors import ConfigError
from pairmill.objects.cloud import open_cloud
from pairmill.objects.folder import FolderStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.objects.port import ObjectStore

__all__ = ["WORK_NAME", "cache_dir", "default_work_dir", "is_store_url", "open_store", "store_url"]

WORK_NAME = "dataset"
"""Name of the run folder in a work folder."""

SCHEMES = ("s3", "gs", "az", "file", "memory")
_FORM = re.compile(r"([a-z][a-z0-9+.\-]*):/{1,3}(?=.)", re.ASCII)


def is_store_url(text: str) -> bool:
    """Return whether a text is meant as a URL, rather than as a path."""
    found = _FORM.match(text)
    return found is not None and (found[1] in SCHEMES or found[0].endswith("://"))


def store_url(text: str, label: str) -> str:
    """Return a URL in one form, without a slash at its end.

    Also takes one that was read as a path, which leaves one slash of two.

    Raises:
        ConfigError: It is of no store that can be used.
    """
    found = _FORM.match(text)
    scheme = found[1] if found else ""
    if found is None or scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES[:-1])
        raise ConfigError(f"{label}: {text} is none of {known}, nor a folder")
    rest = text[found.end() :].strip("/")
    if not rest and scheme != "memory":
        raise ConfigError(f"{label}: {text} names no bucket")
    return f"{scheme}://{'/' if scheme == 'file' else ''}{rest}"


def open_store(url: str, label: str) -> ObjectStore:
    """Open the store at a URL; nothing is asked of it yet.

    Raises:
        ConfigError: It cannot be used, or the extra for object stores is missing.
    """
    url = store_url(url, label)
    if url.startswith("file://"):
        return FolderStore(Path(unquote(url.removeprefix("file://"))), url)
    return open_cloud(url, label)


def default_work_dir(url: str, environ: Mapping[str, str]) -> Path:
    """Return the local folder of a run on the store at a URL, the same at every start."""
    return _home(environ, "XDG_STATE_HOME", "~/.local/state") / _folder_name(url)


def cache_dir(url: str, environ: Mapping[str, str]) -> Path:
    """Return the local folder for a copy of a run that is only read."""
    return _home(environ, "XDG_CACHE_HOME", "~/.cache") / _folder_name(url)


def _home(environ: Mapping[str, str], name: str, otherwise: str) -> Path:
    given = environ.get(name, "").strip()
    return (Path(given) if given else Path(otherwise).expanduser()) / "pairmill"


def _folder_name(url: str) -> str:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", url.partition("://")[2]).strip("-.")[-60:]
    return f"{words}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
