"""``pairmill estimate``: what a run would take, with the run's own flags."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.config import Settings

__all__ = ["estimate_like"]

_RUN_ONLY = frozenset({"accept_change"})
_JSON = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def estimate_like(run: Callable[..., None]) -> Callable[..., None]:
    """Make the command: it takes the flags of ``run``, so that the two never part.

    Args:
        run: The command to be like.
    """

    def estimate(as_json: bool, config: Path | None = None, **given: Any) -> None:
        """Say what a run with the same flags would take: tokens, dollars and hours; asks no model.

        The input is read, and prompts are made, as the run would. What the run folder is done with
        is not counted again, and what it measured sharpens the figures.
        """
        from pairmill.config import load

        values = {name: value or None for name, value in given.items()}
        values["inputs"] = tuple(given["inputs"]) if given.get("inputs") else None
        _estimate(load(config, values), as_json=as_json)

    flags = inspect.signature(run, eval_str=True).parameters.values()
    kept = [flag for flag in flags if flag.name not in _RUN_ONLY]
    as_json = inspect.Parameter(
        "as_json", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=False, annotation=_JSON
    )
    parameters = [*kept, as_json]
    estimate.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    estimate.__annotations__ = {flag.name: flag.annotation for flag in parameters}
    return estimate


def _estimate(settings: Settings, *, as_json: bool) -> None:
    import anyio

    from pairmill.errors import UsageError
    from pairmill.llm.prices import load_prices
    from pairmill.service.estimate import estimate
    from pairmill.service.estimate_notes import notes_on
    from pairmill.service.estimate_show import print_estimate
    from pairmill.service.survey import survey

    if not settings.inputs:
        raise UsageError("nothing to read: name files or folders, or - for standard input")
    prices = load_prices(settings.prices)
    models = {pool.model or settings.model for pool in settings.pools} or {settings.model}
    total = estimate(
        anyio.run(survey, settings), settings, [prices.find(model) for model in sorted(models)]
    )
    print_estimate(total, notes_on(total, settings), as_json=as_json)
