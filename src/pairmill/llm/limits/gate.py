"""The gate: the one place that decides when a call may be sent.

One gate serves one quota: an endpoint, key and model, or whatever a provider counts together. A
call is admitted if requests, tokens and concurrency *all* allow it, in one test without an await,
so no call holds one limit while it waits for another. Waiters are served strictly in order. Whoever
frees capacity hands it to the next waiter: no wake-up is lost or spurious.

Everything runs on one event loop, without locks. ``clock`` must be the loop's own time
(``time.monotonic`` with asyncio and uvloop), or one that runs in step with it.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from pairmill.errors import Kind, StoppedError
from pairmill.llm.limits.breaker import EndpointBreaker, State
from pairmill.llm.limits.concurrency import AimdLimit, ConcurrencyLimit, Done, FixedLimit
from pairmill.llm.limits.headers import Unit
from pairmill.llm.limits.lease import Lease, Snapshot, Waiter, WaitQueue
from pairmill.llm.limits.pacing import RateControl
from pairmill.llm.limits.quota import Amounts, Charge, Cost, Limits, Quota

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pairmill.llm.limits.headers import LimitHint
    from pairmill.records import Usage

__all__ = ["Charge", "Cost", "EvictedError", "Gate", "Lease", "Limits", "Snapshot"]

_MIN_TIMER_S = 0.004  # at high rates one timer grants to several; the bucket keeps what it is late
_HINT_INTERVAL_S = 0.5
_SMOOTHING = 0.05  # of the usual length of a call
_AMPLE = 1.25  # times what a pace needs in flight, so that only the pace limits
_KEPT_NOISE = 0.06  # a quota that was given and is kept to: what is refused is noise at first
_ROUNDING = 1e-3  # of a call: shares are rounded down
_SERVED = frozenset(kind for kind in Kind if kind.meaning.had_room)


class EvictedError(Exception):
    """A waiter should choose its pool again; only ``Pools`` sees this error."""


class Gate:
    """Admission by requests, tokens and concurrency together, in strict order.

    Retries wait in a separate queue. It is served first, but never twice in a row while others
    wait: retries neither pile up at the end of a run nor hold up new work.

    Attributes:
        name: Display name.
        control: Pause, pace and epoch.
        in_flight: Number of active leases.
        closed: Why no call is admitted any more; None while calls are.
        waited_s: Total time that calls waited here before they were admitted.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float],
        width: ConcurrencyLimit | int | None = None,
        control: RateControl | None = None,
        breaker: EndpointBreaker | None = None,
        name: str = "",
    ) -> None:
        self.name = name
        self.control = control or RateControl()
        self.in_flight = 0
        self.closed: Exception | None = None
        self._clock = clock
        self._width = _width(width, limits)
        self._breaker = breaker or EndpointBreaker()
        self._quota = Quota(limits or Limits(), clock())
        self._line: WaitQueue[Lease] = WaitQueue()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._probe: Lease | None = None
        self._call_s = 1.0
        self._answers = 0
        self._began_at = 0.0  # when the first call went
        self._hinted_at = -math.inf
        self.waited_s = 0.0
        self._share_until = math.inf
        self._whole_width = self._width.most if isinstance(self._width, FixedLimit) else 0

    @property
    def limits(self) -> Limits:
        """Limits in force: those given, and those learned from headers."""
        return self._quota.limits

    @property
    def waiting(self) -> int:
        """Number of waiting calls."""
        return self._line.length

    async def admit(self, cost: Cost, *, retry: bool = False) -> Lease:
        """Wait for the right to make a call.

        Can be cancelled at any point: a grant that was already made is passed on.

        Raises:
            Exception: The reason given to ``close``, before or while waiting.
        """
        lease = self.admit_now(cost)
        if lease is not None:
            return lease
        if self.closed is not None:
            raise self.closed
        amounts = self._quota.amounts(cost)
        now = self._clock()
        future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        waiter = Waiter(cost, amounts, future, is_retry=retry)
        if self._line.join(waiter):  # a new head: set its timer
            self._pump(now)
        try:
            lease = await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._line.leave(waiter)
                self._pump(self._clock())
            elif future.exception() is None:
                future.result().give_back()
            raise
        self.waited_s += lease.admitted_at - now
        return lease

    def admit_now(self, cost: Cost) -> Lease | None:
        """Return a lease if no call is waiting and this one need not wait either; else None."""
        if self.closed is not None or self._line.length:
            return None
        amounts = self._quota.amounts(cost)
        now = self._clock()
        return self._grant(amounts, now) if self._wait_s(amounts, now) == 0.0 else None

    def charge(self, cost: Cost) -> None:
        """Count a call that bypassed the gate, such as the probe of an endpoint."""
        self._quota.take(self._quota.amounts(cost), self._clock())

    def fits_in_s(self, cost: Cost) -> float:
        """Estimated seconds until a call that arrives now would be sent; inf if never."""
        if self.closed is not None:
            return math.inf
        now = self._clock()
        wait_s = max(self._hold_s(now), 0.0)
        wait_s += self._quota.backlog_s(self._quota.amounts(cost), self._line.ahead, now)
        allowed = self._allowed(now)
        turns = max(0, self.in_flight + self._line.length + 1 - allowed) / allowed
        return max(wait_s, turns * self._call_s)

    def observe_gauge(self, running: float, waiting: float) -> None:
        """Use the server's own count of running and waiting calls."""
        now = self._clock()
        self._width.on_gauge(now, self.in_flight, running, waiting)
        self._pump(now)

    def set_limits(self, limits: Limits) -> None:
        """Replace the limits, as if these had been given at the start."""
        now = self._clock()
        self._quota.declared = limits
        self._quota.set_limits(limits, now)
        self._pump(now)

    def set_share(self, share: float, until: float) -> None:
        """Use this share of the limits and of a given concurrency, and nothing after ``until``.

        The limits themselves are unchanged.
        """
        now = self._clock()
        self._share_until = until
        quota = self._quota
        if 0.0 < share != quota.limits.share:
            quota.declared = replace(quota.declared, share=share)
            quota.set_limits(replace(quota.limits, share=share), now)
            if isinstance(self._width, FixedLimit):
                self._width.narrow(max(1, int(self._whole_width * share + _ROUNDING)))
        self._pump(now)

    def learn(self, per_min: Mapping[str, float]) -> None:
        """Adopt limits that another process learned, by unit name, if none are known here."""
        limits = self._quota.limits
        known = limits.per_min()
        found = {Unit[name]: limit for name, limit in per_min.items() if Unit[name] not in known}
        if found:
            self._quota.set_limits(limits.with_per_min(found), self._clock())

    def pause(self, seconds: float) -> None:
        """Admit nothing for a while, as the server asked another process to."""
        now = self._clock()
        self.control.pause.extend(now + seconds)
        self._pump(now)

    @property
    def used(self) -> dict[str, float]:
        """Requests and tokens admitted so far, by unit name."""
        quota = self._quota
        return {Unit.REQUESTS.name: float(quota.sent), Unit.TOKENS.name: quota.reserved}

    def close(self, reason: Exception) -> None:
        """Admit nothing any more: all current and future waiters get ``reason`` raised."""
        self.closed = reason
        self._dismiss(reason)

    def evict(self) -> None:
        """Raise ``EvictedError`` in all waiters, in order; the gate stays open."""
        self._dismiss(EvictedError())

    def snapshot(self) -> Snapshot:
        """Return the state of the gate."""
        now = self._clock()
        hold_s = max(0.0, self._hold_s(now))
        is_down = self._breaker.state(now) is not State.CLOSED
        asks = "asked to wait" if self.control.pause.is_asked else "refuses calls"
        cause = "the endpoint does not answer" if is_down else f"the server {asks}"
        if now >= self._share_until:
            cause = "it waits for its part of the shared quota"
        return Snapshot(
            in_flight=self.in_flight,
            waiting=self._line.length,
            concurrency=self._allowed(now),
            sent=self._quota.sent,
            refused=self.control.refused,
            paused_s=hold_s,
            cause=cause if hold_s else "",
            requests_per_s=self._quota.requests_per_s,
            waited_s=self.waited_s,
        )

    def _allowed(self, now: float) -> int:
        """Number of calls that may be in flight now."""
        limit = self._width.limit
        room = self.control.pause.room(now, self._quota.sent, limit)
        return max(1, min(limit, self.in_flight + room))

    def _pump(self, now: float) -> None:
        """Grant waiting calls while they fit; set the one timer for the first that does not."""
        line = self._line
        while (head := line.head()) is not None:
            wait_s = self._wait_s(head.amounts, now)
            if wait_s > 0.0:
                self._wake_in(wait_s, now)
                return
            line.serve(head)
            head.future.set_result(self._grant(head.amounts, now))

    def _wake_in(self, wait_s: float, now: float) -> None:
        if wait_s == math.inf:  # a release will come
            return
        wait_s = max(wait_s, _MIN_TIMER_S)
        if self._timer is not None:
            if self._timer_at <= now + wait_s:
                return  # it fires early, finds nothing, and is set again: cheaper than cancelling
            self._timer.cancel()
        self._timer_at = now + wait_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._clock()
        self._quota.on_lag(now - self._timer_at)
        self._pump(now)

    def _dismiss(self, reason: Exception) -> None:
        for waiter in self._line.clear():
            waiter.future.set_exception(reason)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_s(self, amounts: Amounts, now: float) -> float:
        """Seconds until a call fits all limits at once; inf if it needs another one to end."""
        pause = self.control.pause
        if now >= self._share_until:
            return math.inf  # `set_share` resumes
        if now < pause.until or not self._breaker.is_closed:
            hold_s = self._hold_s(now)
            if hold_s > 0.0:
                return hold_s
        if self.in_flight >= self._width.limit:
            full_s = self._full_s(now)
            if full_s > 0.0:
                return full_s
        limit = self._width.limit
        if pause.is_ramping:
            ramp_s = pause.wait_s(now, self._quota.sent, limit)
            if ramp_s > 0.0:
                return ramp_s
        return self._quota.wait_s(amounts, now)

    def _full_s(self, now: float) -> float:
        """Seconds until one more call may be in flight; inf if another one must end first.

        Before the first answer, calls are assumed to last at least as long as they have so far.
        """
        pace = self.control.pace
        if pace is None or self._answers:
            return self._width.on_full(now)
        self._call_s = max(self._call_s, now - self._began_at)
        self._width.on_rise(math.ceil(_AMPLE * pace * self._call_s))
        return 0.0 if self.in_flight < self._width.limit else min(1.0, self._width.on_full(now))

    def _hold_s(self, now: float) -> float:
        """Remaining seconds of a pause or an open breaker; inf while a probe is in flight."""
        if now >= self._share_until:
            return math.inf
        hold_s = self.control.pause.until - now
        state = self._breaker.state(now)
        if state is State.OPEN:
            return max(hold_s, self._breaker.until - now)
        if state is State.HALF_OPEN and self._probe is not None:
            return math.inf
        return hold_s

    def _grant(self, amounts: Amounts, now: float) -> Lease:
        is_probe = not self._breaker.is_closed
        epoch, quota = self.control.epoch, self._quota
        lease = Lease(self, amounts, now, epoch, is_probe, quota.sent, quota.reserved)
        if is_probe:
            self._probe = lease
        if not quota.sent:
            self._began_at = now
        quota.take(amounts, now)
        self.in_flight += 1
        return lease

    def undo(self, lease: Lease) -> None:
        """Take back a lease that was not used; see ``Lease.give_back``."""
        now = self._clock()
        self.in_flight -= 1
        if self._probe is lease:
            self._probe = None
        self._quota.untake(lease.amounts, lease.admitted_at, now)
        self._pump(now)

    def end(
        self,
        lease: Lease,
        kind: Kind | None,
        usage: Usage | None,
        hint: LimitHint | None,
        retry_after_s: float | None,
        *,
        alone: bool = False,
    ) -> bool:
        """Settle a lease whose call has ended; see ``Lease.release``."""
        now, quota, control = self._clock(), self._quota, self.control
        is_held = False
        self._learn_width(lease, kind, usage, now)
        self.in_flight -= 1
        if self._probe is lease:
            self._probe = None
        quota.settle(lease.amounts, kind, usage, lease.admitted_at, now)
        if kind is not None:
            is_held = self._learn_of_failure(lease, kind, hint, retry_after_s, now, alone=alone)
        else:
            if not self._breaker.is_calm:
                self._breaker.record(None, now, is_probe=lease.is_probe)
            if now >= control.look_at:
                control.on_taken(now, quota.sent)
        if control.pace != quota.pace:
            self._set_pace(now)
        if hint is not None:
            self._heed(hint, lease, now)
        if self._line.length:
            self._pump(now)
        return is_held

    def _learn_of_failure(
        self,
        lease: Lease,
        kind: Kind,
        hint: LimitHint | None,
        retry_after_s: float | None,
        now: float,
        *,
        alone: bool,
    ) -> bool:
        """Learn from a failed call; return whether all calls wait because of it."""
        control, breaker, sent = self.control, self._breaker, self._quota.sent
        is_held, was_closed = False, breaker.is_closed
        if not alone or lease.is_probe:
            breaker.record(kind, now, is_probe=lease.is_probe, index=lease.sent_before)
        if kind in _SERVED:
            control.on_taken(now, sent)
        elif kind is Kind.RATE:
            is_held = self._on_refused(lease, now, hint, retry_after_s)
        elif kind is Kind.OVERLOAD and was_closed:
            is_held = control.on_busy(
                now,
                epoch=lease.epoch,
                sent_before=lease.sent_before,
                sent=sent,
                seconds=now - lease.admitted_at,
                retry_after_s=retry_after_s,
            )
        if not breaker.is_closed:
            control.end_trial()
        if breaker.gave_up and self.closed is None:
            self.close(StoppedError(breaker.last_words(self.name or "the endpoint")))
        return is_held

    def _set_pace(self, now: float) -> None:
        pace = self.control.pace
        self._quota.set_pace(pace, now)
        if pace is not None:
            self._width.on_rise(math.ceil(_AMPLE * pace * self._call_s))

    def _learn_width(
        self, lease: Lease, kind: Kind | None, usage: Usage | None, now: float
    ) -> None:
        seconds = now - lease.admitted_at
        if kind is None:
            self._answers += 1
            self._call_s += max(_SMOOTHING, 1.0 / self._answers) * (seconds - self._call_s)
        is_clean = kind is None or kind in _SERVED or not self.control.is_suspicious
        tokens = usage.completion_tokens if usage else 0
        self._width.on_done(Done(now, lease.admitted_at, self.in_flight, tokens, is_clean))

    def _on_refused(
        self, lease: Lease, now: float, hint: LimitHint | None, retry_after_s: float | None
    ) -> bool:
        effect = self.control.on_refused(
            now,
            epoch=lease.epoch,
            sent_before=lease.sent_before,
            sent=self._quota.sent,
            limit=self._width.limit,
            seconds=now - lease.admitted_at,
            retry_after_s=retry_after_s,
            is_spent=hint is not None and hint.is_spent,
            least_noise=_KEPT_NOISE if self._quota.declared.per_min() else 0.0,
        )
        if effect.is_cut:
            needed = math.ceil((self.control.pace or 0.0) * self._call_s)
            were_out = self.in_flight + self.control.cluster_size
            self._width.on_refused(now, max(were_out, needed))
        is_told = hint is not None and hint.is_spent
        is_cluster = effect.is_cut and self.control.cluster_size > 1
        is_new = False
        if self._quota.declared.per_min() and not (effect.is_cut and is_told):
            is_new = self._quota.on_doubtful(
                now, lease.sent_before, hint, retry_after_s, is_cluster=is_cluster
            )
        elif effect.is_cut and (is_told or is_cluster):
            is_new = self._quota.on_refused(now, hint, retry_after_s)
        if is_new:
            self._line.reweigh(self._quota.amounts)
        return effect.is_held

    def _heed(self, hint: LimitHint, lease: Lease, now: float) -> None:
        """Adopt limits that were not declared; lower the levels to what the server says remains."""
        quota = self._quota
        if hint.is_not_on_plan:
            who = self.name or "the model"
            self.close(StoppedError(f"{who} is not on this key's plan: the server allows 0 calls"))
            return
        learned = quota.limits.learn(quota.declared, hint)
        if learned != quota.limits:
            quota.set_limits(learned, now)
        if now >= self._hinted_at + _HINT_INTERVAL_S:
            self._hinted_at = now
            if quota.apply_hint(
                hint,
                sent_since=quota.sent - lease.sent_before - 1,
                reserved_since=quota.reserved - lease.reserved_before - lease.amounts[Unit.TOKENS],
                seconds=now - lease.admitted_at,
                now=now,
            ):
                self._line.reweigh(quota.amounts)


def _width(given: ConcurrencyLimit | int | None, limits: Limits | None) -> ConcurrencyLimit:
    """Choose the controller: with known limits the rate decides, not the concurrency."""
    if isinstance(given, int):
        return FixedLimit(given)
    if given is not None:
        return given
    return AimdLimit(start=AimdLimit.CEILING) if limits and limits.per_min() else AimdLimit()
