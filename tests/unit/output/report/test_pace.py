from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pairmill.llm.prices import PICO
from pairmill.output.facts import RunFacts
from pairmill.output.report.pace import pace, stages
from pairmill.records import Usage
from pairmill.store.timeline import StageSum, StartPace, Timeline

if TYPE_CHECKING:
    from pairmill.output.markup import Markup


def start(at: float, allowed: list[float], **given: object) -> StartPace:
    count = len(allowed)
    made = StartPace(
        at, 2.0, pairs=[4] * count, answers=[2] * count, refused=[0] * count, failed=[0] * count,
        in_flight=[1.0] * count, allowed=allowed, paused=[0.0] * count,
    )  # fmt: skip
    for name, value in given.items():
        setattr(made, name, value)
    return made


def shown(markup: Markup | None) -> str:
    assert markup is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup))


def test_the_charts_are_told_in_words_too() -> None:
    one = start(0.0, [8.0] * 20, ended="stopped by <SIGTERM>")
    two = start(100.0, [8.0] * 10 + [4.0] * 10, refused=[0] * 9 + [5] + [0] * 10,
                paused=[0.0] * 15 + [1.0] * 5)  # fmt: skip
    made = pace(Timeline(starts=[one, two]))
    text = shown(made)
    assert "2 starts, the first at 1970-01-01 00:00 UTC" in text
    assert "120 pairs a minute on average" in text
    assert "5 calls refused for the rate" in text
    assert "0:10 of waiting" in text
    assert "1 cut of what may be in flight" in text
    assert "stopped by &lt;SIGTERM&gt;" in text
    assert made is not None
    assert made.count('class="wait"') == 5 * 2
    assert made.count('class="refused"') == 1
    assert made.count('class="limit"') == 1
    assert made.count('class="restart"') == 2
    assert made.count('role="img"') == 2


def test_of_many_starts_the_last_are_drawn_and_the_page_says_so() -> None:
    text = shown(pace(Timeline(starts=[start(60.0 * at, [1.0]) for at in range(20)])))
    assert "The last 12 of 20 starts, the first of these at 1970-01-01 00:08 UTC" in text


def test_nothing_asked_is_no_chart() -> None:
    assert pace(Timeline(starts=[StartPace(0.0)])) is None
    assert stages(Timeline(), RunFacts("r", "1", (), "1"), 3) is None
    assert pace(Timeline(starts=[start(0.0, [1.0])])) is not None  # a single point


def test_stages_models_and_the_rest_add_up_to_the_bill() -> None:
    sums = [
        StageSum("backtranslate", "small", 10, 1_000, 500, 3 * PICO),
        StageSum("answers", "small", 1, 100, 50, 1 * PICO),
        StageSum("judge", "big", 5, 400, 50, 2 * PICO),
    ]
    facts = RunFacts("r", "1", (), "1", usage=Usage(1_600, 610), cost_usd=6.5)
    text = shown(stages(Timeline(stages=sums), facts, 2_000))
    assert "write 11 1,100 550 4.0000 2.00" in text
    assert "judge 5 400 50 2.0000 1.00" in text
    assert "big 5 400 50 2.0000 1.00" in text
    rest = "probes, empty replies, and what a kill lost count of 100 10 0.5000 0.25"
    assert text.count(rest) == 2
    unpriced = [StageSum("judge", "big", 5, 400, 50, 0, 5)]
    assert "judge 5 400 50" in shown(stages(Timeline(stages=unpriced), facts, 0))
