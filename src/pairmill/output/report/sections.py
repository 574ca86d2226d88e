"""Sections of the quality report: each takes counts and returns HTML."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pairmill.output.markup import Child, Markup, tag
from pairmill.output.origins import UNKNOWN, warnings
from pairmill.output.report.layout import Bar, bars, bins_of, histogram, section, table
from pairmill.output.report.row_counts import percentile
from pairmill.store.counts import chunk_sums, pair_sums

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from pairmill.output.export_summary import ExportRecord
    from pairmill.output.facts import RunFacts
    from pairmill.output.qc.variety import Variety
    from pairmill.output.report.row_counts import DistinctCounter, Measures, NameCounts
    from pairmill.store.counts import RunCounts

__all__ = [
    "concentration",
    "cost",
    "exports",
    "funnel",
    "grounding",
    "lead",
    "lengths",
    "losses",
    "ratings",
    "sequence_lengths",
    "tiles",
    "variety",
]

_TOP = 12
_PER = 1_000


def lead(facts: RunFacts) -> Markup:
    """Describe how the dataset was made, in a sentence."""
    models = ", ".join(facts.models) or "no model yet"
    return tag(
        "p",
        f"Quality report. Recipe {facts.recipe}, prompt version {facts.prompt_version}; {models}.",
        class_="lead",
    )


def tiles(facts: RunFacts, measures: Measures) -> Markup:
    """Render the figures that a reader looks for first."""
    about = "" if measures.instructions.is_exact else "about "
    shown = [
        _tile("Pairs", f"{measures.rows:,}", f"{_dropped(facts):,} dropped"),
        _tile("Documents used", _distinct(measures.documents), _of(facts.documents)),
        _tile("Chunks used", _distinct(measures.chunks), _of(facts.chunks)),
        _tile("Repeats", f"{about}{measures.duplicate_rate:.1%}", "of instructions"),
        _tile("Grounding", _median(measures.grounding), "median"),
        _tile("Support", _median(measures.support), "median"),
        _tile("Tokens", _per_pair(facts, measures), "per pair"),
    ]
    if facts.cost_usd is not None:
        each = f"${facts.cost_usd * _PER / measures.rows:,.2f} per 1,000" if measures.rows else ""
        shown.append(_tile("Cost", f"${facts.cost_usd:,.2f}", each))
    return tag("dl", *shown, class_="tiles")


def funnel(
    facts: RunFacts, measures: Measures, marked: Mapping[str, int] = MappingProxyType({})
) -> Markup:
    """Render how many came through each stage, and people's decisions."""
    if facts.counts is not None:
        return _sums(facts.counts, measures.rows, marked, facts.exports)
    stages = [
        ("Documents read", facts.documents),
        ("Chunks cut", facts.chunks),
        ("Units finished", facts.units),
        ("of these, without usable content", facts.empty_units),
        ("Pairs written", facts.pairs),
        ("Pairs in the dataset", measures.rows),
        *_by_people(marked),
    ]
    known = [(label, count) for label, count in stages if count is not None]
    return section("From documents to pairs", tag("div", bars("Stage", known), class_="panel"))


def _by_people(marked: Mapping[str, int]) -> list[tuple[str, int | None]]:
    """Bars on what people decided; a note decides nothing."""
    return [(f"{what} by people", n) for what, n in marked.items() if what != "noted"]


def _sums(
    counts: RunCounts,
    rows: int,
    marked: Mapping[str, int],
    exports: Sequence[ExportRecord],
) -> Markup:
    """Render a panel per unit, each on its own scale: documents, chunks, pairs, and losses."""
    panels: list[tuple[str, list[tuple[str, int]]]] = []
    if counts.documents:
        skipped = [(f"skipped: {reason}", n) for reason, n in counts.skipped.items()]
        panels.append(("Documents", [("all", counts.documents), ("used", counts.used), *skipped]))
    panels.append(("Chunks", [(label, n) for label, n in chunk_sums(counts) if n]))
    people = [(label, n) for label, n in _by_people(marked) if n]
    panels.append(("Pairs", [*pair_sums(counts), *people, ("in this report", rows)]))
    panels += _exported(exports)
    inside = [tag("div", bars(label, counted), class_="panel") for label, counted in panels]
    return section("From documents to pairs", *inside)


def _exported(exports: Sequence[ExportRecord]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return the last export: rows read for it, kept ones, and the others by reason."""
    if not exports:
        return []
    last = exports[0]
    dropped = sorted(last.dropped.items(), key=lambda item: (-item[1], item[0]))
    return [
        (
            f"Exported as {last.shape}",
            [
                ("read", last.rows),
                ("exported", sum(last.kept.values())),
                *((f"dropped: {reason}", count) for reason, count in dropped),
            ],
        )
    ]


def exports(facts: RunFacts) -> Markup | None:
    """Render what was exported, and how much of the held-out rows also occurs in train."""
    if not facts.exports:
        return None
    head = ("Format", "Written", "Rows", "Leak into train")
    rows: list[tuple[Child, ...]] = [
        (
            one.shape if one.name.endswith(f"-{one.shape}") else f"{one.shape}, in {one.name}",
            one.at.replace("T", " ").removesuffix("Z"),
            ", ".join(f"{count:,} {split}" for split, count in one.kept.items()),
            _leak(one),
        )
        for one in facts.exports[:_TOP]
    ]
    note = (
        "Leak: held-out rows whose instruction, or half of whose answer, stands in train as well."
        " Documents that share text are kept in one split."
    )
    inside = tag("div", table(head, rows, stacks=True), class_="panel")
    return section("Exports", tag("p", note, class_="note"), inside)


def _leak(one: ExportRecord) -> str:
    if one.held_out is None:
        return "not measured: no held-out split"
    found = one.same_instruction + one.copied_answer
    told = f"{found / one.held_out:.1%}" if one.held_out else "0.0%"
    told += f": {one.same_instruction:,} by instruction, {one.copied_answer:,} by answer"
    return told if one.copied_source is None else f"{told}, {one.copied_source:,} by source text"


def losses(facts: RunFacts) -> Markup:
    """Return the section on reasons why units and pairs were dropped."""
    ordered = sorted(facts.rejections.items(), key=lambda item: (-item[1], item[0]))
    if not ordered:
        return section("What was dropped", tag("p", "Nothing was dropped.", class_="none"))
    inside = tag("div", bars("Reason", ordered, share_of=facts.rejected), class_="panel")
    return section("What was dropped", inside)


def lengths(measures: Measures) -> Markup:
    """Render the lengths of instructions and answers."""
    pair = [
        _length_panel("Instructions", measures.instruction_words),
        _length_panel("Answers", measures.answer_words),
    ]
    return section("Lengths in words", tag("div", *pair, class_="pair-of"))


def grounding(measures: Measures) -> Markup:
    """Render how much of the answers occurs in their chunks."""
    evidence = measures.with_evidence / measures.rows if measures.rows else 0.0
    note = (
        "Share of an answer's content words that stand in the chunk it was written from: a guard "
        "against foreign text, no test of truth. "
        f"{measures.grounded_rows:,} of {measures.rows:,} pairs have a figure; {evidence:.1%} name "
        "their evidence."
    )
    backed = (
        "Support: whether the answer's words stand together in the chunk, and whether its numbers, "
        f"names and negations are the chunk's. {sum(measures.support):,} pairs have a figure."
    )
    return section(
        "Grounding and support",
        tag("p", note, class_="note"),
        _shares_panel(measures.grounding, "Grounding of the answers", "grounding"),
        tag("p", backed, class_="note"),
        _shares_panel(measures.support, "Support of the answers", "support"),
    )


def _shares_panel(bins: list[int], title: str, name: str) -> Markup:
    """Render a histogram of a figure from 0 to 1."""
    size = len(bins)
    bars = [
        Bar(f"{place / size:.2f}", f"{place / size:.2f} to {(place + 1) / size:.2f}", count)
        for place, count in enumerate(bins)
    ]
    return tag("div", histogram(bars, title, name, wide=True), class_="panel")


def variety(measures: Measures, sample: Sequence[Variety] = ()) -> Markup:
    """First words, kinds, flags and licences; and how much the instructions repeat themselves.

    Args:
        measures: Of the rows.
        sample: Of the instructions, and of as many words of the documents.
    """
    panels = [
        _names_panel("First word of the instruction", measures.first_words, measures.rows),
        _names_panel("Kind", measures.kinds, measures.rows),
    ]
    if set(measures.tasks.counts) - {"pair"}:
        panels.append(_names_panel("Task", measures.tasks, measures.rows))
    if measures.flags.counts:
        panels.append(_names_panel("Flags", measures.flags, measures.rows))
    if set(measures.licenses.counts) - {UNKNOWN}:
        panels.append(_names_panel("Licence of the text", measures.licenses, measures.rows))
    warned = [tag("p", line, class_="note") for line in _licence_notes(measures)]
    return section("Variety", _compared(sample), tag("div", *panels, class_="pair-of"), *warned)


def _licence_notes(measures: Measures) -> list[str]:
    counts = measures.licenses.counts
    return warnings(counts) if set(counts) - {UNKNOWN} else []


def _compared(sample: Sequence[Variety]) -> Markup | None:
    """Render the instructions' variety beside that of the texts; None if it was not measured."""
    if not sample:
        return None
    head = ("Sample", "Words", "Different word pairs", "Packed by zlib")
    rows: list[tuple[Child, ...]] = [
        (one.name, f"{one.words:,}", f"{one.distinct_2:.0%}", f"{one.compression:.1f} : 1")
        for one in sample
    ]
    note = (
        "How much a sample repeats itself, beside as many words of the documents: the instructions"
        " are never as varied as the texts, and far below them they follow a template."
        if len(sample) > 1
        else "How much a sample of the instructions repeats itself; the documents are not at hand"
        " to compare with, or too short."
    )
    inside = tag("div", table(head, rows, (1, 2, 3)), class_="panel")
    return Markup(tag("p", note, class_="note") + inside)


def cost(facts: RunFacts, measures: Measures) -> Markup:
    """Return the section on tokens and money."""
    prompt, completion = _tokens(facts, measures)
    rows: list[tuple[Child, ...]] = [
        ("Prompt tokens", f"{prompt:,}", _each(prompt, measures.rows)),
        ("Completion tokens", f"{completion:,}", _each(completion, measures.rows)),
    ]
    if facts.usage:
        cached = facts.usage.cached_tokens
        rows.insert(1, ("of these, cached", f"{cached:,}", _each(cached, measures.rows)))
    if facts.repairs is not None:
        rows.append(("Answers repaired", f"{facts.repairs:,}", _each(facts.repairs, measures.rows)))
    if facts.cost_usd is not None:
        per = facts.cost_usd * _PER / measures.rows if measures.rows else 0.0
        rows.append(("Cost, USD", f"{facts.cost_usd:,.4f}", f"{per:,.2f}"))
        if facts.doubt_usd:
            label = "at most more, for calls whose end or count is not known"
            rows.append((label, f"{facts.doubt_usd:,.4f}", ""))
    head = ("", "In all", "Per 1,000 pairs")
    return section("Tokens and cost", tag("div", table(head, rows, (1, 2)), class_="panel"))


def _dropped(facts: RunFacts) -> int:
    """Return the pairs that a check dropped, as every other place counts them."""
    return facts.rejected if facts.counts is None else facts.counts.dropped_pairs


def _tile(label: str, figure: str, more: str) -> Markup:
    inside = tag("dd", figure, tag("small", more) if more else None)
    return tag("div", tag("dt", label), inside, class_="tile")


def _distinct(counted: DistinctCounter) -> str:
    return f"{counted.count():,}" if counted.is_exact else f"about {counted.count():,}"


def _of(total: int | None) -> str:
    return "" if total is None else f"of {total:,}"


def _median(bins: list[int]) -> str:
    """Return the middle of the bin that holds the median of a figure from 0 to 1."""
    seen, total = 0, sum(bins)
    for place, count in enumerate(bins):
        seen += count
        if count and 2 * seen >= total:
            return f"{(place + 0.5) / len(bins):.2f}"
    return "n/a"


def _tokens(facts: RunFacts, measures: Measures) -> tuple[int, int]:
    if facts.usage:
        return facts.usage.prompt_tokens, facts.usage.completion_tokens
    return measures.prompt_tokens, measures.completion_tokens


def _per_pair(facts: RunFacts, measures: Measures) -> str:
    return f"{sum(_tokens(facts, measures)) / measures.rows:,.0f}" if measures.rows else "n/a"


def _each(count: int, rows: int) -> str:
    return f"{count * _PER / rows:,.0f}" if rows else "n/a"


def _length_panel(title: str, counted: Counter[int]) -> Markup:
    middle = " · ".join(
        f"{label} {percentile(counted, share):,}"
        for label, share in (("5 % up to", 0.05), ("median", 0.5), ("95 % up to", 0.95))
    )
    chart = histogram(bins_of(counted), f"{title}: words", "words")
    return tag("div", tag("h3", title), chart, tag("p", middle, class_="note"), class_="panel")


def _names_panel(title: str, names: NameCounts, rows: int) -> Markup:
    return tag("div", bars(title, names.top(_TOP), share_of=rows), class_="panel")


_LIMITS = (512, 1_024, 2_048, 4_096, 8_192)
_TOP_SOURCES = 10


def sequence_lengths(measures: Measures) -> Markup | None:
    """Render how many rows are cut at the usual sequence lengths; None without rows."""
    lengths = measures.row_tokens
    if not lengths:
        return None
    total = sum(length * count for length, count in lengths.items())
    note = (
        f"About {total:,} tokens to train on in one epoch, at four bytes a token and without a chat"
        f" template: {percentile(lengths, 0.5):,} in the median row, {percentile(lengths, 0.99):,}"
        f" or fewer in 99 %, {max(lengths):,} in the longest."
    )
    rows: list[tuple[Child, ...]] = []
    for limit in _LIMITS:
        longer = sum(count for length, count in lengths.items() if length > limit)
        rows.append((f"{limit:,}", f"{longer:,}", f"{longer / measures.rows:.1%}"))
        if not longer:
            break
    head = ("Sequence length, tokens", "Rows that are longer", "Share")
    inside = tag("div", table(head, rows, (1, 2)), class_="panel")
    return section("Lengths in tokens", tag("p", note, class_="note"), inside)


def ratings(measures: Measures) -> Markup | None:
    """Render a judge's ratings of the pairs, by aspect; None if there are none."""
    if not measures.ratings:
        return None
    head = ("Aspect", "Rated", "Mean", *map(str, range(1, 6)))
    rows: list[tuple[Child, ...]] = []
    for aspect, counts in measures.ratings.items():
        rated = counts.total()
        mean = sum(rating * count for rating, count in counts.items()) / rated
        shares = [f"{counts.get(rating, 0) / rated:.0%}" for rating in range(1, 6)]
        rows.append((aspect.replace("_", " "), f"{rated:,}", f"{mean:.2f}", *shares))
    note = "Share of the rated pairs with each rating from 1 to 5."
    inside = tag("div", table(head, rows, tuple(range(1, 8)), stacks=True), class_="panel")
    return section("Ratings", tag("p", note, class_="note"), inside)


def concentration(measures: Measures) -> Markup | None:
    """Render the documents that most rows come from; None for a single one."""
    names = measures.per_document
    if len(names.counts) < 2:  # noqa: PLR2004 (one document is no distribution)
        return None
    ordered = names.top(len(names.counts))
    tenth = max(1, len(ordered) // 10)
    share = sum(count for _, count in ordered[:tenth]) / measures.rows
    known = f"{len(ordered):,}" + (" first" if names.others else "")
    note = (
        f"{known} documents by title or file; the {tenth:,} with the most pairs hold {share:.0%} of"
        f" all, and the median document {ordered[len(ordered) // 2][1]:,}."
    )
    inside = tag(
        "div", bars("Document", ordered[:_TOP_SOURCES], share_of=measures.rows), class_="panel"
    )
    return section("Pairs by document", tag("p", note, class_="note"), inside)
