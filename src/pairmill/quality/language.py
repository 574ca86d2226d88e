"""Which language a text is in, offline: by its script, then by its function words.

No match for a trained detector on a single line; it says None rather than guess. With the extra
``lang`` a trained one (py3langid, its model inside the package) can be asked instead.
"""

from __future__ import annotations

import importlib
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from pairmill.errors import ConfigError
from pairmill.quality.stopwords import FUNCTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.quality.text import Prepared

__all__ = ["differs", "identify", "primary", "trained_detector"]

_RANGES = (
    (0x0370, 0x03FF, "el"),
    (0x0400, 0x052F, "cyrillic"),
    (0x0590, 0x05FF, "he"),
    (0x0600, 0x06FF, "ar"),
    (0x0900, 0x097F, "hi"),
    (0x0E00, 0x0E7F, "th"),
    (0x3040, 0x30FF, "ja"),
    (0x3400, 0x9FFF, "han"),
    (0xAC00, 0xD7AF, "ko"),
    (0x1100, 0x11FF, "ko"),
)
_CYRILLIC = ("ru", "uk", "bg")
_LATIN = tuple(language for language in FUNCTION_WORDS if language not in _CYRILLIC)
_SCRIPT_SHARE = 0.3  # of the words; a quotation in another script stays below it
_KANA_SHARE = 0.05  # any Japanese sentence has more kana than this among its characters
_LEAST_HITS = 3  # different function words before we name a language
_SURE_HITS = 8  # no other language borrows that many
_MARGIN = 1.5  # times the runner-up; Danish and Swedish often stay unnamed, and that is right
_PLENTY = 0.08  # of a text's different words: surely the expected language
_MIN_CHARS = 20


def primary(tag: str | None) -> str | None:
    """The two-letter code of a language tag such as ``pt-BR``; None for anything else."""
    code = (tag or "").replace("_", "-").split("-")[0].strip().lower()
    return code if len(code) == 2 and code.isalpha() and code.isascii() else None  # noqa: PLR2004


def identify(vocabulary: frozenset[str], guess: str | None = None) -> str | None:
    """The language of a text's different words, or None where they do not say.

    A right guess (English where None) is merely confirmed, which is faster.
    """
    usual = len(vocabulary & FUNCTION_WORDS.get(guess or "en", frozenset()))
    if usual >= _SURE_HITS and usual > _PLENTY * len(vocabulary):
        return guess or "en"
    script = _script(vocabulary)
    if script not in {"latin", "cyrillic"}:
        return script
    rivals = _LATIN if script == "latin" else _CYRILLIC
    ranked = sorted(
        ((len(vocabulary & FUNCTION_WORDS[language]), language) for language in rivals),
        key=lambda entry: (-entry[0], entry[1]),
    )
    (best, language), (second, _) = ranked[:2]
    return language if best >= _LEAST_HITS and best >= _MARGIN * second else None


def differs(text: Prepared, expected: str | None) -> str | None:
    """The language that a text is in, where it surely is not the expected one; else None.

    Short texts, code and names never differ: there is too little to go by.
    """
    if expected is None or len(text.text) < _MIN_CHARS:
        return None
    usual = FUNCTION_WORDS.get(expected)
    hits = len(text.vocabulary & usual) if usual else 0
    if hits >= _SURE_HITS and hits > _PLENTY * len(text.vocabulary):
        script = "latin" if _speaks_latin(text) else _script(text.vocabulary)
        if script == ("cyrillic" if expected in _CYRILLIC else "latin"):
            return None
    if _speaks_latin(text) and _is_unmistakable(text.vocabulary, expected, hits):
        return None
    found = identify(text.vocabulary)
    return found if found not in {None, expected} else None


def _speaks_latin(text: Prepared) -> bool:
    return text.text.isascii() or "".join(text.vocabulary).isascii()


def _is_unmistakable(vocabulary: frozenset[str], expected: str, hits: int) -> bool:
    """Whether no other language can win over the expected one, which has so many hits.

    One would need three hits, and half as many again as the expected; to be named for English
    words alone, eight. All other languages together do not have them in most texts.
    """
    if expected not in _LATIN:
        return False
    others = len(vocabulary & _words_of_others(expected))
    return others < _LEAST_HITS or others < min(_MARGIN * hits, _SURE_HITS)


@lru_cache(maxsize=len(FUNCTION_WORDS))
def _words_of_others(expected: str) -> frozenset[str]:
    others = (FUNCTION_WORDS[language] for language in _LATIN if language != expected)
    return frozenset().union(*others)


def trained_detector() -> Callable[[str], str | None]:
    """py3langid as a function from text to two-letter code (None below 20 characters).

    Raises:
        ConfigError: The extra ``lang`` is not installed.
    """
    try:
        langid = importlib.import_module("py3langid")
    except ImportError:
        raise ConfigError("needs the extra: pip install 'pairmill[lang]'") from None

    def detect(text: str) -> str | None:
        return str(langid.classify(text)[0]) if len(text) >= _MIN_CHARS else None

    return detect


def _script(vocabulary: frozenset[str]) -> str:
    foreign = [word for word in vocabulary if not word.isascii()]
    if not foreign:
        return "latin"
    counts = Counter(map(_SCRIPTS.__getitem__, foreign))
    del counts["latin"]
    total = len(vocabulary)
    cjk = counts["ja"] + counts["han"]
    if cjk >= _SCRIPT_SHARE * total:
        return "ja" if counts["ja"] >= _KANA_SHARE * cjk else "zh"
    if counts:
        script, count = counts.most_common(1)[0]
        if count >= _SCRIPT_SHARE * total:
            return script
    return "latin"


class _Scripts(dict[str, str]):
    """Words to their scripts; filled as asked, emptied when full."""

    _MOST = 16_384

    def __missing__(self, word: str) -> str:
        if len(self) >= self._MOST:
            self.clear()
        found = self[word] = _word_script(word)
        return found


_SCRIPTS = _Scripts()


def _word_script(word: str) -> str:
    for character in word:
        code = ord(character)
        for low, high, script in _RANGES:
            if low <= code <= high:
                return script
    return "latin"
