"""Checks a dataset, whoever made it: figures with ok, warn or fail, and one line on what to do.

pairs = read_pairs(Path("pairs.jsonl"))
report = check(pairs, documents=documents)
print(render(report))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pairmill.errors import UsageError
from pairmill.output.qc_library import Library
from pairmill.output.qc_limits import LIMITS, Status
from pairmill.output.qc_measures import measure
from pairmill.plain import plain
from pairmill.quality.filters import prompt_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pairmill.output.qc_limits import Limit
    from pairmill.output.qc_read import Pairs
    from pairmill.quality.embedding import Embed
    from pairmill.records import Document

__all__ = ["Metric", "Report", "check", "failures", "render", "shown", "to_json"]

_SCHEMA = 1
_ROWS_SHOWN = 5
_NO_LIBRARY = ("ungrounded", "grounding_lift", "copied")


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its stable key, value, status, and up to five rows (from 1) to look at."""

    key: str
    value: float
    status: Status
    rows: tuple[int, ...] = ()
    note: str = ""

    @property
    def limit(self) -> Limit:
        """Its label, bounds and hint."""
        return LIMITS[self.key]


@dataclass(frozen=True, slots=True)
class Report:
    """All figures, in the order of the table; ``skipped`` says what could not be measured."""

    pairs: int
    unreadable: int
    metrics: tuple[Metric, ...]
    skipped: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """The worst status of all figures."""
        found = {metric.status for metric in self.metrics}
        return next((s for s in (Status.FAIL, Status.WARN) if s in found), Status.OK)


def check(
    pairs: Pairs,
    *,
    documents: Iterable[Document] | None = None,
    examples: Sequence[str] = (),
    detect: Callable[[str], str | None] | None = None,
    embed: Embed | None = None,
) -> Report:
    """Measure a dataset and judge each figure.

    Args:
        pairs: What :func:`~pairmill.output.qc_read.read_pairs` read.
        documents: What the pairs were made from; without them groundedness is not measured.
        examples: Phrases of the examples in the prompt that made the pairs.
        detect: A trained language detector, if there is one.
        embed: Embeddings, to find instructions of like meaning too.

    Raises:
        InputError: The documents hold no text.
    """
    library = Library(documents) if documents is not None else None
    figures = measure(
        pairs.rows, library=library, terms=prompt_terms(examples), detect=detect, embed=embed
    )
    metrics = tuple(
        Metric(
            key,
            value := figures.values[key],
            limit.judge(value),
            tuple(figures.rows.get(key, [])[:_ROWS_SHOWN]),
            figures.notes.get(key, ""),
        )
        for key, limit in LIMITS.items()
        if key in figures.values
    )
    return Report(len(pairs.rows), pairs.unreadable, metrics, _skipped(figures.values))


def failures(report: Report, fail_on: str = "fail") -> list[Metric]:
    """The figures for which a CI job should fail.

    Args:
        report: The report.
        fail_on: ``fail``, ``warn`` (both), ``never``, or keys with commas between, each of which
            must be ok.

    Raises:
        UsageError: It is none of these.
    """
    bad = {"never": set(), "fail": {Status.FAIL}, "warn": {Status.FAIL, Status.WARN}}
    if fail_on in bad:
        return [metric for metric in report.metrics if metric.status in bad[fail_on]]
    keys = {key.strip() for key in fail_on.split(",")}
    unknown = sorted(keys - LIMITS.keys())
    if unknown:
        raise UsageError(f"--fail-on: unknown figure '{unknown[0]}'; known: {', '.join(LIMITS)}")
    return [
        metric for metric in report.metrics if metric.key in keys and metric.status in bad["warn"]
    ]


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain values under stable keys."""
    return {
        "schema": _SCHEMA,
        "status": report.status.value,
        "pairs": report.pairs,
        "unreadable": report.unreadable,
        "metrics": {
            metric.key: {
                "value": metric.value,
                "status": metric.status.value,
                "warn": metric.limit.warn,
                "fail": metric.limit.fail,
                "rows": list(metric.rows),
                "note": metric.note,
                "hint": "" if metric.status in {Status.OK, Status.INFO} else metric.limit.hint,
            }
            for metric in report.metrics
        },
        "skipped": list(report.skipped),
    }


def shown(metric: Metric) -> str:
    """A figure's value for people: in per cent, or with two decimals."""
    return f"{metric.value:.1%}" if metric.limit.is_share else f"{metric.value:.2f}"


def render(report: Report) -> str:
    """The report as lines of plain text: one a figure, and under each that is not ok its hint."""
    lines = [f"{report.pairs} pairs, {report.unreadable} unreadable records: {report.status}", ""]
    for metric in report.metrics:
        note = f" ({plain(metric.note)})" if metric.note else ""
        lines.append(f"  {metric.status:<5}{shown(metric):>8}  {metric.limit.label}{note}")
        if metric.status in {Status.WARN, Status.FAIL}:
            rows = f"; rows {', '.join(map(str, metric.rows))}" if metric.rows else ""
            lines.append(f"{'':17}{metric.limit.hint}{rows}")
    if report.skipped:
        lines += ["", *(f"  not measured: {line}" for line in report.skipped)]
    return "\n".join(lines)


def _skipped(values: dict[str, float]) -> tuple[str, ...]:
    reasons = []
    if any(key not in values for key in _NO_LIBRARY):
        reasons.append("groundedness and copies: give the documents")
    if "leaked_terms" not in values:
        reasons.append("leaked terms: give phrases of the prompt's examples")
    if "alike_meanings" not in values:
        reasons.append("instructions of like meaning: --near embed")
    if "train_test_leak" not in values:
        reasons.append("train/test leak: the pairs name no splits")
    if "distinct_2" not in values:
        reasons.append("variety: too few pairs to say")
    return tuple(reasons)
