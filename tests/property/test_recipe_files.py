"""For arbitrary small recipe files: a run killed at any point and resumed gives the same rows."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.asks import KETTLES, make_chunk
from tests.support.asks import settings as run_settings

from pairmill.errors import RejectedError
from pairmill.events import Bus
from pairmill.recipes.compose import compose
from pairmill.recipes.engine import file_generator
from pairmill.recipes.load import read_recipe_text
from pairmill.recipes.repair import Asker, Questions
from pairmill.records import Completion, Usage
from pairmill.simulator.content import draft_pairs
from pairmill.simulator.dice import Dice
from pairmill.simulator.schema import Filling, fill

if TYPE_CHECKING:
    from pairmill.records import Pair, Rejection, Request

CHUNK = make_chunk(f"{KETTLES}\n\n{KETTLES.upper()}", title="Kettles")
SCALARS = ("text", "[red, green]", "{type: integer, min: 1, max: 4}", "boolean", "{optional: true}")
SEEN: Counter[str] = Counter()


class KilledError(BaseException):
    """The process is gone."""


@st.composite
def recipe_texts(draw: st.DrawFn) -> str:
    """A recipe of one to three steps; the later ones may loop, vote and have conditions."""
    fields = draw(st.lists(st.sampled_from(SCALARS), max_size=2))
    lines = ["name: made", "version: 1", "draw: {who: [a, b, c]}", "steps:", "  - name: first"]
    lines += ["    user: '{{ who }} {{ count }} {{ passage }}'", "    answer:", "      items_:"]
    lines += [f"        type: list\n        max: {draw(st.integers(1, 4))}", "        fields:"]
    lines += ["          question: text", "          answer: text"]
    lines += [f"          f{number}: {kind}" for number, kind in enumerate(fields)]
    row = "first.items_"
    if draw(st.booleans()):
        row = "second"
        lines += ["  - name: second", "    for_each: one in first.items_"]
        lines += ["    user: '{{ one.question }} {{ passage }}'"]
        lines += ["    answer: {question: text, answer: text, mark: [yes, no]}"]
        if draw(st.booleans()):
            times = draw(st.integers(2, 3))
            lines += [f"    votes: {{times: {times}, least: 2, agree_on: mark}}"]
        if draw(st.booleans()):
            lines += ["    when: one.question | length > 40"]
    if draw(st.booleans()):
        lines += ["  - name: last", "    user: '{{ first.items_ | length }} {{ passage }}'"]
        lines += ["    answer: {note: text}", "rows:", f"  - for_each: row in {row}"]
        note = "{{ last.note }}"
    else:
        lines += ["rows:", f"  - for_each: row in {row}"]
        note = "none"
    lines += ['    instruction: "{{ row.question }}"', '    answer: "{{ row.answer }}"']
    lines += [f'    fields: {{note: "{note}", who: "{{{{ who }}}}"}}']
    return "\n".join(lines) + "\n"


@dataclass
class Ledger:
    """Answers that were bought; the process dies when it should buy one more than allowed."""

    allowed: int = 10**6
    bought: dict[str, Completion] = field(default_factory=dict)
    sent: int = 0

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0)
        if request.id not in self.bought:
            if self.sent >= self.allowed:
                raise KilledError
            self.sent += 1
            self.bought[request.id] = _answer(request)
        return self.bought[request.id]


def _answer(request: Request) -> Completion:
    """What a model would say: good, broken or torn, by the request alone."""
    seed = int(request.id[:8], 16)
    dice = Dice(seed)
    assert request.schema is not None
    filling = Filling(draft_pairs(CHUNK.text, 3, dice), dice, CHUNK.text)
    text = orjson.dumps(fill(orjson.dumps(request.schema.schema), filling)).decode()
    text = {0: text[: len(text) // 2], 1: "I'm sorry, but no."}.get(seed % 7, text)
    return Completion(text, "stop", "m", Usage(10, 5), 1.0)


def _write(text: str, ledger: Ledger) -> tuple[list[Pair], list[Rejection], str]:
    given_settings = run_settings()
    recipe = read_recipe_text(text, "made.yaml")
    made = compose(file_generator(recipe, given_settings), given_settings)
    asker = Asker(Questions(Bus(), model="m", max_attempts=2), ledger.complete)

    async def write() -> list[Pair]:
        return await made.write(CHUNK, asker)

    try:
        pairs = asyncio.run(write())
    except RejectedError as error:
        return [], asker.dropped, error.reason
    return pairs, asker.dropped, ""


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipe_texts(), st.floats(0, 1, exclude_max=True))
def _killed_and_resumed(text: str, at: float) -> None:
    alone = Ledger()
    wanted = _write(text, alone)
    killed = Ledger(allowed=min(1, alone.sent - 1) + int(at * (alone.sent - 1)))
    try:
        _write(text, killed)
    except KilledError:
        SEEN["killed"] += 1
        SEEN["with answers bought"] += bool(killed.sent)
    SEEN["runs"] += 1
    SEEN["with rows"] += bool(wanted[0])
    SEEN["with drops"] += bool(wanted[1])
    resumed = Ledger(bought=killed.bought)
    assert _write(text, resumed) == wanted
    assert killed.sent + resumed.sent == alone.sent  # nothing is bought twice


def test_killed_at_any_point_and_resumed_it_writes_the_same_rows() -> None:
    SEEN.clear()
    _killed_and_resumed()
    assert SEEN["killed"] >= SEEN["runs"] / 2, SEEN
    assert SEEN["with answers bought"] >= SEEN["runs"] / 3, SEEN
    assert SEEN["with rows"] >= SEEN["runs"] / 3, SEEN
    assert SEEN["with drops"] >= SEEN["runs"] / 10, SEEN
