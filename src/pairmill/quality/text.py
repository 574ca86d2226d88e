"""Words, stems and the prepared view of a text: computed once, shared by all checks.

There are two kinds of script. If words are separated by spaces, a token is a folded word. In
Chinese, Japanese, Thai, Lao, Khmer and Burmese each character is a token of its own, so that every
n-gram of tokens is a character n-gram there, and nothing needs a dictionary.
"""

from __future__ import annotations

import re
import string
from operator import add
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from msgspec import Struct

from pairmill.quality.speedups import fast_text
from pairmill.quality.stems import is_stemmed, stem, stems_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pairmill.quality.speedups import Text

__all__ = [
    "CHARACTERS_PER_WORD",
    "Prepared",
    "Trigram",
    "count_words",
    "find_numbers",
    "in_language",
    "is_spaceless",
    "join",
    "key",
    "lazy",
    "prepare",
    "same_content",
    "shared_content",
    "tokens_per_word",
    "words",
]

Trigram = tuple[str, str, str]

_ZEROS = bytes.maketrans(string.digits.encode(), b"0" * len(string.digits))
# begins with one fixed byte, so that the search can skip ahead
_NUMBER = re.compile(rb"00*(?:[.,:]00*)*")

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff"  # no word breaks at these
_ONE_SPACELESS = re.compile(f"[{_SPACELESS}]")
_RUN = re.compile(f"([{_SPACELESS}][ {_SPACELESS}]*)")
_HIGH = re.compile("[\u0e00-\U0010ffff]")  # where those scripts begin
_WORD = re.compile(f"[\\w{_MARKS}]+")
_PIECE = re.compile(f"[{_SPACELESS}]+|(?:[^\\W{_SPACELESS}]+|[{_MARKS}]+)+")

CHARACTERS_PER_WORD = {"zh": 2, "ja": 2, "th": 5, "lo": 5, "km": 5, "my": 5}
"""Characters of a script without spaces that make one word, by language."""
_RUN_SCALE = {"zh": 1.6, "ja": 2.0, "th": 5.2, "lo": 5.2, "km": 5.2, "my": 5.2}
_SYLLABIC = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # letters, not words
_SYLLABIC_RUN = 3  # characters that say as much as two of Chinese

# Most texts are ASCII, or Latin-1 but for some quotation marks and dashes. Mapping their bytes
# takes a tenth of the time of a pattern, and of mapping characters.
_APOSTROPHES = ("'", "\u2019", "\u02bc")
_BREAKS = tuple("_\u2018\u201c\u201d\u201e\u2013\u2014\u2026\u2022\u2011\u2009\u202f\u2192")
_ASCII = bytes.maketrans(
    (string.ascii_uppercase + string.punctuation).encode(),
    (string.ascii_lowercase + " " * len(string.punctuation)).encode(),
)
_LATIN = bytes(code if chr(code).isalnum() else ord(" ") for code in range(256))


Value = TypeVar("Value")


class lazy(Generic[Value]):  # noqa: N801 (a decorator)
    """A property that is computed once; the standard library's takes a lock up to Python 3.11."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[Value]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Value: ...
    def __get__(self, instance: Any, owner: type | None = None) -> lazy[Value] | Value:
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._compute(instance)
        return value


class Prepared(Struct, frozen=True, dict=True, eq=False):
    """Prepared view of one text. Rarely needed parts are computed on demand.

    Attributes:
        text: As given.
        language: Two-letter code, or None if unknown.
        spaceless: How many of the words are characters of a script without spaces.
        fast: The same for `pairmill.quality.speedups`, which needs words between spaces; None where
            the reference in Python does its work.
    """

    text: str
    language: str | None
    spaceless: int
    fast: Text | None

    @lazy
    def folded(self) -> str:
        """Its folded words, separated by blanks."""
        return _fold(self.text)[0]

    @lazy
    def words(self) -> tuple[str, ...]:
        """Folded tokens in order."""
        return tuple(self.folded.split())

    @lazy
    def vocabulary(self) -> frozenset[str]:
        """Tokens, each once."""
        return frozenset(self.words)

    @property
    def length(self) -> int:
        """Number of its words."""
        return len(self.words) if self.fast is None else self.fast.words

    def holds(self, *words: str) -> bool:
        """Return whether it contains one of the given folded words."""
        if self.fast is not None:
            return self.fast.holds(*words)
        return not self.vocabulary.isdisjoint(words)

    @lazy
    def numbers(self) -> Sequence[tuple[int, int]]:
        """Spans of its numbers, from ``find_numbers``."""
        return find_numbers(self.text)

    @lazy
    def written_numbers(self) -> frozenset[str]:
        """Its numbers of two digits or more, each once, without thousands commas."""
        text = self.text
        found = [text[start:end].replace(",", "") for start, end in self.numbers]
        return frozenset([number for number in found if len(number) > 1])

    @lazy
    def stems(self) -> Sequence[str]:
        """Stems of its content words as they follow each other, of a script with spaces."""
        return list(filter(None, map(stems_in(self.language).__getitem__, self.words)))

    @lazy
    def content(self) -> frozenset[str]:
        """Stems of the words that carry meaning.

        For scripts without spaces, pairs of neighbouring characters.
        """
        return _mixed_content(self) if self.spaceless else frozenset(self.stems)

    @property
    def content_length(self) -> int:
        """Number of its distinct stems."""
        return len(self.content) if self.fast is None else self.fast.content


def shared_content(one: Prepared, other: Prepared) -> int:
    """Count the content stems that two texts share."""
    if one.fast is None or other.fast is None:
        return len(one.content & other.content)
    return one.fast.shared(other.fast)


def words(text: str) -> tuple[str, ...]:
    """Return the folded tokens of a text: without case and apostrophes, split at punctuation."""
    return tuple(_fold(text)[0].split())


def prepare(text: str, language: str | None = "en", *, is_source: bool = False) -> Prepared:
    """Prepare a text in a language (two letters; None: unknown).

    Args:
        text: The text.
        language: Language of its words.
        is_source: Answers are compared with it; it is not checked itself.
    """
    if text.isascii():
        return Prepared(text, language, 0, fast_text(None, text, language, is_source=is_source))
    folded, spaceless = _fold(text)
    fast = None if spaceless else fast_text(folded, text, language, is_source=is_source)
    return Prepared(text, language, spaceless, fast)


def in_language(prepared: Prepared, language: str | None) -> Prepared:
    """Return the same text, prepared as one in another language."""
    if language == prepared.language:
        return prepared
    if (language or "en") == (prepared.language or "en"):
        return Prepared(prepared.text, language, prepared.spaceless, prepared.fast)
    return prepare(prepared.text, language, is_source=True)


def key(text: str) -> str:
    """Normalize case, spacing and punctuation, for comparison of texts."""
    return " ".join(words(text))


def same_content(text: str, language: str | None = "en") -> str:
    """Normalize a sentence, for comparison with sentences of other order or word forms.

    The words' distinct stems in alphabetical order, without words that only serve the form of an
    English sentence. Numbers, negations, and words for who did what to whom are kept.
    """
    stems = set(words(text))
    if is_stemmed(language):
        stems = {stem(word) or word for word in stems - _FORM}
    return " ".join(sorted(stems))


def join(tokens: Iterable[str]) -> str:
    """Join tokens to a string in which a run of tokens, joined the same way, can be searched."""
    return f" {' '.join(tokens)} "


def count_words(prepared: Prepared) -> int:
    """Length in words: two Chinese or Japanese characters count as one, five Thai ones."""
    wide = prepared.spaceless
    if not wide:
        return prepared.length
    each = CHARACTERS_PER_WORD.get(prepared.language or "", 2)
    return len(prepared.words) - wide + -(-wide // each)


def tokens_per_word(prepared: Prepared) -> float:
    """Return how many tokens correspond to one English word, to scale limits on runs of words.

    1 if words are tokens. Measured on parallel text: 25 words of English correspond to some 40
    characters of Chinese and 130 of Thai.
    """
    if not prepared.spaceless or 2 * prepared.spaceless <= len(prepared.words):
        return 1.0
    return _RUN_SCALE.get(prepared.language or "", 1.6)


def is_spaceless(token: str) -> bool:
    """Return whether the token is a character of a script that is written without spaces."""
    return _ONE_SPACELESS.match(token) is not None


def _fold(text: str) -> tuple[str, int]:
    """Return the tokens separated by blanks, and how many are in a script without spaces."""
    if text.isascii():
        return text.encode().translate(_ASCII, b"'").decode(), 0
    folded = text.casefold()
    for mark in _APOSTROPHES:
        folded = folded.replace(mark, "")
    for mark in _BREAKS:
        folded = folded.replace(mark, " ")
    try:
        plain = folded.encode("latin-1")
    except UnicodeEncodeError:
        if _HIGH.search(folded):
            return _fold_mixed(folded)
        return " ".join(_WORD.findall(folded)), 0
    return plain.translate(_LATIN).decode("latin-1"), 0


def _fold_mixed(folded: str) -> tuple[str, int]:
    tokens: list[str] = []
    spaceless = 0
    for piece in _PIECE.findall(folded):
        if is_spaceless(piece):
            tokens += piece  # each character
            spaceless += len(piece)
        else:
            tokens.append(piece)
    return " ".join(tokens), spaceless


def _mixed_content(prepared: Prepared) -> frozenset[str]:
    """Return the content of a text of which at least one word is a character."""
    # alternately words, and characters separated by spaces
    parts = _RUN.split(" ".join(prepared.words))
    stems = stems_in(prepared.language)
    found = {stems[word] for word in " ".join(parts[::2]).split()} - {""}
    if is_stemmed(prepared.language):
        found.add("")  # a token that any two such texts share
    for run in parts[1::2]:
        characters = run[::2]
        if _SYLLABIC.match(characters):
            ends = range(_SYLLABIC_RUN, len(characters) + 1)
            found.update(characters[end - _SYLLABIC_RUN : end] for end in ends)
        else:
            found.update(map(add, characters, characters[1:]))
    return frozenset(found)


_FORM = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "is", "are", "was", "were", "be", "been", "being"}
    | {"has", "have", "had", "did", "does", "do", "it", "its", "this", "that", "these", "those"}
    | {"which", "who", "and", "also", "there"}
)


def find_numbers(text: str) -> list[tuple[int, int]]:
    """Return start and end of each number: digits, also with ``.``, ``,`` or ``:`` between them.

    They cover every ASCII digit; digits of other scripts do not count.
    """
    zeros = text.encode("ascii", "replace").translate(_ZEROS)  # one byte per character
    return [found.span() for found in _NUMBER.finditer(zeros)]
