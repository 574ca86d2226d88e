"""The answers' voice: what the setting ``voice`` changes in a prompt's constant part.

``author`` changes no prompt, so folders begun before the setting existed are unaffected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["AUTHOR", "style_mode", "voiced"]

AUTHOR = "author"

_AUTHORS = (
    "keeps the author's voice: person, formality, rhythm, choice of words",
    "told in the author's own manner",
    "in the author's voice",
    "as the author would write it",
)
"""Phrases of the templates about the author's voice, in the order of ``_OTHERS``."""

_NEUTRAL = (
    'is neutral: plain, factual sentences without "I", "we" or an opinion; what the author did,'
    " felt or thinks is left out, or told as a general point"
)
_ASSISTANT = (
    'speaks as a helpful assistant to the one who asked, as "you" where it fits; what the author'
    " did, felt or owns is never told as its own"
)
_OTHERS = {
    "neutral": (
        _NEUTRAL,
        "told in plain, neutral words",
        "in a plain, neutral voice",
        "in plain, neutral words",
    ),
    "assistant": (
        _ASSISTANT,
        "told as a helpful assistant would tell it",
        "in the voice of a helpful assistant, never in the author's",
        "as a helpful assistant would write it",
    ),
}


def voiced(text: str, voice: str) -> str:
    """Return a prompt's text with the answers asked for in a voice."""
    if voice == AUTHOR:
        return text
    for theirs, ours in zip(_AUTHORS, _OTHERS[voice], strict=True):
        text = text.replace(theirs, ours)
    return text


def style_mode(settings: Settings) -> str:
    """Return the mode of the style cards; ``off`` unless the answers have the author's voice."""
    return settings.style_card if settings.voice == AUTHOR else "off"
