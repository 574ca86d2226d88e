from __future__ import annotations

from typing import Any

from pairmill.output.leak import measure_leak


def row(name: str, instruction: str, answer: str) -> dict[str, Any]:
    return {"id": name, "instruction": instruction, "answer": answer}


LONG = "the quick brown fox jumps over the lazy dog and then it rests in the warm evening sun"
OTHER = "a ship sailed from the northern port with grain and wool for the markets of the south"


def test_the_planted_leaks_are_found() -> None:
    train = [row("a", "Why is it so?", LONG), row("b", "How?", OTHER)]
    held_out = [
        row("1", "why is it SO", "quite another answer of its own that shares no run of words"),
        row("2", "A new one", LONG.upper()),
        row("3", "Another", f"{OTHER[:40]} but goes on in its very own way to the end of the line"),
        row("4", "Yet another", "too short"),
    ]
    leak = measure_leak(held_out, train)
    assert (leak.held_out, leak.same_instruction, leak.copied_answer) == (4, 1, 1)
    assert leak.share == 0.5
    assert abs(leak.overlap - (0 + 1 + 1 / 13) / 3) < 0.05


def test_a_later_turn_and_a_plain_text_leak_as_a_first_answer_does() -> None:
    def talk(name: str, last: str) -> dict[str, Any]:
        turns = [("user", name), ("assistant", "Yes."), ("user", "On?"), ("assistant", last)]
        messages = [{"role": role, "content": content} for role, content in turns]
        return {**row(name, name, "Yes."), "task": "conversation", "messages": messages}

    text = {"id": "t", "task": "text", "instruction": None, "answer": OTHER}
    leak = measure_leak([talk("1", LONG), {**text, "id": "2"}], [talk("a", LONG), text])
    assert (leak.copied_answer, leak.same_instruction) == (2, 1)


def test_clean_splits_show_nothing() -> None:
    leak = measure_leak([row("1", "How?", LONG)], [row("a", "Why?", OTHER)])
    assert (leak.same_instruction, leak.copied_answer, leak.overlap, leak.share) == (0, 0, 0, 0)


def test_nothing_held_out_leaks_nothing() -> None:
    assert measure_leak([], [row("a", "Why?", OTHER)]).share == 0


def test_a_repeat_in_train_counts_once() -> None:
    train = [row(str(number), "Why?", LONG) for number in range(3)]
    leak = measure_leak([row("x", "Why?", LONG), row("y", "Why?", LONG)], train)
    assert (leak.held_out, leak.same_instruction, leak.copied_answer) == (2, 2, 2)
    assert leak.overlap == 1.0


def test_the_sample_is_bounded_and_does_not_depend_on_order() -> None:
    held_out = [row(f"{number:03d}", f"Question {number}", LONG) for number in range(100)]
    train = [row("t", "Question 3", OTHER)]
    found = [measure_leak(rows, train, sample=10) for rows in (held_out, held_out[::-1])]
    assert found[0] == found[1]
    assert (found[0].held_out, found[0].same_instruction) == (10, 1)


def test_scripts_without_spaces_are_compared_by_character() -> None:
    train = [row("a", "?", "天地玄黃宇宙洪荒日月")]
    assert measure_leak([row("b", "何", "天地玄黃宇宙洪荒日月")], train).copied_answer == 1
    assert measure_leak([row("b", "何", "寒來暑往秋收冬藏閏餘")], train).copied_answer == 0
