from __future__ import annotations

import re
from typing import Any

from tests.unit.output.conftest import make_row

from pairmill.output.report.row_counts import measure
from pairmill.output.report.sections import concentration, ratings, sequence_lengths


def shown(markup: str | None) -> str:
    assert markup is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup))


def rows(count: int, **given: Any) -> list[dict[str, Any]]:
    return [make_row(at, **given) for at in range(count)]


def test_rows_are_held_against_sequence_lengths() -> None:
    made = measure([*rows(9, instruction="a" * 40, answer="b" * 360), *rows(1, answer="c" * 4_000)])
    text = shown(sequence_lengths(made))
    assert "100 in the median row" in text
    assert "512 1 10.0%" in text
    assert "1,024 0 0.0%" in text
    assert "2,048" not in text  # nothing is longer: no more lines
    assert sequence_lengths(measure([])) is None


def test_every_turn_counts_and_bytes_are_no_characters() -> None:
    turns = [{"role": "user", "content": "\u6c34" * 40}, {"role": "assistant", "content": "ab"}]
    made = measure(rows(1, messages=turns, system="s" * 40, reasoning="r" * 40))
    assert list(made.row_tokens) == [-(-(120 + 2 + 80) // 4)]


def test_ratings_by_aspect() -> None:
    made = measure(
        [
            make_row(1, scores={"truthfulness": 5.0, "honesty": None}),
            make_row(2, scores={"truthfulness": 2.0, "honesty": 4.0}),
            make_row(3),
        ]
    )
    text = shown(ratings(made))
    assert "truthfulness 2 3.50 0% 50% 0% 0% 50%" in text
    assert "honesty 1 4.00 0% 0% 0% 100% 0%" in text
    assert ratings(measure(rows(3))) is None


def test_which_documents_most_rows_come_from() -> None:
    made = measure([*rows(15, title="Big <b>"), *(make_row(at, title=f"t{at}") for at in range(5))])
    text = shown(concentration(made))
    assert "6 documents by title or file; the 1 with the most pairs hold 75% of all" in text
    assert "Big &lt;b&gt; 15 75.0%" in text
    assert concentration(measure(rows(3, title="one"))) is None
