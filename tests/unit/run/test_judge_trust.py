"""A judge on trial: what it says of planted faults and of the same pair twice, summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.asks import COPPER, KETTLES, LAW, make_chunk
from tests.unit.recipes.test_judge import KnowingJudge, judge

from pairmill.events import PairJudged
from pairmill.records import Pair
from pairmill.run.judge_figures import RunMetrics, summarize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAIRS = [
    Pair(LAW["instruction"], LAW["answer"], 0),
    Pair(COPPER["instruction"], COPPER["answer"], 1),
]
GOOD = {(pair.instruction, pair.answer) for pair in PAIRS}
CHUNKS = 60


async def figures_of(
    folder: Path, worth: Callable[[str, str], int], *, reads: bool = False
) -> dict[str, Any]:
    figures = RunMetrics(folder / "figures.json", folder / "counts.json")
    for number in range(CHUNKS):
        ask = KnowingJudge(worth, reads=reads)
        chunk = make_chunk(f"{number}. {KETTLES}")
        await judge(judge_trust=1.0).rate(PAIRS, chunk, ask)
        for event in ask.told:
            assert isinstance(event, PairJudged)
            figures.listen(event)
    found: dict[str, Any] = summarize(figures._counts)["judge"]
    return found


async def test_a_judge_that_sees_what_is_wrong_finds_every_planted_fault(tmp_path: Path) -> None:
    found = await figures_of(tmp_path, lambda *shown: 4 if shown in GOOD else 2, reads=True)
    assert found["rated"] == 2 * CHUNKS
    assert {"swapped", "cut", "foreign", "exchanged"} <= set(found["controls"])
    assert sum(control["planted"] for control in found["controls"].values()) == CHUNKS
    assert all(control["share"] == 1.0 for control in found["controls"].values())
    assert found["repeated"]["truthfulness"]["exact"] == 1.0


async def test_a_judge_that_likes_everything_finds_none(tmp_path: Path) -> None:
    found = await figures_of(tmp_path, lambda *_: 5)
    assert all(control["share"] == 0.0 for control in found["controls"].values())
    assert found["repeated"]["truthfulness"]["kappa"] is None


async def test_a_judge_that_only_sees_length_is_told_by_its_bias(tmp_path: Path) -> None:
    found = await figures_of(tmp_path, lambda _, answer: min(5, len(answer) // 60))
    assert found["score_against_length"] > 0.3
    assert found["controls"]["cut"]["share"] == 1.0
    assert found["controls"]["foreign"]["share"] == 0.0


async def test_a_judge_that_never_looks_at_the_passage_is_told_by_what_the_text_lacks(
    tmp_path: Path,
) -> None:
    """It rates how a reply reads: whole and to the point, or not."""
    asked = {pair.instruction: pair.answer for pair in PAIRS}

    def worth(request: str, answer: str) -> int:
        is_whole = answer.rstrip().endswith((".", "!"))
        is_about = asked[request][:10] == answer[:10]
        return 5 if is_whole and is_about else 1

    found = await figures_of(tmp_path, worth)
    assert found["controls"]["swapped"]["share"] == 1.0
    assert found["controls"]["foreign"]["share"] == 0.0
    assert found["controls"]["exchanged"]["share"] == 0.0


async def test_a_judge_that_throws_dice_does_not_agree_with_itself(tmp_path: Path) -> None:
    thrown = iter(range(10**6))
    found = await figures_of(tmp_path, lambda *_: 1 + next(thrown) * 7919 % 5)
    assert abs(found["repeated"]["helpfulness"]["kappa"]) < 0.4
    assert found["repeated"]["helpfulness"]["compared"] == 2 * CHUNKS
