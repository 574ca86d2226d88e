"""What one commit changes, as bytes: for a replica of the ledger and the shards elsewhere.

The log receives each commit before the ledger makes it, and then its result. Entries
in their order, from the state that the first one was made in, make the same ledger and shards.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 (msgspec reads it)
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from pairmill.errors import FolderError
from pairmill.records import Outcome, Usage  # noqa: TC001 (msgspec reads them)
from pairmill.store.charges import ChargeSum, DropKey
from pairmill.store.entries import (
    BilledSend,
    PaidAnswer,
    ShardRecord,
    UnitOutcome,
    decode_completion,
    encode_completion,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from pairmill.store.chain import LedgerChain

__all__ = [
    "NO_LOG",
    "AppendedLines",
    "CommitEntry",
    "CommitLog",
    "decode_entry",
    "encode_entry",
    "next_generation",
]


class AppendedLines(Struct, frozen=True, array_like=True):
    """Whole lines that a commit appended to one shard."""

    kind: str
    number: int
    lines: Sequence[bytes]


class CommitEntry(Struct, frozen=True):
    """One transaction of the ledger, and what was appended to shards before it.

    Attributes:
        chain: The ledger's id.
        generation: After it; before it, it was one less.
    """

    chain: str
    generation: int
    answers: Sequence[PaidAnswer] = ()
    outcomes: Sequence[UnitOutcome] = ()
    shards: Sequence[ShardRecord] = ()
    appended: Sequence[AppendedLines] = ()
    charges: Sequence[ChargeSum] = ()
    sends: Sequence[BilledSend] = ()


class CommitLog(Protocol):
    """Receives commits in order."""

    def committing(self, entry: CommitEntry) -> AbstractContextManager[None]:
        """Keep an entry if the block, which commits it, ends without an error.

        Raises:
            StorageError: The disk refused; nothing is to be committed.
        """
        ...


class _NoLog:
    """Keeps nothing."""

    def committing(self, _entry: CommitEntry) -> AbstractContextManager[None]:
        return nullcontext()


NO_LOG: CommitLog = _NoLog()


class _LoggedAnswer(Struct, frozen=True, array_like=True):
    call_id: str
    unit_id: str
    chunk_id: str
    body: bytes


class _LoggedOutcome(Struct, frozen=True, array_like=True):
    """A unit's outcome without its lines: how many rows there are is all that the ledger keeps."""

    unit_id: str
    outcome: Outcome
    rows: int
    reason: str | None
    attempts: int
    usage: Usage
    drops: tuple[DropKey, ...]


class _Entry(Struct, frozen=True, omit_defaults=True):
    chain: str
    generation: int
    answers: tuple[_LoggedAnswer, ...] = ()
    outcomes: tuple[_LoggedOutcome, ...] = ()
    shards: tuple[ShardRecord, ...] = ()
    appended: tuple[AppendedLines, ...] = ()
    charges: tuple[ChargeSum, ...] = ()
    sends: tuple[BilledSend, ...] = ()


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Entry)


def encode_entry(entry: CommitEntry) -> bytes:
    """Pack an entry."""
    packed = _Entry(
        entry.chain,
        entry.generation,
        tuple(
            _LoggedAnswer(it.call_id, it.unit_id, it.chunk_id, encode_completion(it.completion))
            for it in entry.answers
        ),
        tuple(
            _LoggedOutcome(
                it.unit_id,
                it.outcome,
                len(it.rows),
                _clean(it.reason),
                it.attempts,
                it.usage,
                tuple(DropKey(drop.scope, _clean(drop.reason) or "") for drop in it.drops),
            )
            for it in entry.outcomes
        ),
        tuple(entry.shards),
        tuple(AppendedLines(it.kind, it.number, (b"".join(it.lines),)) for it in entry.appended),
        tuple(entry.charges),
        tuple(
            msgspec.structs.replace(it, code=_clean(it.code) or "", detail=_clean(it.detail) or "")
            for it in entry.sends
        ),
    )
    return _ENCODER.encode(packed)


def decode_entry(data: bytes) -> CommitEntry:
    """Unpack an entry; its outcomes have as many rows as they had, and each is empty.

    Raises:
        FolderError: It is something else.
    """
    try:
        found = _DECODER.decode(data)
        answers = [
            PaidAnswer(it.call_id, it.unit_id, it.chunk_id, decode_completion(it.body))
            for it in found.answers
        ]
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise FolderError(f"an entry of the commit log is damaged: {error}") from None
    outcomes = [
        UnitOutcome(
            it.unit_id,
            it.outcome,
            (b"",) * it.rows,
            (),
            it.reason,
            it.attempts,
            it.usage,
            it.drops,
        )
        for it in found.outcomes
    ]
    return CommitEntry(
        found.chain,
        found.generation,
        answers,
        outcomes,
        found.shards,
        found.appended,
        found.charges,
        found.sends,
    )


def next_generation(chain: LedgerChain | None) -> tuple[str, int]:
    """Return a ledger's id, and the generation that its next transaction has."""
    return (chain.id, chain.generation + 1) if chain is not None else ("", 0)


def _clean(text: str | None) -> str | None:
    """Replace what UTF-8 cannot hold, as the ledger does."""
    return None if text is None else text.encode("utf-8", "replace").decode()
