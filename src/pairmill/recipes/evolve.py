"""One round of evolution: makes each pair harder, or its answer better, from the same text.

Depth and breadth after Evol-Instruct (Xu et al. 2023, arXiv:2304.12244), with answers that see the
text. A child that gained nothing or fails a check is dropped; the parent is always kept. The export
decides which of the two it writes.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rapidfuzz.fuzz import token_sort_ratio

from pairmill.errors import RejectedError
from pairmill.events import PairEvolved
from pairmill.quality.stems import stem
from pairmill.quality.text import count_words
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.checks import view_of, view_of_pair
from pairmill.recipes.prompts import (
    PromptTemplate,
    as_lines,
    guidance_text,
    load_template,
    of_settings,
)
from pairmill.recipes.refine import inspect_pair
from pairmill.recipes.writing import (
    CANARY,
    TOKENS_PER_PAIR,
    TOKENS_PER_REPLY,
    Answered,
    Instructed,
    Short,
    passage_values,
)
from pairmill.records import Pair, Sampling, digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.config import Settings
    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.recipes.checks import Checks
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk, Prompt

__all__ = ["ANSWER_OPERATORS", "CHILD_INDEX", "INSTRUCTION_OPERATORS", "Evolution", "why_not"]

VERSION = "1"
INSTRUCTION_OPERATORS = (
    "add_constraint",
    "deepen",
    "concretise",
    "more_reasoning_steps",
    "sibling_topic",
)
ANSWER_OPERATORS = ("more_depth", "more_detail", "clearer")
INPUT_OPERATOR = "complicate_input"  # only for chunks with code or a table
CHILD_INDEX = 100  # added to the parent's position in the unit

_INPUT = re.compile(r"^(?:```|~~~|\|)", re.MULTILINE)
_SAME = 92.0  # of 100; from this similarity on, regardless of word order, nothing was gained
_LEAST_GROUNDING = 0.35
_MOST_WORDS = 120
_MOST_ADDED_WORDS = 20
_SORRY_WORDS = 80
_LEAST_NEW = 0.1  # of the answer's content words; fewer are the parent's answer in other words
_MOST_MORE = 2  # content words: one synonym may be a phrase
_LEAST_OF_PARENT = 0.4  # of the words of the parent's answer
# Stems of words that ask for more of the same and add no subject.
_PADDING_WORDS = (
    "please", "answer", "answers", "detail", "details", "detailed", "explain", "explanation",
    "thorough", "thoroughly", "comprehensive", "comprehensively", "depth", "elaborate",
    "further", "example", "examples", "clear", "clearly", "specific", "specifically", "provide",
    "include", "including", "step", "steps", "long", "longer", "brief", "briefly", "possible",
    "describe", "discuss", "tell", "question", "response", "respond", "write",
)  # fmt: skip
_PADDING = frozenset(map(stem, _PADDING_WORDS))
_TALK = ("rewritten prompt", "given prompt", "#rewritten", "evolved request", "original request")


class EvolvedPair(AnswerModel):
    """One evolved pair, and the number of the pair that it came from."""

    number: int
    evidence: Short = ""
    instruction: Instructed
    answer: Answered


class Evolved(AnswerModel):
    """The whole reply."""

    items: ClassVar[str | None] = "pairs"
    items_are_pairs: ClassVar[bool] = False
    pairs: list[EvolvedPair]


@dataclass(frozen=True, slots=True)
class Evolution:
    """A configured round."""

    form: PromptTemplate
    checks: Checks
    temperature: float
    seed: int

    @classmethod
    def of(cls, settings: Settings, checks: Checks) -> Evolution | None:
        """Return what the settings ask for; None for ``evolve: off``."""
        if settings.evolve == "off":
            return None
        form = load_template(
            "evolve",
            {"canary": CANARY},
            guidance_text(settings),
            settings.voice,
            of_settings(settings),
        )
        return cls(form, checks, settings.temperature, settings.seed)

    @property
    def identity(self) -> str:
        """Digest of everything that affects the evolved pairs."""
        numbers = (repr(self.temperature), str(self.seed))
        return digest(VERSION, self.form.template.id, self.form.form, *numbers)

    async def evolve(self, pairs: Sequence[Pair], chunk: Chunk, ask: Ask) -> list[Pair]:
        """Return the pairs, then the children that one call wrote and that passed.

        Emits ``PairEvolved`` for each pair: its operator, and ``kept`` or the reason why not.
        """
        if not pairs:
            return []
        operators = [_operator(chunk, pair, self.seed) for pair in pairs]
        try:
            given = await ask(self._question(pairs, operators, chunk), Evolved)
        except RejectedError:
            given = Evolved(pairs=[])
        found: dict[int, EvolvedPair] = {}
        for evolved in given.pairs:
            found.setdefault(evolved.number, evolved)
        view = view_of(chunk)
        children: list[Pair] = []
        shown = {pair.index: view_of_pair(pair, view) for pair in pairs}
        for number, (parent, operator) in enumerate(zip(pairs, operators, strict=True), 1):
            child, reason = None, "missing"
            if number in found:
                siblings = [other for at, other in shown.items() if at != parent.index]
                child, reason = self._passed(found[number], parent, operator, view, siblings)
            if child is not None:
                children.append(child)
                shown[child.index] = view_of_pair(child, view)
            ask.tell(PairEvolved(operator=operator, outcome=reason))
        return [*pairs, *children]

    def _passed(
        self,
        evolved: EvolvedPair,
        parent: Pair,
        operator: str,
        view: PreparedChunk,
        siblings: Sequence[PreparedPair],
    ) -> tuple[Pair | None, str]:
        """Return the child and ``kept``; or None and why it is dropped, such as "twin"."""
        rewords = operator not in ANSWER_OPERATORS
        child = Pair(
            instruction=evolved.instruction if rewords else parent.instruction,
            answer=evolved.answer,
            index=CHILD_INDEX + parent.index,
            kind=operator,
            evidence=evolved.evidence,
            parent=parent.index,
        )
        reason = why_not(child, parent, view)
        if reason is not None:
            return None, reason
        passed, fault = inspect_pair(child, view, self.checks, siblings)
        return (None, fault.check) if fault else (passed, "kept")

    def _question(self, pairs: Sequence[Pair], operators: Sequence[str], chunk: Chunk) -> Prompt:
        listed = [
            {
                "number": number,
                "operator": operator,
                "request": pair.instruction,
                "reply": pair.answer,
            }
            for number, (pair, operator) in enumerate(zip(pairs, operators, strict=True), 1)
        ]
        values = {
            "count": str(len(pairs)),
            "examples": as_lines(listed),
            **passage_values(chunk),
        }
        max_tokens = TOKENS_PER_REPLY + TOKENS_PER_PAIR * len(pairs)
        return self.form.fill(values, Sampling(self.temperature, max_tokens, self.seed))


def why_not(child: Pair, parent: Pair, view: PreparedChunk) -> str | None:
    """Return in one word why an evolved pair is dropped; None if it may be kept.

    The rules implement Evol-Instruct's eliminator (no gain, a refusal, no content, talk about the
    task) and our own: too long, too far from the text, a request that asks for nothing more, an
    answer that was cut down.
    """
    shown = view_of_pair(child, view)
    length = count_words(shown.instruction)
    before = count_words(view_of_pair(parent, view).instruction)
    talk = f"{child.instruction}\n{child.answer}".lower()
    rewords = child.instruction != parent.instruction
    same = token_sort_ratio(
        *((child.instruction, parent.instruction) if rewords else (child.answer, parent.answer))
    )
    before_view = view_of_pair(parent, view)
    reasons = {
        "nothing_gained": same >= _SAME,
        "excuse": shown.answer.holds("sorry") and count_words(shown.answer) < _SORRY_WORDS,
        "nothing_said": not shown.answer.content_length,
        "task_talk": any(phrase in talk for phrase in _TALK),
        "too_long": length > min(_MOST_WORDS, before + _MOST_ADDED_WORDS),
        "too_far_from_text": _coverage(shown.answer.content, view) < _LEAST_GROUNDING,
        "shorter_answer": count_words(shown.answer)
        < _LEAST_OF_PARENT * count_words(before_view.answer),
        "only_rephrased": rewords and _only_rephrased(shown, before_view),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _only_rephrased(child: PreparedPair, parent: PreparedPair) -> bool:
    """Return whether a request asks for nothing more than its parent.

    "Please answer in detail" adds no content word that counts; neither does a request that leaves
    something out. A paraphrase by synonyms has about as many content words as its parent, and is
    answered with what the parent's answer says.
    """
    asked, before = child.instruction.content, parent.instruction.content
    added = asked - before - _PADDING
    if not added:
        return True
    said, said_before = child.answer.content, parent.answer.content
    is_same_answer = len(said - said_before) < _LEAST_NEW * len(said)
    return is_same_answer and len(asked) <= len(before) + _MOST_MORE


def _coverage(content: frozenset[str], view: PreparedChunk) -> float:
    return len(content & view.content) / len(content) if content else 0.0


def _operator(chunk: Chunk, pair: Pair, seed: int) -> str:
    known = [*INSTRUCTION_OPERATORS, *ANSWER_OPERATORS]
    if _INPUT.search(chunk.text):
        known.append(INPUT_OPERATOR)
    name = f"evolve {seed} {chunk.id} {pair.index}".encode()
    draw = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest())
    return known[draw % len(known)]
