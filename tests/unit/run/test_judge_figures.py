from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.events import PairEvolved, PairJudged, ShardPublished
from pairmill.run.judge_figures import RunMetrics

if TYPE_CHECKING:
    from pathlib import Path


def scores(instruction: int, truth: int, honesty: int | None, help_: int) -> dict[str, Any]:
    names = ("instruction_following", "truthfulness", "honesty", "helpfulness")
    return dict(zip(names, (instruction, truth, honesty, help_), strict=True))


def judged(given: dict[str, Any] | None, trial: str = "", **fields: Any) -> PairJudged:
    values = {"trial": trial, "position": 1, "words": 100, "scores": given, "first": None}
    return PairJudged(**{**values, **fields})


def figures_of(folder: Path, *events: PairJudged | PairEvolved) -> dict[str, Any]:
    figures = RunMetrics(folder / "figures.json", folder / "counts.json")
    for event in events:
        figures.listen(event)
    figures.save()
    found: dict[str, Any] = json.loads((folder / "figures.json").read_text("utf-8"))
    return found


def test_ratings_are_counted_as_they_are_and_missing_ones_apart(tmp_path: Path) -> None:
    found = figures_of(
        tmp_path, judged(scores(1, 5, None, 3)), judged(scores(1, 4, 2, 3)), judged(None)
    )["judge"]
    assert (found["rated"], found["unscored"]) == (2, 1)
    following = found["aspects"]["instruction_following"]
    assert following["mean"] == 1.0
    assert following["histogram"] == {"1": 2, "2": 0, "3": 0, "4": 0, "5": 0}
    assert found["aspects"]["honesty"] == {
        "mean": 2.0, "histogram": {"1": 0, "2": 1, "3": 0, "4": 0, "5": 0}, "null": 1,
    }  # fmt: skip


def test_asking_twice_gives_agreement_for_each_aspect(tmp_path: Path) -> None:
    events = [
        judged(scores(second, 5, None, 3), "again", first=scores(first, 5, None, 3))
        for first, second in [(1, 1), (5, 5), (3, 4), (2, 5)]
    ]
    found = figures_of(tmp_path, judged(scores(1, 1, 1, 1)), *events)["judge"]["repeated"]
    following = found["instruction_following"]
    assert following["compared"] == 4
    assert following["exact"] == 0.5
    assert following["within_one"] == 0.75
    assert following["kappa"] == pytest.approx(0.5, abs=0.2)
    assert found["truthfulness"]["kappa"] is None  # every rating is the same
    assert found["honesty"] == {"compared": 0, "exact": None, "within_one": None, "kappa": None}


def test_a_planted_fault_is_found_when_its_rating_falls(tmp_path: Path) -> None:
    good, bad = scores(5, 5, None, 5), scores(5, 2, None, 5)
    events = [
        judged(bad, "number", first=good),
        judged(good, "number", first=good),
        judged(scores(5, 5, None, 1), "number", first=good),  # that it helps less does not count
        judged(bad, "number", first=bad),  # was rated low before: nothing to see
        judged(None, "number", first=good),
        judged(bad, "swapped", first=good),
    ]
    controls = figures_of(tmp_path, judged(good), *events)["judge"]["controls"]
    assert controls["number"] == {"planted": 5, "rated": 3, "detected": 1, "share": 0.3333}
    assert controls["swapped"]["share"] == 1.0


def test_what_falls_by_itself_is_counted_beside_it(tmp_path: Path) -> None:
    good, bad, low = scores(5, 5, None, 5), scores(5, 2, None, 5), scores(2, 2, None, 5)
    events = [
        judged(bad, "again", first=good),
        judged(good, "again", first=good),
        judged(scores(1, 1, None, 5), "again", first=low),  # had no room to fall
    ]
    found = figures_of(tmp_path, judged(good), *events)["judge"]
    assert found["false_alarms"] == {"rated": 2, "fell": 1, "share": 0.5}


def test_a_bias_for_length_and_for_position_shows(tmp_path: Path) -> None:
    events = [
        judged(scores(n, n, n, n), words=50 * n, position=1 if n > 2 else 2) for n in range(1, 6)
    ]
    found = figures_of(tmp_path, *events)["judge"]
    assert found["score_against_length"] == 1.0
    assert found["mean_by_position"] == {"1": 4.0, "2": 1.5}


def test_operators_are_counted_with_why_they_failed(tmp_path: Path) -> None:
    outcomes = ["kept", "kept", "nothing_gained"]
    events = [PairEvolved("deepen", word) for word in outcomes]
    found = figures_of(tmp_path, *events)
    assert found["evolve"] == {"deepen": {"tried": 3, "kept": 2, "left_out": {"nothing_gained": 1}}}
    assert found["judge"] is None


def test_a_later_start_counts_on(tmp_path: Path) -> None:
    figures_of(tmp_path, judged(scores(1, 1, 1, 1)))
    assert figures_of(tmp_path, judged(scores(5, 5, 5, 5)))["judge"]["rated"] == 2


def test_counts_of_a_version_that_counts_more_are_gone_on_with(tmp_path: Path) -> None:
    figures_of(tmp_path, judged(scores(1, 5, 4, 3)))
    path = tmp_path / "counts.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "invented": {"later": 1}}))
    assert figures_of(tmp_path, judged(scores(2, 5, 4, 3)))["judge"]["rated"] == 2


def test_counts_that_are_damaged_were_never_made(tmp_path: Path) -> None:
    (tmp_path / "counts.json").write_text('{"rated": "x"', "utf-8")
    assert figures_of(tmp_path, judged(None))["judge"]["unscored"] == 1


def test_a_run_that_judges_nothing_leaves_no_file(tmp_path: Path) -> None:
    figures = RunMetrics(tmp_path / "figures.json", tmp_path / "counts.json")
    figures.listen(ShardPublished())
    figures.save()
    assert list(tmp_path.iterdir()) == []


def test_a_start_without_ratings_says_so_and_one_with_ratings_does_not(tmp_path: Path) -> None:
    def warning(*events: PairJudged, judge: str = "all", wrote: bool = True) -> str:
        place = tmp_path / str(len(list(tmp_path.iterdir())))
        place.mkdir()
        figures = RunMetrics(place / "figures.json", place / "counts.json")
        for event in events:
            figures.listen(event)
        return figures.warning(judge=judge, wrote=wrote)

    rated, missing = judged(scores(5, 5, 5, 5)), judged(None)
    assert warning(*[rated] * 20, missing) == ""
    assert "rated none of the 7 pairs" in warning(*[missing] * 7)
    assert "left 2 of 12 pairs unscored" in warning(*[rated] * 10, *[missing] * 2)
    assert "rated none" in warning(missing, judged(scores(5, 5, 5, 5), "again"))
    assert "took none of these chunks" in warning(judge="sample")
    assert warning(judge="sample", wrote=False) == ""
    assert warning(missing, judge="off") == ""
