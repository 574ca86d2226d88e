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
_GZIP = b"\x1f\x8b\x08"
_MAGIC = {_GZIP: "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_JSON = (b"{", b"[")


def unpack(body: bytes, packing: str, limit: int) -> bytes:
    """Decompress a body, up to ``limit`` bytes.

    JSON under a name that is no encoding (``none``, ``utf-8``) is read as it is, and a body that
    begins as gzip or zstd do is decompressed where a proxy has taken the header away.

    Args:
        body: Body as received.
        packing: Value of its header ``Content-Encoding``, "" for none.
        limit: Maximum bytes of the result.

    Raises:
        ProviderError: It is broken (``badout``), or its encoding is not supported (``config``:
            it will be the same the next time).
    """
    if not packing:
        packing = next((name for magic, name in _MAGIC.items() if body.startswith(magic)), "")
        if not packing:
            return body
    layers = [name for part in packing.lower().split(",") if (name := part.strip())]
    if len(layers) > _MOST_LAYERS:
        failures.raise_unknown_encoding(packing)
    for name in reversed(layers):
        reader = _READERS.get(name)
        if reader is not None:
            body = reader(body, limit)
        elif name != "identity" and not body.lstrip().startswith(_JSON):
            failures.raise_unknown_encoding(name)
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
    unpacked = b""
    try:
        while True:
            part = zlib.decompressobj(bits)
            unpacked += part.decompress(body, limit - len(unpacked))
            body = part.unused_data  # gzip may consist of several members
            if not body.startswith(_GZIP) or len(unpacked) >= limit:
                return unpacked
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
            whole = library.ZstdDecompressor().stream_reader(body, read_across_frames=True)
            return bytes(whole.read(limit))
        unpacked = b""
        while body and len(unpacked) < limit:  # one frame after the other
            frame = library.ZstdDecompressor()
            unpacked += frame.decompress(body, limit - len(unpacked))
            body = frame.unused_data
    except library.ZstdError:
        failures.raise_bad_encoding()
    return unpacked


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
