"""Result of an export, in a few lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.licenses import UNKNOWN, warnings
from pairmill.plain import plain

if TYPE_CHECKING:
    from pairmill.output.export import ExportSummary
    from pairmill.output.leak import Leak

__all__ = ["summary_lines"]

_MOST_NAMES = 20
_SHOWN_CHARS = 600


def summary_lines(summary: ExportSummary) -> list[str]:
    """Describe the place, the splits, what was dropped and why, and the leak between splits."""
    kept = ", ".join(f"{count:,} {split}" for split, count in summary.kept.items())
    total = sum(summary.kept.values())
    lines = [f"{total:,} of {summary.rows:,} pairs in {summary.folder}: {kept}"]
    if summary.is_dry:
        would = f", in the place of an earlier export ({summary.replaced})" * bool(summary.replaced)
        lines = [
            f"{total:,} of {summary.rows:,} pairs would go to {summary.folder}{would}: {kept}",
            f"the first: {plain(summary.first, _SHOWN_CHARS)}",
        ]
    elif summary.replaced:
        lines.append(f"replaced the export that was there: {summary.replaced}")
    if summary.dropped:
        most = sorted(summary.dropped.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{count:,} {plain(reason, 80)}" for reason, count in most)
        lines.append(f"dropped: {reasons}")
    lines += _system_lines(summary)
    if summary.marked:
        lines.append(f"marks: {', '.join(f'{n:,} {what}' for what, n in summary.marked.items())}")
    lines += [plain(line, _SHOWN_CHARS) for line in summary.notices]
    lines += _license_lines(summary)
    lines.append(_leak_line(summary.leak))
    if summary.related is not None and not summary.sources_read:
        lines.append("kin: by answers alone, since the run's inputs are not at hand")
    if summary.moved:
        names = ", ".join(plain(name, 80) for name in summary.moved[:_MOST_NAMES])
        more = len(summary.moved) - _MOST_NAMES
        lines.append(
            f"moved to another split than in the export before, since new text joins them to"
            f" others: {names}{f' and {more:,} more' if more > 0 else ''}"
        )
    if summary.open_book:
        lines.append(_open_book_line(summary.open_book))
    if summary.length_gap:
        lines.append(summary.length_gap.line())
    return lines


def _license_lines(summary: ExportSummary) -> list[str]:
    counts = summary.origins.licenses
    if set(counts) <= {UNKNOWN}:
        return []
    named = ", ".join(f"{count:,} {plain(name, 80)}" for name, count in list(counts.items())[:5])
    more = f" and {len(counts) - 5} more" if len(counts) > 5 else ""  # noqa: PLR2004 (a line)
    return [f"licences of the texts: {named}{more}", *warnings(counts)]


def _system_lines(summary: ExportSummary) -> list[str]:
    if summary.without_system:
        left = f"system texts left out: {summary.without_system:,}, since this format has no place"
        how = "--columns system keeps them, --fold-system puts each before its prompt"
        return [f"{left} for them; {how}"]
    if summary.folded_systems:
        return [f"system texts put before their prompts: {summary.folded_systems:,}"]
    return []


def _leak_line(leak: Leak | None) -> str:
    if leak is None:
        return "leak into train: not measured, since there is no held-out split beside it"
    return (
        f"leak into train: {leak.share:.1%} of {leak.held_out:,} held-out pairs "
        f"({leak.same_instruction:,} same instruction, {leak.copied_answer:,} copied answer)"
        f"{_source_part(leak)}"
    )


def _source_part(leak: Leak) -> str:
    if leak.copied_source is None:
        return ""
    return f", {leak.copied_source:,} from a source whose text is in train"


def _open_book_line(counts: dict[str, int]) -> str:
    line = (
        f"open book: {counts.get('opened', 0):,} pairs with passages in the prompt,"
        f" {counts.get('unanswerable', 0):,} of them without their own"
    )
    missing = counts.get("no_text", 0)
    if missing:
        line += (
            f"; {missing:,} more as they are, since their text is not among the run's inputs now"
        )
    return line
