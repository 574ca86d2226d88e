"""For users' own tests: an ``ask`` without a model, a clock with a settable time, an endpoint.

    ask = ScriptedAsk([{"skip": None, "pairs": [...]}])
    pairs = await my_recipe.write(chunk("Some text."), ask)
    assert ask.prompts[0].text.startswith(...)

`ScriptedAsk` runs a recipe without HTTP, limits or files; `Simulator` is a whole endpoint on
loopback, to test HTTP (see docs/simulator.md). `MemoryStore` is a ledger for runs that need no
resuming, and `check_ledger` tests one of your own (see docs/ledgers.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from pairmill.clock import FakeClock
from pairmill.errors import RejectedError
from pairmill.recipes.answers import AnswerModel, json_schema, read
from pairmill.recipes.recipe import NullContext
from pairmill.records import Chunk, digest
from pairmill.simulator import Simulator, SimulatorProcess, SimulatorSettings
from pairmill.simulator.answers import asks_for_verdicts, write_verdicts
from pairmill.simulator.content import draft_pairs, find_passage
from pairmill.simulator.rng import Rng
from pairmill.simulator.schema import Filling, fill
from pairmill.store.contract import check_ledger
from pairmill.store.memory_ledger import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pairmill.events import Event
    from pairmill.recipes.recipe import RecipeContext
    from pairmill.records import Prompt, Rejection

__all__ = [
    "FakeClock",
    "MemoryStore",
    "ScriptedAsk",
    "Simulator",
    "SimulatorProcess",
    "SimulatorSettings",
    "check_ledger",
    "make_chunk",
]

Answer = TypeVar("Answer", bound=AnswerModel)

_DRAFTS = 3
_SEED = 20


def make_chunk(text: str, **fields: Any) -> Chunk:
    """Make a chunk that is a whole document; ``fields`` are those of `pairmill.records.Chunk`."""
    name = digest(text)
    usual = {"document_id": name, "start": 0, "end": len(text), "source": "test"}
    return Chunk(**{"id": name, "text": text, **usual, **fields})


@dataclass
class ScriptedAsk:
    """An `Ask` that answers from a script, and records its calls.

    Attributes:
        replies: Replies of the model, in order: texts, values to be sent as JSON, or errors to be
            raised. When none is left, each question gets a value that fits its schema, made from
            the passage in the prompt.
        prompts: Questions that were asked.
        models: Model of each; None is the run's own.
        dropped: Pairs that the recipe dropped.
        told: Events that it emitted.
        around: Context of its unit.
    """

    replies: Iterable[Any] = ()
    around: RecipeContext = field(default_factory=NullContext)
    prompts: list[Prompt] = field(default_factory=list)
    models: list[str | None] = field(default_factory=list)
    dropped: list[Rejection] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = list(self.replies)

    async def __call__(
        self,
        prompt: Prompt,
        answer: type[Answer],
        again: Callable[[int], Prompt] | None = None,  # noqa: ARG002 (the protocol's)
        *,
        model: str | None = None,
        mend: bool = True,  # noqa: ARG002
    ) -> Answer:
        """Parse the next reply like a real one, without asking again.

        Raises:
            RejectedError: It is not a valid answer; with the reason that a run would give.
        """
        self.prompts.append(prompt)
        self.models.append(model)
        reply = self._left.pop(0) if self._left else _made_up(prompt, answer)
        if isinstance(reply, BaseException):
            raise reply
        text = reply if isinstance(reply, str) else orjson.dumps(reply).decode()
        reading = read(text, answer)
        if reading.value is None:
            raise RejectedError(reading.faults[0].reason, reading.faults[0].detail)
        return reading.value

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """Treat every name as new."""
        return [True] * len(names)

    def is_answered(
        self,
        prompt: Prompt,  # noqa: ARG002
        answer: type[AnswerModel],  # noqa: ARG002
        *,
        model: str | None = None,  # noqa: ARG002
    ) -> bool:
        """Treat no question as answered before."""
        return False

    def drop(self, rejection: Rejection) -> None:
        """Record that a pair was dropped."""
        self.dropped.append(rejection)

    def tell(self, event: Event, /) -> None:
        """Record an event."""
        self.told.append(event)


def _made_up(prompt: Prompt, answer: type[AnswerModel]) -> Any:
    passage, around = find_passage(prompt.text)
    schema = orjson.dumps(json_schema(answer).schema)
    if asks_for_verdicts(schema):
        return write_verdicts(passage, around)
    rng = Rng(_SEED)
    filling = Filling(draft_pairs(passage, _DRAFTS, rng), rng, passage)
    return fill(schema, filling)
