from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pairmill.recipes.answers import ParseStep, read
from pairmill.recipes.backtranslate import WrittenAnswer

_TEXT = st.characters(exclude_categories=["Cc", "Cs", "Z"])
_PAIRS = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.text(max_size=20),
            "evidence": st.text(max_size=40),
            "instruction": st.text(_TEXT, min_size=1, max_size=60),
            "answer": st.text(_TEXT, min_size=1, max_size=80),
        }
    ),
    max_size=4,
)


@given(st.text(max_size=400) | st.text("{}[]\",:'\\ntrue01pairs ", max_size=400))
def test_reading_never_raises_and_always_says_why(text: str) -> None:
    reading = read(text, WrittenAnswer)
    assert (reading.value is None) == (reading.how is ParseStep.FAILED)
    if reading.value is None:
        assert reading.faults


@given(_PAIRS, st.integers(0, 2000))
def test_no_half_pair_survives_a_cut(pairs: list[dict[str, str]], where: int) -> None:
    text = json.dumps({"skip": None, "pairs": pairs}, ensure_ascii=False)
    reading = read(text[: where % (len(text) + 1)], WrittenAnswer)
    whole = {(pair["instruction"].strip(), pair["answer"].strip()) for pair in pairs}
    if reading.value is not None:
        assert {(pair.instruction, pair.answer) for pair in reading.value.pairs} <= whole
