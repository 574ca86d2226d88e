"""The simulated endpoint: routing, admission of calls, and their answers."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import TypeAdapter, ValidationError

from pairmill.errors import ConfigError
from pairmill.simulator.answers import limit_tokens, write_answer, write_draft
from pairmill.simulator.calls import Call, EndpointState, encode_reply, fill_places
from pairmill.simulator.content import CLOSE_FENCE, OPEN_FENCE, find_passage
from pairmill.simulator.dialects import limit_headers, rate_limit_body, retry_after_headers
from pairmill.simulator.fault_choice import FaultPicker, Script
from pairmill.simulator.faults import REFUSALS, TEXT_FAULTS, SimulatedReply, mangle_text, quota_gone
from pairmill.simulator.http import encode_response
from pairmill.simulator.latency import Slots
from pairmill.simulator.quotas import Enforcer, QuotaRefusal
from pairmill.simulator.report import TrafficCount, Wallet, gauges_text
from pairmill.simulator.rng import digest_of
from pairmill.simulator.rules import CallFacts, Reply, Rule, RuleBook, lookup
from pairmill.simulator.scenarios import resolve
from pairmill.simulator.settings import ScheduledStep
from pairmill.simulator.thinking import (
    draw_thoughts,
    effort_of,
    refuse_words,
    think_first,
    write_thoughts,
)
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
_OK = 200
_TOO_MANY = 429
_THOUGHT_TOKENS = 60  # of the thinking that a rule's template may show
_ANY_LIMIT = 60  # limit stated in a scripted 429


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
        self.settings = self._settings = settings = resolve(settings)
        self._clock = clock
        slots = Slots(settings.slots, settings.max_waiting)
        self._state = EndpointState(settings, slots, TrafficCount(), loop, self._now, wall)
        self._fault_picker = FaultPicker(settings.faults)
        self._born = clock()
        self.reset()

    def reset(self) -> None:
        """Forget all calls, the bill and the quotas' use; start the script again."""
        self._zero = self._clock()
        self._state.tally = TrafficCount(track=self._settings.track_requests)
        self._wallet = Wallet.at(self._settings.prices)
        self._enforcers: dict[str, Enforcer] = {}
        self._script = Script(self._settings.script)
        self._rules = RuleBook(self._settings.rules, self._settings.seed)
        self._chunks: dict[int, int] = {}
        self._good = 0
        self._kept: deque[Any] = deque(maxlen=self._settings.keep_requests)

    def add_steps(self, steps: Iterable[ScheduledStep], *, replace: bool = False) -> None:
        """Append steps to the script, or replace it.

        Raises:
            ConfigError: A step names a fault that does not exist.
        """
        script = Script(steps)
        if replace:
            self._script = script
        else:
            self._script.extend(script)

    def report(self) -> dict[str, Any]:
        """Report what the client did since the last reset."""
        report = self._state.tally.snapshot(self._wallet, self._now())
        return {**report, "cpu_s": round(time.process_time(), 4)}

    def attempts(self) -> dict[str, list[int]]:
        """Return for each question, as 16 hex digits: its attempts, and how often it was billed."""
        return self._state.tally.per_request()

    def handle(self, exchange: HttpExchange) -> None:
        """Answer one exchange, now or later."""
        path = exchange.path.partition("?")[0]
        is_chat = path.endswith(_CHAT)
        if not is_chat and not path.startswith("/_sim/"):
            self._state.tally.note_other(path)
        if self._rules and not is_chat and not path.startswith("/_sim/"):
            facts = CallFacts(path, exchange.key, self._state.tally.calls, self._now())
            rule = self._rules.take(facts)
            if rule is not None:
                exchange.send(self._encode_plain(rule.reply, exchange))
                return
        if is_chat:
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
        state, settings = self._state, self._settings
        now = self._now()
        state.tally.arrive(now)
        try:
            request = parse_chat(exchange.body, settings.seed)
        except ValueError as error:
            self._refuse(exchange, _bad_request(str(error)))
            return
        scope = (exchange.key, request.model)
        attempt = state.tally.identify(request.digest, scope, now)
        if settings.keep_requests:
            self._kept.append(request.data)
        if self._rules:
            facts = self._facts_of(exchange, request, attempt, now)
            rule = self._rules.take(facts)
            if rule is not None:
                self._apply(rule, facts, exchange, request)
                return
        refusal = self._screen(exchange, request)
        if refusal is not None:
            self._refuse(exchange, refusal)
            return
        step = self._script.take(state.tally.calls, request.user) if self._script else None
        chance = self._fault_picker.choose(request.digest, attempt) if step is None else None
        self._answer(exchange, request, chance if step is None else step.fault, step, attempt)

    def _answer(
        self,
        exchange: HttpExchange,
        request: ChatRequest,
        fault: str | None,
        step: ScheduledStep | None,
        attempt: int,
    ) -> None:
        state = self._state
        if fault is not None:
            state.tally.by_fault[fault] += 1
        if not self._strike(exchange, request, fault, step):
            self._admit(exchange, request, fault, step, attempt)

    # Rules.

    def _facts_of(
        self, exchange: HttpExchange, request: ChatRequest, attempt: int, now: float
    ) -> CallFacts:
        has_passage = OPEN_FENCE in request.user and CLOSE_FENCE in request.user
        digest = chunk = 0
        if has_passage:
            passage, _ = find_passage(request.user)
            digest = digest_of(0, passage.encode("utf-8", "replace"))
            chunk = self._chunks.setdefault(digest, len(self._chunks) + 1)
        thinking = self._settings.thinking
        return CallFacts(
            path=exchange.path.partition("?")[0],
            key=exchange.key,
            number=self._state.tally.calls,
            now=now,
            request=request,
            attempt=attempt,
            has_passage=has_passage,
            chunk=chunk,
            chunk_digest=digest,
            good=self._good,
            thinks=thinking is not None and effort_of(thinking, request.data) != "none",
        )

    def _apply(
        self, rule: Rule, facts: CallFacts, exchange: HttpExchange, request: ChatRequest
    ) -> None:
        """Answer according to a rule."""
        reply = rule.reply
        state = self._state
        if reply.fault is not None:
            step = ScheduledStep(fault=reply.fault, delay_s=reply.delay_s)
            self._answer(exchange, request, reply.fault, step, facts.attempt)
            return
        is_billed = reply.status == _OK if reply.billed is None else reply.billed
        if is_billed or (reply.status == _OK and reply.body is None):
            self._admit(exchange, request, reply.connection, None, facts.attempt, (rule, facts))
            return
        if reply.status == _TOO_MANY:
            state.tally.rate_limited += 1
            wait_s = _told_wait(reply)
            if wait_s is not None:
                scope = (exchange.key, request.model)
                state.tally.ask_to_wait(request.digest, scope, wait_s, self._now())
        places = self._places(rule, facts, request, Answer("", "stop", 0))
        if not reply.delay_s and reply.connection is None:
            state.tally.leave(reply.status, 0, self._now())
            exchange.send(encode_reply(reply, places, {}, [], stream=False))
            return
        Call(
            state,
            exchange,
            request,
            Answer("", "stop", 0),
            fault=reply.connection,
            extra_delay_s=reply.delay_s,
            attempt=facts.attempt,
            enforcer=None,
            charge=None,
            reply=reply,
            facts=places,
        ).begin()

    def _places(
        self, rule: Rule, facts: CallFacts, request: ChatRequest, answer: Answer
    ) -> dict[str, Any]:
        """Return the values of the placeholders in a rule's templates."""
        places: dict[str, Any] = {
            "model": request.model,
            "key": facts.key,
            "max_tokens": request.max_tokens,
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "call": facts.number,
            "chunk": facts.chunk,
            "answer": answer.text,
            "answer_json": orjson.dumps(answer.text).decode(),
        }
        if rule.when.parameter is not None:
            places["value"] = lookup(request.data, rule.when.parameter)
        return places

    def _encode_plain(self, reply: Reply, exchange: HttpExchange) -> bytes:
        """Encode a rule's reply outside of chat: its body, or nothing."""
        places = {"key": exchange.key, "call": self._state.tally.calls}
        return encode_reply(reply, places, {}, [], stream=False)

    def _screen(self, exchange: HttpExchange, request: ChatRequest) -> SimulatedReply | None:
        """Return a refusal that does not depend on chance or load, or None."""
        settings, faults = self._settings, self._settings.faults
        call = self._state.tally.calls
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
            self._state.tally.note_quota_error()
            return quota_gone(settings.dialect)
        return self._screen_request(request)

    def _screen_request(self, request: ChatRequest) -> SimulatedReply | None:
        """Return a refusal of what the request itself asks for, or None."""
        settings = self._settings
        if settings.thinking is not None:
            refusal = refuse_words(settings.thinking, request.data)
            if refusal is not None:
                return refusal
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
        """Answer with a scripted reply or a refusal, if the fault is one."""
        if step is not None and step.status is not None:
            content_type = "text/html" if isinstance(step.body, str) else "application/json"
            self._refuse(
                exchange,
                SimulatedReply(step.status, step.body, content_type),
                list(step.headers.items()),
            )
        elif fault == "rate_limit":
            wait_s = step.retry_after_s if step is not None else 1.0
            refusal = QuotaRefusal("requests", _ANY_LIMIT, _ANY_LIMIT, 1, wait_s)
            form = step.retry_after if step is not None else None
            self._refuse_rate(exchange, request, refusal, None, form)
        elif fault == "insufficient_quota":
            self._state.tally.note_quota_error()
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
        ruled: tuple[Rule, CallFacts] | None = None,
    ) -> None:
        state = self._state
        if state.slots.is_full:
            self._refuse(exchange, REFUSALS["overloaded"])
            return
        enforcer = self._enforcer(exchange.key, request.model)
        charge = None
        if enforcer is not None:
            outcome = enforcer.admit(request.prompt_tokens, request.max_tokens or 0, self._now())
            if isinstance(outcome, QuotaRefusal):
                self._refuse_rate(exchange, request, outcome, enforcer, None)
                return
            charge = outcome
        reply, places = None, None
        if ruled is None:
            answer = self._compose(request, fault, step, attempt)
            self._good += bool(self._rules) and OPEN_FENCE in request.user
        else:
            reply = ruled[0].reply
            answer, places = self._compose_ruled(request, *ruled)
        state.tally.accept(request.digest)
        state.tally.note_answer(answer)
        self._wallet.bill(request.prompt_tokens, answer.completion_tokens, request.max_tokens)
        Call(
            state,
            exchange,
            request,
            answer,
            fault=fault,
            extra_delay_s=_delay_of(step, reply),
            attempt=attempt,
            enforcer=enforcer,
            charge=charge,
            reply=reply,
            facts=places,
        ).begin()

    def _compose(
        self, request: ChatRequest, fault: str | None, step: ScheduledStep | None, attempt: int
    ) -> Answer:
        given = step.content if step is not None else None
        text = write_answer(request, self._settings) if given is None else given
        answer = self._think(request, text, attempt)
        if fault in TEXT_FAULTS:
            text = mangle_text(fault, answer.text, self._settings.faults.huge_chars)
            answer = Answer(text, answer.finish_reason, count_tokens(text))
        elif fault == "truncated":
            text = answer.text[: len(answer.text) // 2]
            answer = Answer(text, "length", count_tokens(text))
        if step is not None and step.finish_reason is not None:
            answer = Answer(answer.text, step.finish_reason, answer.completion_tokens)
        return answer

    def _compose_ruled(
        self, request: ChatRequest, rule: Rule, facts: CallFacts
    ) -> tuple[Answer, dict[str, Any]]:
        """Compose the answer of a rule, and the values of its templates' placeholders."""
        reply, settings = rule.reply, self._settings
        text = write_answer(request, settings)
        if reply.content is not None:
            parts = {"answer": text, "thought": write_thoughts(_THOUGHT_TOKENS)}
            if "${draft}" in reply.content:
                parts["draft"] = write_draft(request, settings)
            named = self._places(rule, facts, request, Answer("", "stop", 0))
            text = str(fill_places(reply.content, {**named, **parts}))
        answer = self._think(request, text, facts.attempt)
        if reply.min_tokens is not None and answer.completion_tokens < reply.min_tokens:
            text = text.ljust(4 * reply.min_tokens)
            answer = Answer(text, "stop", reply.min_tokens)
        return answer, self._places(rule, facts, request, answer)

    def _think(self, request: ChatRequest, text: str, attempt: int) -> Answer:
        """Return the text as an answer after the model's thinking, within the request's cap."""
        thinking = self._settings.thinking
        thoughts = draw_thoughts(thinking, request, attempt) if thinking is not None else 0
        if thinking is None or not thoughts:
            return limit_tokens(text, request.max_tokens)
        return think_first(text, thoughts, request.max_tokens, thinking)

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
        refusal: QuotaRefusal,
        enforcer: Enforcer | None,
        form: RetryAfter | None,
    ) -> None:
        state, dialect = self._state, self._settings.dialect
        now, wall = self._now(), state.wall()
        headers, told_s = retry_after_headers(
            form or self._settings.retry_after, dialect, refusal.wait_s, wall
        )
        if enforcer is not None:
            headers += limit_headers(dialect, enforcer.levels(now), refusal.requested, wall)
        if told_s is not None:
            state.tally.ask_to_wait(request.digest, (exchange.key, request.model), told_s, now)
        state.tally.rate_limited += 1
        body = rate_limit_body(dialect, refusal, request.model, wall)
        self._refuse(exchange, SimulatedReply(429, body), headers)

    def _refuse(
        self, exchange: HttpExchange, reply: SimulatedReply, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        body = reply.body.encode() if isinstance(reply.body, str) else orjson.dumps(reply.body)
        self._state.tally.leave(reply.status, 0, self._now())
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
        text = gauges_text(self._settings.metrics, self._state.slots)
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

    def _requests(self, _exchange: HttpExchange) -> bytes:
        return encode_response(200, orjson.dumps(list(self._kept)))

    def _is_loading(self) -> bool:
        return self._clock() - self._born < self._settings.faults.loading_s

    def _now(self) -> float:
        return self._clock() - self._zero


_ROUTES: dict[tuple[str, str], Callable[[SimulatedEndpoint, HttpExchange], bytes]] = {
    ("GET", "/models"): SimulatedEndpoint._models,  # noqa: SLF001 (a table of its own methods)
    ("GET", "/health"): SimulatedEndpoint._health,  # noqa: SLF001
    ("GET", "/metrics"): SimulatedEndpoint._metrics,  # noqa: SLF001
    ("GET", "/_sim/report"): SimulatedEndpoint._report,  # noqa: SLF001
    ("GET", "/_sim/requests"): SimulatedEndpoint._requests,  # noqa: SLF001
    ("POST", "/_sim/reset"): SimulatedEndpoint._reset,  # noqa: SLF001
    ("POST", "/_sim/script"): SimulatedEndpoint._add_script,  # noqa: SLF001
}


def _delay_of(step: ScheduledStep | None, reply: Reply | None) -> float:
    if reply is not None:
        return reply.delay_s
    return step.delay_s if step is not None else 0.0


def _told_wait(reply: Reply) -> float | None:
    """Return the seconds that a refusal asks for in a plain Retry-After."""
    for name, value in reply.headers.items():
        if name.lower() == "retry-after" and value.replace(".", "", 1).isdigit():
            return float(value)
    return None


def _reached(from_call: int | None, call: int) -> bool:
    return from_call is not None and call >= from_call


def _bad_request(message: str, param: str | None = None) -> SimulatedReply:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return SimulatedReply(400, {"error": error})
