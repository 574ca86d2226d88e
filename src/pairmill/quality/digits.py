"""Where the numbers of a text stand, found without looking at each character with a pattern."""

from __future__ import annotations

import re
import string

__all__ = ["find_numbers"]

_NUMBER = re.compile(r"[0-9]+(?:[.,:][0-9]+)*")
_ZEROS = bytes.maketrans(string.digits.encode(), b"0" * len(string.digits))


def find_numbers(text: str) -> tuple[tuple[int, int], ...]:
    """Start and end of each number, in order: digits, also with ``.``, ``,`` or ``:`` between.

    Every digit from 0 to 9 lies in one of them; digits of other scripts do not count.
    """
    zeros = text.encode("ascii", "replace").translate(_ZEROS)  # one byte for each character
    at = zeros.find(b"0")
    spans = []
    while at >= 0:
        found = _NUMBER.match(text, at)
        assert found is not None  # noqa: S101 (there is a digit)
        spans.append(found.span())
        at = zeros.find(b"0", found.end())
    return tuple(spans)
