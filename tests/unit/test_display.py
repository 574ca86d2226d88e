from __future__ import annotations

from pairmill.display import sanitize, wrap_line


def test_nothing_is_left_that_steers_a_terminal_or_starts_a_line() -> None:
    assert sanitize("a\x1b[2Jb\r\nc\u2028d\u202ee\ud800f\x00g") == "a [2Jb c d e f g"


def test_long_text_is_cut_and_shows_it() -> None:
    assert sanitize("x" * 400, 10) == "x" * 9 + "\u2026"


def test_what_nobody_sees_is_not_there() -> None:
    assert sanitize("a\u00adb\u200bc\U000e0041d\ufeffe") == "a b c d e"
    assert sanitize("caf\u00e9 \u9285 \U0001f600") == "caf\u00e9 \u9285 \U0001f600"


def test_a_long_line_hangs_and_no_word_is_broken() -> None:
    line = "  cost       " + "word " * 30
    shown = wrap_line(line, 80, 11).split("\n")
    assert all(len(part) <= 80 for part in shown)
    assert shown[0].startswith("  cost       word")
    assert all(part.startswith(" " * 13 + "word") for part in shown[1:])
    assert wrap_line("short", 80) == "short"
    assert wrap_line("x" * 120, 80) == "x" * 120  # one word: the terminal may break it
