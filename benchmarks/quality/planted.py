"""Answers that are true to a real passage, and the same answers with one planted error.

A true answer is two to five sentences of the passage, retold: another order, other function words,
synonyms, clauses turned round. No model writes, so nothing but the planted error can be wrong. The
retelling is milder than a model's, so these figures are to compare scores by, not to expect.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.quality.text import words
from pairmill.quality.word_lists import ENGLISH
from pairmill.simulator.content import split_sentences

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.records import Chunk

__all__ = ["KINDS", "Sample", "plant_all", "read_passages"]

ARTICLES = Path(__file__).parents[2] / "examples" / "articles"
INSTALLED = ("/usr/share/doc", "/usr/share/common-licenses")
_MOST_OF_ONE = 15
_MOST_INSTALLED = 150
_LEAST_SENTENCES = 6
_PROSE = 0.3  # share of function words

_SYNONYMS = dict(
    line.split()
    for line in """
    use employ|show demonstrate|large big|begin start|help assist|people persons|make create
    important essential|provide offer|nation country|government administration|keep retain
    need require|allow permit|change alter|great considerable|duty obligation|power authority
    different distinct|example instance|return yield|contain hold|public common|peace harmony
    must should|many numerous|citizens inhabitants|purpose aim|method way|create build|simple plain
    request query|client caller|often frequently|because since|also likewise|however still
    choose select|error mistake|part portion|end finish|find discover|believe think|hope trust
    work labor|want wish|data information|file document|give grant|entire whole|various several
    """.replace("|", "\n").split("\n")
    if line.strip()
)
_OPPOSITES = {
    one: other
    for pair in """
    more less|increase decrease|before after|always never|first last|high low|large small|good bad
    strong weak|new old|same different|peace war|public private|true false|begin end|success failure
    long short|possible impossible|internal external|foreign domestic|better worse|many few
    accept reject|all none|best worst|faster slower|lower higher|easy difficult|open closed
    enabled disabled|greater smaller|right wrong|simple complex|early late|rich poor|happy unhappy
    input output|local remote|free bound|safe dangerous|maximum minimum|include exclude|allow forbid
    friendly hostile|future past|full empty|above below|left right|server client|read write
    """.replace("\n", "|").split("|")
    if pair.strip()
    for one, other in (pair.split(), pair.split()[::-1])
}
_FILLERS = ("In short,", "Put simply,", "In practice,", "Besides,", "To begin with,", "As a rule,")
_AUXILIARY = re.compile(r"\b(is|are|was|were|will|can|should|must|has|have|may|would|does|do)\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")
_NUMBER = re.compile(r"(?<![\w.])\d{2,}(?![\w.]*\w)")
_LEAST_CONTENT = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer to a passage: kind "" for a true one, else the error that was planted in it."""

    chunk: Chunk
    answer: str
    kind: str


def read_passages(*, installed: bool = True) -> list[Chunk]:
    """The passages of the bundled articles and, where there are any, of installed documentation."""
    inputs = [str(ARTICLES)]
    if installed:
        found = [
            path
            for place in INSTALLED
            for pattern in ("*/*.html", "*/*/*.html", "*/*.txt", "*/*.md", "[A-Z]*")
            for path in sorted(Path(place).glob(pattern))
            if path.is_file() and not path.is_symlink() and 8_000 < path.stat().st_size < 400_000
        ]
        inputs += [str(path) for path in found[:_MOST_INSTALLED]]
    settings = load(given={"inputs": tuple(inputs), "output": "none"})
    by_document: dict[str, list[Chunk]] = {}
    for chunk in read_chunks(settings, lambda _: None):
        if _is_prose(chunk.text):
            by_document.setdefault(chunk.document_id, []).append(chunk)
    return [chunk for group in by_document.values() for chunk in group[:_MOST_OF_ONE]]


def _is_prose(text: str) -> bool:
    tokens = words(text)
    little = sum(token in ENGLISH for token in tokens)
    return len(split_sentences(text)) >= _LEAST_SENTENCES and little > _PROSE * len(tokens)


def plant_all(passages: list[Chunk], seed: int = 1) -> list[Sample]:
    """One true answer for each passage, and one for each error that can be planted in it."""
    samples = []
    for number, chunk in enumerate(passages):
        draw = random.Random(f"{seed} {chunk.id}")
        other = passages[(number + len(passages) // 2) % len(passages)]
        near = passages[number - 1]
        true = _retold(chunk.text, draw)
        samples.append(Sample(chunk, " ".join(true), ""))
        for kind, plant in KINDS.items():
            wrong = plant(true, chunk, near if near.id != chunk.id else other, other, draw)
            if wrong and wrong != true:
                samples.append(Sample(chunk, " ".join(wrong), kind))
    return samples


def _retold(text: str, draw: random.Random) -> list[str]:
    whole = [each for each in split_sentences(text) if 6 <= len(each.split()) <= 45]
    whole = whole or split_sentences(text)
    count = min(len(whole), draw.randint(2, 5))
    start = draw.randrange(len(whole) - count + 1)
    picked = whole[start : start + count]
    if draw.random() < 0.4:
        draw.shuffle(picked)
    return [_reworded(" ".join(sentence.split()), draw) for sentence in picked]


def _reworded(sentence: str, draw: random.Random) -> str:
    end = sentence[-1] if sentence[-1] in ".!?" else "."
    parts = sentence.rstrip(".!?").split(", ")
    if len(parts) > 1 and draw.random() < 0.5:
        at = draw.randrange(1, len(parts))
        parts = parts[at:] + parts[:at]
    said = []
    for word in ", ".join(parts).split():
        plain = word.lower().strip(",;:")
        if plain in ENGLISH and draw.random() < 0.2:
            continue
        if plain.endswith("ly") and draw.random() < 0.5:
            continue
        if plain in _SYNONYMS and draw.random() < 0.7:
            said.append(word.lower().replace(plain, _SYNONYMS[plain]))
        elif draw.random() > 0.06 or word[0].isupper() or word[0].isdigit():
            said.append(word)
    told = " ".join(said) or sentence
    if draw.random() < 0.3:
        first = told[0].lower() if told[1:2].islower() else told[0]
        told = f"{draw.choice(_FILLERS)} {first}{told[1:]}"
    return told + end


def _swap_entity(
    true: list[str], chunk: Chunk, _near: Chunk, other: Chunk, draw: random.Random
) -> list[str] | None:
    """A name of the answer becomes another: one of the same passage where there is one."""
    mine = _NAME.findall(" ".join(true))
    if not mine:
        return None
    name = draw.choice(mine)
    pool = sorted(set(_NAME.findall(chunk.text)) - {name}) or sorted(
        set(_NAME.findall(other.text)) - {name}
    )
    if not pool:
        return None
    instead = draw.choice(pool)
    return [re.sub(rf"\b{name}\b", instead, each) for each in true]


def _change_number(
    true: list[str], _chunk: Chunk, _near: Chunk, _other: Chunk, draw: random.Random
) -> list[str] | None:
    places = [at for at, each in enumerate(true) if _NUMBER.search(each)]
    if not places:
        return None
    at = draw.choice(places)
    found = _NUMBER.search(true[at])
    assert found is not None
    instead = str(int(found[0]) + draw.choice((1, 3, 7, 10, 25)))
    return [*true[:at], true[at].replace(found[0], instead, 1), *true[at + 1 :]]


def _negate(
    true: list[str], _chunk: Chunk, _near: Chunk, _other: Chunk, draw: random.Random
) -> list[str] | None:
    places = [at for at, each in enumerate(true) if _AUXILIARY.search(each)]
    if not places:
        return None
    at = draw.choice(places)
    if re.search(r"\bnot\b", true[at]):
        wrong = re.sub(r" not\b", "", true[at], count=1)
    else:
        wrong = _AUXILIARY.sub(lambda match: f"{match[0]} not", true[at], count=1)
    return [*true[:at], wrong, *true[at + 1 :]]


def _reverse(
    true: list[str], _chunk: Chunk, _near: Chunk, _other: Chunk, draw: random.Random
) -> list[str] | None:
    """Two content words on the two sides of a sentence change places: who does what to whom."""
    at = max(range(len(true)), key=lambda number: len(true[number]))
    said = true[at].split()
    heavy = [
        place
        for place, word in enumerate(said)
        if word.lower().strip(",.;:") not in ENGLISH and len(word) > _LEAST_CONTENT
    ]
    if len(heavy) < 3:
        return None
    first = draw.randrange(len(heavy) - 2)
    one, two = heavy[first], heavy[draw.randrange(first + 2, len(heavy))]
    said[one], said[two] = said[two].strip(",.;:"), said[one].strip(",.;:")
    return [*true[:at], " ".join(said).rstrip(".") + ".", *true[at + 1 :]]


def _foreign(
    true: list[str], _chunk: Chunk, _near: Chunk, other: Chunk, draw: random.Random
) -> list[str] | None:
    return [*true, draw.choice(_retold(other.text, draw))]


def _other_passage(
    _true: list[str], _chunk: Chunk, near: Chunk, _other: Chunk, draw: random.Random
) -> list[str] | None:
    """The answer to the passage before, as a rule of the same document."""
    return _retold(near.text, draw)


def _opposite(
    true: list[str], _chunk: Chunk, _near: Chunk, _other: Chunk, draw: random.Random
) -> list[str] | None:
    places = [
        (at, word)
        for at, each in enumerate(true)
        for word in set(re.findall(r"[a-z]+", each))
        if word in _OPPOSITES
    ]
    if not places:
        return None
    at, word = draw.choice(sorted(places))
    wrong = re.sub(rf"\b{word}\b", _OPPOSITES[word], true[at], count=1)
    return [*true[:at], wrong, *true[at + 1 :]]


def _salad(
    true: list[str], _chunk: Chunk, _near: Chunk, _other: Chunk, draw: random.Random
) -> list[str] | None:
    said = " ".join(true).split()
    draw.shuffle(said)
    return [" ".join(said)]


KINDS: dict[str, Callable[[list[str], Chunk, Chunk, Chunk, random.Random], list[str] | None]] = {
    "swapped entity": _swap_entity,
    "number changed": _change_number,
    "negation": _negate,
    "relation reversed": _reverse,
    "foreign sentence": _foreign,
    "other passage's answer": _other_passage,
    "antonym": _opposite,
    "word salad": _salad,
}
"""Kind of error to what plants it; None where the answer gives nothing to plant it in."""
