"""One accepted call: its wait for a slot, its duration, and its reply."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pairmill.simulator.dialects import limit_headers
from pairmill.simulator.faults import CONNECTION_FAULTS, ENVELOPE_FAULTS, spoil_envelope
from pairmill.simulator.http import encode_response
from pairmill.simulator.latency import draw_delay
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

__all__ = ["Call", "EndpointState", "encode_reply", "fill_places"]

_PLACE = re.compile(r"\$\{(\w+)\}")
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def fill_places(value: Any, facts: Mapping[str, Any]) -> Any:
    """Replace ``${name}`` by facts in all strings; unknown names are kept.

    A string that is only a placeholder becomes the fact itself.
    """
    if isinstance(value, dict):
        return {key: fill_places(item, facts) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill_places(item, facts) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = _PLACE.fullmatch(value)
    if whole is not None:
        return facts.get(whole[1], value)
    return _PLACE.sub(lambda found: str(facts.get(found[1], found[0])), value)


def encode_reply(
    reply: Reply,
    facts: Mapping[str, Any],
    envelope: dict[str, Any],
    headers: list[tuple[str, str]],
    *,
    stream: bool,
) -> bytes:
    """Encode the whole response.

    Args:
        reply: Reply of the rule.
        facts: Values of its placeholders.
        envelope: Envelope of a good answer.
        headers: Headers of the endpoint itself; the reply's follow them.
        stream: True if the client asked for a stream.
    """
    content_type = reply.content_type or "application/json"
    if reply.body is not None or reply.status != HTTPStatus.OK:
        body, is_text = _body_of(reply, facts)
        if is_text and reply.content_type is None:
            content_type = "text/html" if body.lstrip().startswith(b"<") else "text/plain"
    else:
        changed = _alter(envelope, reply, facts)
        if stream or reply.stream:
            body, content_type = encode_events(changed), reply.content_type or "text/event-stream"
        else:
            body = encode_envelope(changed)
    body = reply.before.encode() + body + reply.after.encode()
    own = [(name, str(fill_places(value, facts))) for name, value in reply.headers.items()]
    return encode_response(reply.status, body, [*headers, *own], content_type)


def _body_of(reply: Reply, facts: Mapping[str, Any]) -> tuple[bytes, bool]:
    """Return the body, and whether it is text rather than JSON."""
    if reply.body is None:
        phrase = _PHRASES.get(reply.status, "Unknown")
        error = {"message": phrase, "type": "error", "param": None, "code": None}
        return encode_envelope({"error": error}), False
    filled = fill_places(reply.body, facts)
    if isinstance(reply.body, str) and isinstance(filled, str):
        return filled.encode("utf-8", "replace"), True
    return encode_envelope(filled), False


def _alter(envelope: dict[str, Any], reply: Reply, facts: Mapping[str, Any]) -> Any:
    if reply.usage_share is not None:
        envelope["usage"] = _shrunk(envelope["usage"], reply.usage_share)
    for path, value in reply.set.items():
        _put(envelope, path.split("."), fill_places(value, facts))
    for path in reply.drop:
        _take_out(envelope, path.split("."))
    return envelope


def _shrunk(counts: Any, share: float) -> Any:
    if isinstance(counts, dict):
        return {name: _shrunk(count, share) for name, count in counts.items()}
    return round(counts * share) if isinstance(counts, int | float) else counts


def _put(node: Any, path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = _step(node, part)
        if not isinstance(inner, dict | list):
            inner = {}
            _set(node, part, inner)
        node = inner
    _set(node, path[-1], value)


def _take_out(node: Any, path: list[str]) -> None:
    for part in path[:-1]:
        node = _step(node, part)
    if isinstance(node, dict):
        node.pop(path[-1], None)


def _step(node: Any, part: str) -> Any:
    if isinstance(node, list):
        return node[int(part)] if part.isdigit() and int(part) < len(node) else None
    return node.get(part) if isinstance(node, dict) else None


def _set(node: Any, part: str, value: Any) -> None:
    if isinstance(node, dict):
        node[part] = value
    elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
        node[int(part)] = value


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
