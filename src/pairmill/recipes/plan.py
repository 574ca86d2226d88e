"""How many pairs a chunk is to give, and of which sorts: drawn by hash, the same every time.

Left to itself a model asks "Explain ..." two times in three. So each pair is assigned a type and a
form, and each chunk an asker and a difficulty, by the hash of the chunk and the seed: the draws
vary over the run, and a replay asks the very same question.
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.config import PlanSettings
from pairmill.recipes.draws import hash_share
from pairmill.recipes.fit import TRAITS, holds_code, traits_of
from pairmill.recipes.prompt_sets import FIRST, LATEST
from pairmill.recipes.weights import Weights, pick, weights_of, without

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.records import Chunk

__all__ = ["TYPES", "Plan", "count_pairs", "plan_identity", "plan_pairs"]

BYTES_PER_TOKEN = 4  # of UTF-8; near enough, and no tokenizer has to be at hand
TOKENS_PER_PAIR = 150

TYPES = (
    ("explain", 3),
    ("how_to", 3),
    ("why", 3),
    ("compare", 2),
    ("list_with_reasons", 2),
    ("write_in_style", 2),
    ("summarise_topic", 1),
    ("definition_with_example", 1),
    ("troubleshoot", 1),
    ("decide", 1),
    ("critique", 1),
)
"""Types with their weights. ``code_task`` joins them where the chunk holds code."""

_CODE_TASK = ("code_task", 3)
_ASKERS = ("a beginner", "a practitioner", "a manager", "a student", "a sceptic")
_DIFFICULTIES = ("easy", "medium", "hard")
_FORMS = (
    "question",
    "plain request",
    "casual question",
    "formal request",
    "a sentence or two of situation, then the request",
)
_KINDS = {
    # Weight of each type by itself, and what is added by what the passage is.
    "explain": (3, {}),
    "why": (2, {"argument": 2}),
    "how_to": (0, {"steps": 4, "code": 2}),
    "compare": (0, {"comparison": 4}),
    "list_with_reasons": (1, {"argument": 1}),
    "write_in_style": (1, {"narrative": 1, "argument": 1}),
    "summarise_topic": (1, {"narrative": 1}),
    "definition_with_example": (1, {}),
    "troubleshoot": (0, {"failure": 2}),
    "decide": (0, {"comparison": 2, "steps": 1}),
    "critique": (0, {"argument": 2}),
    "fact": (1, {"numbers": 2, "narrative": 1}),
    "extract": (0, {"numbers": 2, "comparison": 1}),
    "code_task": (0, {"code": 3}),
}
_ANSWERS = {
    "prose": (6, {}),
    "a list": (2, {"steps": 1}),
    "steps": (0, {"steps": 3, "code": 1}),
    "a table": (0, {"comparison": 2, "numbers": 1}),
    "code with a few words": (0, {"code": 2}),
}
_LENGTHS = weights_of(
    {
        "one or two sentences": 1.0,
        "40 to 80 words": 3.0,
        "80 to 160 words": 3.0,
        "160 to 250 words": 2.0,
        "250 to 400 words": 1.0,
    }
)
_SHORTEST, _LONGEST = "one or two sentences", "250 to 400 words"
_EVEN_FORMS = weights_of(dict.fromkeys(_FORMS, 1.0))
_EVEN_ASKERS = weights_of(dict.fromkeys(_ASKERS, 1.0))
_EVEN_LEVELS = weights_of(dict.fromkeys(_DIFFICULTIES, 1.0))
_NEED_CODE = frozenset({"code_task", "code with a few words"})
_SEEN = {
    "code": "code",
    "steps": "steps to follow",
    "comparison": "a comparison",
    "numbers": "figures",
    "argument": "an argument",
    "narrative": "an account of what happened",
}
_ROOM_CHARS = 1200  # of a passage, from which on it may hold 250 words of an answer
_STEPPED = frozenset({"how_to", "troubleshoot"})
_NO_CHOICES = PlanSettings()
_STATE_BYTES = 16  # of chance; eleven pairs take 9 of them

# As many slots as a type's weight; each pair's is drawn from those of the types that are left.
_SLOTS = tuple(name for name, weight in TYPES for _ in range(weight))
_CODE_SLOTS = (*_SLOTS, *[_CODE_TASK[0]] * _CODE_TASK[1])


class Plan(Struct, frozen=True):
    """What is asked for: a type and a form for each pair, an asker and a difficulty for all.

    Attributes:
        others: For each pair a second type that would do; () in the first set of prompts.
        answers: For each pair the form and length of its answer; likewise.
    """

    types: tuple[str, ...]
    forms: tuple[str, ...]
    asker: str
    difficulty: str
    others: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()

    def after(self, kept: int) -> Plan:
        """Return the plan for what is missing after the first ``kept`` pairs; at least one."""
        start = min(kept, len(self.types) - 1)
        return Plan(
            self.types[start:],
            self.forms[start:],
            self.asker,
            self.difficulty,
            self.others[start:],
            self.answers[start:],
        )

    def lines(self) -> str:
        """Render the plan for the prompt."""
        if self.answers:
            return self._told()
        numbered = enumerate(zip(self.types, self.forms, strict=True), 1)
        pairs = "; ".join([f"{number}. {kind}, {form}" for number, (kind, form) in numbered])
        return f"Pairs: {pairs}\nAsker: {self.asker}\nDifficulty: {self.difficulty}"

    def lines_for_copy(self, traits: frozenset[str] | None) -> str:
        """Render the plan for a prompt in which the passage itself is the answer."""
        seen = [_SEEN[trait] for trait in TRAITS if traits and trait in traits and trait in _SEEN]
        told = f"The passage is: {', '.join(seen)}\n" if seen else ""
        return f"{told}Form: {self.forms[0]}\nAsker: {self.asker}"

    def _told(self) -> str:
        pairs = zip(self.types, self.others, self.forms, self.answers, strict=True)
        lines = [
            f"{number}. {kind}{f' or {other}' if other else ''}; {form}; answer: {answer}"
            for number, (kind, other, form, answer) in enumerate(pairs, 1)
        ]
        told = "\n".join(lines)
        return f"Asker: {self.asker}\nDifficulty: {self.difficulty}\nPairs:\n{told}"


def count_pairs(text: str, most: int) -> int:
    """One pair for every 150 tokens of text, at least one and at most ``most``."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    tokens = size / BYTES_PER_TOKEN
    return max(1, min(most, int(tokens / TOKENS_PER_PAIR + 0.5)))


def plan_pairs(
    chunk: Chunk,
    count: int,
    seed: int,
    choices: PlanSettings | None = None,
    *,
    prompts: str = LATEST,
) -> Plan:
    """Draw a plan for ``count`` pairs, at most 11 of different types, by chunk and seed.

    ``choices`` takes the place of what is built in; of fewer types than pairs some come again.
    Types and forms of answers are drawn among those that fit the passage, but for the first set of
    ``prompts``.
    """
    if prompts != FIRST:
        return _fitting_plan(chunk, count, seed, choices)
    if choices is not None:
        return _plan_of(choices, chunk, count, seed)
    name = f"{seed} {chunk.id}".encode()
    state = int.from_bytes(hashlib.blake2b(name, digest_size=_STATE_BYTES).digest(), "big")
    state, asker = divmod(state, len(_ASKERS))
    state, difficulty = divmod(state, len(_DIFFICULTIES))
    slots = _CODE_SLOTS if holds_code(chunk.text) else _SLOTS
    types, forms = [], []
    for _ in range(count):  # each pair is drawn alone: a longer plan begins like a shorter one
        state, slot = divmod(state, len(slots))
        state, form = divmod(state, len(_FORMS))
        types.append(slots[slot])
        forms.append(_FORMS[form])
        slots = _without(slots, slots[slot])
    return Plan(tuple(types), tuple(forms), _ASKERS[asker], _DIFFICULTIES[difficulty])


def _fitting_plan(chunk: Chunk, count: int, seed: int, choices: PlanSettings | None) -> Plan:
    """Draw a plan of types that the passage can answer; each pair by its own hash."""
    traits = traits_of(chunk.text)
    own = choices or _NO_CHOICES
    weights = weights_of(own.types) if own.types else _fitting("types", traits)
    answers = weights_of(own.answers) if own.answers else _fitting("answers", traits)
    lengths = weights_of(own.lengths) if own.lengths else _LENGTHS
    asked = weights_of(own.forms) if own.forms else _EVEN_FORMS
    is_short = len(chunk.text) < _ROOM_CHARS
    types, others, forms, told = [], [], [], []
    left = weights
    for number in range(count):
        first, second, third, fourth, fifth = _shares(chunk.id, seed, f"pair {number}", 5)
        kind = left.pick(first)
        left = without(left, kind)
        rest = without(weights, kind)
        types.append(kind)
        others.append(rest.pick(second) if own.types is None and rest.total else "")
        forms.append(asked.pick(third))
        told.append(_answer(kind, answers.pick(fourth), lengths, fifth, is_short=is_short))
        if not left.total:
            left = weights
    asker, level = _shares(chunk.id, seed, "unit", 2)
    return Plan(
        tuple(types),
        tuple(forms),
        (weights_of(own.askers) if own.askers else _EVEN_ASKERS).pick(asker),
        (weights_of(own.difficulties) if own.difficulties else _EVEN_LEVELS).pick(level),
        tuple(others),
        tuple(told),
    )


def _answer(kind: str, form: str, lengths: Weights, share: float, *, is_short: bool) -> str:
    """Form and length of the answer to a request of a type; of a short passage none is long."""
    if kind == "fact" and _SHORTEST in lengths.weights:
        return f"prose, {_SHORTEST}"
    if form == "steps" and kind not in _STEPPED:
        form = "prose"
    fitting = lengths
    if is_short:
        fitting = without(fitting, _LONGEST)
    if form != "prose":
        fitting = without(fitting, _SHORTEST)
    return f"{form}, {(fitting if fitting.total else lengths).pick(share)}"


@lru_cache(maxsize=512)  # of so many sets of traits
def _fitting(what: str, traits: frozenset[str] | None) -> Weights:
    """Return the weights for a passage; if nothing is known about it, those for any passage."""
    table = _KINDS if what == "types" else _ANSWERS
    if traits is None:
        plain = {name: base or 1 for name, (base, _) in table.items() if name not in _NEED_CODE}
        return weights_of(plain)
    found = {
        name: float(base + sum(extra for trait, extra in more.items() if trait in traits))
        for name, (base, more) in table.items()
    }
    return weights_of({name: weight for name, weight in found.items() if weight})


def _shares(chunk_id: str, seed: int, name: str, count: int) -> tuple[float, ...]:
    """So many numbers from 0 to below 1 that depend on the parts alone."""
    state = hashlib.blake2b(f"plan {seed} {chunk_id} {name}".encode(), digest_size=4 * count)
    return tuple([value / 2**32 for value in struct.unpack(f">{count}I", state.digest())])


def plan_identity(choices: PlanSettings | None) -> tuple[str, ...]:
    """Return the part of a plan's settings that changes the questions; () if nothing is set."""
    return () if choices is None else (choices.model_dump_json(),)


def _plan_of(choices: PlanSettings, chunk: Chunk, count: int, seed: int) -> Plan:
    """Draw a plan from a user's own texts and weights, each by its own hash."""
    coded = (_CODE_TASK,) if holds_code(chunk.text) else ()
    types = choices.types or {name: float(weight) for name, weight in (*TYPES, *coded)}
    forms = choices.forms or dict.fromkeys(_FORMS, 1.0)
    drawn: list[str] = []
    left = dict(types)
    for number in range(count):
        kind = _drawn(left, chunk.id, seed, f"type {number}")
        drawn.append(kind)
        left.pop(kind)
        if not any(left.values()):
            left = dict(types)
    return Plan(
        tuple(drawn),
        tuple(_drawn(forms, chunk.id, seed, f"form {number}") for number in range(count)),
        _drawn(choices.askers or dict.fromkeys(_ASKERS, 1.0), chunk.id, seed, "asker"),
        _drawn(choices.difficulties or dict.fromkeys(_DIFFICULTIES, 1.0), chunk.id, seed, "level"),
    )


def _drawn(weights: Mapping[str, float], *name: object) -> str:
    return pick(weights, hash_share("plan", *map(str, name)))


@lru_cache(maxsize=2048)  # what two of twelve types leave, and a good part of what three do
def _without(slots: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(other for other in slots if other != name)
