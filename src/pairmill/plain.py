"""Text from outside, made harmless for a terminal, a log or an error line."""

from __future__ import annotations

import re

__all__ = ["plain"]

_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, line ends and escapes among them
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # no width, or another direction
    "\ud800-\udfff]+"  # lone surrogates, which no stream takes
)


def plain(text: object, limit: int = 300) -> str:
    """One line without control, bidirectional or zero-width characters, cut at ``limit``."""
    line = " ".join(_HARMFUL.sub(" ", str(text)).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}\u2026"
