"""Three settings that adapt any recipe: guidance, language, system prompt.

The first two are added to the constant part of every writing prompt; without them it is unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.recipes.draws import hash_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.config import Settings
    from pairmill.records import Chunk, Pair

__all__ = ["guidance_text", "language_code", "with_system"]

_NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


def guidance_text(settings: Settings) -> str:
    """Return what ``guidance`` and ``language`` add to a prompt's constant part; or ""."""
    parts = []
    if settings.guidance:
        parts.append(f"Also keep to this: {settings.guidance}")
    if settings.language:
        name = _NAMES.get(settings.language.partition("-")[0].lower(), settings.language)
        parts.append(
            f"Write everything that is read by people in {name}, whatever the language of the"
            " passage is. This takes the place of any other rule about language; only words copied"
            " as evidence stay as they are."
        )
    return "\n\n".join(parts)


def language_code(settings: Settings) -> str | None:
    """Return the code of the language to write in; None if none is set or it is unknown."""
    given = (settings.language or "").lower()
    if given.partition("-")[0] in _NAMES:
        return given.partition("-")[0]
    return next((code for code, name in _NAMES.items() if name.lower() == given), None)


def with_system(pairs: Sequence[Pair], chunk: Chunk, settings: Settings) -> list[Pair]:
    """Add the settings' system message to the pairs; of several, one is drawn by hash.

    A system message written by a recipe is kept.
    """
    given = settings.system_prompt
    if not given:
        return list(pairs)
    choices = (given,) if isinstance(given, str) else given
    return [
        pair
        if pair.system
        else replace(pair, system=_drawn(choices, f"{settings.seed}", chunk.id, str(pair.index)))
        for pair in pairs
    ]


def _drawn(choices: Sequence[str], *name: str) -> str:
    return choices[int(hash_share("system", *name) * len(choices))]
