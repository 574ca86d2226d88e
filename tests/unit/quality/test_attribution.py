"""Writers that are simulated: content words of a subject, function words in a manner."""

from __future__ import annotations

import random

import pytest

from pairmill.quality.attribution import Attribution, attribute, why_not

_WORDS = (
    "the of and to in that it is was I for on you he be with as by at have are not this but had "
    "his they from she which or we an there were so if would when what who will no more out then"
)
FUNCTION = _WORDS.split()
MARKS = (".", ".", ",", ";", "?", "!")
AUTHORS = 6
DOCUMENTS = 5


def manner(name: str) -> list[float]:
    """An author's frequencies of function words: those of the language, bent by up to three."""
    draw = random.Random(name)
    return [draw.uniform(0.33, 3.0) / (rank + 4) for rank in range(len(FUNCTION))]


NEUTRAL = [1.0 / (rank + 4) for rank in range(len(FUNCTION))]


def write(subject: str, weights: list[float], count: int, seed: str) -> str:
    """Text about a subject in a manner: half of its words are function words."""
    draw = random.Random(seed)
    content = [f"{subject}{draw.randrange(60)}" for _ in range(count)]
    said = []
    for word in content:
        said += [draw.choices(FUNCTION, weights)[0], word]
        if draw.random() < 0.12:
            said.append(draw.choice(MARKS))
    return " ".join(said)


def corpora(voice: str) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    sources: dict[str, dict[str, str]] = {}
    answers: dict[str, dict[str, str]] = {}
    for author in map(str, range(AUTHORS)):
        own = manner(author)
        weights = own if voice == "author" else NEUTRAL
        for number in range(DOCUMENTS):
            name, subject = f"{author}-{number}", f"w{author}x{number}y"
            sources.setdefault(author, {})[name] = write(subject, own, 500, f"s {name}")
            answers.setdefault(author, {})[name] = write(subject, weights, 300, f"{voice} {name}")
    return sources, answers


def share(found: Attribution | None) -> float:
    assert found is not None
    assert (found.authors, found.documents) == (AUTHORS, AUTHORS * DOCUMENTS)
    assert found.sources / found.documents > 0.9
    return found.answers / found.documents


def test_a_writer_who_imitates_the_author_is_taken_for_him_and_a_neutral_one_is_not() -> None:
    imitated, neutral = (share(attribute(*corpora(voice))) for voice in ("author", "neutral"))
    assert imitated > 0.8
    assert neutral < 0.4
    assert imitated - neutral > 0.5


def test_the_subject_decides_nothing() -> None:
    """Answers in another author's manner about one's own subject are the other's."""
    sources, _ = corpora("author")
    answers = {
        author: {
            name: write(f"w{author}x{name[-1]}y", manner(str((int(author) + 1) % 6)), 300, name)
            for name in texts
        }
        for author, texts in sources.items()
    }
    assert share(attribute(sources, answers)) < 0.1


def test_it_is_the_same_whatever_comes_first() -> None:
    sources, answers = corpora("author")
    turned = {author: dict(reversed(texts.items())) for author, texts in reversed(sources.items())}
    assert attribute(turned, answers) == attribute(sources, answers)


@pytest.mark.parametrize(
    ("authors", "documents", "words"), [(1, 5, 300), (6, 1, 300), (6, 5, 20), (0, 0, 0)]
)
def test_with_too_little_it_says_nothing(authors: int, documents: int, words: int) -> None:
    sources, answers = corpora("author")
    few = {
        author: dict(list(texts.items())[:documents])
        for author, texts in list(sources.items())[:authors]
    }
    cut = {
        author: {name: " ".join(text.split()[:words]) for name, text in texts.items()}
        for author, texts in answers.items()
    }
    assert attribute(few, cut) is None


def test_what_is_missing_for_a_figure_is_said() -> None:
    long = "word " * 200
    texts = {"Ann": {"a": long, "b": long}, "Bob": {"c": long}}
    assert why_not({}, {}) == "no document names its author"
    assert why_not(texts, {}) == "1 of 2 authors with 2 documents or more"
    texts["Bob"]["d"] = long
    assert why_not(texts, {"Ann": {"a": "too short"}}) == "no document has 150 words of answers"
    assert why_not(texts, {"Ann": {"a": long}}) == ""
