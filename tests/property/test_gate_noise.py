"""Refusals that have nothing to do with our rate cost what they refuse, and little more."""

from __future__ import annotations

import pytest
from tests.support.noisy import Noise, Outcome, bare_loop, gated, pooled, steady, waves

from pairmill.errors import Kind
from pairmill.llm.classify import classify
from pairmill.llm.limits.concurrency import GradientLimit
from pairmill.llm.limits.gate import Limits
from pairmill.simulator.settings import SimulatedQuota

WIDTH, END_S = 64, 40
FULL_PER_S = 62.0  # calls of about a second, without noise


@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize("retry_after_s", [None, 30.0])
def test_calls_refused_by_chance_wait_alone(share: float, retry_after_s: float | None) -> None:
    noise = Noise(share=steady(share), retry_after_s=retry_after_s)
    seen = gated(noise, until_s=END_S, workers=600, width=WIDTH, seconds=1.0)
    assert seen.refused_share(10, END_S) > share / 2
    assert seen.per_s(10, END_S) >= 0.9 * (1 - share) * FULL_PER_S


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.RATE, Kind.OVERLOAD])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_sick_replica_of_three_is_borne(kind: Kind, seed: int) -> None:
    noise = Noise(kind=kind, sick=1)
    seen = gated(noise, until_s=60, workers=900, width=WIDTH, seed=seed, seconds=1.0)
    assert seen.per_s(30, 60) >= 0.8 * (1 - 1 / 3) * FULL_PER_S


@pytest.mark.parametrize(("share", "least"), [(0.01, 0.95), (0.05, 0.95), (0.2, 0.8)])
def test_a_quota_that_was_given_is_used_in_spite_of_noise(share: float, least: float) -> None:
    """What is refused by chance is counted too: no more than ``1 - share`` can be answered."""
    used = 0.0
    for seed in range(1, 5):
        seen = gated(
            Noise(share=steady(share), retry_after_s=1.0 if seed % 2 else None), until_s=420,
            workers=100, seconds=4.0, seed=seed, limits=Limits(requests_per_min=300),
            quota=SimulatedQuota(rpm=300.0, tpm=1e8, burst_s=1.0),
        )  # fmt: skip
        assert not seen.over
        used += seen.per_s(120, 420) / (4 * 5.0 * (1 - share))
    assert used >= least


@pytest.mark.parametrize("flavour", ["refill", "sliding"])
def test_noise_makes_nobody_count_max_tokens(flavour: str) -> None:
    """20 s an answer: to count what it does not use while it is under way costs a seventh."""
    quota = SimulatedQuota(rpm=6_000.0, tpm=270_000.0, flavour=flavour, charge="actual")  # type: ignore[arg-type]
    used = 0.0
    for seed in range(1, 5):
        seen = gated(
            Noise(share=steady(0.05), retry_after_s=1.0 if seed % 2 else None), until_s=900,
            workers=400, seconds=20.0, seed=seed, limits=Limits(tokens_per_min=270_000),
            quota=quota,
        )  # fmt: skip
        assert seen.over_share(0, 900) <= 0.01
        used += seen.per_s(400, 900) / (4 * 5.0)
    assert used >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize(
    ("quota", "least"),
    [
        (SimulatedQuota(rpm=300.0, tpm=1e8, burst_s=1.0), 0.90),
        (SimulatedQuota(rpm=300.0, tpm=1e8, burst_s=60.0), 0.95),
        (SimulatedQuota(rpm=300.0, tpm=1e8, flavour="second"), 0.85),
        (SimulatedQuota(rpm=300.0, tpm=1e8, flavour="fixed"), 0.90),
        (SimulatedQuota(rpm=300.0, tpm=1e8, flavour="sliding"), 0.90),
    ],
    ids=["bucket1", "bucket60", "second", "fixed", "sliding"],
)
def test_a_quota_that_nobody_named_is_found_in_spite_of_noise(
    quota: SimulatedQuota, least: float, share: float
) -> None:
    used, refused = 0.0, 0.0
    for seed in range(1, 9):
        noise = Noise(share=steady(share), retry_after_s=1.0 if seed % 2 else None)
        seen = gated(noise, until_s=420, workers=100, seed=seed, seconds=4.0, quota=quota)
        used += seen.per_s(120, 420) / (8 * 5.0 * (1 - share))
        refused += seen.refused_share(120, 420) / 8
    assert used >= least
    assert share / 2 <= refused <= share + 0.01 + 0.004  # of 12,000 calls, by chance


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05])
@pytest.mark.parametrize(
    ("quota", "least"),
    [
        (SimulatedQuota(rpm=60.0, tpm=1e8, burst_s=1.0), 0.7),  # of a single call, at this rate
        (SimulatedQuota(rpm=60.0, tpm=1e8, burst_s=60.0), 0.92),
        (SimulatedQuota(rpm=60.0, tpm=1e8, flavour="second"), 0.78),
        (SimulatedQuota(rpm=60.0, tpm=1e8, flavour="fixed"), 0.88),
        (SimulatedQuota(rpm=60.0, tpm=1e8, flavour="sliding"), 0.85),
    ],
    ids=["bucket1", "bucket60", "second", "fixed", "sliding"],
)
def test_a_slow_pool_with_late_answers_is_used(
    quota: SimulatedQuota, least: float, share: float
) -> None:
    """One call a second, ten seconds each: few calls to measure by, and all in flight."""
    seen = [
        gated(
            Noise(share=steady(share), retry_after_s=1.0 if seed % 2 else None), until_s=600,
            workers=50, seed=seed, seconds=10.0, quota=quota, says_wait=seed % 4 in {0, 1},
        )
        for seed in range(1, 9)
    ]  # fmt: skip
    used = [outcome.per_s(120, 600) / (1 - share) for outcome in seen]
    assert sum(used) / 8 >= least
    assert min(used) >= 0.45  # one course of eight, with few calls to learn from
    assert sum(outcome.refused_share(120, 600) for outcome in seen) / 8 <= share + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_noise_while_the_rate_still_rises_is_taken_for_no_quota(seed: int) -> None:
    noise = Noise(share=steady(0.01), retry_after_s=1.0)
    seen = gated(noise, until_s=20, workers=120, width=WIDTH, seed=seed, seconds=0.3)
    assert seen.per_s(10, 20) >= 0.9 * WIDTH / 0.32


@pytest.mark.parametrize(
    ("kind", "retry_after_s"), [(Kind.RATE, None), (Kind.RATE, 1.0), (Kind.OVERLOAD, None)]
)
def test_ten_seconds_after_a_wave_nothing_is_left_of_it(
    kind: Kind, retry_after_s: float | None
) -> None:
    noise = Noise(lambda now: float(10 <= now < 12), kind, retry_after_s)
    seen = gated(noise, until_s=26, workers=120, width=WIDTH, seconds=1.0)
    assert seen.per_s(11, 13) < 0.3 * FULL_PER_S  # else there was no wave
    assert seen.per_s(22, 26) >= 0.9 * FULL_PER_S


def noisy_for(
    on_s: int, share: float, retry_after_s: float | None, seeds: range, kind: Kind = Kind.RATE
) -> list[Outcome]:
    """Courses with so much noise from the tenth second on, until 15 s after it has ended."""
    end_s = 10 + on_s
    noise = Noise(lambda now: share * float(10 <= now < end_s), kind, retry_after_s)
    workers = 200 if (retry_after_s or 0.0) <= 1.0 else 2_000  # who was refused waits that long
    return [
        gated(noise, until_s=end_s + 15, workers=workers, width=WIDTH, seconds=1.0, seed=seed)
        for seed in seeds
    ]


def is_back(found: list[Outcome], end_s: int, late: int = 0) -> bool:
    """Whether 10 s after the noise pools send as fast as before, but for so many ``late`` ones."""
    after = sorted(seen.per_s(end_s + 10, end_s + 15) / FULL_PER_S for seen in found)[late:]
    return sum(after) / len(after) >= 0.9 and after[0] >= 0.7


every_wait = pytest.mark.parametrize("retry_after_s", [None, 0.0, 1.0, 30.0])


@every_wait
@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("on_s", [10, 40])
def test_ten_seconds_after_strong_noise_nothing_is_left_of_it(
    on_s: int, share: float, retry_after_s: float | None
) -> None:
    """However long it lasted, and whatever it asked for."""
    assert is_back(noisy_for(on_s, share, retry_after_s, range(1, 5)), 10 + on_s)


@pytest.mark.slow
@every_wait
@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("on_s", [10, 40])
def test_ten_seconds_after_noise_of_any_kind_nothing_is_left_of_it(
    on_s: int, share: float, status: int, retry_after_s: float | None
) -> None:
    """Where a lower rate is tried just as the noise ends, it seems to have helped: one of eight."""
    kind = classify(status, {}, b"", now=0.0).kind
    found = noisy_for(on_s, share, retry_after_s, range(101, 109), kind)
    assert is_back(found, 10 + on_s, late=1)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_pace_that_noise_has_pulled_down_is_tested_as_soon_as_it_ends(share: float) -> None:
    """Some pools are held far below what the server takes as the noise ends, and come back."""
    found = noisy_for(40, share, 1.0, range(1, 9))
    paces = [[pace for at, pace, _ in seen.paces if 49 <= at < 51] for seen in found]
    is_down = [any(pace is not None and pace < 0.7 * FULL_PER_S for pace in held) for held in paces]
    assert any(is_down)
    held_down = [seen for seen, is_one in zip(found, is_down, strict=True) if is_one]
    assert is_back(held_down, 50)


def test_long_calls_are_all_under_way_before_the_first_has_ended() -> None:
    """Answers of 5 s: what was not refused within a second was taken."""
    seen = gated(Noise(), until_s=16, workers=900, seconds=5.0)
    assert seen.per_s(10, 15) >= 0.9 * 900 / 5.15


def test_a_quota_of_one_call_in_two_seconds_with_minutes_of_answers_is_used() -> None:
    quota = SimulatedQuota(rpm=30.0, tpm=1e8, flavour="second")
    seen = [
        gated(Noise(), until_s=900, workers=100, seed=seed, seconds=60.0, quota=quota)
        for seed in (1, 2, 3)
    ]
    assert sum(outcome.per_s(240, 900) for outcome in seen) / 3 >= 0.85 * 0.5
    assert min(outcome.per_s(240, 900) for outcome in seen) >= 0.75 * 0.5


def test_a_server_without_limits_is_used_within_three_seconds() -> None:
    for width in (None, GradientLimit(ceiling=128)):
        seen = gated(Noise(), until_s=5, workers=160, width=width)
        best = (128 if width else 160) / 0.32
        assert seen.per_s(2, 3) >= 0.9 * best


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Kind.RATE, Kind.OVERLOAD])
@pytest.mark.parametrize(
    ("on_s", "off_s", "retry_after_s", "least"),
    [
        (2.0, 8.0, None, 0.9),
        (2.0, 8.0, 1.0, 0.9),
        (0.5, 2.5, None, 0.9),
        (0.5, 2.5, 1.0, 0.65),  # of each 2.5 s, half a second more is spent as the server asks
        (5.0, 25.0, None, 0.9),
        (5.0, 25.0, 1.0, 0.9),
    ],
)
def test_what_lies_between_waves_is_used(
    on_s: float, off_s: float, retry_after_s: float | None, least: float, kind: Kind
) -> None:
    noise = Noise(waves(1.0, on_s, off_s), kind, retry_after_s)
    seen = [
        gated(noise, until_s=160, workers=140, width=WIDTH, seed=seed, seconds=1.0)
        for seed in (1, 2, 3)
    ]
    between = FULL_PER_S * off_s / (on_s + off_s)
    used = [outcome.per_s(100, 160) / between for outcome in seen]
    assert sum(used) / 3 >= least
    assert min(used) >= least - 0.05
    assert max(outcome.refused_share(60, 160) for outcome in seen) <= 0.08  # a bare loop: 0.28


@pytest.mark.parametrize(("on_s", "off_s", "retry_after_s"), [(2.0, 8.0, 1.0), (0.5, 2.5, None)])
def test_waves_are_told_from_a_quota(on_s: float, off_s: float, retry_after_s: float) -> None:
    noise = Noise(waves(1.0, on_s, off_s), Kind.RATE, retry_after_s)
    seen = gated(noise, until_s=50, workers=140, width=WIDTH, seconds=1.0)
    assert seen.refused_share(20, 50) > 0
    assert seen.per_s(20, 50) >= 0.85 * off_s / (on_s + off_s) * FULL_PER_S


@pytest.mark.parametrize(("status", "share"), [(498, 0.05), (529, 0.2)])
def test_three_thousand_calls_at_512_in_flight_take_no_longer_than_in_a_bare_loop(
    status: int, share: float
) -> None:
    kind = classify(status, {}, b"", now=0.0).kind
    noise = Noise(steady(share), kind)
    ours = gated(noise, width=512, until_s=9, workers=700, seconds=1.0)
    bare = bare_loop(noise, in_flight=512, until_s=9, workers=700, seconds=1.0)
    assert ours.refused_share(0, 9) > share / 2
    assert ours.seconds_for(3_000) <= bare.seconds_for(3_000) + 1


@pytest.mark.parametrize(
    ("kind", "retry_after_s"), [(Kind.RATE, None), (Kind.RATE, 30.0), (Kind.OVERLOAD, None)]
)
def test_one_sick_pool_of_three_takes_nothing_from_the_others(
    kind: Kind, retry_after_s: float | None
) -> None:
    sick = Noise(steady(1.0), kind, retry_after_s)
    found = pooled([sick, Noise(), Noise()], until_s=30, workers=140, width=32)
    assert not found[0].done
    assert 0 < sum(found[0].refused.values()) < 100
    for well in found[1:]:
        assert well.per_s(5, 30) >= 0.95 * 31


@pytest.mark.parametrize("kind", [Kind.RATE, Kind.OVERLOAD])
def test_waves_in_every_second_pool_cost_what_lies_in_them(kind: Kind) -> None:
    wave = Noise(waves(1.0, 2.0, 8.0), kind)
    found = pooled([wave, Noise()] * 2, until_s=40, workers=260, width=32)
    for waved, well in zip(found[::2], found[1::2], strict=True):
        assert sum(waved.refused.values()) > 5
        assert waved.per_s(10, 40) >= 0.8 * 0.8 * 31
        assert well.per_s(10, 40) >= 0.95 * 31
