from __future__ import annotations

from collections import Counter

from pairmill.output.report.layout import Bar, bins_of, histogram


def test_every_count_falls_into_a_bar() -> None:
    counted = Counter({3: 5, 17: 2, 250: 1})
    bars = bins_of(counted)
    assert sum(bar.count for bar in bars) == 8
    assert len(bars) <= 30
    assert bars[0] == Bar("0", "0 to 9", 5)


def test_one_giant_does_not_flatten_the_rest() -> None:
    counted = Counter(dict.fromkeys(range(50), 10)) + Counter({5_000: 1})
    bars = bins_of(counted)
    assert len(bars) == 25
    assert bars[-1].reach == "48 to 5000"
    assert sum(bar.count for bar in bars) == counted.total()


def test_single_values_are_named_as_such() -> None:
    assert bins_of(Counter({2: 1})) == [Bar("0", "0", 0), Bar("1", "1", 0), Bar("2", "2", 1)]


def test_nothing_counted_draws_nothing() -> None:
    assert bins_of(Counter()) == []
    assert "Nothing to show" in histogram([], "t", "words")


def test_the_highest_bar_fills_the_chart_and_an_empty_one_is_not_drawn() -> None:
    drawn = histogram([Bar("0", "0", 10), Bar("1", "1", 0), Bar("2", "2", 5)], "Title", "words")
    assert drawn.count('class="bar"') == 2
    assert 'height="144.0"' in drawn
    assert 'height="72.0"' in drawn
    assert "<title>2 words: 5</title>" in drawn
