"""What a recipe is, and what it is given: ``ask``, and through it the run around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pairmill.quality.filters import NO_TERMS, PromptTerms
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.checks import judge
from pairmill.recipes.prompt_sets import LATEST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pairmill.events import Event
    from pairmill.recipes.checks import CheckJob, Verdict
    from pairmill.recipes.recipe_file import RecipeFile
    from pairmill.records import Chunk, Pair, Prompt, Rejection
    from pairmill.store.rows import Feature

__all__ = ["Ask", "Generator", "NullContext", "Recipe", "RecipeContext"]

Answer = TypeVar("Answer", bound=AnswerModel)


class RecipeContext(Protocol):
    """The run around a unit: who checks its pairs, and what is kept between units."""

    async def check(self, job: CheckJob) -> list[Verdict]:
        """Judge the valid pairs of a chunk, and look at them before any of them is dropped."""
        ...

    def admit(self, instruction: str) -> bool:
        """Whether one more pair may have this instruction; counts it if so."""
        ...

    def recall(self, name: str) -> str | None:
        """What is kept under a name, also since an earlier start of the run."""
        ...

    def remember(self, name: str, value: str) -> None:
        """Keep a value under a name for the rest of the run and for later starts."""
        ...


@dataclass(frozen=True, slots=True)
class NullContext:
    """No run around: everything is admitted, names are kept in memory."""

    kept: dict[str, str] = field(default_factory=dict)

    async def check(self, job: CheckJob) -> list[Verdict]:
        """Judge the pairs."""
        return judge(job).verdicts

    def admit(self, instruction: str) -> bool:  # noqa: ARG002
        """Admit it."""
        return True

    def recall(self, name: str) -> str | None:
        """What was remembered under the name."""
        return self.kept.get(name)

    def remember(self, name: str, value: str) -> None:
        """Keep the value."""
        self.kept[name] = value


class Ask(Protocol):
    """Everything between a question and a valid answer."""

    @property
    def around(self) -> RecipeContext:
        """The run around this unit."""
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

        ``again(kept)`` makes the question for what is still missing, when an answer was cut off
        after ``kept`` good items; without it the same question is asked once more. ``model`` is
        asked instead of the run's own, and does not become the model that the rows name. Without
        ``mend`` a faulty answer is never sent back to be mended, only asked for afresh.

        Raises:
            RejectedError: No valid answer could be had within the attempts allowed.
        """
        ...

    def drop(self, rejection: Rejection) -> None:
        """Record that one pair of this unit was dropped, and why."""
        ...

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """Of each name, whether this unit is the first of the corpus to bring it.

        Of a run's units the one that was read first is the first, whatever the order of answers:
        it is waited for. Outside of a run every name is new. See ``Generator.claims``.
        """
        ...

    def tell(self, event: Event, /) -> None:
        """Send an event to the subscribers of the run; see `pairmill.events`."""
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
        rewrite: Asks for one pair again; None where that makes no sense.
        terms: What only the prompt says, so that a leak is found.
        copies: The answer is the text's own, so that copying is no fault.
        checks: Policies and thresholds that differ from the table; None: nothing is checked.
        fields: Types of the rows' own fields, by name.
        origin: The recipe file that it was made of.
        source: Digest of the text of a user's Python recipe; "" for all others.
        claims: It may ask what it is the first to bring (``Ask.claim``): units keep their order.
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
        origin: The recipe file that it was made of; None for one in Python.
        source: Digest of the text of a user's Python recipe; "" for all others.
        is_watched: Its rows rest on their text, so that the canary may judge them by it.
        prompts: The set of prompts that it asks with.
        pools_manners: As the generator's.
        claims: It may ask what it is the first to bring (``Ask.claim``).
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
