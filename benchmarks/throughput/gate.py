"""The gate: has pairmill become slower beside a bare loop over the same wire?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from benchmarks.machine import describe, save

__all__ = ["BASELINE", "judge"]

BASELINE = Path(__file__).parents[1] / "baseline.json"
ALLOWED = 0.90
CHECKED_GATE = "pairmill_checked / pairmill "


def judge(found: list[dict[str, Any]], ratios: dict[str, float], *, record: bool) -> int:
    """Write the results; return 1 where a ratio fell by more than a tenth, or has no baseline.

    Also writes ``results/action.json``, as github-action-benchmark's customBiggerIsBetter wants it.
    """
    gated = {name: value for name, value in ratios.items() if "/ bare_" in name}
    gated |= {name: value for name, value in ratios.items() if name.startswith(CHECKED_GATE)}
    path = save("ci", {"cells": found, "ratios": ratios})
    entries = [
        {
            "name": f"{r['client']}, {r['concurrency']} in flight",
            "unit": "pairs/min",
            "value": r["pairs_per_min"],
        }
        for r in found
    ]
    entries += [{"name": name, "unit": "ratio", "value": it} for name, it in ratios.items()]
    path.with_name("action.json").write_bytes(orjson.dumps(entries, option=orjson.OPT_INDENT_2))
    if record:
        data = {"machine": describe(), "ratios": gated}
        BASELINE.write_bytes(
            orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
        print(f"recorded: {gated}")
        return 0
    if not BASELINE.exists():
        print(f"no {BASELINE.name}: record one on a quiet machine with --ci --record")
        return 1
    expected = orjson.loads(BASELINE.read_bytes())["ratios"]
    is_passed = True
    for name, value in gated.items():
        if name not in expected:
            print(f"NEW  {name}: {value:.3f}, and {BASELINE.name} has none: --ci --record")
            is_passed = False
            continue
        least = expected[name] * ALLOWED
        is_passed &= value >= least
        print(f"{'ok  ' if value >= least else 'FELL'} {name}: {value:.3f}, at least {least:.3f}")
    return int(not is_passed)
