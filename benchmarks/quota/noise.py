"""Refusals that have nothing to do with our rate: what they cost beside a bare loop.

Both clients have the same workers, calls in flight and rules of when to try again; the bare loop
knows nothing of pauses and paces. On the clock that jumps, as the table of quotas.
"""

from __future__ import annotations

import sys
import time
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from benchmarks.machine import save, table
from benchmarks.quota.players import bare_loop, keep_asking, pairmill
from benchmarks.quota.virtual import run, serving

from pairmill.llm.limits.gate import Limits
from pairmill.simulator import Latency, SimulatedQuota, SimulatorSettings
from pairmill.simulator.rules import Reply, Rule, When

__all__ = ["main"]

WARM_S, END_S, QUOTA_END_S = 10, 40, 180
IN_FLIGHT, WORKERS = 32, 300
SECONDS = 1.0
RPM = 600.0


class Noise(NamedTuple):
    """What is refused: ``when`` a rule says, in which way, and its share of the calls."""

    name: str
    share: float
    when: When
    reply: Reply
    quota: str = ""  # "known" or "blind"
    pools: int = 1


class Score(NamedTuple):
    """Calls answered a second, and refused ones per call that was sent."""

    per_s: float
    refused: float


def _busy(retry_after_s: float | None) -> Reply:
    headers = {} if retry_after_s is None else {"retry-after": f"{retry_after_s:g}"}
    return Reply(status=429, headers=headers)


def _cases() -> list[Noise]:
    found = [Noise("none", 0.0, When(share=0.0), _busy(None))]
    for share in (0.01, 0.05, 0.2):
        for wait in (None, 0, 1, 30):
            name = f"{share:.0%} 429, {'no Retry-After' if wait is None else f'Retry-After {wait}'}"
            found.append(Noise(name, share, When(share=share), _busy(wait)))
        for fault, status in (("overloaded", 503), ("overloaded_529", 529)):
            found.append(
                Noise(f"{share:.0%} {status}", share, When(share=share), Reply(fault=fault))
            )
    wave = When(period_s=20.0, on_s=5.0, share=0.3)
    return [
        *found,
        Noise("30 % 429 for 5 s of 20", 0.075, wave, _busy(1)),
        Noise("one replica of three, 429", 1 / 3, When(every=3), _busy(30)),
        Noise("one replica of three, 503", 1 / 3, When(every=3), Reply(fault="overloaded")),
        Noise("one pool of three, 429", 1 / 3, When(), _busy(30), pools=3),
        Noise("5 % 429 and a quota, known", 0.05, When(share=0.05), _busy(1), "known"),
        Noise("5 % 429 and a quota, blind", 0.05, When(share=0.05), _busy(1), "blind"),
    ]


async def _play(case: Noise, *, is_bare: bool) -> Score:
    quota = SimulatedQuota(rpm=RPM, flavour="refill", burst_s=1.0) if case.quota else None
    settings = SimulatorSettings(
        rules=(Rule(case.reply, case.when),),
        latency=Latency("fixed", SECONDS),
        dialect="none",
        metrics="none",
        quota=quota or SimulatedQuota(),
    )
    end_s = QUOTA_END_S if quota else END_S
    async with AsyncExitStack() as stack:
        endpoints = [await stack.enter_async_context(serving(settings))]
        for _ in range(case.pools - 1):
            good = SimulatorSettings(latency=Latency("fixed", SECONDS), metrics="none")
            endpoints.append(await stack.enter_async_context(serving(good)))
        urls = [url for url, _ in endpoints]
        limits = Limits(requests_per_min=RPM) if case.quota == "known" else Limits()
        width = IN_FLIGHT // case.pools
        player = bare_loop(urls[0], width) if is_bare else pairmill(urls, limits, width)
        ask = await stack.enter_async_context(player)
        await keep_asking(ask, 100 if quota else WORKERS, end_s)
        reports = [endpoint.report() for _, endpoint in endpoints]
    rows = [row for report in reports for row in report["seconds"][WARM_S:end_s]]
    done, refused, _ = (sum(column) for column in zip(*rows, strict=True))
    if case.reply.status != 429:  # counted with the failed calls
        sent, billed = (sum(report[key] for report in reports) for key in ("requests", "billed"))
        return Score(done / (end_s - WARM_S), 1 - billed / max(1, sent))
    return Score(done / (end_s - WARM_S), refused / max(1, done + refused))


def main() -> None:
    """Measure all cases, and print and keep the table."""
    began = time.perf_counter()
    scores: dict[str, tuple[Score, Score | None]] = {}
    cases = _cases()
    for case in cases:
        bare = None if case.pools > 1 or case.quota else run(_play(case, is_bare=True))
        scores[case.name] = run(_play(case, is_bare=False)), bare
        ours = scores[case.name][0]
        took = f"{time.perf_counter() - began:4.0f} s"
        print(f"{took} {case.name}: {ours.per_s:.1f} a second", file=sys.stderr)
    quiet = scores["none"][0].per_s
    rows, kept = list[list[str]](), list[dict[str, Any]]()
    for case in cases:
        ours, bare = scores[case.name]
        width = case.pools * (IN_FLIGHT // case.pools)
        best = RPM / 60.0 if case.quota else quiet * width / IN_FLIGHT * (1.0 - case.share)
        shown = [case.name, f"{ours.per_s:.1f}", f"{ours.per_s / best:.2f}", f"{ours.refused:.1%}"]
        shown += [f"{bare.per_s:.1f}", f"{ours.per_s / bare.per_s:.2f}"] if bare else ["", ""]
        rows.append(shown)
        kept.append(
            {"noise": case.name, "pairmill": ours._asdict()}
            | ({"bare loop": bare._asdict()} if bare else {})
        )
    head = ["refused", "answers/s", "of the best", "refused, seen", "bare loop", "pairmill : bare"]
    table(head, rows)
    save("noise", {"seconds": round(time.perf_counter() - began, 1), "cases": kept})
