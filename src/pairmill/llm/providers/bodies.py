"""Bodies of replies: decompresses them, and assembles those that were streamed unasked.

The output is bounded: a small reply may decompress to gigabytes.

Some gateways stream by default, and some always: as server-sent events (WHATWG HTML, section
9.2.6), or as one JSON object per line. Others send one JSON body between the comments and the end
mark of a stream.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ProviderError
from pairmill.llm.providers import failures
from pairmill.llm.providers.messages import THOUGHT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = ["read_stream", "unpack"]

_GZIP_BITS, _ZLIB_BITS, _RAW_BITS = 31, 15, -15  # zlib's window sizes, which select the formats
_MOST_LAYERS = 3
_GZIP = b"\x1f\x8b\x08"
_MAGIC = {_GZIP: "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_JSON = (b"{", b"[")


def unpack(body: bytes, packing: str, limit: int) -> bytes:
    """Decompress a body, up to ``limit`` bytes.

    JSON is returned unchanged if the header names no encoding (``none``, ``utf-8``), or was left by
    a proxy that decompressed the body; a body that begins like gzip or zstd is decompressed even if
    a proxy removed the header.

    Args:
        body: Body as received.
        packing: Value of its header ``Content-Encoding``, "" for none.
        limit: Maximum bytes of the result.

    Raises:
        ProviderError: It is broken (``badout``), or its encoding is not supported (``config``:
            asking again would not help).
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
            body = _read(reader, body, limit)
        elif name != "identity" and not body.lstrip().startswith(_JSON):
            failures.raise_unknown_encoding(name)
    return body


def _read(reader: Callable[[bytes, int], bytes], body: bytes, limit: int) -> bytes:
    try:
        return reader(body, limit)
    except ProviderError:
        if not body.lstrip().startswith(_JSON):
            raise
        return body[:limit]


def _gzip(body: bytes, limit: int) -> bytes:
    return _inflate(body, limit, _GZIP_BITS)


def _deflate(body: bytes, limit: int) -> bytes:
    """Decompress either form: with zlib's header, as in the standard, or raw."""
    try:
        return zlib.decompressobj(_ZLIB_BITS).decompress(body, limit)
    except zlib.error:
        if body.lstrip().startswith(_JSON):
            failures.raise_bad_encoding()
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
        while body and len(unpacked) < limit:  # frames follow each other
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


_TEXTS = ("content", *THOUGHT_FIELDS, "refusal")
_FIELDS = (b":", b"event:", b"id:", b"retry:")
_BOM = b"\xef\xbb\xbf"
_END = b"[DONE]"


def read_stream(body: bytes) -> dict[str, Any] | None:
    """Join the events of a stream to the body of the equivalent call without streaming.

    Args:
        body: The whole reply, decompressed.

    Returns:
        A chat completion, an error's body, or an object of another API; None if it is not a
        stream of JSON objects, or one that broke before its answer was complete.
    """
    pieces: _Pieces | None = None
    other: dict[str, Any] | None = None
    has_ended = False
    count = 0
    for name, event in _events(body):
        if event is None:
            has_ended = True
            continue
        failed = _failure(name, event)
        if failed is not None:
            return failed  # it failed midway: the parts are not an answer
        if "choices" not in event and "usage" not in event:
            other = event
            continue
        count += 1
        other = event
        pieces = pieces or _Pieces()
        pieces.add(event)
    if pieces is None or (count == 1 and "message" in _first(other)):
        return other
    return pieces.join(has_ended=has_ended)


def _events(body: bytes) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Yield the JSON objects of a stream, each with its event's name; None for the end mark.

    An event's data may span several lines; so may a body that is not an event. Some servers omit
    the empty line that ends an event.
    """
    data: list[bytes] = []
    plain: list[bytes] = []
    name = b""
    for line in (*body.removeprefix(_BOM).splitlines(), b""):
        text = line.strip()
        if text.startswith(b"data:"):
            data.append(text[5:].strip())
        elif text.startswith(b"event:"):
            yield from _objects(data, name)
            data, name = [], text[6:].strip()
        elif text and not text.startswith(_FIELDS):
            plain.append(text)
        elif not text:
            yield from _objects(data, name)
            data, name = [], b""
    yield from _objects(plain, b"")


def _objects(lines: list[bytes], name: bytes) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Yield the objects in some lines: one that spans all of them, or one per line."""
    one = _object(b"\n".join(lines)) if lines else None
    if one is not None:
        yield name, one
        return
    for line in lines:
        if line == _END:
            yield name, None
        elif (found := _object(line)) is not None:
            yield name, found


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _failure(name: bytes, event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the body of an error event that ended a stream, if there is one.

    OpenRouter sends it together with a choice; Anthropic and others name the event.
    """
    if event.get("error"):
        return {key: value for key, value in event.items() if key != "choices"}
    return {"error": event} if name == b"error" else None


class _Pieces:
    """Contents of one stream so far."""

    def __init__(self) -> None:
        self._whole: dict[str, Any] = {}
        self._choice: dict[str, Any] = {"index": 0}
        self._texts: dict[str, list[str]] = {}
        self._parts: list[Any] = []
        self._calls: dict[int, list[str]] = {}

    def add(self, event: dict[str, Any]) -> None:
        """Merge an event."""
        for key in ("model", "usage"):
            if event.get(key):
                self._whole[key] = event[key]
        first = _first(event)
        for key in ("finish_reason", "error"):
            if first.get(key):
                self._choice[key] = first[key]
        for part in (first.get("delta"), first.get("message")):
            if isinstance(part, dict):
                self._add_part(part)
        if isinstance(first.get("text"), str):  # plain completions
            self._add_part({"content": first["text"]})

    def _add_part(self, part: dict[str, Any]) -> None:
        for key in _TEXTS:
            value = part.get(key)
            if isinstance(value, str) and value:
                self._texts.setdefault(key, []).append(value)
        if isinstance(part.get("content"), list):
            self._parts.extend(part["content"])
        for at, call in enumerate(
            _dicts(part.get("tool_calls")) or [{"function": part.get("function_call")}]
        ):
            function = call.get("function")
            piece = function.get("arguments") if isinstance(function, dict) else None
            index = call.get("index")
            if isinstance(piece, str):
                self._calls.setdefault(index if isinstance(index, int) else at, []).append(piece)

    def join(self, *, has_ended: bool) -> dict[str, Any] | None:
        """Return the completion; None if its end is missing."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        message |= {key: _joined(pieces) for key, pieces in self._texts.items()}
        if self._parts:
            message["content"] = self._parts
        if self._calls:
            texts = [_joined(pieces) for _, pieces in sorted(self._calls.items())]
            message["tool_calls"] = [{"function": {"arguments": text}} for text in texts]
        written = (message["content"], *map(_joined, self._calls.values()))
        is_whole = any(_object(it.encode("utf-8", "replace")) for it in written if type(it) is str)
        if not (has_ended or self._choice.get("finish_reason") or is_whole):
            return None
        return {**self._whole, "choices": [{**self._choice, "message": message}]}


def _joined(pieces: list[str]) -> str:
    """Join a text's pieces: some servers repeat all of it so far in each, or at the end."""
    pairs = list(pairwise(pieces))
    if len(pairs) > 1 and all(after.startswith(before) for before, after in pairs):
        return pieces[-1]
    before = "".join(pieces[:-1])
    return before if before and before == pieces[-1] else "".join(pieces)


def _first(event: dict[str, Any] | None) -> dict[str, Any]:
    return next(iter(_dicts(event.get("choices"))), {}) if event else {}


def _dicts(value: Any) -> list[dict[str, Any]]:
    listed = value if isinstance(value, list) else []
    return [item for item in listed if isinstance(item, dict)]
