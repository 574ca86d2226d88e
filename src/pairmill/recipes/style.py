"""An author's style card: a line of the prompt that says how they write, made once for each.

``measured``: counted in the first chunk of theirs that the run meets; numbers and words from fixed
lists only, so that nothing a page says becomes an instruction. ``model``: a model chooses from
fixed answers instead. The card is kept with the run, so that a later start asks the same questions.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from statistics import mean
from typing import TYPE_CHECKING, Literal

import anyio

from pairmill.errors import RejectedError
from pairmill.quality.stopwords import ENGLISH
from pairmill.quality.text import words
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.prompts import PromptTemplate, fence, load_template
from pairmill.records import Sampling, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk

__all__ = ["Forms", "StyleCards", "StyleRead", "measure"]

MIN_WORDS = 80  # fewer say too little about a manner
MAX_TOKENS = 200
CACHED = 1024  # cards, and forms with a card in them, that are kept in memory

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
_SPEAKS_PER_100 = 0.8  # words of a person per hundred before it is part of the manner
_OFTEN_PER_1000 = 4.0
_ENGLISH_SHARE = 0.25  # function words in any English prose; the lists above are English
_is_english = ENGLISH.__contains__
_LONG_WORD, _SHORT_WORD = 5.1, 4.3  # mean letters; newspapers lie between


def measure(text: str) -> str:
    """Describe the manner of an English text in at most 300 characters; "" where it is too short.

    Only counts are taken from the text, and words of a fixed list.
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


class StyleRead(AnswerModel):
    """What a model reads out of an author's text; nothing of it is free text."""

    person: Literal["first singular", "first plural", "second", "impersonal"]
    formality: Literal["casual", "neutral", "formal"]
    sentences: Literal["short", "mixed", "long"]
    humour: Literal["none", "dry", "playful"]
    stance: Literal["sober", "enthusiastic", "critical", "teaching"]

    def card(self) -> str:
        """The line for the prompt."""
        humour = "" if self.humour == "none" else f"; {self.humour} humour"
        return (
            f"{self.formality} tone; {self.person} person; {self.sentences} sentences; "
            f"{self.stance}{humour}"
        )


class StyleCards:
    """The card of each chunk's author: from memory, from the run, or made now."""

    def __init__(self, mode: str) -> None:
        """Take ``off``, ``measured`` or ``model``, as the setting ``style_card``."""
        self._mode = mode
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = anyio.Lock()
        self._question = load_template("style") if mode == "model" else None

    @property
    def identity(self) -> str:
        """Changes with whatever changes the cards."""
        question = self._question
        return f"{self._mode} {question.template.id} {question.form}" if question else self._mode

    async def of(self, chunk: Chunk, ask: Ask) -> str:
        """The card, or "" where there is no author, or too little of theirs to tell."""
        if self._mode == "off" or not chunk.author:
            return ""
        name = f"style {self._mode} {digest(chunk.author)}"
        if name in self._known:
            self._known.move_to_end(name)
            return self._known[name]
        card = ask.around.recall(name)
        if card is None and self._mode == "measured":
            card = measure(chunk.text)
            ask.around.remember(name, card)
        if card is None:
            async with self._lock:  # one author's chunks come together: one of them asks
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
    """A template for each style card: one object a card, so that its prefix stays the same."""

    def __init__(self, load: Callable[[str], PromptTemplate]) -> None:
        """Take what loads the template with a paragraph about style in it, or with ""."""
        self._load = load
        self._loaded: OrderedDict[str, PromptTemplate] = OrderedDict()

    def with_card(self, card: str) -> PromptTemplate:
        """The template for a card."""
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
