"""How a run shows itself: a live line on a terminal, else a JSON log line every few seconds."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pairmill.events import Event, Topic
from pairmill.plain import plain
from pairmill.service.logs import configure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from pairmill.events import Bus
    from pairmill.service.tally import RunTally

__all__ = ["show"]

LOG_EVERY_S = 5.0
_SHOWN = (Topic.INPUT_SKIPPED, Topic.NOTICE, Topic.SHARD_PUBLISHED)


@contextmanager
def show(bus: Bus, tally: RunTally, console: Console) -> Iterator[Callable[[], None]]:
    """Show a run while the block runs. Call what it yields now and then; it draws when it is due.

    A terminal gets one live block, redrawn in place, with notices above it. Anything else gets JSON
    lines on standard error: no carriage returns, no colour.
    """
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            bus.subscribe(lambda event: _say(event, live.console), *_SHOWN)
            yield lambda: live.update(_drawing(tally), refresh=True)
        console.print(_drawing(tally))
        return
    logger = configure(console.file)
    bus.subscribe(lambda event: _log(event, logger), *_SHOWN)
    last = time.monotonic()

    def tick() -> None:
        nonlocal last
        if time.monotonic() - last >= LOG_EVERY_S:
            last = time.monotonic()
            logger.info("progress", **tally.summary())

    yield tick
    logger.info("progress", **tally.summary())


def _say(event: Event, console: Console) -> None:
    line = _line_of(event)
    if line:
        style = "" if event.topic is Topic.NOTICE else "yellow"
        console.print(Text(line, style=style), soft_wrap=True)  # the terminal breaks it, not we


def _log(event: Event, logger: object) -> None:
    if event.topic is Topic.INPUT_SKIPPED:
        fields = {name: plain(value) for name, value in event.fields.items()}
        logger.warning("input_skipped", **fields)  # type: ignore[attr-defined]
    elif event.topic is Topic.NOTICE:
        logger.info("notice", text=plain(event.fields.get("text")))  # type: ignore[attr-defined]
    elif event.topic is Topic.SHARD_PUBLISHED:
        logger.info("shard_published", **event.fields)  # type: ignore[attr-defined]


def _line_of(event: Event) -> str | None:
    fields = event.fields
    if event.topic is Topic.INPUT_SKIPPED:
        return f"skipped {plain(fields.get('source'))}: {plain(fields.get('reason'))}"
    if event.topic is Topic.NOTICE:
        return plain(fields.get("text"))
    return None


def _drawing(tally: RunTally) -> RenderableType:
    per_minute, pairs_per_minute = tally.rates()
    done, total = tally.known + tally.units, tally.known + tally.planned
    bar = Table.grid(padding=(0, 1))
    left = tally.left_s()
    bar.add_row(
        Text("chunks", style="dim"),
        ProgressBar(total=max(total, 1), completed=done, width=32),
        Text(f"{done}/{total}{'' if tally.reading_done else '+'}"),
        Text(_duration(tally.elapsed_s), style="dim"),
        Text("" if left is None or done >= total else f"ETA {_duration(left)}", style="dim"),
    )
    figures = Text()
    shown = [
        ("pairs", f"{tally.pairs:,}"),
        ("pairs/min", f"{pairs_per_minute:,.0f}"),
        ("chunks/min", f"{per_minute:,.0f}"),
        ("repaired", f"{tally.repairs:,}"),
        ("rejected", f"{tally.rejected:,}"),
        ("tokens in/out", f"{tally.prompt_tokens:,}/{tally.completion_tokens:,}"),
    ]
    if tally.is_priced:
        shown.append(("spent", f"${tally.picodollars / 1e12:,.4f}"))
    for name, value in shown:
        figures.append(f"{name} ", style="dim").append(f"{value}   ", style="bold")
    return Group(bar, figures)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
