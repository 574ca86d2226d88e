"""A figure with its verdict, as reports, cards and terminals show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Check", "Standing", "standing"]

Standing: TypeAlias = Literal["ok", "warn", "fail", "info"]


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict of one check: its name, what was found, how it stands, and one line of advice.

    ``info`` stands where there is no good or bad, or too little to say.
    """

    name: str
    found: str
    status: Standing
    hint: str = ""


def standing(value: float, *, warn: float, fail: float) -> Standing:
    """How a value stands: from ``warn`` on, towards ``fail``, it is a warning, then a failure."""
    sign = 1 if fail >= warn else -1
    if sign * value >= sign * fail:
        return "fail"
    return "warn" if sign * value >= sign * warn else "ok"
