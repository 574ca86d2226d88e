"""Interface of recipes: what a recipe is, and what ``ask`` gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pairmill.quality.filters import NO_TERMS, PromptTerms
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.checks import judge
from pairmill.recipes.prompts import LATEST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pairmill.events import Event
    from pairmill.recipes.checks import CheckJob, Verdict
    from pairmill.recipes.recipe_file import RecipeFile
    from pairmill.records import Chunk, Pair, Prompt, Rejection
    from pairmill.store.columns import Feature

__all__ = ["Ask", "Generator", "NullContext", "Recipe", "RecipeContext"]

Answer = TypeVar("Answer", bound=AnswerModel)


class RecipeContext(Protocol):
    """The run that a unit belongs to: checks its pairs, and keeps values between units."""

    async def check(self, job: CheckJob) -> list[Verdict]:
        """Judge the valid pairs of a chunk; the canary sees them before any of them is dropped."""
        ...

    def admit(self, instruction: str) -> bool:
        """Return whether one more pair may have this instruction, and count it if so."""
        ...

    def recall(self, name: str) -> str | None:
        """Return the value stored under a name, by this start of the run or an earlier one."""
        ...

    def remember(self, name: str, value: str) -> None:
        """Keep a value under a name for the rest of the run and for later starts."""
        ...


@dataclass(frozen=True, slots=True)
class NullContext:
    """No run: everything is admitted, values are kept in memory."""

    kept: dict[str, str] = field(default_factory=dict)

    async def check(self, job: CheckJob) -> list[Verdict]:
        """Judge the pairs."""
        return judge(job).verdicts

    def admit(self, instruction: str) -> bool:  # noqa: ARG002
        """Admit it."""
        return True

    def recall(self, name: str) -> str | None:
        """Return what was remembered under the name."""
        return self.kept.get(name)

    def remember(self, name: str, value: str) -> None:
        """Keep the value."""
        self.kept[name] = value


class Ask(Protocol):
    """Gets a valid answer to a question."""

    @property
    def around(self) -> RecipeContext:
        """Context of the run that this unit belongs to."""
        ...

    async def __call__(
        self,
        prompt: Prompt,
        answer: type[Answer],
        again: Callable[[int], Prompt] | None = None,
        *,
        model: str | None = None,
        mend: bool = True,
    ) -> Answer:
        """Ask, and return a validated answer: from the ledger, or the model, repaired if need be.

        ``again(kept)`` makes the question for what is still missing after an answer was cut off
        after ``kept`` valid items; without it the same question is asked again. ``model`` is
        asked instead of the run's own, and is not the model that the rows name. Without ``mend``
        an invalid answer is never sent back for repair, only asked for again.

        Raises:
            RejectedError: There was no valid answer within the attempts allowed.
        """
        ...

    def is_answered(
        self, prompt: Prompt, answer: type[AnswerModel], *, model: str | None = None
    ) -> bool:
        """Return whether an answer to exactly this question is in the ledger, valid or not."""
        ...

    def drop(self, rejection: Rejection) -> None:
        """Record that one pair of this unit was dropped, and why."""
        ...

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """Return for each name whether this unit is the first of the corpus to have it.

        Within a run, units count in reading order, whatever the order of answers: earlier ones
        are waited for. Outside a run every name is new. See ``Generator.claims``.
        """
        ...

    def tell(self, event: Event, /) -> None:
        """Emit an event to the run's subscribers; see `pairmill.events`."""
        ...


@dataclass(frozen=True, slots=True)
class Generator:
    """A way to write pairs about a chunk: the first step of a recipe.

    Attributes:
        name: As on the command line.
        version: Raised when the code changes what is written.
        prompt_version: The versions of its prompt templates.
        identity: Digest of every setting that changes what is asked.
        write: Returns the pairs of a chunk, or raises RejectedError.
        rewrite: Asks for one pair again; None if that makes no sense.
        terms: Phrases that only the prompt contains, to detect leaks.
        copies: True if answers are copied from the text by design.
        checks: Policies and thresholds that differ from the table; None: nothing is checked.
        fields: Types of the rows' own fields, by name.
        origin: The recipe file that it was made from.
        source: Digest of the text of a user's Python recipe; "" for all others.
        claims: True if it may call ``Ask.claim``: units then keep their order.
    """

    name: str
    version: str
    prompt_version: str
    identity: str
    write: Callable[[Chunk, Ask], Awaitable[list[Pair]]]
    rewrite: Callable[[Pair, str, Chunk, Ask], Awaitable[Pair | None]] | None = None
    terms: PromptTerms = NO_TERMS
    copies: bool = False
    checks: Mapping[str, Any] | None = field(default_factory=dict)
    fields: Mapping[str, Feature] = field(default_factory=dict)
    origin: RecipeFile | None = None
    source: str = ""
    pools_manners: bool = False
    claims: bool = False


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
        fields: Types of the rows' own fields, by name.
        origin: The recipe file that it was made from; None for one in Python.
        source: Digest of the text of a user's Python recipe; "" for all others.
        is_watched: True if rows are grounded in their text, so that the canary applies.
        prompts: The set of prompts that it asks with.
        pools_manners: As the generator's.
        claims: True if it may call ``Ask.claim``.
    """

    name: str
    version: str
    prompt_version: str
    identity: str
    write: Callable[[Chunk, Ask], Awaitable[list[Pair]]]
    fields: Mapping[str, Feature] = field(default_factory=dict)
    origin: RecipeFile | None = None
    source: str = ""
    is_watched: bool = True
    prompts: str = LATEST
    pools_manners: bool = False
    claims: bool = False
