"""The gate of ``make bench-ci``: what it passes, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.throughput import gate

if TYPE_CHECKING:
    from pathlib import Path

WIRE = "pairmill / bare_direct at 64, zero"
CHECKS = "pairmill_checked / pairmill at 64, derived"


@pytest.fixture(autouse=True)
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    monkeypatch.setattr(gate, "BASELINE", tmp_path / "baseline.json")
    assert (
        gate.judge([], {WIRE: 0.3, CHECKS: 0.5, "pairmill / aiohttp at 64": 9.0}, record=True) == 0
    )


@pytest.mark.parametrize(
    ("ratios", "code"),
    [
        ({WIRE: 0.28, CHECKS: 0.5}, 0),
        ({WIRE: 0.26, CHECKS: 0.5}, 1),
        ({WIRE: 0.3, CHECKS: 0.44}, 1),
        ({WIRE: 0.3, CHECKS: 0.5, "pairmill / aiohttp at 64": 0.1}, 0),
        ({WIRE: 0.3, CHECKS: 0.5, "pairmill_checked / bare_direct at 64, derived": 0.2}, 1),
    ],
)
def test_what_fell_fails_and_so_does_what_nothing_was_recorded_for(
    ratios: dict[str, float], code: int
) -> None:
    assert gate.judge([], ratios, record=False) == code
