"""Prompt, chosen and rejected, for DPO and similar methods.

Two answers to the same instruction on the same chunk make a record when a judge rated both and the
means lie far enough apart: two rows, or a row and the second answer that it bears. A second answer
that was written without the text needs no judge to be the rejected one, but must not be rated
higher. Answers of very unlike length make no record: training would learn length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Candidate, Format, TrlLines
from pairmill.output.rows import mean_score
from pairmill.quality.text import key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pairmill.output.rows import Row

__all__ = ["MIN_GAP", "PREFERENCE"]

MIN_GAP = 1.5
"""Least distance of two answers' mean ratings, on the judge's scale of 1 to 5."""
_LONGEST_RATIO = 2.0
_JUDGE = "rated higher by the judge"
_TEXT = "written with the text in view"
_RESHAPE = """\
def turns(row):
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }


rows = rows.map(turns, remove_columns=rows.column_names)
"""


def _write(rows: Sequence[Row]) -> Iterable[Candidate]:
    groups: dict[str, list[tuple[float, Row]]] = {}
    for row in rows:
        score = mean_score(row)
        if row.get("alternative"):
            yield from _with_alternative(row, score)
        elif score is not None:
            groups.setdefault(key(row["instruction"]), []).append((score, row))
    for group in groups.values():
        best = max(group, key=lambda item: item[0])
        worst = min(group, key=lambda item: item[0])
        if best[0] - worst[0] >= MIN_GAP:
            yield from _pair(best[1], best[1]["answer"], worst[1]["answer"], _JUDGE)


def _with_alternative(row: Row, score: float | None) -> Iterable[Candidate]:
    """Yield the row's own two answers, if one of them is surely the better."""
    answer, other = row["answer"], row["alternative"]
    other_score = other.get("score")
    rated = score is not None and other_score is not None
    gap = score - other_score if rated else 0.0
    if other.get("route") == "closed_book":
        if gap >= 0:
            how = f"{_TEXT}, and the judge agreed" if rated else _TEXT
            yield from _pair(row, answer, other["answer"], how)
    elif abs(gap) >= MIN_GAP:
        better, worse = (answer, other["answer"]) if gap > 0 else (other["answer"], answer)
        yield from _pair(row, better, worse, _JUDGE)


def _pair(row: Row, chosen: str, rejected: str, how: str) -> Iterable[Candidate]:
    shorter, longer = sorted((len(chosen), len(rejected)))
    if shorter and longer <= _LONGEST_RATIO * shorter:
        record = {"prompt": row["instruction"], "chosen": chosen, "rejected": rejected}
        yield Candidate(row, record, how)


PREFERENCE = Format(
    name="preference",
    summary="prompt, chosen and rejected: DPO and its kin; needs second or judged answers",
    schema={"prompt": "string", "chosen": "string", "rejected": "string"},
    notes={
        "prompt": "What a person asks",
        "chosen": "The better answer: rated higher by the judge, or written with the text in view",
        "rejected": "The other one: rated lower, or written without the text (closed_book)",
    },
    write=_write,
    llama_factory={
        "formatting": "alpaca",
        "ranking": True,
        "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    },
    axolotl={"type": "chatml.prompt_pairs"},
    axolotl_top={"rl": "dpo"},
    llama_stage="dpo",
    trl=TrlLines("DPOTrainer", reshape=_RESHAPE),
    paired=True,
)
