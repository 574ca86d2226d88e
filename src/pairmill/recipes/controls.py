"""Controls of a judge or verifier: planted faults, and when to stop asking it.

A text with a planted fault never becomes a row.

Until there are enough faults of each kind, every chunk gets one, the rarest kind first. That choice
depends on the order of answers, so it is stored for later starts with its question, and a question
that was already answered without a test gets none: a replay repeats its questions and buys nothing.

A judge or verifier that gives no usable answer is not asked to the end. A run continues without its
answers, which change no pair; a notice says so at once, and again at the end.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pairmill.events import Notice
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.recipes.answers import AnswerModel
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Prompt

__all__ = [
    "ENOUGH",
    "EXCHANGED",
    "FAULTS",
    "MOST_EARLY",
    "MOST_MISSED",
    "SENTENCE_FAULTS",
    "Controls",
    "FailureStreak",
    "PossibleControl",
    "add_foreign_sentence",
    "cut",
    "exchange",
    "faulty_replies",
    "faulty_sentences",
    "negate",
    "rename",
    "swap",
    "wrong_number",
]

EXCHANGED = "exchanged"
FAULTS = ("swapped", "cut", "number", "foreign", "negated", EXCHANGED)
"""Faults of a reply. ``exchanged`` keeps the reply and shows it with another passage."""
SENTENCE_FAULTS = ("number", "negated", "name", "foreign", EXCHANGED)
"""Faults of one sentence of a reply."""
ENOUGH = 30
"""Planted faults of one kind that are needed for the share found to be meaningful."""
MOST_EARLY = ENOUGH * max(len(FAULTS), len(SENTENCE_FAULTS))
"""First chunks of a start that get a planted fault whatever the share, until there are enough."""

# A meaningful number: not a list marker, nor part of a word or a version.
_NUMBER = re.compile(r"(?<![\w.,#-])\d+(?:[.,]\d+)*(?![\w%]*-)(?=\b)(?![.)]\s)")
_LIST_MARK = re.compile(r"(?m)^[ \t>*-]*(?:\(?\d{1,3}[.):]|step \d+)", re.IGNORECASE)
_VERB = re.compile(
    r"\b(is|are|was|were|can|could|will|would|should|must|has|have|had|does|do|did)\b(?! not\b)"
    r"(?!n't)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_BREAD = (
    "Salt holds the yeast back. Left unsalted, a dough races ahead: it puffs up within the hour "
    "and bakes into something pale and dull. With salt the rise takes its time, and in that time "
    "the slow work happens that you taste later."
)
_CHESS = (
    "Put it in the centre unless something concrete speaks against it. From there the piece "
    "reaches eight squares, from the rim only four, so half of its strength is given away before "
    "the first exchange."
)
_FOREIGN = (_BREAD, _CHESS)
_FOREIGN_SENTENCES = (
    "The same was already known to the bakers of Lisbon, who kept it secret for two centuries.",
    "Later experiments on lake trout in northern Canada showed the opposite.",
    "It was first sold under this name by a Danish shipping company in 1911.",
)
_STARTER = (
    "A starter is kept in a jar on the shelf and fed each morning with rye flour and lukewarm "
    "water. After some days it smells of apples, and its bubbles lift the lid. Two spoons of it "
    "are enough for a loaf of a kilogram. The dough is folded four times in the first two hours "
    "and then left alone overnight in a cool room. Towards six the oven is heated with the stone "
    "in it. The loaf goes in with steam, which keeps the crust soft while the crumb still rises, "
    "and after a quarter of an hour the door is opened to let the steam out."
)
_TOWER = (
    "The tower stands at the end of the mole and was built of grey granite. Its lamp burned "
    "rapeseed oil until the keepers were given paraffin. Each evening one of them climbed the "
    "stairs, trimmed the wick and wound up the clockwork that turned the lens. In fog a horn was "
    "sounded every ninety seconds, and the fishing boats steered home by its note. In winter the "
    "path along the mole was closed, because waves went over the railing. When the lamp was made "
    "electric the last keeper gave his log to the museum in the town."
)
_PASSAGES = (_STARTER, _TOWER)
_NAMES = ("Halvorsen", "Quintero", "Marlowe", "Szymborska")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}\b")
_SHORT_WORDS = 8  # half of a shorter one may still be a complete answer


def faulty_replies(replies: Sequence[str], at: int, draw: int) -> dict[str, str]:
    """Plant each fault that is possible in the reply at a position; return fault to faulty reply.

    Args:
        replies: The replies to one chunk's requests, in order.
        at: Position of the one that gets the fault.
        draw: A number of 0 or more that chooses what is inserted.
    """
    reply = replies[at]
    possible = {"swapped": swap(replies, at), "foreign": add_foreign_sentence(reply, draw)}
    made = {"cut": cut(reply), "number": wrong_number(reply), "negated": negate(reply)}
    possible |= {kind: faulty for kind, faulty in made.items() if faulty is not None}
    return {**possible, EXCHANGED: reply}


def faulty_sentences(sentence: str, draw: int, *, is_english: bool = True) -> dict[str, str]:
    """Plant each fault that is possible in one sentence; return fault to faulty sentence.

    Args:
        sentence: One that the passage supports.
        draw: A number of 0 or more that chooses what is inserted.
        is_english: Whether the words that negate, and capitals that mark names, are English.
    """
    possible = {
        "foreign": _FOREIGN_SENTENCES[draw % len(_FOREIGN_SENTENCES)],
        EXCHANGED: sentence,
    }
    made = {"number": wrong_number(sentence)}
    if is_english:
        made |= {"negated": negate(sentence), "name": rename(sentence, draw)}
    return possible | {kind: faulty for kind, faulty in made.items() if faulty is not None}


def exchange(draw: int) -> str:
    """Return a passage that is unrelated to the reply at hand."""
    return _PASSAGES[draw % len(_PASSAGES)]


def rename(sentence: str, draw: int = 0) -> str | None:
    """Replace a name inside a sentence (English); None if it has none."""
    found = _NAME.search(sentence)
    if found is None:
        return None
    return f"{sentence[: found.start()]}{_NAMES[draw % len(_NAMES)]}{sentence[found.end() :]}"


def swap(replies: Sequence[str], at: int) -> str:
    """Return the next pair's reply; something foreign if there is none or it is the same."""
    other = replies[(at + 1) % len(replies)]
    return other if other != replies[at] else _FOREIGN[len(other) % len(_FOREIGN)]


def cut(reply: str) -> str | None:
    """Return the first half of a reply; None if it is too short to cut."""
    words = reply.split(" ")
    return " ".join(words[: len(words) // 2]) if len(words) > _SHORT_WORDS else None


def wrong_number(reply: str) -> str | None:
    """Change a reply's first number; None if it has none besides list markers."""
    marks = [found.span() for found in _LIST_MARK.finditer(reply)]
    for found in _NUMBER.finditer(reply):
        if any(start <= found.start() < end for start, end in marks):
            continue
        digits = re.sub(r"\D", "", found.group())[:12]
        return f"{reply[: found.start()]}{int(digits) * 3 + 7}{reply[found.end() :]}"
    return None


def add_foreign_sentence(reply: str, draw: int = 0) -> str:
    """Insert, before a reply's last sentence, one that no text at hand supports."""
    sentence = _FOREIGN_SENTENCES[draw % len(_FOREIGN_SENTENCES)]
    sentences = _SENTENCE_END.split(reply.strip())
    if len(sentences) == 1:
        return f"{reply} {sentence}"
    return " ".join([*sentences[:-1], sentence, sentences[-1]])


def negate(reply: str) -> str | None:
    """Negate a reply's first plain statement (English); None if none is found."""
    found = _VERB.search(reply)
    if found is None:
        return None
    return f"{reply[: found.end()]} not{reply[found.end() :]}"


@dataclass(frozen=True, slots=True)
class PossibleControl:
    """A test that may follow a question.

    Attributes:
        name: Name under which the choice is kept.
        kind: Fault that was chosen for this question before; "" if the choice is still to be made.
    """

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Controls:
    """The tests of one role in one start of a run.

    Attributes:
        role: ``judge`` or ``verifier``.
        kinds: Faults that can be planted, in order of preference.
        share: Share of the chunks that get one when there are enough; none at all if 0.
        planted: Faults of each kind in this start.
    """

    role: str
    kinds: tuple[str, ...]
    share: float
    planted: Counter[str] = field(default_factory=Counter)

    def of(
        self, ask: Ask, question: Prompt, answer: type[AnswerModel], *, model: str | None
    ) -> PossibleControl | None:
        """Return the test that may follow a question, before that is asked; None if none may."""
        if self.share <= 0.0:
            return None
        seed = repr(question.sampling.seed)
        name = digest(question.template.id, question.text, seed, model or "")
        name = f"control of the {self.role} {name}"
        kind = ask.around.recall(name)
        if kind is None and ask.is_answered(question, answer, model=model):
            return None
        return PossibleControl(name, kind or "")

    def takes(self, control: PossibleControl, draw: float) -> bool:
        """Return whether to test: always if that was chosen before, or until there are enough.

        Args:
            control: The test.
            draw: The chunk's number in [0, 1).
        """
        is_early = sum(self.planted.values()) < ENOUGH * len(self.kinds)
        return bool(control.kind) or is_early or draw < self.share

    def choose(
        self, control: PossibleControl, possible: Mapping[str, str], draw: int, ask: Ask
    ) -> tuple[str, str]:
        """Return a fault and the faulty text: as chosen before, else one of the rarest kind.

        Args:
            control: The test.
            possible: Fault to faulty text.
            draw: A number of 0 or more that chooses among the rarest.
            ask: Keeps the choice.
        """
        kind = control.kind
        if kind not in possible:
            fewest = min(self.planted[each] for each in possible)
            rarest = [
                each for each in self.kinds if each in possible and self.planted[each] == fewest
            ]
            kind = rarest[draw % len(rarest)]
            ask.around.remember(control.name, kind)
        self.planted[kind] += 1
        return kind, possible[kind]


MOST_MISSED = 20
"""Questions in a row without a usable answer. Of a model that fails at half of all questions, one
run of a million questions would see as many in a row about once."""


@dataclass(slots=True)
class FailureStreak:
    """How often in a row a role has failed; for one start of a run.

    Attributes:
        role: ``judge`` or ``verifier``.
        flag: What its pairs are flagged with.
        missed: Questions since the last usable answer.
    """

    role: str
    flag: str
    missed: int = 0

    @property
    def is_over(self) -> bool:
        """True if nothing is asked any more."""
        return self.missed >= MOST_MISSED

    def note(self, ask: Ask, *, is_usable: bool) -> None:
        """Count a question's answer; say so if it was the last that was waited for."""
        was_over = self.is_over
        self.missed = 0 if is_usable else self.missed + 1
        if self.is_over and not was_over:
            ask.tell(
                Notice(
                    text=f"the {self.role} gave no usable answer to {MOST_MISSED} questions in a"
                    f" row, and is not asked any more: further pairs are flagged {self.flag}; start"
                    " again to ask it again, or name another model"
                )
            )
