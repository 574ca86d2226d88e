"""What a trainer asks of a dataset: how long its rows are, how rated, and from how many texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.markup import Child, Markup, tag
from pairmill.output.report.layout import bars, section, table
from pairmill.output.report.measures import percentile

if TYPE_CHECKING:
    from pairmill.output.report.measures import Measures

__all__ = ["concentration", "ratings", "sequence_lengths"]

_LIMITS = (512, 1_024, 2_048, 4_096, 8_192)
_TOP = 10


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
    inside = tag("div", bars("Document", ordered[:_TOP], share_of=measures.rows), class_="panel")
    return section("Pairs by document", tag("p", note, class_="note"), inside)
