"""Contents of a recipe file as frozen values; ``recipe_parser.py`` parses and checks it.

The form is documented in ``docs/recipes.md``; ``engine.py`` makes a generator of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pairmill.records import Task, digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.recipes.answer_fields import AnswerField
    from pairmill.recipes.draws import Draw
    from pairmill.recipes.templating import TextTemplate, ValueTemplate
    from pairmill.store.columns import Feature

__all__ = [
    "FENCED",
    "FORMAT",
    "ORIGIN_FIELDS",
    "PROMPT_NAMES",
    "VALUE_NAMES",
    "ForEach",
    "RecipeFile",
    "RecipeStep",
    "RowRule",
    "UnitKind",
    "Votes",
]

FORMAT = "1"  # version of the semantics; raised when the same text changes its meaning

PROMPT_NAMES = ("title", "section", "author", "language", "count")
"""Names that prompts may use besides the passage: plain texts, and the number of pairs that its
length allows."""
FENCED = frozenset({"passage"})
VALUE_NAMES = ("text", "parts")
"""More names that conditions and rows may use: the unit's unfenced text, and that of each chunk."""
ORIGIN_FIELDS: Mapping[str, Feature] = {"document_ids": ("string",), "sources": ("string",)}
"""Columns of rows whose unit spans several documents, with a value for every document."""


@dataclass(frozen=True, slots=True)
class UnitKind:
    """Definition of a unit.

    Attributes:
        of: ``chunk``; ``document``: all of it, up to ``max_chars``, where a longer one is several
            units; ``chunks``: ``size`` of them together.
        by: Which chunks: ``neighbours``, each window ``step`` chunks further; or ``subject``: of
            one subject, each of another document, ``size`` at most.
    """

    of: str = "chunk"
    max_chars: int | None = None
    size: int = 1
    step: int = 1
    by: str = "neighbours"


@dataclass(frozen=True, slots=True)
class ForEach:
    """``question in ask.questions``: the name, and the list it runs over.

    Attributes:
        most: Items that there can be.
    """

    name: str
    over: ValueTemplate
    item: AnswerField | None
    most: int


@dataclass(frozen=True, slots=True)
class Votes:
    """Voting: ask several times, and keep what most answers agree on.

    Attributes:
        times: Number of times to ask.
        least: How many must agree.
        agree_on: Field that is compared, ignoring case and punctuation.
    """

    times: int
    least: int
    agree_on: str


@dataclass(frozen=True, slots=True)
class RecipeStep:
    """One question.

    Attributes:
        system: Text that is constant for a whole run, without what pairmill adds.
        answer: Fields of the answer.
        model: A role: ``writer``, ``judge``, or a name under the setting ``models``.
        temperature: None: the setting's.
        distinct: Text of an item that must be new to the corpus.
        line: Line in the file, for later errors.
    """

    name: str
    system: str
    user: TextTemplate
    answer: AnswerField
    model: str
    temperature: float | None
    max_tokens: int
    for_each: ForEach | None
    when: ValueTemplate | None
    distinct: ValueTemplate | None
    votes: Votes | None
    line: int
    places_passage: bool

    @property
    def calls(self) -> int:
        """Most calls that it makes for one unit."""
        each = self.for_each.most if self.for_each else 1
        return each * (self.votes.times if self.votes else 1)


@dataclass(frozen=True, slots=True)
class RowRule:
    """How values become rows.

    Attributes:
        texts: Template of each text of the row, by name.
        fields: Likewise of the recipe's own fields.
        messages: Of a conversation: a list of turns, or of exchanges, or role and content of each.
        loops: One row for each item of the list; of several, one inside the other.
        when: Condition for writing the row.
    """

    task: Task
    texts: Mapping[str, ValueTemplate]
    fields: Mapping[str, ValueTemplate]
    messages: ValueTemplate | tuple[tuple[str, ValueTemplate], ...] | None
    loops: tuple[ForEach, ...]
    when: ValueTemplate | None


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe file, as read.

    Attributes:
        checks: Policies and thresholds that differ from the table; None: ``off``.
        files: The texts it is made of: its own under its file name, then those it draws from.
        spec: Everything that determines what is asked and written, by dotted name.
        fields: Types of the rows' own fields.
    """

    file: str
    name: str
    version: str
    about: str
    source: str
    license: str
    unit: UnitKind
    constants: Mapping[str, str]
    draws: Mapping[str, Draw]
    steps: tuple[RecipeStep, ...]
    rows: tuple[RowRule, ...]
    checks: Mapping[str, Any] | None
    files: Mapping[str, bytes]
    spec: Mapping[str, str]
    fields: Mapping[str, Feature] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Digest of everything that affects what is asked or written."""
        parts = [part for item in sorted(self.spec.items()) for part in item]
        return digest("recipe file", FORMAT, *parts)

    @property
    def calls(self) -> int:
        """Most calls of one unit, not counting repairs."""
        return sum(step.calls for step in self.steps)

    @property
    def uses(self) -> frozenset[str]:
        """Return every name that its templates use."""
        found: set[str] = set()
        for step in self.steps:
            found |= step.user.names
        return frozenset(found)
