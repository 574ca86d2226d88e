"""Whose voice the answers have: what the setting ``voice`` changes in a prompt's constant part.

With ``author`` no prompt changes, so folders that were begun before go on as they are.
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
"""What templates say of the author's voice, in the order of ``_OTHERS``."""

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
    """The text of a prompt in which the answers are asked for in a voice."""
    if voice == AUTHOR:
        return text
    for theirs, ours in zip(_AUTHORS, _OTHERS[voice], strict=True):
        text = text.replace(theirs, ours)
    return text


def style_mode(settings: Settings) -> str:
    """The mode of the style cards; ``off`` where the answers are not the author's."""
    return settings.style_card if settings.voice == AUTHOR else "off"
