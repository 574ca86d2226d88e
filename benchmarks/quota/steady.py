"""Noise beside quotas, and the ramp, without a wire: means over seeds, on the virtual clock.

The gate and the retry policy are a run's; server and callers are those of ``tests/support/noisy``.
"""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

from benchmarks.machine import save, table
from tests.support.noisy import Noise, Outcome, gated, steady

from pairmill.llm.limits.concurrency import GradientLimit
from pairmill.llm.limits.gate import Limits
from pairmill.simulator import SimulatedQuota

__all__ = ["quotas", "ramp"]

LOOSE_TPM = 1e8
SHARES = (0.0, 0.01, 0.05)


class Pool(NamedTuple):
    """How fast a server is, and between which seconds a course is measured."""

    name: str
    rpm: float
    answer_s: float
    workers: int
    from_s: int
    until_s: int


class Score(NamedTuple):
    """Of one course: used of what the noise leaves; refused by the quota, of the calls sent."""

    used: float
    over: float
    over_from_start: float


POOLS = (
    Pool("5 calls a second", 300.0, 4.0, 100, 120, 420),
    Pool("1 call a second", 60.0, 10.0, 50, 120, 600),
    Pool("0.5 calls a second", 30.0, 60.0, 100, 240, 1_200),
)


def _kinds(rpm: float) -> dict[str, SimulatedQuota]:
    return {
        "bucket of a second": SimulatedQuota(rpm=rpm, tpm=LOOSE_TPM, burst_s=1.0),
        "bucket of a minute": SimulatedQuota(rpm=rpm, tpm=LOOSE_TPM, burst_s=60.0),
        "by the second": SimulatedQuota(rpm=rpm, tpm=LOOSE_TPM, flavour="second"),
        "whole minutes": SimulatedQuota(rpm=rpm, tpm=LOOSE_TPM, flavour="fixed"),
        "sliding minutes": SimulatedQuota(rpm=rpm, tpm=LOOSE_TPM, flavour="sliding"),
    }


def _course(
    pool: Pool, quota: SimulatedQuota, share: float, seed: int, *, is_known: bool = False
) -> Score:
    """One course; every other one is told how long to wait for what chance refuses."""
    seen = gated(
        Noise(share=steady(share), retry_after_s=1.0 if seed % 2 else None),
        until_s=pool.until_s,
        workers=pool.workers,
        seed=seed,
        seconds=pool.answer_s,
        quota=quota,
        says_wait=pool.rpm >= POOLS[0].rpm or seed % 4 in {0, 1},
        limits=Limits(requests_per_min=pool.rpm) if is_known else None,
    )
    used = seen.per_s(pool.from_s, pool.until_s) / (pool.rpm / 60.0 * (1.0 - share))
    over = seen.over_share(pool.from_s, pool.until_s)
    return Score(used, over, seen.over_share(0, pool.until_s))


def quotas(seeds: range) -> None:
    """Measure quotas beside noise, given and not, and print and keep the tables."""
    began = time.perf_counter()
    kept = list[dict[str, Any]]()
    for pool in POOLS:
        for is_known in (False, True)[: 2 if pool is POOLS[0] else 1]:
            print(f"\n{pool.name}, {'given' if is_known else 'unknown'}\n")
            rows = list[list[str]]()
            for name, quota in _kinds(pool.rpm).items():
                row = [name]
                for share in SHARES:
                    found = [_course(pool, quota, share, seed, is_known=is_known) for seed in seeds]
                    row.append(_shown(found))
                    case = {"pool": pool.name, "given": is_known, "quota": name, "noise": share}
                    kept.append({**case, "courses": [score._asdict() for score in found]})
                rows.append(row)
                print(f"{time.perf_counter() - began:4.0f} s {name}", file=sys.stderr)
            table(["quota", *(f"{share:.0%} noise" for share in SHARES)], rows)
    seconds = round(time.perf_counter() - began, 1)
    save("steady", {"seconds": seconds, "seeds": [seeds.start, seeds.stop], "cases": kept})


def _shown(scores: list[Score]) -> str:
    used = [score.used for score in scores]
    over = [score.over for score in scores]
    mean = sum(used) / len(used), sum(over) / len(over)
    return f"{mean[0]:.3f} ({min(used):.2f}), {mean[1]:.1%} ({max(over):.1%})"


def ramp() -> None:
    """Print how fast calls get up to speed where nothing limits them, or slots do."""
    rows = list[list[str]]()
    for answer_s in (0.3, 1.0):
        found = gated(Noise(), until_s=8, workers=900, seconds=answer_s)
        rows.append(_by_second(f"{answer_s:g} s", found, 900, answer_s))
    own = gated(Noise(), until_s=8, workers=900, width=GradientLimit(ceiling=128))
    rows.append(_by_second("0.3 s, a server of one's own (128 wide)", own, 128, 0.3))
    table(["answers take", *(f"{second}. s" for second in range(1, 8))], rows)
    first = gated(Noise(), until_s=8, workers=800)
    print(f"\n800 calls of 0.3 s are answered within {first.seconds_for(800)} s")


def _by_second(name: str, found: Outcome, in_flight: int, answer_s: float) -> list[str]:
    best = in_flight / (answer_s * _LOGNORMAL_MEAN + _WAY_S)
    return [name, *(f"{found.done[second] / best:.2f}" for second in range(7))]


_LOGNORMAL_MEAN, _WAY_S = 1.0202, 0.01  # of the simulated answers' lengths; of a call's way
