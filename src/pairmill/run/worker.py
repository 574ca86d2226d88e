"""Worker tasks: process one unit, handle the ways in which it can end, and cancel tasks singly."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from msgspec import Struct

from pairmill.errors import Kind, PairmillError, PendingError, ProviderError, RejectedError
from pairmill.events import UnitFinished, UnitSuspended
from pairmill.llm.retry import MOST_BILLED
from pairmill.recipes.repair import Asker
from pairmill.records import Outcome, Pair, Rejection
from pairmill.run.asking import UnitCalls
from pairmill.run.stop import StoppingError
from pairmill.run.suspects import Cause
from pairmill.store.columns import RowOrigin
from pairmill.store.row_encoding import UnitResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.events import Bus
    from pairmill.llm.client import Client
    from pairmill.llm.token_estimate import AnswerTokens
    from pairmill.recipes.recipe import Recipe
    from pairmill.recipes.repair import Questions
    from pairmill.run.asking import InFlight
    from pairmill.run.claims import Claims, UnitTurn
    from pairmill.run.reader import Inbox, Work
    from pairmill.run.stop import Stop
    from pairmill.run.suspects import Suspects
    from pairmill.run.work_rounds import WorkRounds
    from pairmill.run.writer import Writer

__all__ = ["WorkerContext", "WorkerGroup", "work_on"]


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Shared by all workers.

    Attributes:
        room: Maximum tokens of one answer.
        suspects: Holds back units that failed without an answer.
        turns: Bounds the work in each round of the event loop.
        strong: How to ask the model for units that failed on the usual one; None: there is none.
        claims: Tells which unit was the first to have something; None if the recipe needs none.
    """

    recipe: Recipe
    questions: Questions
    client: Client
    writer: Writer
    bus: Bus
    stop: Stop
    flight: InFlight
    room: AnswerTokens
    suspects: Suspects
    turns: WorkRounds
    strong: Questions | None = None
    claims: Claims | None = None


class _Failure(Struct, frozen=True):
    """Why a recipe wrote nothing; ``cause`` is set if a call got no answer."""

    rejection: Rejection
    cause: Cause | None = None
    billed_sends: int = 0

    @property
    def is_over(self) -> bool:
        """True if the failed request may have been billed and must not be sent again."""
        return self.billed_sends == 0 or self.billed_sends >= MOST_BILLED


async def work_on(inbox: Inbox, shop: WorkerContext) -> None:
    """Process units until the inbox ends or the run stops."""
    stop, writer = shop.stop, shop.writer
    while not stop.is_requested and (work := await _next(inbox, shop)) is not None:
        await shop.turns.take()
        await _do(work, shop)
        if writer.is_behind:
            await writer.wait_for_room()


async def _next(inbox: Inbox, shop: WorkerContext) -> Work | None:
    """Return the next unit; a unit to retry if there is no new one."""
    suspects = shop.suspects
    if inbox.is_empty and (work := await suspects.take(is_last=inbox.is_over)) is not None:
        return work
    if shop.stop.is_requested:
        return None
    work = await inbox.take()
    return work if work is not None else await suspects.take(is_last=True)


async def _do(work: Work, shop: WorkerContext) -> None:
    """Run the recipe on one unit and pass on its result; a unit that must wait stays open."""
    calls = UnitCalls(work, shop.client, shop.writer, shop.bus, shop.flight, shop.room, shop.turns)
    turn = shop.claims.enter(work.unit) if shop.claims is not None else None
    asker = Asker(shop.questions, calls, turn, calls.holds)
    try:
        pairs, failure = await _write(work, asker, shop)
        if failure is not None and failure.is_over and shop.strong is not None:
            asker.ask_instead(shop.strong)
            pairs, failure = await _write(work, asker, shop)
    except StoppingError:
        return
    except PendingError:
        shop.bus.emit(UnitSuspended(work.chunk.document_id))
        _leave(turn)
        return
    except PairmillError as error:
        shop.stop.request(str(error), error.exit_code)
        return
    _leave(turn)
    if failure is None:
        _hand_over(work, pairs, asker, None, shop)
    elif failure.cause is None or not shop.suspects.set_aside(
        work, failure.cause, billed_sends=failure.billed_sends
    ):
        asker.drop(failure.rejection)
        _hand_over(work, pairs, asker, failure, shop)


def _leave(turn: UnitTurn | None) -> None:
    """Release the unit's place in the order, unless a stop ended it, since it will be resumed."""
    if turn is not None:
        turn.leave()


async def _write(
    work: Work, asker: Asker, shop: WorkerContext
) -> tuple[list[Pair], _Failure | None]:
    """Return the recipe's pairs, or why there are none."""
    try:
        return await shop.recipe.write(work.chunk, asker), None
    except RejectedError as error:
        rejection = Rejection(error.reason, error.detail, error.raw)
        return [], _failed(rejection, error.kind, error)
    except ProviderError as error:
        rejection = Rejection(error.reason, str(error))
        kind = None if error.was_known else error.kind
        return [], _failed(rejection, kind, error)
    except (PairmillError, PendingError, StoppingError):
        raise
    except Exception as error:  # noqa: BLE001 (the worker's boundary: a fault in a recipe)
        reason = f"{shop.recipe.name}: {type(error).__name__}"
        return [], _Failure(Rejection("recipe_error", reason))


def _failed(
    rejection: Rejection, kind: Kind | None, error: RejectedError | ProviderError
) -> _Failure:
    cause = Cause(kind, rejection.detail, error.model) if kind is not None else None
    return _Failure(rejection, cause, error.billed_sends)


def _hand_over(
    work: Work, pairs: list[Pair], asker: Asker, failure: _Failure | None, shop: WorkerContext
) -> None:
    shop.suspects.forget(work.unit)
    reason = failure.rejection.reason if failure else None
    origin = RowOrigin(
        unit_id=work.unit,
        recipe=shop.recipe.name,
        prompt_version=shop.recipe.prompt_version,
        model=asker.model,
        attempts=asker.answers,
        usage=asker.usage,
        created=asker.created,
    )
    outcome = _outcome(pairs, reason)
    result = UnitResult(work.chunk, origin, outcome, pairs, asker.dropped, reason)
    if failure is not None and failure.cause is not None:
        shop.suspects.hold(result, failure.cause)
    else:
        shop.writer.put_result(result)
    shop.bus.emit(
        UnitFinished(
            outcome=outcome,
            pairs=len(pairs),
            rejected=len(asker.dropped),
            dropped=sum(not drop.whole_unit for drop in asker.dropped),
            reason=reason,
            document=work.chunk.document_id,
        )
    )


def _outcome(pairs: list[Pair], reason: str | None) -> Outcome:
    if pairs:
        return Outcome.WRITTEN
    return Outcome.EMPTY if reason is None else Outcome.REJECTED


class WorkerGroup:
    """The worker tasks, each of which can be cancelled by itself."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._scopes: dict[asyncio.Task[object] | None, anyio.CancelScope] = {}

    async def run_worker(self, job: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Run a job as a worker, until it ends or ``cancel_after`` cancels it."""
        with anyio.CancelScope() as scope:
            self._scopes[asyncio.current_task()] = scope
            await job(*arguments)

    async def cancel_after(self, stop: Stop, grace_s: float) -> None:
        """After a stop, cancel workers: idle ones at once, those with a call after ``grace_s``."""
        await stop.wait()
        for task, scope in self._scopes.items():
            if task not in self._in_flight.tasks:
                scope.cancel()
        await anyio.sleep(grace_s)
        for scope in self._scopes.values():
            scope.cancel()
