"""How much of a quota is used, and what it costs in refusals: ``python -m benchmarks.quota``.

On every kind of quota, by what the client knows of it, beside a plain script with the same work.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, NamedTuple

from benchmarks.machine import save, table
from benchmarks.quota import noise, steady
from benchmarks.quota.players import MAX_TOKENS, keep_asking, pairmill, plain_script
from benchmarks.quota.virtual import run, serving

from pairmill.llm.limits.concurrency import GradientLimit
from pairmill.llm.limits.gate import Charge, Limits
from pairmill.simulator import Latency, SimulatedQuota, SimulatorSettings

WARM_S, END_S, PLAIN_END_S = 120, 720, 240
SLOTS_WARM_S, SLOTS_END_S = 60, 120
RPM, LOOSE_RPM = 300.0, 6_000.0
TPM = {"actual": 480_000.0, "reconcile": 480_000.0, "reserve": 480_000.0}
LOOSE_TPM = 1e8
LATENCY = Latency("lognormal", 4.0, 0.3)
WORKERS = 200
SLOT_SECONDS = 4.0


class Case(NamedTuple):
    """A quota: its flavour, and what binds: requests, or tokens as they are charged."""

    flavour: str
    binds: str


class Score(NamedTuple):
    """What a client made of it, in steady state."""

    used: float
    refused_per_done: float
    done: int
    lost: float  # share of the questions that the client gave up on, or had in flight at the end


CASES = [Case(flavour, "requests") for flavour in ("refill", "second", "fixed", "sliding")] + [
    Case(flavour, charge)
    for flavour in ("refill", "fixed", "sliding")
    for charge in ("actual", "reconcile", "reserve")
]
KNOWN = ("known", "headers", "blind")
SEEKING = ("gauge", "no gauge")
PLAIN = "script"
SLOTS = (8, 64, 256)


def settings_for(case: Case, knows: str) -> SimulatorSettings:
    by_requests = case.binds == "requests"
    quota = SimulatedQuota(
        rpm=RPM if by_requests else LOOSE_RPM,
        tpm=LOOSE_TPM if by_requests else TPM[case.binds],
        flavour=case.flavour,  # type: ignore[arg-type]
        charge="reconcile" if by_requests else case.binds,  # type: ignore[arg-type]
    )
    dialect = "openai" if knows == "headers" else "none"
    return SimulatorSettings(quota=quota, dialect=dialect, latency=LATENCY, metrics="none")  # type: ignore[arg-type]


def limits_for(case: Case, knows: str) -> Limits:
    if knows != "known":
        return Limits()
    charge = Charge.RESERVED if case.binds == "reserve" else None  # as the user would say
    if case.binds == "requests":
        return Limits(requests_per_min=RPM, tokens_per_min=LOOSE_TPM)
    return Limits(requests_per_min=LOOSE_RPM, tokens_per_min=TPM[case.binds], charge=charge)


async def on_quota(case: Case, knows: str) -> Score:
    end_s = PLAIN_END_S if knows == PLAIN else END_S
    async with serving(settings_for(case, knows)) as (url, endpoint):
        player = plain_script(url) if knows == PLAIN else pairmill([url], limits_for(case, knows))
        async with player as ask:
            await keep_asking(ask, WORKERS, end_s)
        report = endpoint.report()
    return score(case, report, end_s)


def score(case: Case, report: dict[str, Any], end_s: int) -> Score:
    rows = report["seconds"][WARM_S:end_s]
    done, refused, tokens = (sum(column) for column in zip(*rows, strict=True))
    minutes = (end_s - WARM_S) / 60
    if case.binds == "requests":
        used = done / (RPM * minutes)
    else:
        if case.binds == "reserve":
            tokens = done * (report["prompt_tokens"] / report["billed"] + MAX_TOKENS)
        used = tokens / (TPM[case.binds] * minutes)
    lost = 1 - report["billed"] / max(1, report["requests"])
    return Score(used, refused / max(1, done), done, lost)


async def on_slots(slots: int, how: str) -> float:
    settings = SimulatorSettings(
        slots=slots,
        dialect="none",
        latency=Latency("fixed", SLOT_SECONDS),
        metrics="vllm" if how == "gauge" else "none",
    )
    async with serving(settings) as (url, endpoint):
        player = (
            plain_script(url)
            if how == PLAIN
            else pairmill([url], Limits(), GradientLimit(), gauge=how == "gauge")
        )
        async with player as ask:
            await keep_asking(ask, 600, SLOTS_END_S)
        rows = endpoint.report()["seconds"][SLOTS_WARM_S:SLOTS_END_S]
    return sum(row[0] for row in rows) / ((SLOTS_END_S - SLOTS_WARM_S) * slots / SLOT_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quota", description=__doc__)
    parser.add_argument("--noise", action="store_true", help="only the table of noise")
    parser.add_argument("--steady", action="store_true", help="quotas beside noise, without a wire")
    parser.add_argument(
        "--seeds", default="1:13", help="of --steady, the first and one past the last"
    )
    parser.add_argument("--ramp", action="store_true", help="how fast calls get up to speed")
    parser.add_argument("--only", default="", help="quotas whose name holds this text, no slots")
    given = parser.parse_args()
    if given.noise:
        noise.main()
        return
    if given.steady:
        steady.quotas(range(*(int(seed) for seed in given.seeds.split(":"))))
        return
    if given.ramp:
        steady.ramp()
        return
    began = time.perf_counter()
    quotas: dict[Case, dict[str, Score]] = {}
    for case in CASES:
        if given.only in f"{case.flavour} {case.binds}":
            quotas[case] = {knows: run(on_quota(case, knows)) for knows in (*KNOWN, PLAIN)}
            print(f"{time.perf_counter() - began:4.0f} s {case}", file=sys.stderr)
    slots: dict[int, dict[str, float]] = {}
    for count in () if given.only else SLOTS:
        slots[count] = {how: run(on_slots(count, how)) for how in (*SEEKING, PLAIN)}
        print(f"{time.perf_counter() - began:4.0f} s {count} slots", file=sys.stderr)
    show(quotas, slots)
    if not given.only:
        save(
            "quota",
            {
                "seconds": round(time.perf_counter() - began, 1),
                "quotas": [
                    {**case._asdict(), "client": knows, **score._asdict()}
                    for case, scores in quotas.items()
                    for knows, score in scores.items()
                ],
                "slots": [
                    {"slots": count, "client": how, "share": share}
                    for count, shares in slots.items()
                    for how, share in shares.items()
                ],
            },
        )


def show(quotas: dict[Case, dict[str, Score]], slots: dict[int, dict[str, float]]) -> None:
    clients = (*KNOWN, PLAIN)
    head = ["quota", "binds", *clients, "given up by the script", "used, headers : script"]
    rows = [
        [
            case.flavour,
            case.binds,
            *(f"{scores[c].used:.1%}, {scores[c].refused_per_done:.3f}" for c in clients),
            f"{scores[PLAIN].lost:.0%}",
            f"{scores['headers'].used / scores[PLAIN].used:.2f}",
        ]
        for case, scores in quotas.items()
    ]
    print("Used share of the quota, and 429s per finished call:\n")
    table(head, rows)
    if slots:
        ways = (*SEEKING, PLAIN)
        print("\nShare of the best throughput in the second minute:\n")
        table(
            ["slots", *ways],
            [[str(n), *(f"{shares[way]:.1%}" for way in ways)] for n, shares in slots.items()],
        )


if __name__ == "__main__":
    main()
