"""Values that go into and come out of the ledger."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from msgspec import Struct

from pairmill.errors import Kind, ProviderError
from pairmill.records import Completion, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.records import Outcome
    from pairmill.store.charges import Bill, ChargeSum, DropKey

__all__ = [
    "Batch",
    "BilledSend",
    "Known",
    "Mean",
    "Measured",
    "PaidAnswer",
    "ShardRecord",
    "Totals",
    "UnitKey",
    "UnitOutcome",
    "decode_completion",
    "encode_completion",
]

_NOTHING = Usage()


class UnitKey(Struct, frozen=True):
    """Id of a unit, and id of its chunk: 32 hex digits each."""

    unit_id: str
    chunk_id: str


class PaidAnswer(Struct, frozen=True):
    """An answer that was paid for, and its request."""

    call_id: str
    unit_id: str
    chunk_id: str
    completion: Completion


class UnitOutcome(Struct, frozen=True):
    """Outcome of a unit, and its lines.

    Attributes:
        rows: Lines for ``data/``, each whole, newline included.
        rejected: Lines for ``rejected/``, likewise.
        reason: Why it was rejected; None if it was not.
        attempts: Answers paid for, in all starts.
        drops: Why each line of ``rejected`` was dropped.
    """

    unit_id: str
    outcome: Outcome
    rows: Sequence[bytes] = ()
    rejected: Sequence[bytes] = ()
    reason: str | None = None
    attempts: int = 0
    usage: Usage = _NOTHING
    drops: Sequence[DropKey] = ()


class BilledSend(Struct, frozen=True):
    """Sends of one request that may have been billed, and the outcome of the last one.

    Attributes:
        call_id: The request: 32 hex digits, as ``unit_id`` and ``chunk_id``.
        kind: How the last one failed.
        reason: pairmill's word for it, for tables.
        code: The provider's or pairmill's error code; "" if there is none.
        detail: One line for people.
        prompt_tokens: As counted by a reply without content.
        completion_tokens: Likewise.
        failed_at: When the last one failed, in seconds since the epoch.
        sends: Number of sends.
    """

    call_id: str
    unit_id: str
    chunk_id: str
    kind: Kind
    reason: str
    code: str
    detail: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failed_at: float = 0.0
    sends: int = 1

    @property
    def is_answer(self) -> bool:
        """True if the last reply had token counts but no content."""
        return self.kind is Kind.BADOUT and self.prompt_tokens + self.completion_tokens > 0

    def error(self) -> ProviderError:
        """Return the last failure as an error, for a request that is not sent again."""
        told = self.detail
        if not self.is_answer:
            times = "once" if self.sends == 1 else f"{self.sends} times"
            told = f"{told}; sent {times}, and may have been billed each time"
        error = ProviderError(
            self.kind,
            told,
            code=self.code or None,
            reason=self.reason,
            maybe_paid=True,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )
        error.failed_at = self.failed_at
        error.billed_sends = self.sends
        error.was_known = True
        return error


@dataclass(frozen=True, slots=True)
class Batch:
    """Content of one commit: durable as a whole, or not at all.

    Answers that were found in the ledger are not part of a batch.

    Attributes:
        charges: What calls were charged since the last commit, from ``ChargeSums.take``.
        sends: Requests that may have been billed without an answer since the last commit.
    """

    answers: Sequence[PaidAnswer] = ()
    outcomes: Sequence[UnitOutcome] = ()
    charges: Sequence[ChargeSum] = ()
    sends: Sequence[BilledSend] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The ledger's entries for some units.

    Attributes:
        finished: Ids of finished units.
        answers: For the chunks of the others: chunk id to call id to answer, whichever unit or
            recipe asked.
        pairs: Finished unit to its number of pairs.
        sends: For the chunks of the others: chunk id to call id to sends that brought no answer.
    """

    finished: set[str] = field(default_factory=set)
    answers: dict[str, dict[str, Completion]] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    sends: dict[str, dict[str, BilledSend]] = field(default_factory=dict)


class ShardRecord(Struct, frozen=True):
    """One shard in the ledger: its committed length, its rows, and the hash of both.

    Attributes:
        kind: ``train`` (pairs) or ``rejected``.
        closed: Its length is final; it is published, or will be next.
    """

    kind: str
    number: int
    closed: bool
    bytes: int
    rows: int
    sha256: str

    @property
    def name(self) -> str:
        """File name, such as ``train-00000.jsonl``."""
        return f"{self.kind}-{self.number:05d}.jsonl"


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over everything ever committed in a run folder.

    Attributes:
        units: Outcome to count.
        reasons: Reason of rejection to number of units.
        usage: Tokens of all calls.
        calls: Number of replies that were paid for.
        models: Model name as returned by the server to number of calls.
        bill: Charges of all calls.
        drops: Lines of ``rejected/`` by reason; None if the ledger is an earlier version's that
            does not count them.
    """

    units: Mapping[str, int]
    reasons: Mapping[str, int]
    pairs: int
    calls: int
    usage: Usage
    models: Mapping[str, int]
    bill: Bill
    drops: Mapping[DropKey, int] | None = None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, and its standard error."""

    value: float = 0.0
    error: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """Compute it of independent values; with fewer than two, the error equals the mean."""
        count = len(values)
        if not count:
            return cls()
        mean = sum(values) / count
        if count == 1:
            return cls(mean, abs(mean))
        variance = sum((value - mean) ** 2 for value in values) / (count - 1)
        return cls(mean, math.sqrt(variance / count))


@dataclass(frozen=True, slots=True)
class Measured:
    """Averages per unit, over units with an answer.

    Attributes:
        units: Number of units.
        answers: Answers paid for, including repairs.
        repaired: Share of the units that took more than one answer.
    """

    units: int = 0
    pairs: Mean = Mean()
    answers: Mean = Mean()
    prompt_tokens: Mean = Mean()
    completion_tokens: Mean = Mean()
    repaired: float = 0.0

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int, int]]) -> Measured:
        """Compute it from a row per unit: pairs, answers, prompt and completion tokens."""
        if not rows:
            return cls()
        pairs, answers, prompt, completion = map(Mean.of, zip(*rows, strict=True))
        repaired = sum(row[1] > 1 for row in rows) / len(rows)
        return cls(len(rows), pairs, answers, prompt, completion, repaired)


def encode_completion(completion: Completion) -> bytes:
    """Encode a completion as a JSON list; lone surrogates, which orjson refuses, are escaped."""
    usage = completion.usage
    fields = [
        completion.text,
        completion.finish_reason,
        completion.model,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        completion.created,
    ]
    if usage.reasoning_tokens or completion.reasoning:
        fields += [usage.reasoning_tokens, completion.reasoning]
    try:
        return orjson.dumps(fields)
    except TypeError:
        return json.dumps(fields).encode()


def decode_completion(body: bytes) -> Completion:
    """Decode what ``encode_completion`` encoded, exactly.

    Raises:
        ValueError: It is not an encoded completion.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = json.loads(body)
    text, finish_reason, model, prompt_tokens, completion_tokens, cached_tokens, created = fields[
        :7
    ]
    thought = fields[7:] or (0, "")  # answers of thinking models have two more fields
    usage = Usage(prompt_tokens, completion_tokens, cached_tokens, thought[0])
    return Completion(text, finish_reason, model, usage, created, thought[1])
