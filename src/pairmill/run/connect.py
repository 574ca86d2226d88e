"""Connects to the configured models: servers, keys, clients, modes, gates, and the budget."""

from __future__ import annotations

import asyncio
import os
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import anyio
from anyio.to_thread import run_sync

from pairmill.clock import SystemClock
from pairmill.config import LOCAL, PoolSettings, is_local_model
from pairmill.errors import ConfigError
from pairmill.events import CallCharged, Notice
from pairmill.llm.client import Client
from pairmill.llm.endpoint_info import EndpointInfo
from pairmill.llm.limits.breaker import BILLED_PROBES, EndpointBreaker
from pairmill.llm.limits.concurrency import AimdLimit, FixedLimit, GradientLimit
from pairmill.llm.limits.gate import Charge, Gate, Limits
from pairmill.llm.local import DEFAULT_SLOTS, model_path, running_server
from pairmill.llm.pools import Pool, Pools
from pairmill.llm.price_files import load_prices
from pairmill.llm.prices import scale
from pairmill.llm.providers.endpoint import DEFAULT_BASE_URL, Endpoint, resolve
from pairmill.llm.providers.network import check_environment
from pairmill.llm.providers.profile import (
    answer_timeout_s,
    find_profile,
    header_dialect,
    load_profile,
)
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.requests import RequestEncoder
from pairmill.llm.providers.saved_prompts import SavedPrompts
from pairmill.llm.retirement import end_of, today, warnings_on
from pairmill.llm.retry import IN_RUN
from pairmill.llm.router import Route, Router
from pairmill.llm.token_estimate import AnswerTokens
from pairmill.run.asking import InFlight
from pairmill.run.probing import (
    PoolProbe,
    Readiness,
    answers_probe,
    make_probe_client,
    make_question,
    settle_mode,
)
from pairmill.run.sharing import keep_within_leases, open_sharing
from pairmill.run.spending import Spending, check_prices, open_spending
from pairmill.run.threads import hold_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from pairmill.clock import Clock
    from pairmill.config import Settings
    from pairmill.events import Bus
    from pairmill.llm.limits.concurrency import ConcurrencyLimit
    from pairmill.llm.prices import Price, PriceTable
    from pairmill.llm.providers.provider import Provider
    from pairmill.recipes.recipe import Recipe
    from pairmill.run.asking import ProbeSends
    from pairmill.run.run_memory import RunMemory
    from pairmill.run.stop import Stop
    from pairmill.store.folder import RunFolder

__all__ = [
    "Connection",
    "check_models",
    "connected",
    "make_provider",
    "pool_settings",
    "price_of",
    "watch_retirements",
]

_RESTING, _MOST_RESTING = 7, 1_024  # workers that wait after a refusal, per call in flight
LOCAL_NOTICE = (
    "the embedded model has 0.1 billion parameters: it demonstrates the pipeline; do not train on"
    " its answers"
)


@dataclass(frozen=True, slots=True)
class Connection:
    """Models that can be asked, their total concurrency, and the waiting tasks.

    Attributes:
        workers: More than calls in flight, since some wait before they retry.
        gauges: Base URLs of servers whose queue metric tells how many calls they can take.
        room: Maximum tokens of one answer.
        endpoints: Endpoint and model of each pool, except the embedded server.
        is_well: Sends a model a probe about a made-up passage; returns whether it answered.
        strong: The model for units that failed on the others, if there is one.
    """

    client: Client
    router: Router
    in_flight: InFlight
    workers: int
    gauges: dict[str, Gate]
    spending: Spending
    room: AnswerTokens
    is_well: Callable[[str], Awaitable[bool]]
    endpoints: tuple[tuple[Endpoint, str], ...] = ()
    strong: str | None = None


@asynccontextmanager
async def connected(
    settings: Settings,
    recipe: Recipe,
    bus: Bus,
    stop: Stop,
    folder: RunFolder,
    memory: RunMemory,
    sends: ProbeSends | None = None,
) -> AsyncIterator[Connection]:
    """Connect to the settings' models for as long as the block runs.

    A probe, the first question of ``recipe`` about a made-up passage, finds out how to ask each
    model. ``sends`` counts probes that were sent without getting an answer; None: no count.

    Raises:
        ConfigError: The key, the embedded model or a price that a cap needs is missing, or the
            endpoint refuses us.
        StoppedError: An endpoint cannot be reached now.
    """
    async with AsyncExitStack() as stack:
        clock = SystemClock()
        prices = load_prices(settings.prices)
        given_pools = pool_settings(settings)
        models = _models(settings, prices)
        spending = _spending(settings, models, prices, folder, bus, stack)
        sharing = await open_sharing(settings, folder, spending.budget, bus)
        clients: dict[str, _PoolClient] = {}
        for given in given_pools:
            endpoint = await _endpoint(settings, given, bus, folder, stack, stop)
            client = _pool_client(settings, given, endpoint, prices, clock)
            stack.push_async_callback(client.route.provider.aclose)
            clients[given.name] = client
        routes = [client.route for client in clients.values()]
        _tell_ends(bus, prices, routes)
        make_gate = partial(_gate, settings, clients)
        pools = Pools([route.pool for route in routes], make_gate)
        await stack.enter_async_context(keep_within_leases(sharing, pools, stop))
        router = Router(settings.model, routes, pools, clock, spending.budget, prices.find)
        router.on_understated = _understated(
            {name: client.endpoint for name, client in clients.items()}, bus
        )
        for given in given_pools:
            encoder = clients[given.name].encoder
            encoder.on_left_out = _left_out(settings, given, prices, router, bus)
        in_flight = InFlight(stop)
        room = AnswerTokens(settings.answer_tokens)

        async def prepare(route: Route) -> None:
            client = clients[route.pool.name]
            question = await make_question(recipe, route.pool.model, _variant(sends))
            probe = PoolProbe(client.endpoint, client.encoder, route, router, question, room, sends)
            await settle_mode(settings, probe, bus, stop, memory)

        await _prepare_all(routes, router, prepare, bus, stack)
        look = partial(answers_probe, recipe, room, make_probe_client(router, stop, bus), sends)
        jitter = random.Random()  # noqa: S311 (no secret)
        yield Connection(
            client=Client(router, in_flight, bus, clock, jitter, policy=IN_RUN, is_well=look),
            router=router,
            in_flight=in_flight,
            workers=sum(
                _workers(settings, given, _most(clients[given.name].width)) for given in given_pools
            ),
            gauges={
                client.endpoint.base_url: pools.gate(name)
                for name, client in clients.items()
                if isinstance(client.width, GradientLimit)
            },
            spending=spending,
            room=room,
            is_well=look,
            endpoints=tuple(
                (client.endpoint, client.route.pool.model)
                for client in clients.values()
                if not is_local_model(client.route.pool.model)
            ),
            strong=next((r.pool.model for r in routes if r.pool.is_escalation), None),
        )


class _PoolClient(NamedTuple):
    """What calls to one pool are made with."""

    endpoint: Endpoint
    encoder: RequestEncoder
    width: ConcurrencyLimit
    route: Route


def _pool_client(
    settings: Settings,
    given: PoolSettings,
    endpoint: Endpoint,
    prices: PriceTable,
    clock: Clock,
) -> _PoolClient:
    """Return the client of one pool, whose mode is still to be found out."""
    width = _width(settings, given, endpoint)
    encoder = RequestEncoder(endpoint.profile, endpoint.options)
    provider = make_provider(settings, endpoint, clock, _most(width), encoder)
    pool = Pool(
        name=given.name,
        base_url=endpoint.base_url,
        api_key_env=given.api_key_env or settings.api_key_env,
        model=given.model or settings.model,
        limits=_limits(settings, given),
        concurrency=given.concurrency or settings.concurrency,
        price=price_of(settings, given, prices),
        scope=given.scope,
        is_escalation=given.escalation,
    )
    provider = _isolated(settings, given, provider, endpoint)
    route = Route(
        pool, provider, Mode.JSON_SCHEMA, header_dialect(endpoint.profile, endpoint.base_url)
    )
    return _PoolClient(endpoint, encoder, width, route)


def _gate(settings: Settings, clients: Mapping[str, _PoolClient], pool: Pool) -> Gate:
    """Return the gate of one pool: its limits, its concurrency and its breaker."""
    return Gate(
        pool.limits,
        clock=time.monotonic,
        width=clients[pool.name].width,
        breaker=EndpointBreaker(
            max_wait_s=settings.endpoint_wait_s,
            max_billed_probes=None if len(clients) > 1 else BILLED_PROBES,
        ),
        name=pool.name if settings.pools else pool.base_url,
    )


async def _prepare_all(
    routes: Sequence[Route],
    router: Router,
    prepare: Callable[[Route], Awaitable[None]],
    bus: Bus,
    stack: AsyncExitStack,
) -> None:
    """Find out how to ask each pool; of several, wait only until the first one is ready."""
    if len(routes) == 1:
        await prepare(routes[0])
        return
    readiness = Readiness(routes, router, prepare, bus)
    looking = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(looking.cancel_scope.cancel)
    for route in routes:
        looking.start_soon(readiness.look_for, route)
    await readiness.wait()


def pool_settings(settings: Settings) -> tuple[PoolSettings, ...]:
    """Return the configured pools; one with the run's own settings if there are none.

    Raises:
        ConfigError: Two have one name, or all are for escalation.
    """
    if not settings.pools:
        return (PoolSettings.model_validate({"name": "model"}),)
    names = [pool.name for pool in settings.pools]
    if len(set(names)) < len(names):
        raise ConfigError("pools: each needs a name of its own")
    if all(pool.escalation for pool in settings.pools):
        raise ConfigError("pools: at least one must not be for escalation")
    return settings.pools


def check_models(settings: Settings) -> None:
    """Refuse models that a run could not connect to, before it reads any input.

    Raises:
        ConfigError: A key, an address, or a price that a cap needs is missing or invalid.
    """
    for pool in pool_settings(settings):
        if not is_local_model(pool.model or settings.model):
            resolve(settings, os.environ, pool)
    prices = load_prices(settings.prices)
    check_prices(settings, _models(settings, prices), prices)


def _models(settings: Settings, prices: PriceTable) -> dict[str, Price | None]:
    """Return the pools' models with their prices."""
    return {
        name: price_of(settings, pool, prices)
        for pool in pool_settings(settings)
        if (name := pool.model or settings.model)
    }


def _spending(
    settings: Settings,
    models: dict[str, Price | None],
    prices: PriceTable,
    folder: RunFolder,
    bus: Bus,
    stack: AsyncExitStack,
) -> Spending:
    """Open the run's budget, and save it at the end of the block."""
    spending = open_spending(settings, models, prices, folder)
    _tell_lost(spending, bus)
    stack.callback(spending.close)
    return spending


def _variant(sends: ProbeSends | None) -> int:
    return sends.variant() if sends else 0


def _tell_lost(spending: Spending, bus: Bus) -> None:
    """Report what calls of an earlier, killed start may have cost."""
    lost = spending.lost
    if lost is not None:
        doubt = (lost.doubt_tokens, lost.doubt_picodollars)
        bus.emit(CallCharged("", "lost", lost.usage, lost.picodollars, *doubt))


def _tell_ends(bus: Bus, prices: PriceTable, routes: Sequence[Route]) -> None:
    """Report models that will be shut down soon, and outdated prices."""
    day = today(time.time())
    for route in routes:
        host = urlsplit(route.pool.base_url).hostname or ""
        for line in warnings_on(route.pool.model, prices, host, day):
            bus.emit(Notice(text=line))


async def watch_retirements(connection: Connection, bus: Bus, memory: RunMemory) -> None:
    """Check once a day, in the background, whether public endpoints announce a model's shutdown.

    One free GET without retries. Private servers are not asked.
    """
    day = today(time.time())
    for endpoint, model in connection.endpoints:
        key = f"looked at models {endpoint.base_url} {model}"
        if endpoint.is_private or memory.get(key) == day.isoformat():
            continue
        memory.set(key, day.isoformat())
        told = await EndpointInfo(endpoint).shutdown_date(model)
        line = end_of(model, told, day)
        if line:
            bus.emit(Notice(text=line))


async def _endpoint(
    settings: Settings,
    pool: PoolSettings,
    bus: Bus,
    folder: RunFolder,
    stack: AsyncExitStack,
    stop: Stop,
) -> Endpoint:
    model = pool.model or settings.model
    if not is_local_model(model):
        endpoint = resolve(settings, os.environ, pool)
        if endpoint.notice:
            bus.emit(Notice(text=endpoint.notice))
        return endpoint
    path = await run_sync(model_path, model)
    bus.emit(Notice(text=f"starting {path.name} on this machine"))
    if model == LOCAL:
        bus.emit(Notice(text=LOCAL_NOTICE))
    slots = pool.concurrency or settings.concurrency
    exact = _is_exact(settings, pool)
    server = partial(
        running_server,
        path,
        slots=1 if exact else slots or DEFAULT_SLOTS,
        states=folder.state / "model-states" if exact else None,
        log=folder.state / "model-server.log",
        told=_on_loop(bus, stop),
    )
    return await stack.enter_async_context(hold_in_thread(lambda over: server(over=over)))


def _is_exact(settings: Settings, pool: PoolSettings) -> bool:
    """True if answers must not depend on other requests: for the embedded model.

    With one slot and saved prompts it gives the same answers whatever came before, so that a killed
    and resumed run ends like an undisturbed one.
    """
    model = pool.model or settings.model
    return model == LOCAL and (pool.concurrency or settings.concurrency) is None


def _on_loop(bus: Bus, stop: Stop) -> Callable[[str, bool], None]:
    """Return a callback that the embedded server's thread may call."""
    loop = asyncio.get_running_loop()

    def tell(line: str, for_good: bool) -> None:
        with suppress(RuntimeError):  # the loop is closed
            if for_good:
                loop.call_soon_threadsafe(stop.request, line)
            else:
                loop.call_soon_threadsafe(partial(bus.emit, Notice(text=line)))

    return tell


def make_provider(
    settings: Settings, endpoint: Endpoint, clock: Clock, concurrency: int, encoder: RequestEncoder
) -> Provider:
    """Make the client for a run; ``auto`` is the direct one.

    Raises:
        ConfigError: The environment names certificates or a proxy that cannot be used.
    """
    check_environment(endpoint.url, is_loopback=endpoint.is_loopback)
    timeout_s = answer_timeout_s(settings.timeout_s, endpoint.options.service_tier)
    if settings.wire == "sdk":
        from pairmill.llm.providers.sdk import SdkProvider  # noqa: PLC0415 (not loaded for nothing)

        return SdkProvider(
            endpoint, clock, concurrency=concurrency, timeout_s=timeout_s, encoder=encoder
        )
    from pairmill.llm.providers.direct import DirectProvider, account_headers  # noqa: PLC0415

    return DirectProvider(
        endpoint,
        clock,
        concurrency=concurrency,
        timeout_s=timeout_s,
        headers=account_headers(os.environ),
        encoder=encoder,
    )


def _isolated(
    settings: Settings, pool: PoolSettings, provider: Provider, endpoint: Endpoint
) -> Provider:
    if not _is_exact(settings, pool):
        return provider
    return SavedPrompts(provider, endpoint, timeout_s=settings.timeout_s)


def _width(settings: Settings, pool: PoolSettings, endpoint: Endpoint) -> ConcurrencyLimit:
    """Choose the concurrency limit: the given one, or one that adapts to the kind of endpoint."""
    model = pool.model or settings.model
    fixed = pool.concurrency or settings.concurrency
    if fixed:
        return FixedLimit(fixed)
    if model == LOCAL:
        return FixedLimit(1)
    if model.startswith(f"{LOCAL}:"):
        return FixedLimit(DEFAULT_SLOTS)
    if _limits(settings, pool).per_min():
        return AimdLimit(start=AimdLimit.CEILING)  # the rate decides
    return GradientLimit() if endpoint.is_private else AimdLimit()


def _most(width: ConcurrencyLimit) -> int:
    if isinstance(width, FixedLimit):
        return width.most
    return GradientLimit.CEILING if isinstance(width, GradientLimit) else AimdLimit.CEILING


def _limits(settings: Settings, pool: PoolSettings) -> Limits:
    charge = pool.charge or settings.charge
    return Limits(
        requests_per_min=pool.rpm or settings.rpm,
        tokens_per_min=pool.tpm or settings.tpm,
        input_per_min=pool.input_tpm or settings.input_tpm,
        output_per_min=pool.output_tpm or settings.output_tpm,
        share=settings.rate_share,
        charge=Charge(charge) if charge else None,
    )


def price_of(settings: Settings, pool: PoolSettings, prices: PriceTable) -> Price | None:
    """Return the price of the pool's model at its endpoint and service tier.

    If the table has no price for the tier, the provider profile's factor applies to the usual
    price.
    """
    named = pool.provider or settings.provider
    profile = load_profile(named) if named else None
    given = pool.base_url or settings.base_url or os.environ.get("OPENAI_BASE_URL", "")
    address = given or (profile.base_url if profile else None) or DEFAULT_BASE_URL
    profile = profile or find_profile(address)
    tier = pool.service_tier or settings.service_tier
    name = profile.price_name.replace("{model}", pool.model or settings.model)
    host = urlsplit(address).hostname or ""
    price = prices.find(name, tier=tier, host=host)
    if price is None or price != prices.find(name, host=host):
        return price
    factor = profile.price_factor(tier)
    return price if factor == 1.0 else scale(price, Decimal(str(factor)))


def _left_out(
    settings: Settings, pool: PoolSettings, prices: PriceTable, router: Router, bus: Bus
) -> Callable[[str], None]:
    """Return a handler for parameters that a server refuses: report once, charge the worst case."""
    told: set[str] = set()

    def tell(name: str) -> None:
        if name in told:
            return
        told.add(name)
        model = pool.model or settings.model
        line = f"{model} does not take {name} as it is set: it is left out"
        if name == "service_tier":
            usual = settings.model_copy(update={name: None}), pool.model_copy(update={name: None})
            router.reprice(pool.name, price_of(*usual, prices))
            line += ", and calls count at the usual price"
        bus.emit(Notice(text=line))

    return tell


def _understated(endpoints: Mapping[str, Endpoint], bus: Bus) -> Callable[[str, int, int], None]:
    """Return a handler for a server that reports impossibly few tokens."""

    def tell(pool: str, tokens: int, chars: int) -> None:
        line = (
            f"{endpoints[pool].place} counts fewer tokens than texts can have ({tokens:,} for"
            f" {chars:,} characters): the prompt was cut or cached there, or the count is wrong."
            " Such calls are charged by our own count, and at their worst against caps"
        )
        bus.emit(Notice(text=line))

    return tell


def _workers(settings: Settings, pool: PoolSettings, most: int) -> int:
    """Return the workers for this concurrency: a refused call waits in its worker, not in flight.

    A private server refuses nothing; more workers would only start more units at once.
    """
    if is_local_model(pool.model or settings.model):
        return most
    return most + min(_RESTING * most, _MOST_RESTING)
