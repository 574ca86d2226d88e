"""Remote inputs: files by URL, through fsspec.

Only what the user names is read: one file, or the files below a folder of an object store. Links in
documents or on web pages are never followed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pairmill.errors import InputError
from pairmill.sources.characters import plain_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "RemoteFile",
    "RemoteStream",
    "check_remote",
    "credentials_for",
    "find_remote",
    "is_remote",
    "url_label",
]

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_PACKAGES = {
    "http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs",
    "az": "adlfs", "abfs": "adlfs", "hf": "huggingface_hub", "file": "", "memory": "",
}  # fmt: skip
_CREDENTIALS = {
    "s3": ("AWS_", "FSSPEC_"), "gs": ("GOOGLE_", "GCSFS_", "FSSPEC_"),
    "gcs": ("GOOGLE_", "GCSFS_", "FSSPEC_"), "az": ("AZURE_", "FSSPEC_"),
    "abfs": ("AZURE_", "FSSPEC_"), "hf": ("HF_",), "http": ("FSSPEC_",), "https": ("FSSPEC_",),
}  # fmt: skip
_BLOCK_BYTES = 2**20
_MOST_TRIES = 4
_LABEL_MAX_CHARS = 500


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that can be opened.

    Attributes:
        name: Its own name, which may identify the format.
        label: Its address for display, without secrets.
        open: Opens it for reading from the start.
    """

    name: str
    label: str
    open: Callable[[], Any]


def credentials_for(inputs: Sequence[str]) -> tuple[str, ...]:
    """Prefixes of the names of environment variables that hold credentials for these inputs."""
    schemes = {urlsplit(given).scheme.casefold() for given in inputs if is_remote(given)}
    return tuple(dict.fromkeys(name for it in schemes for name in _CREDENTIALS.get(it, ())))


def is_remote(given: str) -> bool:
    """Return whether an input is a URL."""
    return _URL.match(given) is not None


def url_label(url: str) -> str:
    """Return an address without user, password, and query, which may contain a signature."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return plain_line(f"{parts.scheme}://{host}{parts.path}", _LABEL_MAX_CHARS)


def check_remote(given: str) -> None:
    """Check that a URL can be read.

    Raises:
        InputError: Its scheme is unknown, a dependency is not installed, or there is no such file.
    """
    label = url_label(given)
    system, path = _system(given)
    try:
        if _is_pattern(given, path):
            is_there = bool(system.glob(path))
        else:
            is_there = bool(system.exists(path))
    except Exception as error:  # noqa: BLE001 (each store raises its own)
        raise InputError(f"cannot read {label}: {_why(error)}") from None
    if not is_there:
        raise InputError(f"no such file or folder: {label}")


def find_remote(given: str) -> Iterator[RemoteFile]:
    """Yield the files at a URL; those of a folder by name.

    Raises:
        InputError: The store does not respond, or refuses.
    """
    label = url_label(given)
    system, path = _system(given)
    try:
        if _is_web(given):
            paths = [path]
        elif _is_pattern(given, path):
            paths = sorted(system.glob(path))
        else:
            paths = sorted(system.find(path)) if system.isdir(path) else [path]
    except Exception as error:  # noqa: BLE001 (each store raises its own)
        raise InputError(f"cannot read {label}: {_why(error)}") from None
    scheme = urlsplit(given).scheme
    for one in paths:
        address = given if one == path else f"{scheme}://{one.lstrip('/')}"
        name = urlsplit(address).path.rpartition("/")[2]
        if not name.startswith("."):
            yield RemoteFile(name, url_label(address), _opening(system, one, _is_web(given)))


class RemoteStream:
    """The bytes of a remote file; a broken connection is resumed at the same offset."""

    def __init__(self, file: RemoteFile) -> None:
        """Open it.

        Raises:
            OSError: It cannot be opened.
        """
        self._file = file
        self._at = 0
        self._is_broken = False
        try:
            self._stream = file.open()
        except Exception as error:  # noqa: BLE001 (each store raises its own)
            raise OSError(0, _why(error)) from None

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none only at the end.

        Raises:
            OSError: It could not be read after several attempts.
        """
        for left in range(_MOST_TRIES, -1, -1):
            try:
                if self._is_broken:
                    self._stream = self._file.open()
                    self._skip()
                    self._is_broken = False
                block = bytes(self._stream.read(size))
            except Exception as error:  # noqa: BLE001 (each store raises its own)
                self.close()
                self._is_broken = True
                if not left:
                    raise OSError(0, _why(error)) from None
            else:
                self._at += len(block)
                return block
        return b""

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _skip(self) -> None:
        """Skip to the offset at which the last stream broke."""
        left = self._at
        while left and (block := self._stream.read(min(left, _BLOCK_BYTES))):
            left -= len(block)


def _system(given: str) -> tuple[Any, str]:
    scheme = urlsplit(given).scheme.casefold()
    if scheme not in _PACKAGES:
        known = ", ".join(f"{name}://" for name in _PACKAGES if name != "memory")
        raise InputError(f"{url_label(given)}: {scheme}:// cannot be read (known: {known})")
    advice = f"to read {scheme}://: pip install 'pairmill[remote]'"
    if package := _PACKAGES[scheme]:
        advice += f" {package}" if package != "aiohttp" else ""
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 (an extra)

        system, path = url_to_fs(given)
    except ImportError:
        raise InputError(f"{url_label(given)}: {advice}") from None
    except Exception as error:  # noqa: BLE001 (each store raises its own)
        raise InputError(f"cannot read {url_label(given)}: {_why(error)}") from None
    return system, path


def _opening(system: Any, path: str, is_web: bool) -> Callable[[], Any]:
    if is_web:  # in one go: not every server answers about parts
        return lambda: system.open(path, "rb", block_size=0)
    return lambda: system.open(path, "rb", block_size=_BLOCK_BYTES)


def _is_web(given: str) -> bool:
    return urlsplit(given).scheme.casefold() in {"http", "https"}


def _is_pattern(given: str, path: str) -> bool:
    return not _is_web(given) and any(mark in path for mark in "*[")


def _why(error: Exception) -> str:
    """Format a store's error as one line without the address, whose query may hold a secret."""
    words = re.sub(r"\S+://\S+", "...", str(error).split("\n", 1)[0])
    return plain_line(words, 200) or type(error).__name__
