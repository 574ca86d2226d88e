from __future__ import annotations

import pytest

from pairmill.recipes.sentences import leave_out, split_answer

LISTED = """Three things help:

- Clean water. It keeps the mash pure.
- A broad base.
1. Tin, e.g. a lining of it, holds for nine winters!

```sh
brew --kettle 2

done
```

| name | size |
|---|---|
| 1 | 22 |"""


def pieces(text: str) -> list[str]:
    return [text[start:end] for start, end in split_answer(text)]


def test_sentences_items_and_code_are_pieces_and_marks_are_layout() -> None:
    assert pieces(LISTED) == [
        "Three things help:",
        "Clean water.",
        "It keeps the mash pure.",
        "A broad base.",
        "Tin, e.g. a lining of it, holds for nine winters!",
        "```sh\nbrew --kettle 2\n\ndone\n```",
        "| name | size |\n|---|---|",
        "| 1 | 22 |",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("铜壶的底很宽。它使热量均匀。第二个壶装水。", 3),
        ("กาน้ำทองแดงมีก้นกว้าง ความร้อนจึงกระจาย", 1),
        ("क्या हुआ। फिर क्या हुआ।", 2),
        ("El cobre reparte el calor. ¿Y el hierro? Lo quema.", 3),
        ("", 0),
        ("\n\n---\n", 0),
    ],
)
def test_marks_of_other_scripts_end_sentences_and_where_there_are_none_a_line_is_one(
    text: str, count: int
) -> None:
    assert len(pieces(text)) == count


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ({1}, "Three.\n\n- It stays. Too.\n- Last one.\n\nEnd here."),
        ({1, 2, 3}, "Three.\n\n- Last one.\n\nEnd here."),
        ({0}, "- Gone first. It stays. Too.\n- Last one.\n\nEnd here."),
        ({4}, "Three.\n\n- Gone first. It stays. Too.\n\nEnd here."),
        ({5}, "Three.\n\n- Gone first. It stays. Too.\n- Last one."),
        (set(), "Three.\n\n- Gone first. It stays. Too.\n- Last one.\n\nEnd here."),
    ],
)
def test_what_is_left_out_takes_no_layout_of_others_with_it(gone: set[int], left: str) -> None:
    text = "Three.\n\n- Gone first. It stays. Too.\n- Last one.\n\nEnd here."
    assert leave_out(text, split_answer(text), gone) == left
