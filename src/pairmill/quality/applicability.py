"""Languages in which each check works: one table, so that nothing unchecked is called ok.

A check that is not listed here works in every language. ``tests/unit/quality/test_languages.py``
tests each cell of the table: planted faults are found, and clean text passes.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from pairmill.quality.language import UNDETERMINED
from pairmill.quality.phrases import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NOT_IN", "ONLY_IN", "applies"]

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

    An unknown language (None) is treated as English for checks of phrases, which is what they
    look for then: those phrases are found in any text, and nothing else is claimed. In an unknown
    script only those checks work that work in every language.
    """
    if language is None:
        return True
    if language == UNDETERMINED:
        return not (check in ONLY_IN or check in NOT_IN or check == "language")
    only = ONLY_IN.get(check)
    if only is not None and language not in only:
        return False
    return language not in NOT_IN.get(check, frozenset())
