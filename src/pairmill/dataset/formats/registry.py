"""All training formats by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from pairmill.dataset.formats.alpaca import ALPACA
from pairmill.dataset.formats.messages import MESSAGES
from pairmill.dataset.formats.preference import PREFERENCE
from pairmill.dataset.formats.prompt_completion import PROMPT_COMPLETION
from pairmill.dataset.formats.sharegpt import SHAREGPT
from pairmill.errors import UsageError

if TYPE_CHECKING:
    from pairmill.dataset.formats.format import Format

__all__ = ["FORMATS", "find_format"]

FORMATS: dict[str, Format] = {
    item.name: item for item in (MESSAGES, ALPACA, SHAREGPT, PROMPT_COMPLETION, PREFERENCE)
}
"""Name to format, the usual one first."""


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: There is none; names the nearest.
    """
    found = FORMATS.get(name)
    if found:
        return found
    near = difflib.get_close_matches(name, FORMATS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(FORMATS)}"
    raise UsageError(f"unknown format '{name}'; {hint}")
