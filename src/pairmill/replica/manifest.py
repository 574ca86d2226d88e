"""The store's manifest: what a replica consists of, and who may change it.

Readers begin here, and never list what else is in the store. Values only; no I/O.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from pairmill.errors import FolderError
from pairmill.objects.port import is_object_name
from pairmill.store.shards import KINDS, shard_number

__all__ = [
    "MANIFEST",
    "LogPart",
    "StoreManifest",
    "StoredShard",
    "decode_manifest",
    "encode_manifest",
]

MANIFEST = "manifest.json"
FORMAT = 1
_HOLDER = re.compile(r"[0-9a-f]{32}", re.ASCII)


class StoredShard(Struct, frozen=True):
    """A published shard: its object, and the file in the run folder that it is a copy of."""

    kind: str
    number: int
    object: str
    rows: int
    bytes: int
    sha256: str


class LogPart(Struct, frozen=True):
    """A piece of a base, or a segment.

    Attributes:
        first: Generation before its first entry; of a base, the same as ``last``.
        last: Generation of the ledger after it.
        bytes: As stored.
    """

    object: str
    first: int
    last: int
    bytes: int


class StoreManifest(Struct, frozen=True, omit_defaults=True):
    """All of a replica.

    Attributes:
        fence: Raised by every change of the holder.
        holder: Random id of the process that may change it, 32 hex digits.
        owner: The same for people: process and host.
        released: The holder has ended.
        beat: Raised by every change by the same holder.
        lease_s: Seconds without a change after which the holder counts as dead.
        version: Of the pairmill that wrote it.
        chain: Id of the ledger; empty while nothing of it is stored.
        generation: Of the ledger, with all of ``base`` and ``log`` applied.
        shards: Published shards.
        base: Pieces of an archive with ledger and open shards.
        log: Segments behind it, each beginning where the one before ends.
        state: Pieces of an archive with the small files.
        state_sha256: SHA-256 of its content.
        dataset: The run folder's own manifest, for readers.
    """

    format: int
    fence: int
    holder: str
    owner: str
    lease_s: float
    version: str
    beat: int = 0
    released: bool = False
    chain: str = ""
    generation: int = 0
    shards: tuple[StoredShard, ...] = ()
    base: tuple[LogPart, ...] = ()
    log: tuple[LogPart, ...] = ()
    state: tuple[str, ...] = ()
    state_sha256: str = ""
    dataset: msgspec.Raw = msgspec.Raw(b"null")

    def objects(self) -> set[str]:
        """Return the names of all objects that it needs."""
        parts = [part.object for part in (*self.base, *self.log)]
        return {*parts, *self.state, *(shard.object for shard in self.shards)}

    @property
    def log_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(part.bytes for part in self.log)

    @property
    def base_bytes(self) -> int:
        """Bytes of the base."""
        return sum(part.bytes for part in self.base)


def encode_manifest(manifest: StoreManifest) -> bytes:
    """Write a manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode_manifest(data: bytes, where: str) -> StoreManifest:
    """Read a manifest that may come from anybody.

    Raises:
        FolderError: It is something else, of a newer version, or names what cannot be ours.
    """
    try:
        form = msgspec.json.decode(data, type=_AnyFormat)
        if form.format > FORMAT:
            raise FolderError(
                f"{where}: made by a newer pairmill (format {form.format}, this one reads"
                f" {FORMAT}); upgrade pairmill to go on"
            )
        found = msgspec.json.decode(data, type=StoreManifest)
    except msgspec.DecodeError:
        raise FolderError(
            f"{where}/{MANIFEST}: is not the manifest of a replica; give another place with -o"
        ) from None
    if not _is_sound(found):
        raise FolderError(f"{where}/{MANIFEST}: is damaged")
    return found


class _AnyFormat(Struct):
    format: int


def _is_sound(found: StoreManifest) -> bool:
    numbers = (found.format, found.fence, found.beat, found.generation)
    names_are_ours = all(is_object_name(name) for name in found.objects())
    shards_are_ours = all(
        shard.kind in KINDS and shard_number(f"{shard.kind}-{shard.number:05d}.jsonl") is not None
        for shard in found.shards
    )
    ends = [part.last for part in (*found.base[:1], *found.log)]
    starts = [part.first for part in found.log]
    return (
        min(numbers) >= 0
        and found.lease_s > 0
        and bool(_HOLDER.fullmatch(found.holder))
        and names_are_ours
        and shards_are_ours
        and starts == ends[:-1]
        and (not ends or ends[-1] == found.generation)
    )
