"""What a recipe is, and the only thing it is given: ``ask``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from pairmill.recipes.answers import AnswerModel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.records import Chunk, Pair, Prompt, Rejection

__all__ = ["Ask", "Recipe"]

Answer = TypeVar("Answer", bound=AnswerModel)


class Ask(Protocol):
    """Everything between a question and a valid answer."""

    async def __call__(
        self,
        prompt: Prompt,
        answer: type[Answer],
        again: Callable[[int], Prompt] | None = None,
    ) -> Answer:
        """Ask, and return a validated answer: from the ledger, or the model, repaired if need be.

        ``again(kept)`` makes the question for what is still missing, when an answer was cut off
        after ``kept`` good items; without it the same question is asked once more.

        Raises:
            RejectedError: No valid answer could be had within the attempts allowed.
        """
        ...

    def drop(self, rejection: Rejection) -> None:
        """Record that one pair of this unit was dropped, and why."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to turn a chunk into pairs.

    ``write`` is an ordinary coroutine: it never sees HTTP, limits, retries or files. Run again
    after a crash it asks the same questions, and finds each answer in the ledger.

    Attributes:
        name: As on the command line.
        version: Raised when the code changes what is written.
        prompt_version: The version of the prompt template.
        identity: Digest of every setting that changes what is written.
    """

    name: str
    version: str
    prompt_version: str
    identity: str
    write: Callable[[Chunk, Ask], Awaitable[list[Pair]]]
