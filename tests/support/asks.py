"""An ``ask`` that answers from a script, and texts to ask about."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pairmill.config import Settings, load
from pairmill.errors import RejectedError
from pairmill.recipes.answers import AnswerModel, read
from pairmill.recipes.recipe import NullContext
from pairmill.records import Chunk, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.events import Event
    from pairmill.records import Prompt, Rejection

Answer = TypeVar("Answer", bound=AnswerModel)

KETTLES = (
    "The copper kettle was first used by the brewers of the northern valley, because its broad "
    "base spread the heat evenly across the mash. In 1874 the town of Hallstein passed a law that "
    "every brewery with more than 12 workers keep a second kettle filled with clean water. Fires "
    "were common, and the wooden roofs stood so close that sparks jumped from one to the next. "
    "After the law, losses fell by a third within five years. A brewer who could not pay for a "
    "second kettle borrowed one from the parish, which kept three of them behind the church. "
    "Iron kettles came later with the railway, and they were cheaper but scorched the grain. "
    "Old masters therefore lined them with tin, and a good lining lasted for nine winters."
)
"""A passage of 750 characters."""

LAW = {
    "type": "why",
    "evidence": "a second kettle filled with clean water",
    "instruction": "Why did Hallstein order its larger breweries to keep a spare kettle of water?",
    "answer": "Fires were common there, and wooden roofs stood so close together that sparks "
    "jumped across. So from 1874 every brewery with more than 12 workers had to keep a second "
    "kettle filled with clean water. Losses then fell by a third in five years.",
}
COPPER = {
    "type": "explain",
    "evidence": "its broad base spread the heat evenly across the mash",
    "instruction": "Explain what made copper kettles popular with the valley's brewers.",
    "answer": "A copper kettle has a broad base, and that base spreads heat evenly across the "
    "mash. Brewers in the northern valley were the first to use it. Iron kettles, which came "
    "with the railway, were cheaper, but the grain scorched in them.",
}
"""Two pairs that are true to the passage."""


def settings(**given: Any) -> Settings:
    """The defaults, and what is given."""
    return load(given=given)


def make_chunk(text: str = KETTLES, **given: Any) -> Chunk:
    """A chunk of a document of its own."""
    values = {"document_id": "d", "start": 0, "end": len(text), "source": "kettles.md"}
    return Chunk(**{"id": digest(text), "text": text, **values, **given})


def reply(*pairs: dict[str, Any], skip: str | None = None) -> str:
    """The reply of a model that wrote these pairs."""
    return json.dumps({"skip": skip, "pairs": pairs})


@dataclass
class ScriptedAsk:
    """Answers each question with the next of its texts, and keeps all that it was given."""

    replies: list[str]
    around: Any = field(default_factory=NullContext)
    prompts: list[Prompt] = field(default_factory=list)
    models: list[str | None] = field(default_factory=list)
    dropped: list[Rejection] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    async def __call__(
        self,
        prompt: Prompt,
        answer: type[Answer],
        again: Callable[[int], Prompt] | None = None,
        *,
        model: str | None = None,
        mend: bool = True,
    ) -> Answer:
        self.prompts.append(prompt)
        self.models.append(model)
        reading = read(self.replies.pop(0), answer)
        if reading.value is None:
            raise RejectedError(reading.faults[0].reason, reading.faults[0].detail)
        return reading.value

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """All of them are new."""
        return [True] * len(names)

    def is_answered(
        self, prompt: Prompt, answer: type[AnswerModel], *, model: str | None = None
    ) -> bool:
        """None of them."""
        return False

    def drop(self, rejection: Rejection) -> None:
        self.dropped.append(rejection)

    def tell(self, event: Event, /) -> None:
        self.told.append(event)

    @property
    def reasons(self) -> list[str]:
        return [rejection.reason for rejection in self.dropped]
