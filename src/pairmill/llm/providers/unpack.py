"""Decompresses bodies, asked for or not: gzip, deflate in both forms, br and zstd.

The output is bounded: a small reply may decompress to gigabytes.
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

_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15  # zlib's numbers of the formats
_MOST_LAYERS = 3


def unpack(body: bytes, packing: str, limit: int) -> bytes:
    """Decompress a body, up to ``limit`` bytes.

    Args:
        body: Body as received.
        packing: Value of its header ``Content-Encoding``, "" for none.
        limit: Maximum bytes of the result.

    Raises:
        ProviderError: It is broken (``badout``), or its encoding is not supported (``config``:
            it will be the same the next time).
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
    """Decompress either form: with zlib's header, as in the standard, or raw."""
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
