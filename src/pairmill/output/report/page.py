"""The quality report: one HTML file that opens from disk and loads nothing from elsewhere.

Crawled text and model output reach it as escaped text, or as JSON that its one script puts into the
page by ``textContent``. A content security policy allows that script alone, by its digest, and the
page's own style, should an escape ever be forgotten.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson
from jinja2 import Environment

from pairmill.output.files import write_text
from pairmill.output.marks.overlay import NO_MARKS
from pairmill.output.markup import Markup, page_text, tag
from pairmill.output.qc.report import shown, verdict_line
from pairmill.output.report import sections as parts
from pairmill.output.report.charts import curves
from pairmill.output.report.measures import Names, measure
from pairmill.output.rows import complete_lines, parse, published_shards
from pairmill.quality.thresholds import DEFAULT
from pairmill.quality.trust import verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pairmill.output.facts import RunFacts
    from pairmill.output.marks.overlay import Marks
    from pairmill.output.qc.report import Report
    from pairmill.output.report.measures import Measures
    from pairmill.output.rows import Row
    from pairmill.quality.verdict import Check

__all__ = ["REPORT", "Judged", "render_dataset", "render_report", "write_report"]

REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Judged:
    """What the page says beyond counts.

    Attributes:
        quality: The figures of ``qc``, or None where nothing was measured.
        sample: How many rows they were taken of, where not of all; else None.
        pairs: What `list_pairs` returned.
        how: How those pairs were chosen.
        marks: What people decided, which holds for the figures too.
    """

    quality: Report | None = None
    sample: int | None = None
    pairs: Sequence[dict[str, Any]] = field(default=())
    how: str = ""
    marks: Marks = NO_MARKS


_NOTHING = Judged()


def write_report(folder: Path, facts: RunFacts, judged: Judged = Judged()) -> Path:
    """Read a run folder's published shards and write its ``report.html``.

    Args:
        folder: The run folder.
        facts: What the run knows of itself; reasons for drops are counted in ``rejected/`` where
            it names none.
        judged: The verdict, and the pairs to list.

    Returns:
        Where the report is.

    Raises:
        FolderError: A shard cannot be read.
        StorageError: The disk refused.
    """
    measures = measure(_wanted(folder, judged.marks))
    if facts.counts is None and not facts.rejections:
        reasons = Names()
        for row in _rows(folder, "rejected"):
            reasons.add(str(row.get("reason"))[:80])
        facts = replace(facts, rejections=reasons.counts)
    path = folder / REPORT
    write_text(path, render_report(folder.resolve().name, facts, measures, judged))
    return path


def render_report(
    name: str,
    facts: RunFacts,
    measures: Measures,
    judged: Judged = Judged(),
) -> str:
    """The report as HTML."""
    quality = judged.quality
    contents = ["Findings"] if quality else []
    contents += ["From documents to pairs", "What was dropped", "Grounding", "Variety", "Pairs"]
    sections = [
        parts.funnel(facts, measures, judged.marks.counts()),
        parts.losses(facts),
        parts.lengths(measures),
        parts.grounding(measures),
        parts.variety(measures),
        parts.cost(facts, measures),
    ]
    return _fill(
        judged,
        name=name,
        lead=parts.lead(facts),
        contents=contents,
        tiles=parts.tiles(facts, measures),
        trust=_verdicts("Judge and evolution on trial", verdicts(facts.figures)),
        sections=Markup("".join(sections)),
        version=facts.version,
    )


def render_dataset(name: str, judged: Judged, version: str) -> str:
    """The page on a dataset of any tool: its verdict, its findings and its pairs.

    Args:
        name: Of the dataset, for people.
        judged: The figures of ``qc`` and the pairs to list.
        version: Of pairmill.
    """
    return _fill(
        judged,
        name=name,
        lead=tag("p", "Quality report on a dataset.", class_="lead"),
        contents=["Findings", "Pairs"],
        version=version,
    )


def _fill(judged: Judged, **values: object) -> str:
    quality = judged.quality
    script = Markup(_read("page.js"))
    page = _environment().from_string(_read("template.html"))
    return page.render(
        values,
        policy=_policy(script),
        style=Markup(_read("page.css")),
        quality=quality,
        verdict=verdict_line(quality) if quality else "",
        judged=_judged(judged),
        quiet=[metric for metric in quality.by_severity if not metric.advice] if quality else [],
        curves=_curves(quality),
        sampled=judged.how,
        data=_embed(judged.pairs),
        script=script,
    )


def _environment() -> Environment:
    made = Environment(autoescape=True, finalize=_settle)
    made.filters["anchor"] = parts.anchor
    made.filters["shown"] = shown
    return made


def _settle(value: object) -> object:
    """Foreign text without control and direction marks; what is HTML already as it is."""
    return value if isinstance(value, Markup) else page_text(str(value)) if value else ""


def _read(name: str) -> str:
    return files("pairmill.output.report").joinpath(name).read_text("utf-8")


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline';"
        " base-uri 'none'; form-action 'none'"
    )


def _embed(pairs: Sequence[dict[str, Any]]) -> Markup:
    """JSON that cannot end the element it stands in."""
    text = orjson.dumps(list(pairs)).decode()
    for mark, instead in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(mark, instead)
    return Markup(text)


def _judged(judged: Judged) -> str:
    quality = judged.quality
    if quality is None:
        return ""
    what = f"{quality.pairs:,} pairs"
    if judged.sample is not None:
        what = f"a sample of {judged.sample:,} pairs"
    return f"Judged as {quality.profile} data, by {what}; 'pairmill qc' says the same."


def _curves(quality: Report | None) -> Markup | None:
    if quality is None or not quality.grounding:
        return None
    rivals = [rival for _, rival in quality.grounding if rival is not None]
    chart = curves(
        [("own passage", [own for own, _ in quality.grounding]), ("another document", rivals)],
        [
            ("dropped", DEFAULT.ungrounded_below),
            ("flagged", DEFAULT.weakly_grounded_below),
        ],
        "Share of an answer's content words in its best passage, and in the best of another"
        " document",
    )
    note = (
        "How much of each answer stands in its best passage, beside the best passage of any other"
        " document: where the two curves lie on each other, the answers know no more of their text"
        " than of the next one."
    )
    return parts.section(
        "Grounding against another document",
        tag("p", note, class_="note"),
        tag("div", chart, class_="panel"),
    )


def _verdicts(title: str, checks: Sequence[Check]) -> Markup | None:
    if not checks:
        return None
    rows = [
        (tag("span", check.status, class_=check.status), check.name, check.found, check.hint)
        for check in checks
    ]
    table = parts.table(("", "Check", "Found", "What to do"), rows)
    return parts.section(title, tag("div", table, class_="panel"))


def _wanted(folder: Path, marks: Marks) -> Iterator[Row]:
    for row in _rows(folder, "train"):
        if not marks.of(str(row.get("id"))).is_out:
            yield marks.revise(row)


def _rows(folder: Path, kind: str) -> Iterator[Row]:
    for shard in published_shards(folder, kind):
        for line in complete_lines(shard):
            yield parse(line, shard)
