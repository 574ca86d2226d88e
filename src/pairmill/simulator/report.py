"""Report of what the client did, as seen by the server, and its cost.

A call is billed when it is accepted, whether or not its answer arrives. Amounts are whole
pico-dollars: a price of 0.0375 dollars per million tokens adds up exactly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairmill.simulator.latency import Slots
    from pairmill.simulator.settings import SimulatedPrices
    from pairmill.simulator.wire import Answer

__all__ = ["TrafficCount", "Wallet", "dollars", "gauges_text"]

_GRACE_S = 0.05  # a call may have been in transit when the wait was requested
_MAX_PATHS = 100
_MAX_SECONDS = 86_400
_ANSWERED = 1 << 32  # attempts in the low half of a counter, billed calls in the high half
_FATAL = frozenset({401, 402, 403, 404})


_PICO = 1_000_000_000_000
_PICO_PER_MILLIONTH = _PICO // 1_000_000


def dollars(pico: int) -> str:
    """Format dollars as an exact decimal number."""
    return f"{Decimal(pico) / _PICO:f}"


@dataclass(slots=True)
class Wallet:
    """The bill so far. Refuses nothing.

    Attributes:
        spent_pico: Cost of the usage of all accepted calls.
        worst_pico: Cost if each had used all of its max_tokens.
    """

    input_pico: int
    output_pico: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    spent_pico: int = 0
    worst_pico: int = 0

    @classmethod
    def at(cls, prices: SimulatedPrices) -> Wallet:
        """Return an empty bill at these prices per million tokens."""
        return cls(
            int(Decimal(prices.input_usd) * _PICO_PER_MILLIONTH),
            int(Decimal(prices.output_usd) * _PICO_PER_MILLIONTH),
        )

    def bill(self, prompt_tokens: int, completion_tokens: int, max_tokens: int | None) -> None:
        """Add one accepted call."""
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens
        prompt_pico = prompt_tokens * self.input_pico
        self.spent_pico += prompt_pico + completion_tokens * self.output_pico
        most = completion_tokens if max_tokens is None else max(max_tokens, completion_tokens)
        self.worst_pico += prompt_pico + most * self.output_pico


@dataclass(slots=True)
class TrafficCount:
    """Counters of one simulated endpoint; times are seconds on its own clock.

    Attributes:
        by_status: Map of HTTP status to replies; 0 for calls without a complete reply.
        by_fault: Map of fault name to affected calls.
        after_quota_error: Calls that arrived after insufficient quota was reported.
        after_fatal: Calls that arrived after a 401, 402, 403 or 404.
        in_flight_at_fatal: Calls in flight when the first such error was sent.
        early_same: Requests repeated before the end of the wait that their own refusal asked for.
        early_other: Other requests with the same key and model before that.
        others: Map of path to requests other than chats, such as ``/metrics``.
        thought_tokens: Hidden tokens among the billed ones.
        empty_billed: Billed calls whose answer had no text.
        abandoned: Calls whose client left before the answer was sent.
    """

    track: bool = True
    calls: int = 0
    in_flight: int = 0
    concurrency_max: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    rate_limited: int = 0
    billed: int = 0
    abandoned: int = 0
    others: Counter[str] = field(default_factory=Counter)
    thought_tokens: int = 0
    empty_billed: int = 0
    after_quota_error: int = 0
    after_fatal: int = 0
    in_flight_at_fatal: int | None = None
    early_same: int = 0
    early_other: int = 0
    requests: dict[int, int] = field(default_factory=dict)
    seconds: list[list[int]] = field(default_factory=list)
    _wait_of: dict[int, float] = field(default_factory=dict)
    _wait_of_scope: dict[tuple[str, str], float] = field(default_factory=dict)
    _quota_error: bool = False
    _busy_s: float = 0.0
    _changed_s: float = 0.0

    def arrive(self, now: float) -> None:
        """Record that a call arrived."""
        self._busy_s += self.in_flight * (now - self._changed_s)
        self._changed_s = now
        self.calls += 1
        self.in_flight += 1
        self.concurrency_max = max(self.concurrency_max, self.in_flight)
        if self.in_flight_at_fatal is not None:
            self.after_fatal += 1
            self.after_quota_error += self._quota_error

    def identify(self, digest: int, scope: tuple[str, str], now: float) -> int:
        """Record the question of a call, for this key and model; return the attempt, from 1."""
        if not self.track:
            return 1
        if self._wait_of_scope:
            until = self._wait_of.pop(digest, None)
            if until is not None and now < until - _GRACE_S:
                self.early_same += 1
            elif now < self._wait_of_scope.get(scope, 0.0) - _GRACE_S:
                self.early_other += 1
        known = self.requests.get(digest, 0) + 1
        self.requests[digest] = known
        return known % _ANSWERED

    def ask_to_wait(self, digest: int, scope: tuple[str, str], wait_s: float, now: float) -> None:
        """Record that a refusal asked for a wait, in a form that a client must understand."""
        until = now + wait_s
        self._wait_of[digest] = until
        self._wait_of_scope[scope] = max(until, self._wait_of_scope.get(scope, 0.0))

    def accept(self, digest: int) -> None:
        """Record that a call is served and billed."""
        self.billed += 1
        if self.track:
            self.requests[digest] = self.requests.get(digest, 0) + _ANSWERED

    def note_other(self, path: str) -> None:
        """Record a request that is not a chat. Paths after the first hundred share a count."""
        known = path in self.others or len(self.others) < _MAX_PATHS
        self.others[path if known else "..."] += 1

    def note_answer(self, answer: Answer) -> None:
        """Record the answer of a billed call."""
        self.thought_tokens += answer.thoughts
        self.empty_billed += not answer.text

    def leave(self, status: int, tokens: int, now: float) -> None:
        """Record the end of a call: its status, or 0 if no complete reply was sent."""
        self._busy_s += self.in_flight * (now - self._changed_s)
        self._changed_s = now
        self.in_flight -= 1
        self.by_status[status] += 1
        second = int(now)
        if second < _MAX_SECONDS:
            while len(self.seconds) <= second:
                self.seconds.append([0, 0, 0])
            row = self.seconds[second]
            if status == 200:  # noqa: PLR2004 (OK)
                row[0] += 1
                row[2] += tokens
            else:
                row[1] += 1
        if status in _FATAL and self.in_flight_at_fatal is None:
            self.in_flight_at_fatal = self.in_flight

    def note_quota_error(self) -> None:
        """Record that the client was told that its quota is used up for good."""
        self._quota_error = True
        if self.in_flight_at_fatal is None:
            self.in_flight_at_fatal = self.in_flight - 1

    def per_request(self) -> dict[str, list[int]]:
        """Return for each question, as 16 hex digits: its attempts, and how often it was billed."""
        return {
            f"{digest:016x}": [packed % _ANSWERED, packed // _ANSWERED]
            for digest, packed in self.requests.items()
        }

    def snapshot(self, wallet: Wallet, now: float) -> dict[str, Any]:
        """Return all counts as JSON values; ``seconds`` rows are [answered, refused, tokens]."""
        attempts = Counter(packed % _ANSWERED for packed in self.requests.values())
        bought = [packed // _ANSWERED for packed in self.requests.values()]
        busy_s = self._busy_s + self.in_flight * (now - self._changed_s)
        return {
            "elapsed_s": round(now, 6),
            "calls": self.calls,
            "in_flight": self.in_flight,
            "concurrency_max": self.concurrency_max,
            "concurrency_mean": round(busy_s / now, 3) if now > 0 else 0.0,
            "by_status": {str(key): count for key, count in sorted(self.by_status.items())},
            "by_fault": dict(sorted(self.by_fault.items())),
            "answered": self.by_status[200],
            "rate_limited": self.rate_limited,
            "billed": self.billed,
            "abandoned": self.abandoned,
            "others": dict(sorted(self.others.items())),
            "thought_tokens": self.thought_tokens,
            "empty_billed": self.empty_billed,
            "requests": len(self.requests),
            "attempts": {str(key): count for key, count in sorted(attempts.items())},
            "attempts_max": max(attempts, default=0),
            "bought_again": sum(count - 1 for count in bought if count > 1),
            "after_quota_error": self.after_quota_error,
            "after_fatal": self.after_fatal,
            "in_flight_at_fatal": self.in_flight_at_fatal,
            "retry_after_ignored": self.early_same,
            "retry_after_ignored_by_others": self.early_other,
            "prompt_tokens": wallet.prompt_tokens,
            "completion_tokens": wallet.completion_tokens,
            "spent_usd": dollars(wallet.spent_pico),
            "worst_usd": dollars(wallet.worst_pico),
            "seconds": self.seconds,
        }


def gauges_text(shown: str, slots: Slots) -> str:
    """Return the text of ``GET /metrics`` as by vLLM, llama.cpp or both; "" for ``none``."""
    label = '{model_name="simulated"}'
    gauges = {
        "vllm": (
            (f"vllm:num_requests_running{label}", slots.running),
            (f"vllm:num_requests_waiting{label}", slots.waiting),
        ),
        "llamacpp": (
            ("llamacpp:requests_processing", slots.running),
            ("llamacpp:requests_deferred", slots.waiting),
        ),
    }
    return "".join(
        f"# TYPE {name.partition('{')[0]} gauge\n{name} {value}.0\n"
        for server, pairs in gauges.items()
        if shown in {server, "both"}
        for name, value in pairs
    )
