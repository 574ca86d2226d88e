"""``pairmill estimate``: estimates a run, with the run's own flags."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairmill.service.console import tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.config import Settings
    from pairmill.events import CallAnswered
    from pairmill.service.estimate import Pace

__all__ = ["estimate_like"]

_RUN_ONLY = frozenset({"accept_change", "dry_run", "export", "quiet", "strict", "verbose"})
_KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD
_PILOT = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="First run the first N chunks (their pairs are kept), and measure."
    ),
]
_JSON = Annotated[bool, typer.Option("--json", help="One JSON object.")]


def estimate_like(
    run: Callable[..., None], carry_out: Callable[[Settings, Callable[[CallAnswered], None]], int]
) -> Callable[..., None]:
    """Make the command. It takes the flags of ``run``, so that the two never differ.

    Args:
        run: The ``run`` command.
        carry_out: Runs with settings and an event subscriber; returns an exit code.
    """

    def estimate(
        as_json: bool, pilot: int | None, config: Path | None = None, **given: Any
    ) -> None:
        """Estimate the tokens, dollars and hours of a run with the same flags.

        No model is asked, except by --pilot. The input is read and prompts are made as by the run.
        Finished work in the run folder is not counted again, and its measurements improve the
        figures.
        """
        from pairmill.commands.flags import read_settings

        assignments = given.pop("assignments", None)
        values = {name: value or None for name, value in given.items()}
        for name in ("inputs", "sources"):
            values[name] = tuple(given[name]) if given.get(name) else None
        settings, advice = read_settings(config, assignments, values)
        for line in advice if settings.inputs else ():
            tell(line)
        pace = _fly(settings, pilot, carry_out) if pilot and settings.inputs else None
        _estimate(settings, pace, as_json=as_json)

    flags = inspect.signature(run, eval_str=True).parameters.values()
    kept = [flag for flag in flags if flag.name not in _RUN_ONLY]
    own = [
        inspect.Parameter("pilot", _KEYWORD, default=None, annotation=_PILOT),
        inspect.Parameter("as_json", _KEYWORD, default=False, annotation=_JSON),
    ]
    parameters = [*kept, *own]
    estimate.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    estimate.__annotations__ = {flag.name: flag.annotation for flag in parameters}
    return estimate


def _fly(
    settings: Settings,
    count: int,
    carry_out: Callable[[Settings, Callable[[CallAnswered], None]], int],
) -> Pace | None:
    """Run the first chunks, whose results stay in the run folder; return the pace."""
    import time

    from pairmill.errors import EXIT_DONE, UsageError
    from pairmill.service.estimate import PilotWatch

    if "-" in settings.inputs:
        raise UsageError("--pilot reads the input twice: name files or folders instead of -")
    limit = min(count, settings.limit or count)
    watch = PilotWatch(time.monotonic)
    part = settings.model_copy(update={"limit": limit, "export": None, "companions": ()})
    exit_code = carry_out(part, watch)
    if exit_code != EXIT_DONE:
        sys.exit(exit_code)
    return watch.pace(settings.concurrency)


def _estimate(settings: Settings, pace: Pace | None, *, as_json: bool) -> None:
    from pairmill.api import estimate_settings
    from pairmill.errors import InputError, UsageError
    from pairmill.service.estimate import notes_on, print_estimate

    if not settings.inputs:
        raise UsageError("nothing to read: name files or folders, or - for standard input")
    total = estimate_settings(settings, pace)
    print_estimate(total, notes_on(total, settings), as_json=as_json)
    if not total.survey.chunks:
        raise InputError(f"{', '.join(settings.inputs)}: no usable text; a run would ask nothing")
