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
    """One bought answer, and its request."""

    call_id: str
    unit_id: str
    chunk_id: str
    completion: Completion


class UnitOutcome(Struct, frozen=True):
    """How a unit ended, and its lines.

    Attributes:
        rows: Lines for ``data/``, each whole, newline included.
        rejected: Lines for ``rejected/``, likewise.
        reason: Why it was rejected; None where it was not.
        attempts: Answers bought for it, in all starts together.
        drops: Why each of the rejected lines stands there.
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
        reason: Our own word for it, for tables.
        code: The provider's or our own code of the failure; "" where there is none.
        detail: One line for people.
        prompt_tokens: What the reply said that it took, where it held nothing but a count.
        completion_tokens: Likewise.
        failed_at: When the last one failed, in seconds since the epoch.
        sends: How many there were.
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
        """True if the last one was a reply that counted its tokens: an answer without content."""
        return self.kind is Kind.BADOUT and self.prompt_tokens + self.completion_tokens > 0

    def error(self) -> ProviderError:
        """Recreate the last failure, for a request that is not sent again."""
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
    """What one commit makes durable: all of it, or nothing.

    An answer that was found in the ledger is no part of a batch: it has been paid for already.

    Attributes:
        charges: What calls were charged since the last commit, from ``ChargeSums.take``.
        sends: Requests that may have been billed in vain since the last commit.
    """

    answers: Sequence[PaidAnswer] = ()
    outcomes: Sequence[UnitOutcome] = ()
    charges: Sequence[ChargeSum] = ()
    sends: Sequence[BilledSend] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The ledger's entries for some units.

    Attributes:
        finished: Ids of those that are done.
        answers: For the chunks of the others: chunk id to call id to what was answered, whichever
            unit or recipe asked.
        pairs: Finished unit to how many pairs it gave.
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
        closed: Its length is final; it is published, or about to be.
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
        reasons: Reason of rejection to count of units.
        usage: Tokens of all calls.
        calls: Replies that were paid for.
        models: Name as the server returned it to calls.
        bill: What calls were charged.
        drops: Lines of ``rejected/`` by why they stand there; None where the ledger, an earlier
            version's, does not count them.
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
        """Of independent values; with fewer than two the error is as large as the mean."""
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
    """Per unit, over those for which an answer was bought.

    Attributes:
        units: How many it is taken from.
        answers: Answers bought, repairs included.
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
        """From a row a unit: pairs, answers, prompt and completion tokens."""
        if not rows:
            return cls()
        pairs, answers, prompt, completion = map(Mean.of, zip(*rows, strict=True))
        repaired = sum(row[1] > 1 for row in rows) / len(rows)
        return cls(len(rows), pairs, answers, prompt, completion, repaired)


def encode_completion(completion: Completion) -> bytes:
    """Pack a completion as a JSON list; what orjson refuses (lone surrogates) is escaped."""
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
    """Unpack what ``encode_completion`` packed, exactly.

    Raises:
        ValueError: It is something else.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = json.loads(body)
    text, finish_reason, model, prompt_tokens, completion_tokens, cached_tokens, created = fields[
        :7
    ]
    thought = fields[7:] or (0, "")  # answers of models that think have two fields more
    usage = Usage(prompt_tokens, completion_tokens, cached_tokens, thought[0])
    return Completion(text, finish_reason, model, usage, created, thought[1])
