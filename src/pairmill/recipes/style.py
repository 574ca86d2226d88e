"""Style cards: a line of the prompt that describes how an author writes, made once per author.

``measured``: counted in several of the author's texts, in a first pass over the input (``pool``);
only numbers and words from fixed lists, so that nothing on a page becomes an instruction. The same
texts give the same card in any order. ``model``: a model chooses from fixed answers instead, based
on the first chunk that the run meets (as ``measured`` did in the first prompt set). The run keeps
the card, so that a later start asks the same questions.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from statistics import mean
from typing import TYPE_CHECKING, Literal

import anyio
from msgspec import Struct

from pairmill.errors import RejectedError
from pairmill.quality.text import words
from pairmill.quality.word_lists import ENGLISH
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.prompts import FIRST, LATEST, PromptTemplate, fence, load_template
from pairmill.records import Sampling, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk

__all__ = [
    "Forms",
    "StyleCards",
    "StyleFeatures",
    "StyleRead",
    "card_name",
    "measure",
    "pool",
    "style_features",
    "why_no_card",
]

MIN_WORDS = 80  # fewer say too little about a style
MAX_TOKENS = 200
CACHED = 1024  # cards, and templates with a card, that are cached in memory

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_NO_PROSE = re.compile(r"^(?: {4}|\t|[#|>]|[-*+] |\d{1,3}[.)] ).*$", re.MULTILINE)
_SHORTENED = re.compile(r"\b\w+(?:n't|'(?:s|re|ve|ll|d|m))\b", re.IGNORECASE)
_I, _WE, _YOU = (
    "i me my mine myself im ive",
    "we us our ours ourselves",
    "you your yours yourself youre",
)
_PERSONS = {
    '"I"': frozenset(_I.split()),
    '"we"': frozenset(_WE.split()),
    'the reader as "you"': frozenset(_YOU.split()),
}
_HABITS = (
    "actually", "basically", "just", "really", "quite", "simply", "clearly", "indeed", "however",
    "therefore", "thus", "hence", "moreover", "instead", "perhaps", "maybe", "obviously",
    "honestly", "essentially",
)  # fmt: skip
_SPEAKS_PER_100 = 0.8  # words of a grammatical person per hundred before it counts as a trait
_OFTEN_PER_1000 = 4.0
_ENGLISH_SHARE = 0.25  # function words in any English prose; the lists above are English
_is_english = ENGLISH.__contains__
_LIKES = "likes "
_ORDER = (
    "shortened forms (don't, it's)", "full forms", "asks questions", "exclaims", "long words",
    "short, plain words",
)  # fmt: skip
LEAST_POOLED = 400  # words of all texts together
LEAST_ALONE = 1000  # of a single one
_LONGEST = 40  # words of a sentence; longer ones are tables, lists and text without full stops
_LONG_WORD, _SHORT_WORD = 5.1, 4.3  # mean letters per word; newspapers are in between


def measure(text: str) -> str:
    """Describe an English text's style in at most 300 characters; "" if it is too short.

    Only counts and words of a fixed list are taken from the text.
    """
    prose = _NO_PROSE.sub(" ", _CODE.sub(" ", text))
    tokens = words(prose)
    if len(tokens) < MIN_WORDS or _ENGLISH_SHARE * len(tokens) > sum(map(_is_english, tokens)):
        return ""
    traits = [_rhythm(prose), *_persons(tokens), *_tone(prose, tokens)]
    return "; ".join(trait for trait in traits if trait)


def _rhythm(prose: str) -> str:
    lengths = [len(part.split()) for part in _SENTENCE_END.split(prose) if part.strip()]
    if not lengths:
        return ""
    middle = round(mean(lengths))
    ranked = sorted(lengths)
    low, high = ranked[len(ranked) // 10], ranked[-1 - len(ranked) // 10]
    return f"sentences of about {middle} words, most of them between {low} and {high}"


def _persons(tokens: Sequence[str]) -> list[str]:
    spoken = [
        name
        for name, forms in _PERSONS.items()
        if 100 * sum(token in forms for token in tokens) / len(tokens) >= _SPEAKS_PER_100
    ]
    return [f"speaks as or to {', '.join(spoken)}"] if spoken else ["keeps persons out of it"]


def _tone(prose: str, tokens: Sequence[str]) -> list[str]:
    per_1000 = 1000 / len(tokens)
    found = []
    short = len(_SHORTENED.findall(prose.replace("\u2019", "'"))) * per_1000
    found.append("shortened forms (don't, it's)" if short >= _OFTEN_PER_1000 else "full forms")
    if prose.count("?") * per_1000 >= _OFTEN_PER_1000:
        found.append("asks questions")
    if prose.count("!") * per_1000 >= _OFTEN_PER_1000:
        found.append("exclaims")
    letters = mean(map(len, tokens))
    if not _SHORT_WORD <= letters <= _LONG_WORD:
        found.append("long words" if letters > _LONG_WORD else "short, plain words")
    habits = [word for word in _HABITS if tokens.count(word) > 1]
    if habits:
        found.append(f"likes {', '.join(habits[:4])}")
    return found


class StyleFeatures(Struct, frozen=True):
    """Countable style features of one text.

    Attributes:
        words: Number of words of prose.
        lengths: Words of each sentence, the first 200.
        traits: Persons, forms and habits.
        is_english: True if its words match the English lists.
    """

    words: int
    lengths: tuple[int, ...]
    traits: frozenset[str]
    is_english: bool


def style_features(text: str) -> StyleFeatures:
    """Measure a text's prose, without code, headings, quotations, lists and tables."""
    prose = _NO_PROSE.sub(" ", _CODE.sub(" ", text))
    tokens = words(prose)
    is_english = bool(tokens) and sum(map(_is_english, tokens)) > _ENGLISH_SHARE * len(tokens)
    if not is_english:
        return StyleFeatures(len(tokens), (), frozenset(), is_english)
    lengths = [len(part.split()) for part in _SENTENCE_END.split(prose) if part.strip()]
    traits = [*_single_persons(tokens), *_tone(prose, tokens)]
    habits = [trait for trait in traits if trait.startswith(_LIKES)]
    plain = {trait for trait in traits if not trait.startswith(_LIKES)}
    liked = {f"{_LIKES}{word}" for each in habits for word in each.removeprefix(_LIKES).split(", ")}
    return StyleFeatures(len(tokens), tuple(lengths[:200]), frozenset(plain | liked), is_english)


def why_no_card(features: Sequence[StyleFeatures]) -> str:
    """Return why an author's texts give no card; "" if they do."""
    english = [text for text in features if text.is_english]
    if not english:
        return "not in English"
    total = sum(text.words for text in english)
    if total < LEAST_POOLED or (len(english) == 1 and total < LEAST_ALONE):
        return "too little text"
    return ""


def pool(features: Sequence[StyleFeatures]) -> str:
    """Combine several texts of an author into one card; "" where `why_no_card` gives a reason.

    Sentence lengths are given as median and quartiles; only traits of most texts are listed.
    """
    if why_no_card(features):
        return ""
    english = [text for text in features if text.is_english]
    lengths = sorted(length for text in english for length in text.lengths)
    middle, low, high = (
        min(lengths[int(share * (len(lengths) - 1))], _LONGEST) for share in (0.5, 0.25, 0.75)
    )
    counts = Counter(trait for text in english for trait in text.traits)
    usual = {trait for trait, count in counts.items() if count > len(english) / 2}
    spoken = [name for name in _PERSONS if name in usual]
    habits = sorted(trait.removeprefix(_LIKES) for trait in usual if trait.startswith(_LIKES))
    told = [
        f"sentences of about {middle} words, half of them between {low} and {high}",
        f"speaks as or to {', '.join(spoken)}" if spoken else "keeps persons out of it",
        *(trait for trait in _ORDER if trait in usual),
    ]
    if habits:
        told.append(f"{_LIKES}{', '.join(habits[:4])}")
    return "; ".join(told)


def card_name(author: str) -> str:
    """Return the name under which a run keeps an author's pooled card."""
    return f"style pooled {digest(author)}"


def _single_persons(tokens: Sequence[str]) -> list[str]:
    return [
        name
        for name, forms in _PERSONS.items()
        if 100 * sum(map(forms.__contains__, tokens)) / len(tokens) >= _SPEAKS_PER_100
    ]


class StyleRead(AnswerModel):
    """What a model reads out of an author's text; nothing of it is free text."""

    person: Literal["first singular", "first plural", "second", "impersonal"]
    formality: Literal["casual", "neutral", "formal"]
    sentences: Literal["short", "mixed", "long"]
    humour: Literal["none", "dry", "playful"]
    stance: Literal["sober", "enthusiastic", "critical", "teaching"]

    def card(self) -> str:
        """Render the line for the prompt."""
        humour = "" if self.humour == "none" else f"; {self.humour} humour"
        return (
            f"{self.formality} tone; {self.person} person; {self.sentences} sentences; "
            f"{self.stance}{humour}"
        )


class StyleCards:
    """Returns the card of a chunk's author: from memory, from the run, or made now."""

    def __init__(self, mode: str, prompts: str = LATEST) -> None:
        """Take ``off``, ``measured`` or ``model``, as in the setting ``style_card``."""
        self._mode = mode
        self.is_pooled = mode == "measured" and prompts != FIRST
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = anyio.Lock()
        self._question = load_template("style") if mode == "model" else None

    @property
    def identity(self) -> str:
        """Digest of everything that affects the cards."""
        question = self._question
        if self.is_pooled:
            return f"{self._mode} pooled"
        return f"{self._mode} {question.template.id} {question.form}" if question else self._mode

    async def of(self, chunk: Chunk, ask: Ask) -> str:
        """Return the card; "" if there is no author, or too little text by them."""
        if self._mode == "off" or not chunk.author:
            return ""
        name = f"style {self._mode} {digest(chunk.author)}"
        if self.is_pooled:
            name = card_name(chunk.author)
        if name in self._known:
            self._known.move_to_end(name)
            return self._known[name]
        card = ask.around.recall(name)
        if card is None and self.is_pooled:
            # Not pooled: one text must do here, and its card is not kept.
            return pool([style_features(chunk.text)])
        if card is None and self._mode == "measured":
            card = measure(chunk.text)
            ask.around.remember(name, card)
        if card is None:
            async with self._lock:  # chunks of an author arrive together: one of them asks
                card = ask.around.recall(name)
                if card is None:
                    card = await self._read(chunk, ask)
                    ask.around.remember(name, card)
        self._known[name] = card
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return card

    async def _read(self, chunk: Chunk, ask: Ask) -> str:
        assert self._question is not None  # noqa: S101 (the mode is model)
        prompt = self._question.fill({"passage": fence(chunk.text)}, Sampling(0.0, MAX_TOKENS, 0))
        try:
            return (await ask(prompt, StyleRead)).card()
        except RejectedError:
            return ""


class Forms:
    """Templates by style card: one object per card, so that its prompt prefix stays the same."""

    def __init__(self, load: Callable[[str], PromptTemplate]) -> None:
        """Take a function that loads the template with a paragraph about style, or with ""."""
        self._load = load
        self._loaded: OrderedDict[str, PromptTemplate] = OrderedDict()

    def with_card(self, card: str) -> PromptTemplate:
        """Return the template for a card."""
        form = self._loaded.get(card)
        if form is None:
            about = (
                f"\n\nHow this author writes: {card}. Write the answers like that." if card else ""
            )
            form = self._loaded[card] = self._load(about)
            if len(self._loaded) > CACHED:
                self._loaded.popitem(last=False)
        else:
            self._loaded.move_to_end(card)
        return form
