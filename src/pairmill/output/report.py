"""The quality report: one HTML file that opens from disk, with no script and nothing remote.

Crawled text and model output reach it only as escaped text, and a content security policy forbids
everything but the page's own style, should an escape ever be forgotten.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

from pairmill.output import report_parts as parts
from pairmill.output.files import write_text
from pairmill.output.markup import Markup, tag
from pairmill.output.measures import Names, measure
from pairmill.output.rows import complete_lines, parse, published_shards
from pairmill.quality.trust import verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pairmill.output.facts import RunFacts
    from pairmill.output.measures import Measures
    from pairmill.output.rows import Row
    from pairmill.quality.verdict import Check

__all__ = ["REPORT", "render_report", "write_report"]

REPORT = "report.html"

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_report(
    folder: Path,
    facts: RunFacts,
    *,
    checks: Sequence[Check] = (),
    find_chunks: Callable[[set[str]], Mapping[str, str]] | None = None,
    seed: int = 0,
) -> Path:
    """Read a run folder's published shards and write its ``report.html``.

    Args:
        folder: The run folder.
        facts: What the run knows of itself; reasons for drops are counted in ``rejected/`` where
            it names none.
        checks: Verdicts to put at the top.
        find_chunks: Finds the texts of chunks by their ids, where they are still at hand.
        seed: Chooses the pairs to read.

    Returns:
        Where the report is.

    Raises:
        FolderError: A shard cannot be read.
        StorageError: The disk refused.
    """
    measures = measure(_rows(folder, "train"), seed=seed)
    if facts.counts is None and not facts.rejections:
        reasons = Names()
        for row in _rows(folder, "rejected"):
            reasons.add(str(row.get("reason"))[:80])
        facts = replace(facts, rejections=reasons.counts)
    path = folder / REPORT
    name = folder.resolve().name
    chunks: Mapping[str, str] = {}
    if find_chunks:
        chunks = find_chunks({str(row.get("chunk_id")) for row in measures.samples})

    def chunk_text(row: Row) -> str | None:
        return chunks.get(str(row.get("chunk_id")))

    write_text(path, render_report(name, facts, measures, checks=checks, chunk_text=chunk_text))
    return path


def render_report(
    name: str,
    facts: RunFacts,
    measures: Measures,
    *,
    checks: Sequence[Check] = (),
    chunk_text: Callable[[Row], str | None] | None = None,
) -> str:
    """The report as HTML."""
    title = f"{name}: quality report"
    body = tag(
        "body",
        tag("h1", name),
        parts.lead(facts),
        parts.tiles(facts, measures),
        _verdicts("Verdicts", checks),
        _verdicts("Judge and evolution on trial", verdicts(facts.figures)),
        parts.funnel(facts, measures),
        parts.losses(facts),
        parts.lengths(measures),
        parts.grounding(measures),
        parts.variety(measures),
        parts.cost(facts, measures),
        parts.samples(measures, chunk_text),
        tag("footer", f"Written by pairmill {facts.version}."),
    )
    style = files("pairmill.output").joinpath("report.css").read_text("utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _verdicts(title: str, checks: Sequence[Check]) -> Markup | None:
    if not checks:
        return None
    rows = [
        (tag("span", check.status, class_=check.status), check.name, check.found, check.hint)
        for check in checks
    ]
    table = parts.table(("", "Check", "Found", "What to do"), rows)
    return parts.section(title, tag("div", table, class_="panel"))


def _rows(folder: Path, kind: str) -> Iterator[Row]:
    for shard in published_shards(folder, kind):
        for line in complete_lines(shard):
            yield parse(line, shard)
