"""Bodies that came packed, whoever asked for it: gzip, deflate in both forms, br and zstd.

No more of a body is unpacked than is read: a small reply may unpack to gigabytes.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pairmill.llm.providers import failures

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["unpack"]

_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15  # as zlib names the envelopes
_MOST_LAYERS = 3


def unpack(body: bytes, packing: str, limit: int) -> bytes:
    """Unpack a body, up to ``limit`` bytes.

    Args:
        body: As it came.
        packing: The value of its header ``Content-Encoding``, "" for none.
        limit: The most bytes of the result.

    Raises:
        ProviderError: It is broken (``badout``), or packed in a way that cannot be read here
            (``config``: it will be the next time too).
    """
    layers = [name for name in packing.lower().replace(" ", "").split(",") if name]
    if len(layers) > _MOST_LAYERS:
        failures.raise_unknown_encoding(packing)
    for name in reversed(layers):
        if name == "identity":
            continue
        reader = _READERS.get(name)
        if reader is None:
            failures.raise_unknown_encoding(name)
        body = reader(body, limit)
    return body


def _gzip(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, _GZIP_BITS)


def _deflate(body: bytes, limit: int) -> bytes:
    """Servers mean either by the name: with zlib's envelope, as the standard says, or without."""
    try:
        return zlib.decompressobj(_ZLIB_BITS).decompress(body, limit)
    except zlib.error:
        return _inflate(body, limit, _RAW_BITS)


def _inflate(body: bytes, limit: int, bits: int) -> bytes:
    try:
        return zlib.decompressobj(bits).decompress(body, limit)
    except zlib.error:
        failures.raise_bad_encoding()


def _brotli(body: bytes, limit: int) -> bytes:
    library = _find("br", "brotli", "brotlicffi")
    try:
        return bytes(library.Decompressor().process(body, output_buffer_limit=limit))[:limit]
    except TypeError:  # a release whose output cannot be bounded
        failures.raise_unknown_encoding("br")
    except library.error:
        failures.raise_bad_encoding()


def _zstd(body: bytes, limit: int) -> bytes:
    library: Any = _find("zstd", "compression.zstd", "backports.zstd", "zstandard")
    try:
        if hasattr(library, "ZstdCompressionDict"):  # the package zstandard
            return bytes(library.ZstdDecompressor().stream_reader(body).read(limit))
        return bytes(library.ZstdDecompressor().decompress(body, limit))
    except library.ZstdError:
        failures.raise_bad_encoding()


def _find(name: str, *modules: str) -> ModuleType:
    """Return the first of the libraries that is installed."""
    for module in modules:
        try:
            return import_module(module)
        except ImportError:
            continue
    return failures.raise_unknown_encoding(name)


_READERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
