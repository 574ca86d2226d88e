"""Finds the numbers of a text without trying a pattern at each character."""

from __future__ import annotations

import re
import string

__all__ = ["find_numbers"]

_ZEROS = bytes.maketrans(string.digits.encode(), b"0" * len(string.digits))
_NUMBER = re.compile(rb"00*(?:[.,:]00*)*")  # begins with one byte, to which the search leaps


def find_numbers(text: str) -> list[tuple[int, int]]:
    """Start and end of each number, in order: digits, also with ``.``, ``,`` or ``:`` between.

    Every digit from 0 to 9 lies in one of them; digits of other scripts do not count.
    """
    zeros = text.encode("ascii", "replace").translate(_ZEROS)  # one byte for each character
    return [found.span() for found in _NUMBER.finditer(zeros)]
