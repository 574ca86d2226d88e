"""Phrases that checks look for, by language, and the languages in which each check works.

``languages/README.md`` explains each list, and how to add a language.

A check that is not listed here works in every language. ``tests/unit/quality/test_languages.py``
tests each cell of the table: planted faults are found, and clean text passes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from pairmill.quality.language import UNDETERMINED
from pairmill.yaml_files import load_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LANGUAGES", "NOT_IN", "ONLY_IN", "Phrases", "applies", "fold", "phrases_of"]

LANGUAGES = (
    "ar",
    "de",
    "en",
    "es",
    "fr",
    "hi",
    "it",
    "ja",
    "ko",
    "pt",
    "ru",
    "th",
    "tr",
    "vi",
    "zh",
)
"""Two-letter codes of the languages that have a file."""

# Where words are between spaces, a phrase must not begin or end inside one. Korean particles and
# Hindi postpositions follow the noun, and Arabic prefixes precede it, without a space.
_NO_BOUNDARY = frozenset({"zh", "ja", "th"})
_LEADING_ONLY = frozenset({"ko", "hi"})
_TRAILING_ONLY = frozenset({"ar"})
_MARKS = {"{": "(?:", "|": "|", "}": ")", "*": r"\w*"}
_APOSTROPHES = ("\u2019", "\u02bc")


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language's phrases as patterns over lower-case text; None if it has no such list.

    ``starts`` are the first three characters of its chatter; None if they may be any.
    """

    pointers: re.Pattern[str] | None
    instruction_pointers: re.Pattern[str] | None
    refusals: re.Pattern[str] | None
    chatter: re.Pattern[str] | None
    answer_chatter: re.Pattern[str] | None
    yes_no: re.Pattern[str] | None
    starts: frozenset[str] | None

    def may_start(self, letters: str) -> bool:
        """Return whether chatter may begin with three ASCII characters in lower case."""
        return self.starts is None or letters in self.starts


@cache
def phrases_of(language: str | None) -> Phrases | None:
    """Return a language's phrases; None if it has no file."""
    if language not in LANGUAGES:
        return None
    file = resources.files("pairmill.quality").joinpath(f"languages/{language}.yaml")
    lists: dict[str, list[str]] = load_yaml(file.read_text("utf-8"))
    pointers = lists.get("pointers", [])
    yes_no = []
    if "yes_no" in lists:
        yes_no.append(rf"\s*[\"'«„“]*(?:{_any(lists['yes_no'], language)})")
    if "yes_no_anywhere" in lists:  # endings of verbs: they may be inside a word
        other = "|".join(map(re.escape, lists.get("yes_no_unless", [])))
        unless = f"(?!.*(?:{other}))" if other else ""
        yes_no.append(rf"{unless}.*?(?:{'|'.join(map(re.escape, lists['yes_no_anywhere']))})")
    return Phrases(
        pointers=_compile(_any(pointers, language)) if pointers else None,
        instruction_pointers=(
            _compile(
                "|".join(
                    [
                        _any([*pointers, *lists["instruction_pointers"]], language),
                        *_nouns(lists, language),
                    ]
                )
            )
            if "instruction_pointers" in lists
            else None
        ),
        refusals=_compile(_any(lists["refusals"], language)) if "refusals" in lists else None,
        chatter=_opening(lists.get("chatter", [])),
        answer_chatter=_opening([*lists.get("chatter", []), *lists.get("answer_chatter", [])]),
        yes_no=_compile("|".join(yes_no)) if yes_no else None,
        starts=_starts([*lists.get("chatter", []), *lists.get("answer_chatter", [])]),
    )


def _starts(phrases: Sequence[str]) -> frozenset[str] | None:
    """Return the first three characters of the phrases; None if those of one vary."""
    found = {phrase[:3] for phrase in chain.from_iterable(map(_spread, phrases))}
    is_plain = all(len(start) == 3 and not set(start) & set(_MARKS) for start in found)  # noqa: PLR2004
    return frozenset(found) if is_plain else None


def _opening(phrases: Sequence[str]) -> re.Pattern[str] | None:
    """Build a pattern of openings, after any emphasis marks; None if there are none."""
    if not phrases:
        return None
    spread = chain.from_iterable(map(_spread, phrases))
    return _compile(rf"[\s*#>\"'`«„“¡]*(?:{'|'.join(map(_pattern, spread))})")


def fold(text: str) -> str:
    """Lower case, with plain apostrophes: the form in which phrases are looked up."""
    lowered = text.lower()
    for mark in _APOSTROPHES:  # a look-up per character takes thirty times as long
        lowered = lowered.replace(mark, "'")
    return lowered


def _any(phrases: Sequence[str], language: str) -> str:
    """Build an alternation, longest first, with the script's word boundaries."""
    ordered = sorted(chain.from_iterable(map(_spread, phrases)), key=len, reverse=True)
    joined = "|".join(map(_pattern, ordered))
    leading = "" if language in _NO_BOUNDARY | _TRAILING_ONLY else r"(?<!\w)"
    trailing = "" if language in _NO_BOUNDARY | _LEADING_ONLY else r"(?!\w)"
    return f"{leading}(?:{joined}){trailing}"


def _nouns(lists: dict[str, list[str]], language: str) -> list[str]:
    """Build a pattern of ambiguous nouns for a source that no other word makes certain."""
    if "source_nouns" not in lists:
        return []
    unless = _any(lists["source_nouns_unless"], language)
    return [rf"{_any(lists['source_nouns'], language)}(?!\s+{unless})"]


def _spread(phrase: str) -> list[str]:
    """Expand choices at the start of a phrase: a search can skip to a literal only."""
    if not phrase.startswith("{"):
        return [phrase]
    choices, _, rest = phrase[1:].partition("}")
    return [each for choice in choices.split("|") for each in _spread(choice + rest)]


def _pattern(phrase: str) -> str:
    """Convert a phrase to a pattern: ``{a|b}`` is one of several, ``*`` the rest of a word."""
    parts = re.split(r"([{|}*])", phrase)
    return "".join(_MARKS.get(part) or re.escape(part) for part in parts)


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)


ONLY_IN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # Phrases: languages with a file of them.
        "points_at_source": frozenset(LANGUAGES),
        "refusal": frozenset(LANGUAGES),
        "meta_text": frozenset(LANGUAGES),
        "yes_no": frozenset(LANGUAGES),
        # Capitals mark names; in German every noun is capitalized.
        "unseen_name": frozenset({"en", "fr", "es", "pt", "it", "nl", "tr", "vi"}),
    }
)
"""Check to the only languages in which it works."""

NOT_IN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # No mark ends a sentence in these scripts.
        "truncated": frozenset({"th", "lo", "km", "my"}),
        # Runs of characters only detect foreign text: free paraphrases share less than half.
        "weakly_grounded": frozenset({"zh", "ja", "th", "lo", "km", "my"}),
        # Adjacent words are only known in scripts with word boundaries.
        "weakly_supported": frozenset({"zh", "ja", "th", "lo", "km", "my"}),
    }
)
"""Check to the languages in which it does not work."""


def applies(check: str, language: str | None) -> bool:
    """Return whether a check works in a language (two-letter code).

    An unknown language (None) is treated as English by the checks of phrases: English phrases are
    then searched in any text. In an unknown script only checks that work in every language apply.
    """
    if language is None:
        return True
    if language == UNDETERMINED:
        return not (check in ONLY_IN or check in NOT_IN or check == "language")
    only = ONLY_IN.get(check)
    if only is not None and language not in only:
        return False
    return language not in NOT_IN.get(check, frozenset())
