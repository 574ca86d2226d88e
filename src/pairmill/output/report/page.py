"""The quality report: one HTML file that opens from disk and loads nothing from elsewhere.

Crawled text and model output reach it as escaped text, or as JSON that its one script puts into the
page by ``textContent``. A content security policy allows that script alone, by its digest, and the
page's own style, should an escape ever be forgotten.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from jinja2 import Environment, FunctionLoader

from pairmill.output.marks.overlay import NO_MARKS
from pairmill.output.marks.rescue import rescued_rows
from pairmill.output.markup import Markup, page_text, tag
from pairmill.output.qc.report import shown, verdict_line
from pairmill.output.report import sections as parts
from pairmill.output.report.layout import anchor, curves, section, table
from pairmill.output.report.pace import pace, stages
from pairmill.output.report.row_counts import NameCounts, measure
from pairmill.output.report.sections import concentration, ratings, sequence_lengths
from pairmill.output.rows import complete_lines, parse, published_shards
from pairmill.quality.thresholds import DEFAULT
from pairmill.quality.trust import verdicts
from pairmill.store.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pairmill.output.facts import RunFacts
    from pairmill.output.marks.overlay import Marks
    from pairmill.output.qc.report import Report
    from pairmill.output.report.row_counts import Measures
    from pairmill.output.rows import Row
    from pairmill.quality.trust import Check

__all__ = [
    "REPORT",
    "Judged",
    "Parts",
    "dataset_parts",
    "policy",
    "render_dataset",
    "render_live",
    "render_report",
    "run_parts",
    "wanted_rows",
    "write_report",
]

REPORT = "report.html"
_HEADING = re.compile(r'<section id="[^"]+"><h2>([^<]+)</h2>')
_SCRIPTS = ("source.js", "card.js", "work.js", "page.js")


@dataclass(frozen=True, slots=True)
class Judged:
    """Contents of the page besides counts.

    Attributes:
        quality: The figures of ``qc``, or None if nothing was measured.
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
    measures = measure(wanted_rows(folder, judged.marks))
    if facts.counts is None and not facts.rejections:
        reasons = NameCounts()
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
    """Render the report as HTML."""
    return _shell(name, run_parts(facts, measures, judged), facts.version, judged=judged)


def render_dataset(name: str, judged: Judged, version: str) -> str:
    """Render the page of a dataset of any tool: its verdict, its findings and its pairs.

    Args:
        name: Of the dataset, for people.
        judged: The figures of ``qc`` and the pairs to list.
        version: Of pairmill.
    """
    return _shell(name, dataset_parts(judged), version, judged=judged)


def render_live(name: str, version: str) -> tuple[str, str]:
    """Render the page for a server, which loads all its data, and the policy to send with it.

    Args:
        name: Of the dataset, for people.
        version: Of pairmill.
    """
    page = _shell(name, Parts(Markup(""), Markup("")), version, is_live=True)
    return page, policy(is_live=True)


class Parts(NamedTuple):
    """Sections of a page about the dataset as a whole: the verdict, and its figures."""

    verdict: Markup
    figures: Markup


def run_parts(facts: RunFacts, measures: Measures, judged: Judged) -> Parts:
    """Return the page's sections about a run."""
    sections = [
        parts.funnel(facts, measures, judged.marks.counts()),
        parts.losses(facts),
        parts.exports(facts),
        pace(facts.timeline) if facts.timeline else None,
        parts.lengths(measures),
        sequence_lengths(measures),
        ratings(measures),
        parts.grounding(measures),
        parts.variety(measures, judged.quality.variety if judged.quality else ()),
        concentration(measures),
        parts.cost(facts, measures),
        stages(facts.timeline, facts, measures.rows) if facts.timeline else None,
    ]
    return _parts(
        judged,
        lead=parts.lead(facts),
        nothing=_nothing(facts, measures),
        tiles=parts.tiles(facts, measures),
        trust=_verdicts("Judge, verifier, evolution and voice on trial", verdicts(facts.figures)),
        sections=Markup("".join(filter(None, sections))),
    )


def dataset_parts(judged: Judged) -> Parts:
    """Return the page's sections about a dataset of any tool."""
    return _parts(judged, lead=tag("p", "Quality report on a dataset.", class_="lead"))


def _parts(judged: Judged, **values: object) -> Parts:
    quality = judged.quality
    given = {
        **values,
        "quality": quality,
        "verdict": verdict_line(quality) if quality else "",
        "judged": _judged(judged),
        "quiet": [m for m in quality.by_severity if not m.advice] if quality else [],
        "curves": _curves(quality),
    }
    pages = _environment()
    verdict, figures = (
        Markup(pages.get_template(name).render(given)) for name in ("verdict.html", "figures.html")
    )
    return Parts(verdict, figures)


def _shell(
    name: str,
    whole: Parts,
    version: str,
    *,
    judged: Judged = Judged(),
    is_live: bool = False,
) -> str:
    return (
        _environment()
        .get_template("page.html")
        .render(
            name=name,
            title=name if is_live else f"{name}: quality report",
            policy=policy(is_live=is_live),
            style=Markup(_style()),
            script=Markup(_script()),
            verdict_part=whole.verdict,
            figures_part=whole.figures,
            contents=[*_HEADING.findall(whole.figures), "Pairs"],
            sampled=judged.how,
            is_live=is_live,
            version=version,
            data=_embed({"live": True} if is_live else {"pairs": list(judged.pairs)}),
        )
    )


def policy(*, is_live: bool = False) -> str:
    """Return the content security policy: only the page's own script and style, by digest.

    Args:
        is_live: The page may speak with the server that it came from.
    """
    own = "connect-src 'self'; img-src 'self'; " if is_live else ""
    return (
        f"default-src 'none'; script-src '{_digest(_script())}'; style-src '{_digest(_style())}';"
        f" {own}base-uri 'none'; form-action 'none'"
    )


def _environment() -> Environment:
    made = Environment(autoescape=True, finalize=_settle, loader=FunctionLoader(_read))
    made.filters["anchor"] = anchor
    made.filters["shown"] = shown
    return made


def _settle(value: object) -> object:
    """Strip control and direction marks from text; leave HTML unchanged."""
    return value if isinstance(value, Markup) else page_text(str(value)) if value else ""


def _read(name: str) -> str:
    return files("pairmill.output.report").joinpath(name).read_text("utf-8")


@cache
def _script() -> str:
    """Return the page's script: loading of pairs, display of one, marking, and the page."""
    return '"use strict";\n(() => {\n' + "".join(map(_read, _SCRIPTS)) + "})();\n"


@cache
def _style() -> str:
    return _read("page.css")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _embed(data: object) -> Markup:
    """JSON that cannot end the element it is in."""
    text = orjson.dumps(data).decode()
    for mark, instead in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(mark, instead)
    return Markup(text)


def _nothing(facts: RunFacts, measures: Measures) -> str:
    """Say that there is no pair to judge; "" if there is one, or none is to be expected yet."""
    if measures.rows or not facts.finished:
        return ""
    return "There is nothing to train on: no pair was kept. What was dropped is listed below."


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
    return section(
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
    inside = table(("", "Check", "Found", "What to do"), rows)
    return section(title, tag("div", inside, class_="panel"))


def wanted_rows(folder: Path, marks: Marks) -> Iterator[Row]:
    """Yield the published rows of a run with marks applied: without rejected ones, edited.

    With those that the run had dropped, and people accepted.
    """
    for row in _rows(folder, "train"):
        if not marks.leaves_out(row):
            yield marks.revise(row)
    for row, _ in rescued_rows(folder, marks):
        yield marks.revise(row)


def _rows(folder: Path, kind: str) -> Iterator[Row]:
    for shard in published_shards(folder, kind):
        for line in complete_lines(shard):
            yield parse(line, shard)
