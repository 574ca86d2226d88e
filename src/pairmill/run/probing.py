"""First calls of a run: find out how to ask each pool, or why it cannot be asked."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from pairmill.clock import SystemClock
from pairmill.config import is_local_model
from pairmill.errors import (
    EXIT_CONFIG,
    Blame,
    ConfigError,
    Kind,
    PairmillError,
    ProviderError,
    StoppedError,
)
from pairmill.events import CallFailed, Notice
from pairmill.llm.answer_timeout import AnswerTimeout
from pairmill.llm.client import Client
from pairmill.llm.providers.endpoint import address_hint, refusal_hint
from pairmill.llm.providers.provider import Mode
from pairmill.llm.retry import AT_PROBE, IN_PROBE
from pairmill.llm.structured_output import ProbeQuestion, find_mode
from pairmill.llm.token_estimate import prompt_chars
from pairmill.recipes.probe_question import is_answer, sample_question
from pairmill.run.asking import InFlight, ProbeSends
from pairmill.run.stop import StoppingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pairmill.config import Settings
    from pairmill.events import Bus
    from pairmill.llm.admission import Admission, Turn
    from pairmill.llm.providers.endpoint import Endpoint
    from pairmill.llm.providers.requests import RequestEncoder
    from pairmill.llm.retry import RetryPolicy
    from pairmill.llm.router import Route, Router
    from pairmill.llm.structured_output import ModeFinding
    from pairmill.llm.token_estimate import AnswerTokens
    from pairmill.recipes.recipe import Recipe
    from pairmill.records import Completion, Request
    from pairmill.run.run_memory import RunMemory
    from pairmill.run.stop import Stop

__all__ = [
    "PoolProbe",
    "Readiness",
    "answers_probe",
    "make_probe_client",
    "make_question",
    "settle_mode",
]


@dataclass(frozen=True, slots=True)
class PoolProbe:
    """A pool to prepare, and the question for it."""

    endpoint: Endpoint
    encoder: RequestEncoder
    route: Route
    router: Router
    question: ProbeQuestion | None
    room: AnswerTokens
    sends: ProbeSends | None = None


async def make_question(recipe: Recipe, model: str, variant: int = 0) -> ProbeQuestion | None:
    """Make a question of the run's recipe for a model."""
    sample = await sample_question(recipe, model, variant)
    if sample is None:
        return None
    request, answer = sample
    return ProbeQuestion(request, lambda text: is_answer(text, answer))


async def settle_mode(
    settings: Settings, probe: PoolProbe, bus: Bus, stop: Stop, memory: RunMemory
) -> None:
    """Find out how schemas are sent, with a call that also tests key, model and address.

    Like any other call, it passes the pool's gate and the budget.
    """
    route, endpoint = probe.route, probe.endpoint
    pool, question = route.pool, probe.question
    if settings.structured_output != "auto":
        route.mode = Mode(settings.structured_output)
        return
    if question is None or is_local_model(pool.model):
        return
    impatience = _Impatience(bus, endpoint, settings.timeout_s)
    bus.subscribe(impatience, CallFailed)
    answer_timeout = AnswerTimeout(SystemClock())
    probe_client = make_probe_client(
        _OnePool(probe.router, pool.name), stop, bus, IN_PROBE, answer_timeout
    )

    async def ask(request: Request, mode: Mode) -> Completion:
        route.mode = mode

        async def complete(granted: Request) -> Completion:
            body = probe.encoder.encode(granted, mode)
            return await probe_client.complete(
                granted, probe.sends.log(body) if probe.sends else None
            )

        return await probe.room.ask(request, complete)

    key = f"endpoint {endpoint.url} {pool.model} {endpoint.options.reasoning}"
    try:
        found = await find_mode(ask, probe.encoder, question, key, memory, answer_timeout)
    except (ProviderError, StoppedError) as error:
        raise _explained(error, settings, endpoint, question.request) from None
    finally:
        impatience.is_over = True
    route.mode = found.mode
    if found.thought_tokens:
        for model in {settings.model, pool.model}:  # requests carry the run's name for the model
            probe.room.saw(model, found.thought_tokens)
    _tell_finding(found, endpoint, pool.model, bus)


def _explained(
    error: ProviderError | StoppedError, settings: Settings, endpoint: Endpoint, request: Request
) -> PairmillError:
    """Describe why a start fails at its first call, and what to do about it."""
    line = f"{endpoint.place}: {error}"
    is_refused = isinstance(error, ProviderError) and error.kind.meaning.ends_start
    hint = address_hint(endpoint, error) or refusal_hint(endpoint, error)
    if hint or is_refused or error.exit_code == EXIT_CONFIG:
        return ConfigError(f"{line} (model {request.model}){hint}")
    advice = ""
    if isinstance(error, ProviderError) and error.code == "timeout":
        advice = _on_silence(settings.timeout_s, request)
    elif isinstance(error, ProviderError) and error.code in _UNREACHED:
        advice = f"; asked for {AT_PROBE.max_spent_s:.0f} s"
    return StoppedError(f"{line}{advice}")


def _on_silence(timeout_s: float, request: Request) -> str:
    """Suggest a remedy if no answer comes: some servers never start requests that are too large."""
    tokens = prompt_chars(request.prompt) // _CHARS_PER_TOKEN
    most = request.prompt.sampling.max_tokens
    return (
        f"; timeout_s is {timeout_s:g}: raise it where answers take longer; it asked with about"
        f" {tokens:,} tokens for at most {most:,}: a server that cannot hold so many may never"
        " begin; fewer pairs_per_chunk and smaller chunks ask for less"
    )


_CHARS_PER_TOKEN = 4
_UNREACHED = frozenset({"refused", "dns", "connect_timeout", "connection", "proxy"})


def make_probe_client(
    admission: Admission,
    stop: Stop,
    bus: Bus,
    policy: RetryPolicy = AT_PROBE,
    answer_timeout: AnswerTimeout | None = None,
) -> Client:
    """Sends probes, with little patience."""
    return Client(
        admission,
        InFlight(stop),
        bus,
        SystemClock(),
        random.Random(),  # noqa: S311 (jitter)
        policy=policy,
        purpose="probe",
        answer_timeout=answer_timeout,
    )


async def answers_probe(
    recipe: Recipe, room: AnswerTokens, probe_client: Client, sends: ProbeSends | None, model: str
) -> bool:
    """Ask a recipe's question about a made-up passage; return whether the model answered.

    Each probe is a different question, since the previous one may have been billed.
    """
    question = await make_question(recipe, model, ProbeSends.fresh_variant())
    if question is None:
        return False

    async def complete(granted: Request) -> Completion:
        return await probe_client.complete(
            granted, sends.log(granted.id.encode()) if sends else None
        )

    try:
        await room.ask(question.request, complete)
    except ProviderError as error:
        return error.kind is Kind.BADOUT
    except (StoppedError, StoppingError):
        return False
    return True


def _tell_finding(found: ModeFinding, endpoint: Endpoint, model: str, bus: Bus) -> None:
    if found.broke and found.mode is not Mode.JSON_SCHEMA:
        bus.emit(
            Notice(
                text=f"{endpoint.place} answers without a schema, and with one does not:"
                f" {found.broke}; going on with structured_output: {found.mode.value}"
            )
        )
    wish = endpoint.options.reasoning
    if found.thought_tokens > _WORTH_TELLING and wish in {"auto", "off"}:
        bus.emit(
            Notice(
                text=f"{model} thinks about {found.thought_tokens:,} tokens before each answer, and"
                " nothing that was tried stops it; they are billed as part of the answer",
            )
        )


_WORTH_TELLING = 48  # tokens of thought


class _OnePool:
    """An `Admission` to one pool of a router, before it is ready for others."""

    def __init__(self, router: Router, name: str) -> None:
        self._router = router
        self._only = frozenset({name})

    async def admit(
        self, request: Request, *, is_retry: bool, avoid: frozenset[str] = frozenset()
    ) -> Turn:
        """See `Admission`."""
        return await self._router.admit_at(
            self._only, request, is_retry=is_retry, avoid=avoid, is_probe=True
        )

    def has_other(
        self,
        request: Request,  # noqa: ARG002 (the protocol\'s)
        tried: frozenset[str],
    ) -> bool:
        """See `Admission`."""
        return self._router.pools.has_other(self._only, tried)


class _Impatience:
    """Reports once, within the first seconds, why nothing is happening yet."""

    def __init__(self, bus: Bus, endpoint: Endpoint, timeout_s: float) -> None:
        self._bus = bus
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self.is_over = False

    def __call__(self, event: CallFailed) -> None:
        kind, asked_s = event.kind, event.retry_after_s
        is_silent = kind is Kind.TIMEOUT and event.status is None
        if self.is_over or (kind.meaning.blame is not Blame.SERVER and not is_silent):
            return
        self.is_over = True
        line = f"{self._endpoint.place}: {event.message}"
        if is_silent:
            next_step = f"asking once more, in fewer words, for {self._timeout_s:g} s"
        elif asked_s is None:
            next_step = f"trying again for {AT_PROBE.max_spent_s:.0f} s"
        else:
            next_step = f"it asks to wait for {asked_s:.0f} s"
        self._bus.emit(Notice(text=f"{line}; {next_step}"))


_GRACE_S = 5.0  # for the others, once the first pool is ready
_FIRST_S = 30.0  # until an unavailable pool is tried again: doubling
_LONGEST_S = 300.0


class Readiness:
    """Several pools that are prepared concurrently.

    Args:
        routes: All pools.
        router: Uses no pool before it is ready.
        prepare: Prepares one pool; raises `ConfigError` or `StoppedError`.
        bus: For notices.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        router: Router,
        prepare: Callable[[Route], Awaitable[None]],
        bus: Bus,
    ) -> None:
        self._routes = routes
        self._router = router
        self._prepare = prepare
        self._bus = bus
        self._failed: dict[str, StoppedError | ConfigError] = {}
        self._ready: set[str] = set()
        self._moved = anyio.Event()
        self._has_begun = False
        router.unready = frozenset(route.pool.name for route in routes)

    async def look_for(self, route: Route) -> None:
        """Try one pool until it is available."""
        name, wait_s = route.pool.name, _FIRST_S
        while True:
            try:
                await self._prepare(route)
            except (ConfigError, StoppedError) as error:
                self._note_failure(name, error)
            else:
                self._note_ready(name)
                return
            if name not in {pool.name for pool in self._router.pools.alive}:
                return
            await anyio.sleep(wait_s)
            wait_s = min(_LONGEST_S, 2.0 * wait_s)

    async def wait(self) -> None:
        """Return once a pool is ready, and the others had a little time.

        Raises:
            ConfigError: The configuration of a pool is unusable.
            StoppedError: None of them is available.
        """
        usual = {it.pool.name for it in self._routes if not it.pool.is_escalation}
        while not self._ready & usual and not usual <= self._failed.keys():
            await self._next_move()
        with anyio.move_on_after(_GRACE_S):
            while len(self._ready | self._failed.keys()) < len(self._routes):
                await self._next_move()
        self._has_begun = True
        for error in self._failed.values():
            if isinstance(error, ConfigError):
                raise error
        if not self._ready & usual:
            reasons = "; ".join(f"{name}: {error}" for name, error in self._failed.items())
            raise StoppedError(f"no pool can be asked ({reasons})")
        for name in self._router.unready:
            why = self._failed.get(name, "it does not answer yet")
            self._tell(f"{name}: {why}; going on without it, and looking for it again later")

    async def _next_move(self) -> None:
        self._moved = anyio.Event()
        await self._moved.wait()

    def _note_failure(self, name: str, error: StoppedError | ConfigError) -> None:
        self._failed[name] = error
        self._moved.set()
        if self._has_begun and isinstance(error, ConfigError):
            self._router.pools.drop(name, str(error), error.exit_code)
            self._tell(f"{name}: {error}; going on without it")

    def _note_ready(self, name: str) -> None:
        self._failed.pop(name, None)
        self._ready.add(name)
        self._router.unready -= {name}
        self._moved.set()
        if self._has_begun:
            self._tell(f"{name}: it answers now")

    def _tell(self, text: str) -> None:
        self._bus.emit(Notice(text=text))
