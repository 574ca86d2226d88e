"""For arbitrary small recipe files: a run killed at any point and resumed gives the same rows."""

from __future__ import annotations

import asyncio
import tempfile
from asyncio import CancelledError
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.asks import KETTLES, make_chunk
from tests.support.asks import settings as run_settings

from pairmill.errors import RejectedError
from pairmill.events import Bus
from pairmill.recipes.engine import file_generator
from pairmill.recipes.load import read_recipe_text
from pairmill.recipes.make import compose
from pairmill.recipes.repair import Asker, Questions
from pairmill.records import Completion, Usage, digest
from pairmill.run.claims import Claims
from pairmill.simulator.content import draft_pairs
from pairmill.simulator.rng import Rng
from pairmill.simulator.schema import Filling, fill
from pairmill.store.claim_store import ClaimStore

if TYPE_CHECKING:
    from pairmill.recipes.recipe import Recipe
    from pairmill.recipes.recipe_file import RecipeFile
    from pairmill.records import Chunk, Pair, Rejection, Request

# Three chunks that state much the same, so that what is `distinct` repeats.
CHUNKS = [
    make_chunk(f"{KETTLES}\n\n{KETTLES.upper()}", title="Kettles"),
    make_chunk(f"{KETTLES} So it was.", title="Again"),
    make_chunk(f"{KETTLES[:400]}", title="In short"),
]
SCALARS = ("text", "[red, green]", "{type: integer, min: 1, max: 4}", "boolean", "{optional: true}")
FORMS = ("for_each", "when", "votes", "distinct")
SEEN: Counter[str] = Counter()

often = st.sampled_from((True, True, False))


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
    if draw(often):
        row = "second"
        lines += ["  - name: second", "    for_each: one in first.items_"]
        lines += ["    user: '{{ one.question }} {{ passage }}'"]
        lines += ["    answer: {question: text, answer: text, mark: [yes, no]}"]
        lines += ["    distinct: one.question"] if draw(often) else []
        lines += _votes(draw) if draw(often) else []
        lines += ["    when: one.question | length > 40"] if draw(often) else []
    if draw(often):
        lines += ["  - name: last", "    user: '{{ first.items_ | length }} {{ passage }}'"]
        lines += ["    answer: {note: text, mark: [yes, no]}"]
        lines += _votes(draw) if draw(st.booleans()) else []
        lines += ["    when: first.items_ | length > 1"] if draw(st.booleans()) else []
        note = "{{ last.note | default('none', true) }}"
    else:
        note = "none"
    lines += ["rows:", f"  - for_each: row in {row}"]
    lines += ["    when: row.answer | length > 20"] if draw(st.booleans()) else []
    lines += ['    instruction: "{{ row.question }}"', '    answer: "{{ row.answer }}"']
    lines += [f'    fields: {{note: "{note}", who: "{{{{ who }}}}"}}']
    return "\n".join(lines) + "\n"


def _votes(draw: st.DrawFn) -> list[str]:
    return [f"    votes: {{times: {draw(st.integers(2, 3))}, least: 2, agree_on: mark}}"]


@dataclass
class Folder:
    """What a run leaves behind: answers, claims, finished units.

    Attributes:
        allowed: Answers that may be bought before the process dies.
    """

    place: Path
    allowed: int = 10**6
    bought: dict[str, Completion] = field(default_factory=dict)
    finished: dict[str, tuple[list[Pair], list[Rejection], str]] = field(default_factory=dict)
    sent: int = 0

    async def complete(self, request: Request) -> Completion:
        for _ in range(int(request.id[8:10], 16) % 7):  # some answers come sooner than others
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
    rng = Rng(seed)
    assert request.schema is not None
    drafts = draft_pairs(KETTLES, 3, Rng(seed % 5))  # some questions come again
    filling = Filling(drafts, rng, KETTLES)
    text = orjson.dumps(fill(orjson.dumps(request.schema.schema), filling)).decode()
    text = {0: text[: len(text) // 2], 1: "I'm sorry, but no."}.get(seed % 9, text)
    return Completion(text, "stop", "m", Usage(10, 5), 1.0)


def _recipe(text: str) -> Recipe:
    made = read_recipe_text(text, "made.yaml")
    return compose(file_generator(made, run_settings()), run_settings())


def _run(recipe: Recipe, folder: Folder) -> None:
    """Ask about all units at once, but those that are finished; a kill ends them all."""
    questions = Questions(Bus(), model="m", max_attempts=2)

    async def write(chunk: Chunk, asker: Asker) -> None:
        try:
            pairs, reason = await recipe.write(chunk, asker), ""
        except RejectedError as error:
            pairs, reason = [], error.reason
        folder.finished[chunk.id] = (pairs, asker.dropped, reason)

    async def run(store: ClaimStore) -> None:
        claims = Claims(store)

        async def one(chunk: Chunk) -> None:
            turn = claims.enter(digest(chunk.id))
            await write(chunk, Asker(questions, folder.complete, turn))
            turn.leave()

        left = [chunk for chunk in CHUNKS if chunk.id not in folder.finished]
        tasks = [asyncio.create_task(one(chunk)) for chunk in left]
        if tasks:
            _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in pending:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for error in ended:
                if isinstance(error, BaseException) and not isinstance(error, CancelledError):
                    raise error

    with ClaimStore(folder.place / "claims.db", "made") as store:
        asyncio.run(run(store))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipe_texts(), st.integers(0, 999))
def _killed_and_resumed(text: str, at: int) -> None:
    recipe = _recipe(text)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        alone, killed = Folder(Path(one)), Folder(Path(two))
        _run(recipe, alone)
        # by hash: hypothesis likes small numbers, and death comes at any moment
        killed.allowed = int(digest(text, str(at))[:8], 16) % alone.sent
        try:
            _run(recipe, killed)
        except KilledError:
            SEEN["killed"] += 1
            SEEN[f"in third {3 * killed.allowed // alone.sent}"] += 1
            SEEN["with units finished"] += bool(killed.finished)
        before, killed.allowed = killed.sent, 10**6
        _count(recipe.origin, alone)
        _run(recipe, killed)
    assert killed.finished == alone.finished
    # Nothing is bought twice, and nothing that the undisturbed run did not buy.
    assert killed.sent == alone.sent
    assert killed.bought.keys() == alone.bought.keys()
    assert before <= killed.sent


def _count(recipe: RecipeFile | None, alone: Folder) -> None:
    assert recipe is not None
    SEEN["runs"] += 1
    for form in FORMS:
        SEEN[form] += any(getattr(step, form) is not None for step in recipe.steps)
    SEEN["with rows"] += any(pairs for pairs, _, _ in alone.finished.values())
    SEEN["with drops"] += any(drops for _, drops, _ in alone.finished.values())
    SEEN["with repeats"] += any(
        drop.reason == "repeated" for _, drops, _ in alone.finished.values() for drop in drops
    )


@pytest.mark.slow
def test_killed_at_any_point_and_resumed_it_writes_the_same_rows() -> None:
    SEEN.clear()
    _killed_and_resumed()
    runs = SEEN["runs"]
    assert SEEN["killed"] == runs, SEEN
    for form in ("for_each", "when", "votes"):
        assert SEEN[form] >= runs / 3, (form, SEEN)
    for third in range(3):
        assert SEEN[f"in third {third}"] >= runs / 12, SEEN
    assert SEEN["with rows"] >= runs / 3, SEEN
    assert SEEN["with drops"] >= runs / 10, SEEN
    assert SEEN["with units finished"] >= runs / 12, SEEN
    assert SEEN["with repeats"] >= runs / 40, SEEN
