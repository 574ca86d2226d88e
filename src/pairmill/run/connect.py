"""Finds the model and makes ready to ask it: server, key, provider, mode, client."""

from __future__ import annotations

import os
import random
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync

from pairmill.clock import SystemClock
from pairmill.config import LOCAL
from pairmill.errors import ConfigError, Kind, ProviderError, StoppedError
from pairmill.events import Topic
from pairmill.llm.admission import ConcurrencyGate
from pairmill.llm.client import Client
from pairmill.llm.endpoint import resolve
from pairmill.llm.local import DEFAULT_SLOTS, model_path, running_server
from pairmill.llm.modes import find_mode
from pairmill.llm.providers.provider import Mode
from pairmill.llm.retry import AT_START
from pairmill.run.asking import InFlight
from pairmill.run.memory import FolderMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pairmill.clock import Clock
    from pairmill.config import Settings
    from pairmill.events import Bus, Event
    from pairmill.llm.endpoint import Endpoint
    from pairmill.llm.providers.provider import Provider
    from pairmill.records import Completion, Request
    from pairmill.run.stop import Stop
    from pairmill.store.folder import RunFolder

__all__ = ["Connection", "connected"]

CONCURRENCY = 64  # in flight where nothing is known of the endpoint
LOCAL_NOTICE = (
    "the embedded model has 0.1 billion parameters: it proves the pipeline and is no teacher"
)


@dataclass(frozen=True, slots=True)
class Connection:
    """A model that can be asked, by how many at once, and who is waiting for it."""

    client: Client
    concurrency: int
    in_flight: InFlight


@asynccontextmanager
async def connected(
    settings: Settings, bus: Bus, stop: Stop, folder: RunFolder
) -> AsyncIterator[Connection]:
    """Connect to the settings' model for as long as the block runs.

    Raises:
        ConfigError: No key, no embedded model, or the endpoint refuses what we are.
        StoppedError: The endpoint cannot be reached now.
    """
    async with AsyncExitStack() as stack:
        endpoint = await _endpoint(settings, bus, folder, stack)
        concurrency = settings.concurrency or _usual_concurrency(settings)
        clock = SystemClock()
        provider = _provider(settings, endpoint, clock, concurrency)
        stack.push_async_callback(provider.aclose)
        in_flight = InFlight(provider, stop)
        client = Client(in_flight, ConcurrencyGate(concurrency), bus, clock, random.Random())  # noqa: S311 (jitter)
        impatience = _Impatience(bus, endpoint)
        bus.subscribe(impatience)
        client.mode = await _mode(settings, endpoint, client, folder)
        impatience.is_over = True
        yield Connection(client, concurrency, in_flight)


def _provider(settings: Settings, endpoint: Endpoint, clock: Clock, concurrency: int) -> Provider:
    """The wire; ``auto`` is the direct one, since an `Endpoint` holds nothing but a plain key."""
    timeout_s = settings.timeout_s
    if settings.wire == "sdk":
        from pairmill.llm.providers.sdk import SdkProvider  # noqa: PLC0415 (not loaded for nothing)

        return SdkProvider(endpoint, clock, concurrency=concurrency, timeout_s=timeout_s)
    from pairmill.llm.providers.direct import DirectProvider, account_headers  # noqa: PLC0415

    return DirectProvider(
        endpoint,
        clock,
        concurrency=concurrency,
        timeout_s=timeout_s,
        headers=account_headers(os.environ),
    )


async def _endpoint(
    settings: Settings, bus: Bus, folder: RunFolder, stack: AsyncExitStack
) -> Endpoint:
    if not settings.is_local:
        endpoint = resolve(settings, os.environ)
        if endpoint.notice:
            bus.emit(Topic.NOTICE, text=endpoint.notice)
        return endpoint
    path = await run_sync(model_path, settings.model)
    bus.emit(Topic.NOTICE, text=f"starting {path.name} on this machine")
    if settings.model == LOCAL:
        bus.emit(Topic.NOTICE, text=LOCAL_NOTICE)
    # The embedded model is there to try things: one slot and no cache of prompts make it answer
    # the same whatever came before, so that a run that was killed ends like one that was not.
    exact = settings.model == LOCAL and settings.concurrency is None
    server = running_server(
        path,
        slots=1 if exact else settings.concurrency or DEFAULT_SLOTS,
        prompt_cache=not exact,
        log=folder.state / "model-server.log",
    )
    return stack.enter_context(server)


def _usual_concurrency(settings: Settings) -> int:
    if settings.model == LOCAL:
        return 2  # one is answered while the other is on its way
    return DEFAULT_SLOTS if settings.is_local else CONCURRENCY


async def _mode(settings: Settings, endpoint: Endpoint, client: Client, folder: RunFolder) -> Mode:
    """Settle how schemas are sent; the call that finds it out also tries key, model and address."""
    if settings.structured_output != "auto":
        return Mode(settings.structured_output)
    if settings.is_local:
        return Mode.JSON_SCHEMA

    async def ask(request: Request, mode: Mode) -> Completion:
        return await client.complete(request, mode, AT_START)

    try:
        return await find_mode(ask, endpoint.base_url, settings.model, FolderMemory(folder))
    except ProviderError as error:
        line = f"{endpoint.place}: {error}"
        if error.kind in {Kind.AUTH, Kind.CONFIG, Kind.CHUNK}:
            raise ConfigError(f"{line} (model {settings.model})") from None
        raise StoppedError(line) from None


class _Impatience:
    """Says once, in the first seconds, why nothing is happening yet."""

    def __init__(self, bus: Bus, endpoint: Endpoint) -> None:
        self._bus = bus
        self._endpoint = endpoint
        self.is_over = False

    def __call__(self, event: Event) -> None:
        if event.topic is Topic.CALL_FAILED and not self.is_over:
            self.is_over = True
            patience_s = AT_START.max_wait_s
            line = f"{self._endpoint.place}: {event.fields.get('message')}; trying again for"
            self._bus.emit(Topic.NOTICE, text=f"{line} {patience_s:.0f} s")
