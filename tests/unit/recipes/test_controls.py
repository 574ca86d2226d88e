"""Where faults are planted: the same on every replay, whatever the order, and often enough."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from tests.support.asks import KETTLES, ScriptedAsk, make_chunk, settings
from tests.unit.recipes.test_judge import PAIRS, KnowingJudge
from tests.unit.recipes.test_verify import ScriptedVerifier

from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.controls import ENOUGH, FAULTS, Controls
from pairmill.recipes.judge import Ratings, make_judge
from pairmill.recipes.recipe import NullContext
from pairmill.recipes.verify import make_verifier
from pairmill.records import Prompt, Sampling, Template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.records import Chunk

Answer = TypeVar("Answer", bound=AnswerModel)
CHUNKS = [make_chunk(f"{number}. {KETTLES}") for number in range(400)]


@dataclass
class Folder:
    """Questions bought so far, and what the run keeps between starts."""

    bought: dict[tuple[str, int | None], None] = field(default_factory=dict)
    around: NullContext = field(default_factory=NullContext)

    def buy(self, prompt: Prompt) -> None:
        self.bought[prompt.text, prompt.sampling.seed] = None

    def holds(self, prompt: Prompt) -> bool:
        return (prompt.text, prompt.sampling.seed) in self.bought


class Judging(KnowingJudge):
    def __init__(self, folder: Folder) -> None:
        super().__init__(lambda *_: 4)
        self.folder, self.around = folder, folder.around

    async def __call__(
        self, prompt: Prompt, answer: type[Answer], *rest: Any, **given: Any
    ) -> Answer:
        self.folder.buy(prompt)
        return await super().__call__(prompt, answer, *rest, **given)

    def is_answered(
        self, prompt: Prompt, answer: type[AnswerModel], *, model: str | None = None
    ) -> bool:
        return self.folder.holds(prompt)


class Verifying(ScriptedVerifier):
    def __init__(self, folder: Folder) -> None:
        super().__init__(lambda passage, _: ("supported", " ".join(passage.split()[:6])))
        self.folder, self.around = folder, folder.around

    async def __call__(
        self, prompt: Prompt, answer: type[Answer], *rest: Any, **given: Any
    ) -> Answer:
        self.folder.buy(prompt)
        return await super().__call__(prompt, answer, *rest, **given)

    def is_answered(
        self, prompt: Prompt, answer: type[AnswerModel], *, model: str | None = None
    ) -> bool:
        return self.folder.holds(prompt)


async def _start(role: str, folder: Folder, chunks: Sequence[Chunk], trust: float) -> None:
    """A start of a run: the role with a count of its own, over chunks in an order."""
    judge = make_judge(settings(judge="all", judge_trust=trust))
    verifier = make_verifier(settings(verify="all", verify_trust=trust), None, None)
    assert judge is not None
    assert verifier is not None
    for chunk in chunks:
        if role == "judge":
            await judge.rate(PAIRS, chunk, Judging(folder))
        else:
            await verifier.verify(PAIRS[:1], chunk, Verifying(folder))


@pytest.mark.parametrize("role", ["judge", "verifier"])
async def test_a_replay_buys_no_test_in_whatever_order(role: str) -> None:
    folder = Folder()
    await _start(role, folder, CHUNKS, 0.05)
    bought = len(folder.bought)
    assert bought > len(CHUNKS) + 100
    await _start(role, folder, CHUNKS[::-1], 0.05)
    assert len(folder.bought) == bought
    # A folder of an earlier version, which kept no choices, or one whose memory was lost.
    folder.around.kept.clear()
    await _start(role, folder, CHUNKS[::-1], 0.05)
    assert len(folder.bought) == bought


@pytest.mark.parametrize("role", ["judge", "verifier"])
async def test_a_test_that_a_kill_prevented_is_made_up_for(role: str) -> None:
    folder = Folder()
    await _start(role, folder, CHUNKS[:1], 1.0)
    whole = set(folder.bought)
    folder.bought.popitem()  # the test comes last
    await _start(role, folder, CHUNKS[:1], 1.0)
    assert set(folder.bought) == whole


async def test_enough_faults_of_each_kind_are_planted() -> None:
    controls = Controls("judge", FAULTS, 0.01)
    planted: Counter[str] = Counter()
    for number in range(ENOUGH * len(FAULTS) + 40):
        ask = ScriptedAsk([])
        prompt = Prompt(Template("judge", "1", ()), str(number), Sampling(0.0, 1, 1))
        control = controls.of(ask, prompt, Ratings, model=None)
        assert control is not None
        if controls.takes(control, 0.5):
            planted[controls.choose(control, dict.fromkeys(FAULTS, "x"), number, ask)[0]] += 1
    assert planted == Counter(dict.fromkeys(FAULTS, ENOUGH))
