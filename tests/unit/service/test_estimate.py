from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.corpus import article

from pairmill.config import load
from pairmill.events import CallAnswered
from pairmill.llm.price_files import load_prices
from pairmill.recipes.make import make_recipe
from pairmill.records import Chunk, Usage, digest
from pairmill.service.estimate import Pace, PilotWatch, Range, estimate, notes_on, usual_call
from pairmill.service.survey import Survey, rehearse, survey
from pairmill.store.entries import Mean, Measured

if TYPE_CHECKING:
    from pathlib import Path

MINI = load_prices().find("gpt-4o-mini")


def surveyed(fresh: int = 1000, measured: Measured | None = None) -> Survey:
    return Survey(
        documents=100, skipped=1, reasons={"too short": 1}, examples={"too short": ("a",)},
        chunks=fresh + 10, finished=10, calls=1.0,
        prompt_chars=4100.0, max_tokens=1000.0, measured=measured or Measured(),
    )  # fmt: skip


def test_rules_of_thumb_give_a_wide_range() -> None:
    total = estimate(surveyed(), load(), [MINI])
    assert total.prompt_tokens.likely == pytest.approx(1_000_000 * 1.05)
    assert total.prompt_tokens.low < total.prompt_tokens.likely < total.prompt_tokens.high
    assert total.output_tokens.likely == pytest.approx(330_000 * 1.05)
    assert total.usd
    assert total.usd.likely == pytest.approx((1.0 * 0.15 + 0.33 * 0.60) * 1.05)
    assert total.usd.high / total.usd.low > 3
    assert total.hours is None


async def test_a_recipe_file_says_by_rehearsal_how_many_rows_and_calls_a_unit_takes(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.md").write_text(article(1, 22), "utf-8")
    given = {"inputs": (str(tmp_path / "a.md"),), "output": tmp_path / "out"}
    found = await survey(load(given={**given, "recipe": "facts"}))
    assert found.varies
    assert found.calls == 1 + 3  # one that finds facts, one for each of them
    assert found.rows is not None
    assert found.rows > 3  # more than backtranslate is asked for
    total = estimate(found, load(), [MINI])
    assert total.pairs.high == found.rows
    assert any("only a pilot shows how many" in note for note in notes_on(total, load()))
    assert (await survey(load(given=given))).rows is None


def test_what_was_measured_narrows_it() -> None:
    rows = [(3, 1, 900 + 10 * (number % 5), 400 + 20 * (number % 3)) for number in range(50)]
    total = estimate(surveyed(measured=Measured.of(rows)), load(), [MINI])
    assert total.is_measured
    assert total.prompt_tokens.likely == pytest.approx(920_000)
    assert total.prompt_tokens.high / total.prompt_tokens.low < 1.2
    assert total.pairs == pytest.approx((2850, 3000, 3150))
    assert any("from 50 finished units" in note for note in notes_on(total, load()))


def test_too_few_units_are_not_believed() -> None:
    few = Measured.of([(3, 1, 900, 400)] * 4)
    assert not estimate(surveyed(measured=few), load(), [MINI]).is_measured


def test_an_unknown_price_leaves_tokens_only() -> None:
    settings = load(given={"model": "own"})
    total = estimate(surveyed(), settings, [None])
    assert total.usd is None
    assert any("no price is known for 'own'" in note for note in notes_on(total, settings))
    dear = load_prices().find("gpt-4o")
    mixed = estimate(surveyed(), load(), [MINI, dear])
    assert mixed.usd
    assert estimate(surveyed(), load(), [MINI, None]).usd is None
    assert mixed.usd.high / mixed.usd.low > 3 * 10


def test_hours_come_from_the_limit_that_binds() -> None:
    by_requests = estimate(surveyed(), load(given={"rpm": 100}), [MINI])
    assert by_requests.hours
    assert by_requests.hours.low == pytest.approx(1000 / 100 / 60, rel=0.03)
    tight = estimate(surveyed(), load(given={"rpm": 100, "tpm": 20_000}), [MINI])
    assert tight.hours
    tokens = tight.prompt_tokens.likely + tight.output_tokens.likely
    assert tight.hours.likely == pytest.approx(tokens / 20_000 / 60, rel=0.03)


def test_a_pilots_pace_gives_hours_where_no_limits_do() -> None:
    pace = Pace(1.0, 2.0, 8.0)
    total = estimate(surveyed(), load(), [MINI], pace)
    assert total.hours
    assert total.hours.likely == pytest.approx(1050 / 2 / 3600)
    assert total.hours.low < total.hours.likely < total.hours.high
    assert any("2.0 calls a second" in note for note in notes_on(total, load()))
    limited = load(given={"rpm": 100})
    assert estimate(surveyed(), limited, [MINI], pace) == estimate(surveyed(), limited, [MINI])


def test_pools_share_the_work() -> None:
    pools = [{"name": "a", "rpm": 60}, {"name": "b", "rpm": 40}, {"name": "c", "escalation": True}]
    both = estimate(surveyed(), load(given={"pools": pools}), [MINI])
    one = estimate(surveyed(), load(given={"rpm": 100}), [MINI])
    assert both.hours == pytest.approx(one.hours)
    unknown = [{"name": "a", "rpm": 60}, {"name": "b"}]
    assert estimate(surveyed(), load(given={"pools": unknown}), [MINI]).hours is None


def test_a_cap_that_will_not_do_is_told() -> None:
    settings = load(given={"max_usd": 0.1, "max_total_tokens": 5_000_000})
    notes = notes_on(estimate(surveyed(), settings, [MINI]), settings)
    assert [note for note in notes if "max_" in note] == [
        "max_usd 0.1 will end the run early: about 0.37 dollars are still needed"
    ]


def test_nothing_to_ask_takes_nothing() -> None:
    total = estimate(surveyed(fresh=0), load(given={"rpm": 10}), [MINI])
    assert total.usd == total.hours == Range(0.0, 0.0, 0.0)


def test_a_mean_knows_how_sure_it_is() -> None:
    assert Mean.of([]) == Mean(0.0, 0.0)
    assert Mean.of([4.0]) == Mean(4.0, 4.0)
    assert Mean.of([1.0, 2.0, 3.0]).error == pytest.approx(1 / 3**0.5)


@pytest.mark.parametrize(("recipe", "fewest"), [("backtranslate", 1), ("extractive", 3)])
async def test_a_rehearsal_asks_what_a_run_would(recipe: str, fewest: int) -> None:
    text = article(3)
    chunk = Chunk(digest(text), text, "document", 0, len(text), "source")
    prompts = await rehearse(make_recipe(load(given={"recipe": recipe})), chunk)
    assert len(prompts) >= fewest
    assert all(prompt.sampling.max_tokens > 0 for prompt in prompts)
    assert "people rely on it." in prompts[0].text


async def test_a_usual_call_is_of_usual_size() -> None:
    call = await usual_call(load())
    assert 500 < call.prompt_tokens < 5_000
    assert 100 < call.output_tokens < 2_000


def flown(answers: list[tuple[float, float]], concurrency: int | None = None) -> Pace | None:
    """The pace of a pilot whose answers came at, and took, so many seconds."""
    times = iter([0.0, *(at for at, _ in answers)])
    watch = PilotWatch(lambda: next(times))
    for _, seconds in answers:
        watch(CallAnswered("m", "answer", Usage(), None, seconds=seconds))
    return watch.pace(concurrency)


def test_too_few_answers_say_nothing() -> None:
    assert flown([(number + 4.0, 4.0) for number in range(4)]) is None


def test_the_start_and_the_last_answers_are_left_out_of_the_likely_pace() -> None:
    slow_start = [(10.0 + number / 2, 4.0) for number in range(40)]  # two a second in the end
    pace = flown([*slow_start[:-1], (60.0, 30.0)])
    assert pace is not None
    assert pace.likely == pytest.approx(2.0)
    assert pace.low == pytest.approx(0.8 * 40 / 54)
    assert pace.high == pytest.approx(8.0)


def test_answers_that_come_all_at_once_prove_no_rate() -> None:
    pace = flown([(4.0, 4.0)] * 50)
    assert pace is not None
    assert pace.likely == pytest.approx(4 * 50 / 4)


def test_with_a_given_number_in_flight_latency_decides() -> None:
    pace = flown([(4.0 * (number // 8 + 1), 4.0) for number in range(20)], concurrency=8)
    assert pace is not None
    assert pace.likely == pytest.approx(2.0)
    assert pace.low < 2.0 < pace.high
