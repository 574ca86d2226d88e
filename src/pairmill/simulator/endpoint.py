"""The simulated endpoint: which route, whether a call is accepted, and what it is answered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter, ValidationError

from pairmill.errors import ConfigError
from pairmill.simulator.answers import answer_request, limit_tokens
from pairmill.simulator.calls import Call, Desk
from pairmill.simulator.dialects import limit_headers, rate_limit_body, retry_after_headers
from pairmill.simulator.faults import FaultDice, Script
from pairmill.simulator.http import encode_response
from pairmill.simulator.latency import Slots
from pairmill.simulator.mangle import TEXT_FAULTS, mangle_text
from pairmill.simulator.quotas import Enforcer, Refusal
from pairmill.simulator.refusals import REFUSALS, SimulatedReply, quota_gone
from pairmill.simulator.report import TrafficCount, gauges_text
from pairmill.simulator.settings import ScheduledStep
from pairmill.simulator.wallet import Wallet
from pairmill.simulator.wire import Answer, ChatRequest, count_tokens, parse_chat

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from pairmill.simulator.http import HttpExchange
    from pairmill.simulator.settings import RetryAfter, SimulatorSettings

__all__ = ["SimulatedEndpoint"]

_CHAT = "/chat/completions"
_STRENGTH = {"text": 0, "none": 0, "json_object": 1, "json_schema": 2, "ignored": 2}
_STEPS = TypeAdapter(list[ScheduledStep])
_ANY_LIMIT = 60  # what a scripted 429 says that the limit is


class SimulatedEndpoint:
    """Answers exchanges. ``clock`` is monotonic, ``wall`` the time of day, both in seconds.

    Raises:
        ConfigError: The settings name a fault that does not exist.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        slots = Slots(settings.slots, settings.max_waiting)
        self._desk = Desk(settings, slots, TrafficCount(), loop, self._now, wall)
        self._fault_dice = FaultDice(settings.faults)
        self._born = clock()
        self.reset()

    def reset(self) -> None:
        """Forget all calls, the bill and the quotas' use; start the script again."""
        self._zero = self._clock()
        self._desk.tally = TrafficCount(track=self._settings.track_requests)
        self._wallet = Wallet.at(self._settings.prices)
        self._enforcers: dict[str, Enforcer] = {}
        self._script = Script(self._settings.script)

    def add_steps(self, steps: Iterable[ScheduledStep], *, replace: bool = False) -> None:
        """Put steps behind the script, or in its place.

        Raises:
            ConfigError: A step names a fault that does not exist.
        """
        script = Script(steps)
        if replace:
            self._script = script
        else:
            self._script.extend(script)

    def report(self) -> dict[str, Any]:
        """What the client did since the last reset."""
        report = self._desk.tally.snapshot(self._wallet, self._now())
        return {**report, "cpu_s": round(time.process_time(), 4)}

    def attempts(self) -> dict[str, list[int]]:
        """Each question, as 16 hex digits: its attempts, and how often it was billed."""
        return self._desk.tally.per_request()

    def handle(self, exchange: HttpExchange) -> None:
        """Answer one exchange, now or later."""
        path = exchange.path.partition("?")[0]
        if path.endswith(_CHAT):
            if exchange.method == "POST":
                self._chat(exchange)
            else:
                self._refuse_route(exchange, 405, "use POST here")
            return
        route = _ROUTES.get((exchange.method, path.removeprefix("/v1")))
        if route is None:
            self._refuse_route(exchange, 404, "there is nothing here")
        else:
            exchange.send(route(self, exchange))

    # Chat.

    def _chat(self, exchange: HttpExchange) -> None:
        desk, settings = self._desk, self._settings
        now = self._now()
        desk.tally.arrive(now)
        try:
            request = parse_chat(exchange.body, settings.seed)
        except ValueError as error:
            self._refuse(exchange, _bad_request(str(error)))
            return
        scope = (exchange.key, request.model)
        attempt = desk.tally.identify(request.digest, scope, now)
        refusal = self._screen(exchange, request)
        if refusal is not None:
            self._refuse(exchange, refusal)
            return
        step = self._script.take(desk.tally.calls, request.user) if self._script else None
        chance = self._fault_dice.choose(request.digest, attempt) if step is None else None
        fault = chance if step is None else step.fault
        if fault is not None:
            desk.tally.by_fault[fault] += 1
        if not self._strike(exchange, request, fault, step):
            self._admit(exchange, request, fault, step, attempt)

    def _screen(self, exchange: HttpExchange, request: ChatRequest) -> SimulatedReply | None:
        """Refusals that do not depend on chance or on how much is going on."""
        settings, faults = self._settings, self._settings.faults
        call = self._desk.tally.calls
        if self._is_loading():
            return REFUSALS["loading"]
        if _reached(faults.key_revoked_from, call) or (
            settings.api_keys and exchange.key not in settings.api_keys
        ):
            return REFUSALS["bad_key"]
        if _reached(faults.model_gone_from, call) or (
            settings.models and request.model not in settings.models
        ):
            return REFUSALS["model_not_found"]
        if _reached(faults.quota_gone_from, call):
            self._desk.tally.note_quota_error()
            return quota_gone(settings.dialect)
        return self._screen_request(request)

    def _screen_request(self, request: ChatRequest) -> SimulatedReply | None:
        """Refusals of what the request itself asks for."""
        settings = self._settings
        if _STRENGTH[request.mode] > _STRENGTH[settings.response_format]:
            return _bad_request(
                f"Invalid parameter: 'response_format' of type '{request.mode}' is not supported.",
                "response_format",
            )
        wanted = request.prompt_tokens + (request.max_tokens or 0)
        if settings.context_tokens is not None and wanted > settings.context_tokens:
            return REFUSALS["context_too_long"]
        return None

    def _strike(
        self,
        exchange: HttpExchange,
        request: ChatRequest,
        fault: str | None,
        step: ScheduledStep | None,
    ) -> bool:
        """Answer with a scripted reply or a refusal, if that is what the fault is."""
        if step is not None and step.status is not None:
            content_type = "text/html" if isinstance(step.body, str) else "application/json"
            self._refuse(
                exchange,
                SimulatedReply(step.status, step.body, content_type),
                list(step.headers.items()),
            )
        elif fault == "rate_limit":
            wait_s = step.retry_after_s if step is not None else 1.0
            refusal = Refusal("requests", _ANY_LIMIT, _ANY_LIMIT, 1, wait_s)
            form = step.retry_after if step is not None else None
            self._refuse_rate(exchange, request, refusal, None, form)
        elif fault == "insufficient_quota":
            self._desk.tally.note_quota_error()
            self._refuse(exchange, quota_gone(self._settings.dialect))
        elif fault in REFUSALS:
            self._refuse(exchange, REFUSALS[fault])
        else:
            return False
        return True

    def _admit(
        self,
        exchange: HttpExchange,
        request: ChatRequest,
        fault: str | None,
        step: ScheduledStep | None,
        attempt: int,
    ) -> None:
        desk = self._desk
        if desk.slots.is_full:
            self._refuse(exchange, REFUSALS["overloaded"])
            return
        enforcer = self._enforcer(exchange.key, request.model)
        charge = None
        if enforcer is not None:
            outcome = enforcer.admit(request.prompt_tokens, request.max_tokens or 0, self._now())
            if isinstance(outcome, Refusal):
                self._refuse_rate(exchange, request, outcome, enforcer, None)
                return
            charge = outcome
        answer = self._compose(request, fault, step)
        desk.tally.accept(request.digest)
        self._wallet.bill(request.prompt_tokens, answer.completion_tokens, request.max_tokens)
        Call(
            desk,
            exchange,
            request,
            answer,
            fault=fault,
            extra_delay_s=step.delay_s if step is not None else 0.0,
            attempt=attempt,
            enforcer=enforcer,
            charge=charge,
        ).begin()

    def _compose(
        self, request: ChatRequest, fault: str | None, step: ScheduledStep | None
    ) -> Answer:
        if step is not None and step.content is not None:
            answer = limit_tokens(step.content, request.max_tokens)
        else:
            answer = answer_request(request, self._settings)
        if fault in TEXT_FAULTS:
            text = mangle_text(fault, answer.text, self._settings.faults.huge_chars)
            answer = Answer(text, answer.finish_reason, count_tokens(text))
        elif fault == "truncated":
            text = answer.text[: len(answer.text) // 2]
            answer = Answer(text, "length", count_tokens(text))
        if step is not None and step.finish_reason is not None:
            answer = Answer(answer.text, step.finish_reason, answer.completion_tokens)
        return answer

    def _enforcer(self, key: str, model: str) -> Enforcer | None:
        quota = self._settings.quota
        if quota is None:
            return None
        scope = {"server": "", "key": key, "model": model}[quota.per]
        if scope not in self._enforcers:
            self._enforcers[scope] = Enforcer(quota, self._now())
        return self._enforcers[scope]

    def _refuse_rate(
        self,
        exchange: HttpExchange,
        request: ChatRequest,
        refusal: Refusal,
        enforcer: Enforcer | None,
        form: RetryAfter | None,
    ) -> None:
        desk, dialect = self._desk, self._settings.dialect
        now, wall = self._now(), desk.wall()
        headers, told_s = retry_after_headers(
            form or self._settings.retry_after, dialect, refusal.wait_s, wall
        )
        if enforcer is not None:
            headers += limit_headers(dialect, enforcer.levels(now), refusal.requested, wall)
        if told_s is not None:
            desk.tally.ask_to_wait(request.digest, (exchange.key, request.model), told_s, now)
        desk.tally.rate_limited += 1
        body = rate_limit_body(dialect, refusal, request.model, wall)
        self._refuse(exchange, SimulatedReply(429, body), headers)

    def _refuse(
        self, exchange: HttpExchange, reply: SimulatedReply, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        body = reply.body.encode() if isinstance(reply.body, str) else orjson.dumps(reply.body)
        self._desk.tally.leave(reply.status, 0, self._now())
        exchange.send(encode_response(reply.status, body, headers, reply.content_type))

    # Everything else.

    def _refuse_route(self, exchange: HttpExchange, status: int, message: str) -> None:
        body = {"error": {"message": message, "type": "invalid_request_error"}}
        exchange.send(encode_response(status, orjson.dumps(body)))

    def _models(self, exchange: HttpExchange) -> bytes:
        keys = self._settings.api_keys
        if keys and exchange.key not in keys:
            return encode_response(401, orjson.dumps(REFUSALS["bad_key"].body))
        names = self._settings.models or ("simulated",)
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "pairmill"} for name in names
        ]
        return encode_response(200, orjson.dumps({"object": "list", "data": models}))

    def _health(self, _exchange: HttpExchange) -> bytes:
        if self._is_loading():
            return encode_response(503, orjson.dumps(REFUSALS["loading"].body))
        return encode_response(200, b'{"status":"ok"}')

    def _metrics(self, _exchange: HttpExchange) -> bytes:
        text = gauges_text(self._settings.metrics, self._desk.slots)
        if not text:
            return encode_response(404, b'{"error":{"message":"there is nothing here"}}')
        return encode_response(200, text.encode(), (), "text/plain; version=0.0.4")

    def _report(self, exchange: HttpExchange) -> bytes:
        report = self.report()
        if exchange.path.endswith("?attempts=1"):
            report["attempts_of"] = self.attempts()
        return encode_response(200, orjson.dumps(report))

    def _reset(self, _exchange: HttpExchange) -> bytes:
        self.reset()
        return encode_response(200, b"{}")

    def _add_script(self, exchange: HttpExchange) -> bytes:
        try:
            data = orjson.loads(exchange.body)
            data = data if isinstance(data, dict) else {"steps": data}
            steps = _STEPS.validate_python(data.get("steps"))
            self.add_steps(steps, replace=data.get("replace") is True)
        except (orjson.JSONDecodeError, ValidationError, ConfigError) as error:
            kind = "not valid JSON" if isinstance(error, orjson.JSONDecodeError) else str(error)
            return encode_response(400, orjson.dumps(_bad_request(kind).body))
        return encode_response(200, b"{}")

    def _is_loading(self) -> bool:
        return self._clock() - self._born < self._settings.faults.loading_s

    def _now(self) -> float:
        return self._clock() - self._zero


_ROUTES: dict[tuple[str, str], Callable[[SimulatedEndpoint, HttpExchange], bytes]] = {
    ("GET", "/models"): SimulatedEndpoint._models,  # noqa: SLF001 (a table of its own methods)
    ("GET", "/health"): SimulatedEndpoint._health,  # noqa: SLF001
    ("GET", "/metrics"): SimulatedEndpoint._metrics,  # noqa: SLF001
    ("GET", "/_sim/report"): SimulatedEndpoint._report,  # noqa: SLF001
    ("POST", "/_sim/reset"): SimulatedEndpoint._reset,  # noqa: SLF001
    ("POST", "/_sim/script"): SimulatedEndpoint._add_script,  # noqa: SLF001
}


def _reached(from_call: int | None, call: int) -> bool:
    return from_call is not None and call >= from_call


def _bad_request(message: str, param: str | None = None) -> SimulatedReply:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return SimulatedReply(400, {"error": error})
