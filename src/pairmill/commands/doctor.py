"""``pairmill doctor``: find out what an endpoint can do before a run depends on it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.config import Settings
    from pairmill.service.doctor import Findings

__all__ = ["doctor"]


def doctor(
    model: Annotated[str | None, typer.Option(help="As for run.")] = None,
    base_url: Annotated[str | None, typer.Option(help="As for run.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in YAML; flags win.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Ask an endpoint a handful of short questions; say what it can do, and what a run will do.

    Key, model, ways of structured output, token counts, limit headers, round trip and speed. With
    pools in the settings, each of them. Exits with 0 where a run would work, 75 where it might
    later, 78 where key, model or settings must be mended first.
    """
    import os
    import time

    import anyio

    from pairmill.config import load
    from pairmill.llm.lifetimes import check_model_is_named
    from pairmill.service.doctor_show import print_findings

    settings = load(config, {"model": model, "base_url": base_url})
    check_model_is_named(settings, os.environ, time.time(), is_begun=False)
    results = [anyio.run(_examine, target) for target in _targets(settings)]
    print_findings(results, as_json=as_json)
    sys.exit(max(found.exit_code for found, _ in results))


def _targets(settings: Settings) -> list[Settings]:
    """The settings as each pool sees them."""
    if not settings.pools:
        return [settings]
    own = (
        pool.model_dump(exclude={"name", "scope", "escalation"}, exclude_none=True)
        for pool in settings.pools
    )
    return [settings.model_copy(update={**values, "pools": ()}) for values in own]


async def _examine(settings: Settings) -> tuple[Findings, Sequence[str]]:
    import os
    import random
    import time
    from contextlib import ExitStack
    from urllib.parse import urlsplit

    from pairmill.clock import SystemClock
    from pairmill.llm.endpoint import resolve
    from pairmill.llm.lifetimes import today, warnings_on
    from pairmill.llm.local import model_path, running_server
    from pairmill.llm.look import Look
    from pairmill.llm.price_files import load_prices
    from pairmill.llm.providers.sdk import SdkProvider
    from pairmill.service.doctor import examine
    from pairmill.service.estimate import usual_call
    from pairmill.service.prognosis import foresee

    clock = SystemClock()
    with ExitStack() as stack:
        if settings.is_local:
            endpoint = stack.enter_context(running_server(model_path(settings.model), slots=1))
        else:
            endpoint = resolve(settings, os.environ)
        provider = SdkProvider(endpoint, clock, concurrency=1, timeout_s=settings.timeout_s)
        try:
            look, dice = Look(endpoint), random.Random()  # noqa: S311 (jitter)
            found = await examine(settings, endpoint, provider, look, clock, dice)
        finally:
            await provider.aclose()
    if found.problem:
        return found, []
    prices = load_prices(settings.prices)
    host = urlsplit(endpoint.base_url).hostname or ""
    tier = getattr(settings, "service_tier", None)
    price = prices.find(settings.model, tier=tier, host=host)
    told = await look.shutdown_date(settings.model)
    ends = warnings_on(settings.model, prices, host, today(time.time()), told)
    return found, [*ends, *foresee(found, settings, await usual_call(settings), price)]
