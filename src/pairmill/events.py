"""Events of a run, one frozen type each, and the bus that delivers them.

    bus = Bus()
    bus.subscribe(lambda event: print(event.seconds), CallAnswered)

Subscribers are plain synchronous functions, called at once in the order in which they subscribed.
They count, display and log; they never decide. An event holds ids, numbers and short words: never a
prompt, an answer, a header or a key. Anyone may define further events by subclassing `Event`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pairmill.errors import Kind
    from pairmill.records import Outcome, Usage

__all__ = [
    "AnswerRead",
    "Bus",
    "CallAnswered",
    "CallCharged",
    "CallFailed",
    "CallGivenUp",
    "CallReplayed",
    "Committed",
    "DocumentsRead",
    "Event",
    "InputSkipped",
    "LoopLate",
    "Notice",
    "PairEvolved",
    "PairJudged",
    "PairVerified",
    "PartsCounted",
    "ReadingDone",
    "RepairAsked",
    "RepairEnded",
    "RunOpened",
    "RunWaits",
    "SentenceTried",
    "ShardPublished",
    "UnitFinished",
    "UnitSuspended",
    "UnitsKnown",
    "UnitsPlanned",
]


class Event(Struct, frozen=True):
    """Base class of all events."""


class RunOpened(Event, frozen=True):
    """A run folder was opened; counts are those of earlier starts.

    Attributes:
        pairs: Pairs in the folder.
        ended: Units that have ended in any way.
        rejected: Units that ended without a valid answer.
        dropped: Pairs that a check dropped.
        usd: Dollars spent; None if nothing was spent or a price is unknown.
    """

    pairs: int = 0
    ended: int = 0
    rejected: int = 0
    dropped: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None


class DocumentsRead(Event, frozen=True):
    """Documents were read from the input."""

    count: int


class InputSkipped(Event, frozen=True):
    """A piece of input was skipped, or need not be asked about.

    Attributes:
        source: Its file, and line or record number. Hostile text: sanitize it before showing it.
        reason: A fixed word or phrase, then often ``: `` and a detail.
        fate: ``skipped``; ``dropped`` for a document that was read and left out; ``repeated`` for
            one that is used except for some chunks that repeat others.
        chunks: Number of a duplicate's chunks that need not be asked about.
        chars: Total length of these.
    """

    source: str
    reason: str
    fate: str = "skipped"
    chunks: int = 0
    chars: int = 0

    @property
    def is_lost(self) -> bool:
        """True if something unused is lost, because it does not exist elsewhere."""
        return not self.chunks


class UnitsPlanned(Event, frozen=True):
    """New units were read; negative when planned units turned out not to be needed."""

    count: int


class UnitsKnown(Event, frozen=True):
    """Units that an earlier start finished were read."""

    count: int


class ReadingDone(Event, frozen=True):
    """The input was read to its end: no more units will be planned."""


class PartsCounted(Event, frozen=True):
    """All parts of a run on another engine were counted; each one replaces the one before.

    Counts of this start, over all parts, but for those named ``before``, which are of earlier
    starts.

    Attributes:
        documents: All parts read the same ones.
        before: What `RunOpened` says of a part, summed up.
        reading_done: All parts have read their input.
    """

    before: RunOpened = RunOpened()
    documents: int = 0
    planned: int = 0
    known: int = 0
    units: int = 0
    pairs: int = 0
    rejected: int = 0
    dropped: int = 0
    repairs: int = 0
    calls: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    picodollars: int = 0
    doubt_picodollars: int = 0
    is_priced: bool = False
    shards: int = 0
    loop_late_s: float = 0.0
    reading_done: bool = False
    skipped: Mapping[str, int] = {}
    failures: Mapping[str, int] = {}


class CallAnswered(Event, frozen=True):
    """A call returned an answer.

    Attributes:
        model: As the server names it.
        outcome: ``answer``, or ``probe`` for a call made before the run.
        usage: Tokens charged.
        picodollars: What these cost; None if the price is unknown.
        doubt_tokens: Upper bound of further tokens, if the server did not report them.
        doubt_picodollars: Cost of those.
        seconds: From sending the request to the end of the reply.
        stage: What the question was for: the name of its prompt's template, or of a recipe's step.
        asked: The requested model as the settings name it; a pool may know it by another name.
        pool: Name of the pool that answered.
        total_s: From sending it for the first time, so with failed calls and pauses before.
        sends: How often it was sent.
    """

    model: str
    outcome: str
    usage: Usage
    picodollars: int | None
    doubt_tokens: int = 0
    doubt_picodollars: int = 0
    seconds: float = 0.0
    stage: str = ""
    asked: str = ""
    pool: str = ""
    total_s: float = 0.0
    sends: int = 1


class CallGivenUp(Event, frozen=True):
    """A request got no answer and is not sent again in this start.

    Attributes:
        kind: Of its last failure.
        model: As the settings name it.
        stage: As in `CallAnswered`, as are ``pool``, ``total_s`` and ``sends``.
        status: HTTP status of the last failure, if there was a response.
    """

    kind: Kind
    model: str = ""
    stage: str = ""
    pool: str = ""
    total_s: float = 0.0
    sends: int = 1
    status: int | None = None


class CallCharged(Event, frozen=True):
    """Money was, or may have been, spent on a call that returned no answer.

    Attributes:
        model: As in the request; empty if unknown.
        outcome: ``empty`` for a reply without an answer, ``lost`` if the end is not known.
    """

    model: str
    outcome: str
    usage: Usage
    picodollars: int | None
    doubt_tokens: int = 0
    doubt_picodollars: int = 0


class CallFailed(Event, frozen=True):
    """A call failed; it may be retried.

    Attributes:
        status: HTTP status, if there was a response.
        code: The provider's error code.
        retry_after_s: The delay that the server asked for.
        message: One line for people.
        model: As the settings name it.
    """

    kind: Kind
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None
    message: str = ""
    model: str = ""


class CallReplayed(Event, frozen=True):
    """An answer was taken from the ledger instead of being bought again."""


class AnswerRead(Event, frozen=True):
    """A reply was parsed.

    Attributes:
        how: ``strict``, ``healed``, ``salvaged`` or ``failed``.
        rates: True if it is a judge's or a verifier's, without which a pair is complete.
    """

    how: str
    rates: bool = False


class RepairAsked(Event, frozen=True):
    """A model is asked again because its answer was invalid.

    Attributes:
        reason: Short name under which the fault is counted.
    """

    reason: str


class RepairEnded(Event, frozen=True):
    """What came of asking again.

    Attributes:
        result: ``mended``: nothing is wrong with the new answer; ``failed``: something is.
    """

    result: str


class PairJudged(Event, frozen=True):
    """The judge rated a pair.

    Attributes:
        trial: Empty for an ordinary rating, ``again`` for a repeated one, else the planted fault.
        position: Place of the pair in its unit, from 1.
        words: Length of the answer.
        scores: By aspect; None if there was no valid rating.
        first: Scores of the same pair in its ordinary rating, for a trial.
    """

    trial: str
    position: int
    words: int
    scores: Mapping[str, int | None] | None
    first: Mapping[str, int | None] | None = None


class PairEvolved(Event, frozen=True):
    """An evolution operator was applied to a pair.

    Attributes:
        outcome: ``kept``, or the reason why the new pair was dropped.
    """

    operator: str
    outcome: str


class PairVerified(Event, frozen=True):
    """A verifier was asked about the sentences of a pair's answer.

    Attributes:
        outcome: ``kept``, ``flagged``, ``cut``, ``repaired``, ``dropped``, or ``unverified`` where
            a sentence got no valid verdict and none was found untrue.
        supported: Sentences of the original answer, by verdict.
        unproven: Sentences called supported with a quotation that is not in the text.
        missing: Sentences that the reply did not mention.
    """

    outcome: str
    supported: int = 0
    contradicted: int = 0
    not_in_text: int = 0
    unproven: int = 0
    missing: int = 0


class SentenceTried(Event, frozen=True):
    """A verifier was tested on a sentence whose truth is known.

    Attributes:
        kind: The planted error, or ``copied`` for a sentence of the text itself.
        doubted: True if it was called unsupported; None if there was no verdict.
    """

    kind: str
    doubted: bool | None


class UnitFinished(Event, frozen=True):
    """A unit of work ended.

    Attributes:
        pairs: Pairs that were written.
        rejected: Lines written to the rejected file.
        dropped: Of these, pairs that a check dropped.
        reason: Why there is no pair, if there is none.
        document: Id of the document.
    """

    outcome: Outcome
    pairs: int = 0
    rejected: int = 0
    dropped: int = 0
    reason: str | None = None
    document: str = ""


class UnitSuspended(Event, frozen=True):
    """A unit left its worker because an answer is not available yet; a later start resumes it.

    Attributes:
        document: Id of the document.
    """

    document: str = ""


class Committed(Event, frozen=True):
    """A batch became durable.

    Attributes:
        kept: Units of the batch that are not tombstones of rejected ones.
    """

    units: int = 0
    answers: int = 0
    kept: int = 0


class ShardPublished(Event, frozen=True):
    """A shard was completed and published under its final name."""

    name: str = ""
    rows: int = 0
    bytes: int = 0


class LoopLate(Event, frozen=True):
    """How late the event loop ran a timer; sent several times a second."""

    seconds: float


class RunWaits(Event, frozen=True):
    """Nothing new is asked for a reason of this machine's or its store's, or that is over.

    Attributes:
        reason: One line; "" once it goes on.
    """

    reason: str


class Notice(Event, frozen=True):
    """One line for people. It may quote hostile text: sanitize it before showing it."""

    text: str


E1 = TypeVar("E1", bound=Event)
E2 = TypeVar("E2", bound=Event)
E3 = TypeVar("E3", bound=Event)
E4 = TypeVar("E4", bound=Event)


class Bus:
    """Delivers each event at once to all subscribers of its type, in order."""

    def __init__(self) -> None:
        self._subscribers: dict[type[Event], list[Callable[[Any], None]]] = {}
        self._of_all: list[Callable[[Any], None]] = []

    @overload
    def subscribe(self, subscriber: Callable[[Event], None], /) -> None: ...
    @overload
    def subscribe(self, subscriber: Callable[[E1], None], kind: type[E1], /) -> None: ...
    @overload
    def subscribe(
        self, subscriber: Callable[[E1 | E2], None], kind: type[E1], kind2: type[E2], /
    ) -> None: ...
    @overload
    def subscribe(
        self,
        subscriber: Callable[[E1 | E2 | E3], None],
        kind: type[E1],
        kind2: type[E2],
        kind3: type[E3],
        /,
    ) -> None: ...
    @overload
    def subscribe(
        self,
        subscriber: Callable[[E1 | E2 | E3 | E4], None],
        kind: type[E1],
        kind2: type[E2],
        kind3: type[E3],
        kind4: type[E4],
        /,
    ) -> None: ...
    def subscribe(self, subscriber: Callable[[Any], None], /, *kinds: type[Event]) -> None:
        """Call ``subscriber`` with each event of these types from now on; without any, with all."""
        if not kinds:
            self._of_all.append(subscriber)
        for kind in kinds or self._subscribers:
            self._told_of(kind).append(subscriber)

    def emit(self, event: Event, /) -> None:
        """Deliver an event."""
        for subscriber in self._told_of(type(event)):
            subscriber(event)

    def _told_of(self, kind: type[Event]) -> list[Callable[[Any], None]]:
        found = self._subscribers.get(kind)
        if found is None:
            found = self._subscribers[kind] = self._of_all.copy()
        return found
