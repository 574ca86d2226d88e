"""Displays a run: two live lines on a terminal, else JSON log lines.

Log lines hold ids, numbers and short words. Text from a page, a model or a server is sanitized
(``pairmill.display``) before it gets here.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import orjson
import structlog
from msgspec.structs import asdict
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from pairmill.display import format_duration, sanitize, short_number, wrap_line
from pairmill.events import InputSkipped, Notice, ShardPublished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from rich.console import RenderableType
    from structlog.typing import FilteringBoundLogger as BoundLogger

    from pairmill.events import Bus
    from pairmill.service.tally import RunTally

__all__ = ["configure", "show", "show_in_python"]

LOG_EVERY_S = 5.0  # seconds between two progress lines in a log if something changed
STILL_EVERY_S = 60.0  # if nothing did
NOTEBOOK_EVERY_S = 1.0
LINE_CELLS = 112
BAR_CELLS = 24
GAP = 2
Shown: TypeAlias = InputSkipped | Notice | ShardPublished


@contextmanager
def show(
    bus: Bus, tally: RunTally, console: Console, *, verbosity: int = 0
) -> Iterator[Callable[[], None]]:
    """Show a run while the block runs. Yields a function to call often; it draws when due.

    A terminal gets one live block of two lines, redrawn in place, with notices above it. Anything
    else gets JSON lines on standard error: no carriage returns, no colour.

    Args:
        bus: Event bus of the run.
        tally: Counts that follow the bus.
        console: Output.
        verbosity: 0; -1: neither progress nor notices; 1: name every skipped piece of input, not
            only the first one for each reason.
    """
    if verbosity < 0:
        yield lambda: None
        return
    seen: set[str] | None = set() if verbosity < 1 else None
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            bus.subscribe(
                lambda event: _say(event, live.console, seen), InputSkipped, Notice, ShardPublished
            )
            yield lambda: live.update(_drawing(tally, live.console.width), refresh=True)
        console.print(_drawing(tally, console.width))
        return
    logger = configure(console.file)
    bus.subscribe(lambda event: _log(event, logger, seen), InputSkipped, Notice, ShardPublished)
    last, told = time.monotonic(), tally.counts()

    def tick() -> None:
        nonlocal last, told
        now = time.monotonic()
        if now - last >= (LOG_EVERY_S if tally.counts() != told else STILL_EVERY_S):
            last, told = now, tally.counts()
            logger.info("progress", **tally.summary())

    yield tick
    logger.info("progress", **tally.summary())


@contextmanager
def show_in_python(
    bus: Bus, tally: RunTally, progress: bool | None = None
) -> Iterator[Callable[[], None]]:
    """Show a run started from Python; see ``show``.

    A notebook gets one line, rewritten each second, which needs no widgets.

    Args:
        bus: Event bus of the run.
        tally: Counts that follow the bus.
        progress: True to show progress; None: only on a terminal and in a notebook. Elsewhere
            True logs as the command does.
    """
    console = Console(stderr=True, highlight=False)
    if progress is None:
        progress = console.is_terminal or console.is_jupyter
    if not progress or not console.is_jupyter:
        with show(bus, tally, console, verbosity=0 if progress else -1) as tick:
            yield tick
        return
    drawn = -NOTEBOOK_EVERY_S

    def draw() -> None:
        nonlocal drawn
        now = time.monotonic()
        if now - drawn >= NOTEBOOK_EVERY_S:
            drawn = now
            sys.stderr.write(f"\r{_one_line(tally)}")
            sys.stderr.flush()

    yield draw
    sys.stderr.write(f"\r{_one_line(tally)}\n")


def _one_line(tally: RunTally) -> str:
    """Format both lines as one, without the bar, padded with blanks over the previous text."""
    first = _first_line(tally, 40).plain.lstrip("\u2501 ")
    return f"{first}  {_fitted(_figures(tally), 70).plain}".ljust(LINE_CELLS)[:LINE_CELLS]


def _say(event: Shown, console: Console, seen: set[str] | None) -> None:
    if isinstance(event, Notice):
        line, style = sanitize(event.text), ""
    elif isinstance(event, InputSkipped) and _is_news(event, seen):
        more = " (others like it are counted; -v names all)" if seen and len(seen) == 1 else ""
        line, style = f"skipped {sanitize(event.source)}: {sanitize(event.reason)}{more}", "yellow"
    else:
        return
    broken = wrap_line(line, console.width)
    console.print(Text(broken, style=style), soft_wrap=True)  # a longer word: the terminal wraps it


def _log(event: Shown, logger: BoundLogger, seen: set[str] | None) -> None:
    if isinstance(event, Notice):
        logger.info("notice", text=sanitize(event.text))
    elif isinstance(event, ShardPublished):
        logger.info("shard_published", **asdict(event))
    elif _is_news(event, seen):
        fields = {name: sanitize(getattr(event, name)) for name in ("source", "reason", "fate")}
        logger.warning("input_skipped", **fields)


def _is_news(event: InputSkipped, seen: set[str] | None) -> bool:
    """Return whether to log it: the first skip for its reason, or any if all are named."""
    if seen is None:
        return True
    if event.fate == "repeated":
        return False
    reason = event.reason.partition(":")[0]
    is_news = reason not in seen
    seen.add(reason)
    return is_news


def _drawing(tally: RunTally, width: int) -> RenderableType:
    """Format two lines that fit; the least important figures are left out first."""
    return Group(_first_line(tally, width), _fitted(_figures(tally), width))


def _first_line(tally: RunTally, width: int) -> Text:
    done, total = tally.ended, tally.known + tally.planned
    share = min(1.0, done / total) if total else 0.0
    left = tally.left_s()
    parts = [
        (
            "chunks",
            f"{short_number(done)}/{short_number(total)}{'' if tally.reading_done else '+'}",
        ),
        ("", f"{share:.0%}" if tally.reading_done else ""),
        ("", format_duration(tally.elapsed_s)),
        ("ETA", format_duration(left) if left is not None and done < total else ""),
    ]
    text = _fitted(parts, width)
    cells = min(BAR_CELLS, width - text.cell_len - GAP)
    if cells < BAR_CELLS // 3:
        return text
    full = round(cells * share)
    bar = Text("\u2501" * full, style="green").append("\u2501" * (cells - full), style="dim")
    return bar.append(" " * GAP).append_text(text)


def _figures(tally: RunTally) -> list[tuple[str, str]]:
    """Return names and values, most important first; sums of all starts, and this start's share."""
    _, pairs_per_minute = tally.rates()
    before = tally.before
    pairs, usd, expected = before.pairs + tally.pairs, tally.usd, tally.expected_usd()
    spent = "" if usd is None else f"${usd:,.4f}" if usd < 1 else f"${usd:,.2f}"
    if expected is not None and tally.units < tally.planned:
        spent += f" of ~${expected:,.2f}"
    tokens_in = before.prompt_tokens + tally.prompt_tokens
    tokens_out = before.completion_tokens + tally.completion_tokens
    return [
        (
            "pairs",
            f"{short_number(pairs)} (+{short_number(tally.pairs)})"
            if before.pairs
            else short_number(pairs),
        ),
        ("per min", short_number(pairs_per_minute)),
        ("spent", spent),
        ("rejected", _if_any(before.rejected + tally.rejected)),
        ("dropped", _if_any(before.dropped + tally.dropped)),
        ("tokens", f"{short_number(tokens_in)}+{short_number(tokens_out)}"),
        ("repaired", _if_any(tally.repairs)),
        ("skipped", _if_any(sum(tally.skipped.values()))),
    ]


def _if_any(count: int) -> str:
    return short_number(count) if count else ""


def _fitted(parts: list[tuple[str, str]], width: int) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for name, value in parts:
        if not value:
            continue
        part = Text(f"{name} " if name else "", style="dim").append(value, style="bold not dim")
        gap = GAP if text.cell_len else 0
        if text.cell_len + gap + part.cell_len <= width:
            text.append(" " * gap).append_text(part)
    return text


def configure(stream: IO[str] | None = None) -> structlog.typing.FilteringBoundLogger:
    """Return the run's logger, which writes JSON lines, and silence the libraries' loggers."""
    for name in ("httpx2", "httpcore2", "openai", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    out = getattr(stream, "buffer", None) or sys.stderr.buffer
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _in_order,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def _in_order(
    _logger: object, _method: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Put time, level and event before all other keys."""
    head = ("timestamp", "level", "event")
    return {**{name: fields.pop(name, None) for name in head}, **fields}


def _dumps(value: object, **_: object) -> bytes:
    return orjson.dumps(value, default=str)
