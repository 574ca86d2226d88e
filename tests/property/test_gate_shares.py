"""How much of a quota the gate uses, and how often it is refused, against servers of many kinds.

Twelve minutes each in virtual time, 400 workers, the first two minutes not counted. 600 requests a
minute at about 4 s a call need some 40 in flight.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.support import virtual_time
from tests.support.quota_servers import QuotaServer, Report, SlotServer, drive

from pairmill.llm.limits.concurrency import GradientLimit
from pairmill.llm.limits.gate import Charge, Gate, Limits

END_S = 720.0
LOOSE, TIGHT = 4e6, 4e5  # tokens a minute: more than needed; about 400 calls
BY_REQUESTS = ("bucket1", "bucket10", "bucket60", "second", "minute", "sliding")
BY_TOKENS = ("bucket10", "bucket60", "minute", "sliding")


def report(
    flavour: str,
    limits: Limits | None,
    *,
    rpm: float = 600,
    tpm: float = LOOSE,
    keeps: bool = False,
    says_limits: bool = False,
    says_wait: bool = True,
) -> Report:
    async def main() -> Report:
        server = QuotaServer(
            flavour,
            rpm=rpm,
            tpm=tpm,
            keeps_max_tokens=keeps,
            says_limits=says_limits,
            says_wait=says_wait,
        )
        gate = Gate(limits, clock=asyncio.get_running_loop().time)
        await drive(gate, server, until_s=END_S, workers=400)
        return server.report(END_S)

    return virtual_time.run(main())


@pytest.mark.parametrize("flavour", BY_REQUESTS)
@pytest.mark.parametrize("rpm", [60, 600])
def test_a_known_limit_of_requests_is_used_and_never_passed(flavour: str, rpm: float) -> None:
    seen = report(flavour, Limits(requests_per_min=rpm, tokens_per_min=LOOSE), rpm=rpm)
    assert seen.used >= 0.98
    assert seen.refused == 0


@pytest.mark.parametrize("flavour", BY_TOKENS)
@pytest.mark.parametrize("keeps", [False, True])
def test_a_known_limit_of_tokens_is_used_and_never_passed(flavour: str, keeps: bool) -> None:
    charge = Charge.RESERVED if keeps else Charge.ACTUAL
    limits = Limits(requests_per_min=600, tokens_per_min=TIGHT, charge=charge)
    seen = report(flavour, limits, tpm=TIGHT, keeps=keeps)
    assert seen.used >= 0.98
    assert seen.refused == 0


@pytest.mark.parametrize("flavour", BY_REQUESTS)
@pytest.mark.parametrize("says_wait", [False, True])
def test_limits_are_learned_from_headers(flavour: str, says_wait: bool) -> None:
    seen = report(flavour, None, says_limits=True, says_wait=says_wait)
    assert seen.used >= 0.95
    assert seen.refused_per_done <= 0.005


@pytest.mark.parametrize("flavour", BY_TOKENS)
def test_token_limits_are_learned_from_headers(flavour: str) -> None:
    seen = report(flavour, None, tpm=TIGHT, says_limits=True)
    assert seen.used >= 0.95
    assert seen.refused_per_done <= 0.005


@pytest.mark.parametrize("flavour", BY_REQUESTS)
@pytest.mark.parametrize("says_wait", [False, True])
def test_unknown_limits_are_found_from_refusals_alone(flavour: str, says_wait: bool) -> None:
    seen = report(flavour, None, says_wait=says_wait)
    assert seen.used >= 0.90
    assert seen.refused_per_done <= 0.03


@pytest.mark.parametrize("flavour", BY_TOKENS)
@pytest.mark.parametrize("keeps", [False, True])
def test_unknown_token_limits_too(flavour: str, keeps: bool) -> None:
    seen = report(flavour, None, tpm=TIGHT, keeps=keeps)
    assert seen.used >= 0.90
    assert seen.refused_per_done <= 0.03


def test_a_wrong_idea_of_what_is_charged_is_survived() -> None:
    """The user gave the limit; the server keeps max_tokens, and we think it gives back."""
    limits = Limits(requests_per_min=600, tokens_per_min=TIGHT)
    seen = report("bucket10", limits, tpm=TIGHT, keeps=True)
    assert seen.used >= 0.90
    assert seen.refused_per_done <= 0.04  # a few of them might have been noise


@pytest.mark.parametrize("slots", [8, 64, 256])
@pytest.mark.parametrize("has_gauge", [False, True])
def test_slots_are_found_within_a_minute(slots: int, has_gauge: bool) -> None:
    async def main() -> tuple[float, int]:
        loop = asyncio.get_running_loop()
        server = SlotServer(slots)
        width = GradientLimit(ceiling=512)
        gate = Gate(clock=loop.time, width=width)

        async def poll() -> None:
            while True:
                await asyncio.sleep(1)
                if has_gauge:
                    gate.observe_gauge(server.running, server.waiting)

        polling = loop.create_task(poll())
        await drive(gate, server, until_s=180, workers=800)
        polling.cancel()
        return server.share(60, 180, 300.0), width.limit

    share, limit = virtual_time.run(main())
    assert share >= 0.97
    assert slots <= limit <= (1.2 * slots + 1 if has_gauge else 2 * slots)
