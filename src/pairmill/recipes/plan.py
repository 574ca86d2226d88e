"""How many pairs a chunk is to give, and of which sorts: drawn by hash, the same every time.

The passage is looked at first, at no cost: code, tables and numbered lists are recognised in any
language; words that compare, argue or narrate only in English. Where nothing is recognised, every
kind of request is offered.

Left to itself a model asks "Explain ..." two times in three. So each pair is assigned a type and a
form, and each chunk an asker and a difficulty, by the hash of the chunk and the seed: the draws
vary over the run, and a replay asks the very same question.
"""

from __future__ import annotations

import hashlib
import re
import struct
from bisect import bisect_right
from functools import cache, lru_cache
from itertools import accumulate
from string import punctuation
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.config import PlanSettings
from pairmill.quality.speedups import MarkedWords, are_used
from pairmill.quality.text import words
from pairmill.quality.word_lists import ENGLISH
from pairmill.recipes.draws import hash_share
from pairmill.recipes.prompts import FIRST, LATEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.records import Chunk

__all__ = [
    "TRAITS",
    "TYPES",
    "Plan",
    "Weights",
    "count_pairs",
    "holds_code",
    "pick",
    "plan_identity",
    "plan_pairs",
    "traits_of",
    "weights_of",
    "without",
]

_MOST_EXACT = 2.0**20
_MOST_TABLES = 2048


class Weights:
    """A table of texts and weights, ready to draw from.

    Attributes:
        weights: Text to weight, none below 0.
        total: Their sum.
    """

    __slots__ = ("_ends", "_names", "total", "weights")

    def __init__(self, names: tuple[str, ...], weights: tuple[float, ...]) -> None:
        self.weights: Mapping[str, float] = dict(zip(names, weights, strict=True))
        self.total = sum(weights)
        self._names = names
        # Sums and differences of whole numbers are exact: looking for the place gives the same.
        is_exact = self.total < _MOST_EXACT and all(map(float.is_integer, weights))
        self._ends = list(accumulate(weights)) if is_exact else None

    def pick(self, share: float) -> str:
        """Return the text at a share of the sum: a multiple of 2**-32 from 0 to below 1."""
        if self._ends is None:
            return pick(self.weights, share)
        return self._names[bisect_right(self._ends, share * self.total)]


def pick(weights: Mapping[str, float], share: float) -> str:
    """Return the text at a share of the sum, from 0 to below 1, of weights that are no table."""
    place = share * sum(weights.values())
    for text, weight in weights.items():
        place -= weight
        if place < 0:
            return text
    return next(reversed([text for text, weight in weights.items() if weight]))


def weights_of(weights: Mapping[str, float]) -> Weights:
    """Return the table of these weights; equal weights share one table."""
    return _table(tuple(weights), tuple(map(float, weights.values())))


@lru_cache(maxsize=_MOST_TABLES)
def without(table: Weights, name: str) -> Weights:
    """Return the table without a text; the same one where it is not among them."""
    if name not in table.weights:
        return table
    return weights_of({text: weight for text, weight in table.weights.items() if text != name})


_table = lru_cache(maxsize=_MOST_TABLES)(Weights)


TRAITS = ("code", "steps", "comparison", "numbers", "argument", "narrative", "failure")

_CODE = re.compile(r"^(?:```|~~~|    \S)", re.MULTILINE)
_LISTED = re.compile(r"^[ \t]*(?:\d{1,2}[.)]|step \d+)\s+\S", re.MULTILINE | re.IGNORECASE)
_COMPARING = (
    "than whereas unlike versus vs instead rather both either compared comparison contrast "
    "difference differs different similar likewise better worse"
)
_ARGUING = (
    "because therefore hence thus should ought must reason reasons argue argues argument believe "
    "evidence although however nevertheless consequently why claim opinion"
)
_TELLING = (
    "was were had went came said told saw began took gave became left year years ago later then "
    "when he she they his her"
)
_FAILING = (
    "error errors fail fails failed failure bug broken crash problem problems fix wrong issue"
)
_STEPPING = "first then next finally click run install open select press type after before begin"
_WORDS = {
    "comparison": frozenset(_COMPARING.split()),
    "argument": frozenset(_ARGUING.split()),
    "narrative": frozenset(_TELLING.split()),
    "failure": frozenset(_FAILING.split()),
    "steps": frozenset(_STEPPING.split()),
}
_LEAST_SHARE = {
    # of all words; about twice what newspapers and encyclopaedias have
    "comparison": 0.014,
    "argument": 0.016,
    "narrative": 0.055,
    "failure": 0.008,
    "steps": 0.03,
}
_ENGLISH_MARK = "e"
_TRAIT_MARKS = {trait[0]: trait for trait in _WORDS}
_LISTS = {mark: _WORDS[trait] for mark, trait in _TRAIT_MARKS.items()}
_MARKS = {
    word: "".join(
        mark for mark, known in {_ENGLISH_MARK: ENGLISH, **_LISTS}.items() if word in known
    )
    for word in ENGLISH.union(*_WORDS.values())
}
_EACH_MARK = (_ENGLISH_MARK, *_TRAIT_MARKS)
# Of ASCII: where words end, as `quality.text.words` parts them, and what digits are.
_SHAPES = bytes(
    ord("0" if chr(code).isdigit() else " ")
    if chr(code).isdigit() or chr(code).isspace() or chr(code) in punctuation
    else ord("a")
    for code in range(128)
) + bytes(128)
_LEAST_ITEMS = 3
_FENCES = 2  # marks of a row with a single cell
_LEAST_NUMBERS = 0.03
_ENGLISH_SHARE = 0.25


def traits_of(text: str) -> frozenset[str] | None:
    """Return a passage's traits, out of ``TRAITS``; None if its language shows only its form."""
    found = _form_of(text)
    counted, numbers, english, *traits = _count(text)
    total = max(counted, 1)
    if numbers >= max(_LEAST_ITEMS, _LEAST_NUMBERS * total):
        found.add("numbers")
    if english < _ENGLISH_SHARE * total:
        return frozenset(found) if found else None
    for count, trait in zip(traits, _WORDS, strict=False):
        if count >= _LEAST_SHARE[trait] * total:
            found.add(trait)
    return frozenset(found)


def _count(text: str) -> Sequence[int]:
    """Count words, numbers, English function words, and the words of each trait."""
    if are_used() and text.isascii():
        return _marked_words().count(text)
    tokens = words(text)
    # Each known word as the marks of its lists, in one string: to be counted by mark.
    marks = "".join(filter(None, map(_MARKS.get, tokens)))
    return (len(tokens), _count_numbers(text, tokens), *map(marks.count, _EACH_MARK))


@cache
def _marked_words() -> MarkedWords:
    """Return the same words for the extension, each mark as a bit."""
    bits = {mark: 1 << at for at, mark in enumerate(_EACH_MARK)}
    return MarkedWords({word: sum(map(bits.__getitem__, marks)) for word, marks in _MARKS.items()})


def _count_numbers(text: str, tokens: tuple[str, ...]) -> int:
    """Count the words of a text that begin with a digit."""
    if not text.isascii():
        return sum([word[0].isdigit() for word in tokens])
    shapes = text.encode().translate(_SHAPES, b"'")  # apostrophes part no words
    return shapes.count(b" 0") + shapes.startswith(b"0")


def holds_code(text: str) -> bool:
    """Return whether a line of a text begins a fenced block, or is indented like code."""
    # What the pattern needs is looked for first: it takes 17 us for a chunk of prose, this 1.
    indented = text.startswith("    ") or ("\n" in text and "\n    " in text)
    if indented or ("`" in text and "```" in text) or ("~" in text and "~~~" in text):
        return _CODE.search(text) is not None
    return False


def _form_of(text: str) -> set[str]:
    """Return the traits that lines show. Patterns are only tried if they can match."""
    found = set()
    if holds_code(text):
        found.add("code")
    lines = text.count("\n") + 1
    if lines >= _LEAST_ITEMS and len(_LISTED.findall(text)) >= _LEAST_ITEMS:
        found.add("steps")
    if text.count("|") > 2 * _LEAST_ITEMS:
        rows = [line for line in text.split("\n") if line.startswith("|")]
        if sum(line.count("|") > _FENCES for line in rows) >= _LEAST_ITEMS:
            found.update(("comparison", "numbers"))
    return found


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
    # Base weight of each type, and what each trait of the passage adds to it.
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
    """A plan: a type and a form for each pair, an asker and a difficulty for all of them.

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
        """Return the plan for the pairs after the first ``kept`` ones; for at least one pair."""
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
    for _ in range(count):  # drawn one by one: a longer plan begins like a shorter one
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
    """Return numbers in [0, 1) that depend on the parts alone."""
    state = hashlib.blake2b(f"plan {seed} {chunk_id} {name}".encode(), digest_size=4 * count)
    return tuple([value * _UNIT for value in _numbers_of(count).unpack(state.digest())])


_UNIT = 2.0**-32


@cache
def _numbers_of(count: int) -> struct.Struct:
    return struct.Struct(f">{count}I")


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
