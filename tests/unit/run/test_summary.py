from __future__ import annotations

import pytest
from tests.support.asks import settings

from pairmill.run.summary import Summary
from pairmill.store.counts import RunCounts


def test_the_next_line_lists_them() -> None:
    given = settings()
    summary = Summary(
        given.output, 0, "", asked=True, chunks=1, pairs=2, formats=("text", "messages")
    )
    commands = [line.split("  ")[1] for line in summary.lines()[-2:]]
    assert commands == [
        f"pairmill export {given.output} --to text",
        f"pairmill export {given.output} --to messages",
    ]


@pytest.mark.parametrize("pairs", [0, 2])
def test_an_unmeasured_voice_is_told_only_of_pairs(pairs: int) -> None:
    summary = Summary(
        settings().output,
        0,
        "",
        asked=True,
        chunks=2,
        pairs=pairs,
        counts=RunCounts(
            documents=2,
            used=2,
            skipped={},
            is_input_whole=True,
            written=pairs,
            empty=2 - pairs,
            empty_reasons={},
            rejected={},
            to_do=0,
            pairs=pairs,
            dropped={},
            retried=0,
        ),
        voice="1 of 9 authors with 2 documents or more",
    )
    told = [line for line in summary.lines() if line.startswith("  voice ")]
    assert len(told) == (1 if pairs else 0)
