"""One accepted call: its wait for a slot, its duration, and the sending of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairmill.simulator.dialects import limit_headers
from pairmill.simulator.envelopes import ENVELOPE_FAULTS, spoil_envelope
from pairmill.simulator.faults import CONNECTION_FAULTS
from pairmill.simulator.http import encode_response
from pairmill.simulator.latency import draw_delay
from pairmill.simulator.replies import encode_reply
from pairmill.simulator.rng import Rng
from pairmill.simulator.thinking import add_thoughts
from pairmill.simulator.wire import encode_envelope, encode_events, make_envelope

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from pairmill.simulator.http import HttpExchange
    from pairmill.simulator.latency import Slots
    from pairmill.simulator.quotas import Enforcer, SimulatedCharge
    from pairmill.simulator.report import TrafficCount
    from pairmill.simulator.rules import Reply
    from pairmill.simulator.settings import SimulatorSettings
    from pairmill.simulator.wire import Answer, ChatRequest

__all__ = ["Call", "EndpointState"]

_OK = 200
_NO_REPLY = 0
_BEFORE_RESET_S = 0.02  # lets earlier bytes reach the client first
_BROKEN = frozenset(
    {"close", "close_mid_body", "garbage", "hang", "hang_mid_body", "reset", "reset_mid_body"}
)
_NOT_HTTP = b"\x16\x03\x01 this is no HTTP\r\n\r\n"


class EndpointState:
    """Shared by all calls of an endpoint. A reset replaces ``tally``."""

    __slots__ = ("clock", "loop", "settings", "slots", "tally", "wall")

    def __init__(
        self,
        settings: SimulatorSettings,
        slots: Slots,
        tally: TrafficCount,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.slots = slots
        self.tally = tally
        self.loop = loop
        self.clock = clock
        self.wall = wall


class Call:
    """An accepted call, already billed. ``begin`` starts it; it ends by itself.

    ``reply`` and its ``facts`` are sent instead of a good answer.
    """

    __slots__ = (
        "_answer",
        "_charge",
        "_delay_s",
        "_enforcer",
        "_exchange",
        "_facts",
        "_fault",
        "_is_fresh",
        "_is_running",
        "_reply",
        "_request",
        "_rest",
        "_state",
        "_tally",
        "_timer",
    )

    def __init__(
        self,
        state: EndpointState,
        exchange: HttpExchange,
        request: ChatRequest,
        answer: Answer,
        *,
        fault: str | None,
        extra_delay_s: float,
        attempt: int,
        enforcer: Enforcer | None,
        charge: SimulatedCharge | None,
        reply: Reply | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._state = state
        self._reply = reply
        self._facts = facts or {}
        self._tally = state.tally
        self._exchange = exchange
        self._request = request
        self._answer = answer
        self._fault = fault
        self._enforcer = enforcer
        self._charge = charge
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False
        self._is_fresh = True
        self._rest = b""
        latency = state.settings.latency
        self._delay_s = extra_delay_s
        if latency.shape != "zero":
            rng = Rng(request.digest + attempt)
            self._delay_s += draw_delay(latency, answer.completion_tokens, rng)

    def begin(self) -> None:
        """Take a slot, or wait for one."""
        self._exchange.on_gone = self._gone
        self._state.slots.enter(self._start)
        self._is_fresh = False

    def _start(self) -> None:
        self._is_running = True
        if self._delay_s > 0 or not self._is_fresh:  # not on the caller's stack
            self._timer = self._state.loop.call_later(self._delay_s, self._deliver)
        else:
            self._deliver()

    def _gone(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tally.abandoned += 1
        if self._is_running:
            self._over(_NO_REPLY)
        else:
            self._state.slots.withdraw(self._start)
            self._settle(_NO_REPLY)

    def _deliver(self) -> None:
        self._timer = None  # which refers to this
        response = self._encode()
        if self._fault not in CONNECTION_FAULTS:
            self._over(self._status)
            self._exchange.send(response)
            return
        split = response.index(b"\r\n\r\n") + 4
        self._deliver_rudely(response, split + (len(response) - split) // 2)

    def _deliver_rudely(self, response: bytes, middle: int) -> None:
        exchange, fault = self._exchange, self._fault
        faults = self._state.settings.faults
        if fault == "drip":
            self._rest = response
            self._drip()
            return
        if fault in {"close_mid_body", "hang_mid_body", "reset_mid_body"}:
            exchange.write(response[:middle])
        if fault in {"hang", "hang_mid_body"}:
            self._later(faults.hang_s, self._reset)
        elif fault == "reset_mid_body":
            self._later(_BEFORE_RESET_S, self._reset)
        elif fault == "reset":
            self._reset()
        else:
            if fault not in {"close", "close_mid_body"}:
                exchange.write(_NOT_HTTP if fault == "garbage" else response)
            self._over(_NO_REPLY if fault in _BROKEN else self._status)
            exchange.close()

    def _drip(self) -> None:
        size = self._state.settings.faults.drip_bytes
        part, self._rest = self._rest[:size], self._rest[size:]
        self._exchange.write(part)
        if self._rest:
            self._later(self._state.settings.faults.drip_interval_s, self._drip)
        else:
            self._over(self._status)
            self._exchange.finish()

    def _reset(self) -> None:
        self._over(_NO_REPLY)
        self._exchange.reset()

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._timer = self._state.loop.call_later(delay_s, action)

    def _over(self, status: int) -> None:
        self._settle(status)
        self._state.slots.leave()

    def _settle(self, status: int) -> None:
        used = self._request.prompt_tokens + self._answer.completion_tokens
        now = self._state.clock()
        if self._enforcer is not None and self._charge is not None:
            self._enforcer.settle(self._charge, used, now)
        self._tally.leave(status, used, now)

    @property
    def _status(self) -> int:
        return _OK if self._reply is None else self._reply.status

    def _encode(self) -> bytes:
        state = self._state
        headers: list[tuple[str, str]] = []
        if self._enforcer is not None and self._charge is not None:
            levels = self._enforcer.levels(state.clock())
            dialect = state.settings.dialect
            headers = limit_headers(dialect, levels, self._charge.tokens, state.wall())
        request = self._request
        envelope = make_envelope(request, self._answer)
        if state.settings.thinking is not None:
            add_thoughts(envelope, self._answer, state.settings.thinking)
        if self._reply is not None:
            return encode_reply(self._reply, self._facts, envelope, headers, stream=request.stream)
        if self._fault in ENVELOPE_FAULTS:
            body, content_type = spoil_envelope(self._fault, envelope)
            return encode_response(_OK, body, headers, content_type)
        if request.stream:
            return encode_response(_OK, encode_events(envelope), headers, "text/event-stream")
        return encode_response(_OK, encode_envelope(envelope), headers)
