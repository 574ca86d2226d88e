"""Report on a dataset made by any tool: figures with ok, warn or fail, and a line of advice.

pairs = read_pairs(Path("pairs.jsonl"))
report = check(pairs, documents=documents)
print(render(report))
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pairmill.display import sanitize
from pairmill.errors import UsageError
from pairmill.output.qc.limits import BY_NATURE, LIMITS
from pairmill.output.qc.measures import choose_profile, measure
from pairmill.output.qc.passage_search import PassageIndex
from pairmill.output.qc.variety import Profile
from pairmill.quality.filters import prompt_terms
from pairmill.quality.trust import STATUS_STYLES, Status
from pairmill.store.verdict import RunVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pairmill.output.qc.limits import Limit
    from pairmill.output.qc.read import Pairs
    from pairmill.output.qc.variety import Hit, Variety
    from pairmill.output.rows import Place
    from pairmill.quality.duplicates import Embed
    from pairmill.records import Document

__all__ = [
    "Metric",
    "Report",
    "Ticker",
    "check",
    "failures",
    "print_report",
    "render",
    "run_verdict",
    "shown",
    "to_json",
    "verdict_line",
]

_SUPPORTED = 0.45  # mean support: 0.51 to 0.81 of true answers, 0.22 of those to another passage
_SCHEMA = 2
_ROWS_SHOWN = 5
_PASSAGES = ("ungrounded", "unseen_numbers")
_DOCUMENTS = ("grounding_lift", "copied")
_ORDER = {Status.FAIL: 0, Status.WARN: 1, Status.INFO: 3, Status.OK: 2}


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure.

    Attributes:
        key: Its stable name.
        hits: Everything found, in the order of the rows.
        places: Where the first few of these rows are.
        note: A remark on the figure.
    """

    key: str
    value: float
    status: Status
    rows: tuple[int, ...] = ()
    note: str = ""
    hits: tuple[Hit, ...] = ()
    places: tuple[Place, ...] = ()

    @property
    def limit(self) -> Limit:
        """Its label, bounds and hint."""
        return LIMITS[self.key]

    @property
    def advice(self) -> str:
        """Advice with what was found; "" if there is nothing to do."""
        if self.status in {Status.OK, Status.INFO}:
            return ""
        hint = self.limit.hint
        found = f": {sanitize(self.hits[0].detail, 100)}" if self.hits else ""
        return f"{hint} (for one{found})" if found else hint


@dataclass(frozen=True, slots=True)
class Report:
    """All figures, in the order of the table.

    Attributes:
        profile: As what kind of data it was judged.
        unchecked: Key of each figure that could not be measured, to the reason.
        skipped: The same for people, a line each.
        notes: What of the records was not read.
        grounding: See `QcMetrics`.
        variety: Likewise.
    """

    pairs: int
    unreadable: int
    metrics: tuple[Metric, ...]
    skipped: tuple[str, ...] = ()
    profile: Profile = Profile.GENERAL
    unchecked: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    grounding: tuple[tuple[float, float | None], ...] = ()
    variety: tuple[Variety, ...] = ()

    @property
    def status(self) -> Status:
        """Worst status of all figures; a warning if the most important ones were not checked."""
        found = {metric.status for metric in self.metrics}
        worst = next((s for s in (Status.FAIL, Status.WARN) if s in found), Status.OK)
        return Status.WARN if worst is Status.OK and self.is_blind else worst

    @property
    def is_blind(self) -> bool:
        """True if the data is based on texts that were not available for comparison."""
        return self.profile is Profile.GROUNDED and "ungrounded" in self.unchecked

    @property
    def by_severity(self) -> list[Metric]:
        """Figures, failures first, and within one status in the order of the table."""
        return sorted(self.metrics, key=lambda metric: _ORDER[metric.status])


def check(
    pairs: Pairs,
    *,
    documents: Iterable[Document] | None = None,
    examples: Sequence[str] = (),
    detect: Callable[[str], str | None] | None = None,
    embed: Embed | None = None,
    profile: Profile | None = None,
    no_documents: str = "give the documents",
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Measure a dataset and judge each figure.

    Args:
        pairs: What :func:`~pairmill.output.qc.read.read_pairs` read.
        documents: What the pairs were made from; without them, groundedness is only measured for
            records with a text of their own.
        examples: Phrases of the examples in the prompt that made the pairs.
        detect: A trained language detector, if there is one.
        embed: Embeddings, to find instructions of like meaning too.
        profile: What kind of data it is; None: grounded with documents or texts in most records.
        no_documents: Why there are none, for the report.
        progress: Called periodically with the number of rows done.

    Raises:
        InputError: The documents hold no text.
    """
    passages = PassageIndex(documents) if documents is not None else None
    kind = profile or choose_profile(pairs.rows, has_documents=passages is not None)
    figures = measure(
        pairs.rows,
        passages=passages,
        terms=prompt_terms(examples),
        detect=detect,
        embed=embed,
        profile=kind,
        progress=progress,
    )
    is_from_texts = passages is not None if profile is None else kind is Profile.GROUNDED
    metrics = []
    for key, limit in LIMITS.items():
        if key not in figures.values:
            continue
        value = figures.values[key]
        status = limit.judge(value)
        note = figures.notes.get(key, "")
        if key in BY_NATURE and not is_from_texts:
            status = Status.INFO
        weak = LIMITS["weakly_supported"].judge(figures.values.get("weakly_supported", 1.0))
        is_backed = figures.values.get("support", 0.0) >= _SUPPORTED and weak is Status.OK
        if key == "grounding_lift" and status is not Status.OK and is_backed:
            status = Status.INFO  # documents of one form share nearly all words, in another order
            note = "the documents share most of their words; support tells more here"
        first = figures.rows(key)[:_ROWS_SHOWN]
        metrics.append(
            Metric(
                key,
                value,
                status,
                tuple(first),
                note,
                tuple(figures.hits.get(key, ())),
                tuple(pairs.rows[number - 1].place for number in first),
            )
        )
    unchecked = _unchecked(figures.values, no_documents) | figures.unchecked
    return Report(
        len(pairs.rows),
        pairs.unreadable,
        tuple(metrics),
        _skipped(unchecked),
        kind,
        unchecked,
        pairs.notes,
        tuple(figures.grounding),
        tuple(figures.variety),
    )


def failures(report: Report, fail_on: str = "fail") -> list[Metric]:
    """Return the figures for which a CI job should fail.

    Args:
        report: The report.
        fail_on: ``fail``, ``warn`` (both), ``never``, or keys with commas between, each of which
            must be ok.

    Raises:
        UsageError: It is none of these, or names a figure that could not be measured.
    """
    bad = {"never": set(), "fail": {Status.FAIL}, "warn": {Status.FAIL, Status.WARN}}
    if fail_on in bad:
        return [metric for metric in report.metrics if metric.status in bad[fail_on]]
    keys = {key.strip() for key in fail_on.split(",")}
    unknown = sorted(keys - LIMITS.keys())
    if unknown:
        raise UsageError(f"--fail-on: unknown figure '{unknown[0]}'; known: {', '.join(LIMITS)}")
    for key in sorted(keys & report.unchecked.keys()):
        raise UsageError(f"--fail-on: '{key}' was not checked: {report.unchecked[key]}")
    return [
        metric for metric in report.metrics if metric.key in keys and metric.status in bad["warn"]
    ]


def verdict_line(report: Report) -> str:
    """Return the verdict on the whole dataset in a sentence: train on it or not, and why not."""
    worst = [metric for metric in report.by_severity if metric.status is report.status]
    reasons = "; ".join(f"{shown(metric)} {metric.limit.label}" for metric in worst[:3])
    if report.status is Status.FAIL:
        return f"Do not train on this yet: {reasons}."
    if report.is_blind and not worst:
        return (
            "No fault found in what was checked; whether the answers rest on their texts was not."
        )
    if report.status is Status.WARN:
        return f"Usable, with something to look at: {reasons}."
    return "No fault found."


def run_verdict(report: Report) -> RunVerdict:
    """Return the verdict in the form that a run folder keeps."""
    return RunVerdict(report.status.value, verdict_line(report), report.pairs)


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as plain values under stable keys."""
    return {
        "schema": _SCHEMA,
        "status": report.status.value,
        "verdict": verdict_line(report),
        "profile": report.profile.value,
        "pairs": report.pairs,
        "unreadable": report.unreadable,
        "metrics": {
            metric.key: {
                "value": metric.value,
                "status": metric.status.value,
                "warn": metric.limit.warn,
                "fail": metric.limit.fail,
                "rows": list(metric.rows),
                "places": [{"file": place.file, "line": place.line} for place in metric.places],
                "note": metric.note,
                "hint": metric.advice,
            }
            for metric in report.metrics
        },
        "not_checked": dict(report.unchecked),
        "skipped": list(report.skipped),
        "notes": list(report.notes),
    }


def shown(metric: Metric) -> str:
    """Format a figure's value: in per cent, or with two decimals."""
    return f"{metric.value:.1%}" if metric.limit.is_share else f"{metric.value:.2f}"


def render(report: Report) -> str:
    """Render the report as plain text: a line per figure, with a hint below each that is not ok."""
    lines = [f"{report.pairs} pairs, {report.unreadable} unreadable records: {report.status}"]
    lines += [verdict_line(report), ""]
    for metric in report.by_severity:
        note = f" ({sanitize(metric.note)})" if metric.note else ""
        lines.append(f"  {metric.status:<5}{shown(metric):>8}  {metric.limit.label}{note}")
        if metric.advice:
            rows = f"; rows {', '.join(map(str, metric.rows))}" if metric.rows else ""
            lines.append(f"{'':17}{metric.advice}{rows}")
    if report.skipped:
        lines += ["", *(f"  not checked: {line}" for line in report.skipped)]
    lines += [f"  {sanitize(note, 400)}" for note in report.notes]
    return "\n".join(lines)


def _unchecked(values: Mapping[str, float], no_documents: str) -> dict[str, str]:
    """Figures that are missing, each with the reason."""
    reasons = dict.fromkeys(_DOCUMENTS, no_documents)
    reasons |= dict.fromkeys(_PASSAGES, f"no passage to hold the answers against: {no_documents}")
    reasons["leaked_terms"] = "give phrases of the prompt's examples"
    reasons["alike_meanings"] = "--near embed"
    reasons["train_test_leak"] = "the pairs name no splits"
    reasons |= dict.fromkeys(("distinct_2", "common_phrase", "compression_ratio"), "too few pairs")
    return {key: reason for key, reason in reasons.items() if key not in values}


def _skipped(unchecked: Mapping[str, str]) -> tuple[str, ...]:
    """One line for each reason, with the figures that it concerns."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in unchecked.items():
        by_reason.setdefault(reason, []).append(key)
    return tuple(f"{', '.join(keys)}: {reason}" for reason, keys in by_reason.items())


WIDTH = 120  # columns, if there is no terminal
_EVERY_S = 5.0


class Ticker:
    """Shows the progress of a long check on standard error; nothing in the first seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()

    def __call__(self, what: str, done: int, total: int | None = None) -> None:
        """Say it, if the last time is some seconds ago."""
        now = self._clock()
        if now - self._last >= _EVERY_S:
            self._last = now
            of = f" of {total:,}" if total else ""
            print(f"{what}: {done:,}{of} records", file=sys.stderr, flush=True)  # noqa: T201


def print_report(report: Report, *, as_json: bool, console: Console | None = None) -> None:
    """Print all figures, the worst first; ``console`` is for tests."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.write(orjson.dumps(to_json(report), option=options).decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "figure", "found", "what to do"):
        table.add_column(name, justify="right" if name == "found" else "left", vertical="top")
    for metric in report.by_severity:
        table.add_row(
            Text(metric.status.value, style=STATUS_STYLES[metric.status]),
            Text(_label(metric)),
            Text(shown(metric)),
            Text(_advice(metric), style="dim"),
        )
    out.print(f"{report.pairs:,} pairs, {report.unreadable:,} unreadable records: {report.status}")
    out.print(Text(f"{verdict_line(report)} (judged as {report.profile} data)"))
    out.print(table)
    for line in report.skipped:
        out.print(Text(f"not checked: {_with_labels(line)}", style="dim"))
    for note in report.notes:
        out.print(Text(f"note: {sanitize(note, 400)}", style="dim"))


def _with_labels(line: str) -> str:
    keys, _, reason = line.partition(": ")
    names = ", ".join(key if key in LIMITS else sanitize(key) for key in keys.split(", "))
    return f"{names}: {sanitize(reason, 400)}"


def _label(metric: Metric) -> str:
    return f"{metric.limit.label} ({sanitize(metric.note)})" if metric.note else metric.limit.label


def _advice(metric: Metric) -> str:
    if not metric.advice:
        return ""
    places = [str(place.line) for place in metric.places if place.line]
    where = ", ".join(places or map(str, metric.rows))
    files = {place.file for place in metric.places if place.file}
    name = f" of {sanitize(next(iter(files)).rpartition('/')[2])}" if len(files) == 1 else ""
    return f"{metric.advice}; lines {where}{name}" if where else metric.advice
