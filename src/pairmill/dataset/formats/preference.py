"""Prompt, chosen and rejected, for DPO and its kin.

Two answers to the same instruction on the same chunk make a record when a judge rated both and the
means lie far enough apart. Answers of very unlike length make none: training would learn length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.dataset.formats.format import Candidate, Format
from pairmill.dataset.rows import mean_score
from pairmill.quality.text import key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pairmill.dataset.rows import Row

__all__ = ["MIN_GAP", "PREFERENCE"]

MIN_GAP = 1.5
"""Least distance of two answers' mean ratings, on the judge's scale of 1 to 5."""
_LONGEST_RATIO = 2.0


def _write(rows: Sequence[Row]) -> Iterable[Candidate]:
    groups: dict[str, list[tuple[float, Row]]] = {}
    for row in rows:
        score = mean_score(row)
        if score is not None:
            groups.setdefault(key(row["instruction"]), []).append((score, row))
    for group in groups.values():
        best = max(group, key=lambda item: item[0])
        worst = min(group, key=lambda item: item[0])
        if best[0] - worst[0] >= MIN_GAP and _of_like_length(best[1], worst[1]):
            yield Candidate(best[1], _record(best[1], worst[1]))


def _record(chosen: Row, rejected: Row) -> dict[str, str]:
    return {
        "prompt": chosen["instruction"],
        "chosen": chosen["answer"],
        "rejected": rejected["answer"],
    }


def _of_like_length(one: Row, other: Row) -> bool:
    shorter, longer = sorted((len(one["answer"]), len(other["answer"])))
    return longer <= _LONGEST_RATIO * shorter


PREFERENCE = Format(
    name="preference",
    summary="prompt, chosen and rejected: DPO and its kin; needs judged pairs of answers",
    schema={"prompt": "string", "chosen": "string", "rejected": "string"},
    notes={
        "prompt": "What a person asks",
        "chosen": "The answer that the judge rated higher",
        "rejected": "The answer that the judge rated lower",
    },
    write=_write,
    llama_factory={
        "formatting": "alpaca",
        "ranking": True,
        "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    },
    axolotl={"type": "chatml.prompt_pairs"},
    axolotl_top={"rl": "dpo"},
    paired=True,
)
