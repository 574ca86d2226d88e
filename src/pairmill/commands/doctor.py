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
    recipe: Annotated[
        str | None, typer.Option(help="Also try the schemas of this recipe, one call per step.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in YAML; flags override it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Ask an endpoint a few of the run's questions; show what it supports and what a run will do.

    Checks key, model, structured output, thinking, token counts, limit headers, round trip and
    speed. With pools in the settings, each of them. Exits with 0 if a run would work, 75 if it
    might later, 78 if key, model or settings must be fixed first.
    """
    import os
    import time

    import anyio

    from pairmill.config import load
    from pairmill.llm.retirement import check_model_is_named
    from pairmill.service.doctor import print_findings

    settings = load(config, {"model": model, "base_url": base_url, "recipe": recipe})
    check_model_is_named(settings, os.environ, time.time(), is_begun=False)
    results = [anyio.run(_examine, target) for target in _targets(settings)]
    print_findings(results, as_json=as_json)
    sys.exit(max(found.exit_code for found, _ in results))


def _targets(settings: Settings) -> list[Settings]:
    """Return the settings of each pool."""
    if not settings.pools:
        return [settings]
    own = (
        {
            name: value
            for name, value in pool
            if value is not None and name not in {"name", "scope", "escalation", "request"}
        }
        for pool in settings.pools
    )
    common = settings.request
    return [
        settings.model_copy(
            update={**values, "request": common.with_own(pool.request), "pools": ()}
        )
        for values, pool in zip(own, settings.pools, strict=True)
    ]


async def _examine(settings: Settings) -> tuple[Findings, Sequence[str]]:
    import os
    import random
    import time
    from contextlib import ExitStack
    from urllib.parse import urlsplit

    from pairmill.clock import SystemClock
    from pairmill.config import PoolSettings
    from pairmill.llm.endpoint_info import EndpointInfo
    from pairmill.llm.local import model_path, running_server
    from pairmill.llm.price_files import load_prices
    from pairmill.llm.providers.endpoint import resolve
    from pairmill.llm.providers.profile import header_dialect
    from pairmill.llm.providers.requests import RequestEncoder
    from pairmill.llm.retirement import today, warnings_on
    from pairmill.recipes.make import make_recipe
    from pairmill.run.connect import make_provider, price_of
    from pairmill.run.probing import make_question
    from pairmill.service.doctor import Subject, examine, schema_lines
    from pairmill.service.estimate import usual_call
    from pairmill.service.forecast import forecast

    clock = SystemClock()
    question = await make_question(make_recipe(settings), settings.model)
    with ExitStack() as stack:
        if settings.is_local:
            endpoint = stack.enter_context(running_server(model_path(settings.model), slots=1))
        else:
            endpoint = resolve(settings, os.environ)
        encoder = RequestEncoder(endpoint.profile, endpoint.options)
        provider = make_provider(settings, endpoint, clock, 1, encoder)
        subject = Subject(
            endpoint,
            provider,
            encoder,
            question,
            header_dialect(endpoint.profile, endpoint.base_url),
        )
        try:
            look, rng = EndpointInfo(endpoint), random.Random()  # noqa: S311 (jitter)
            found = await examine(settings, subject, look, clock, rng)
            origin = make_recipe(settings).origin
            schemas = []
            if origin is not None and found.mode is not None:
                schemas = await schema_lines(origin, provider.complete, settings.model, found.mode)
        finally:
            await provider.aclose()
    if found.problem:
        return found, []
    prices = load_prices(settings.prices)
    host = urlsplit(endpoint.base_url).hostname or ""
    price = price_of(settings, PoolSettings.model_validate({"name": "model"}), prices)
    told = await look.shutdown_date(settings.model)
    ends = warnings_on(settings.model, prices, host, today(time.time()), told)
    return found, [
        *ends,
        *schemas,
        *forecast(found, settings, await usual_call(settings), price),
    ]
