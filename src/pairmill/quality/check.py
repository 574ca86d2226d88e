"""A figure with its verdict, for reports, cards and terminals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Check", "Standing", "standing"]

Standing: TypeAlias = Literal["ok", "warn", "fail", "info"]


@dataclass(frozen=True, slots=True)
class Check:
    """Verdict of one check: its name, finding, standing, and one line of advice.

    ``info``: there is no good or bad, or too little data.
    """

    name: str
    found: str
    status: Standing
    hint: str = ""


def standing(value: float, *, warn: float, fail: float) -> Standing:
    """Return a value's standing: from ``warn`` on a warning, from ``fail`` on a failure."""
    sign = 1 if fail >= warn else -1
    if sign * value >= sign * fail:
        return "fail"
    return "warn" if sign * value >= sign * warn else "ok"
