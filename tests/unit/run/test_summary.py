from __future__ import annotations

from tests.support.asks import settings

from pairmill.run.summary import Summary


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
