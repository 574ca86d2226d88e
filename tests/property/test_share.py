"""One quota, one purse: whoever dies, sleeps or is late, neither is ever overdrawn."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.sharing import Course, SharedWorld

from pairmill.share.record import fair_share


@settings(max_examples=40, deadline=None)
@given(
    workers=st.integers(1, 9),
    seed=st.integers(0, 10**6),
    deaths=st.sampled_from([0.0, 0.01, 0.05]),
    sleeps=st.sampled_from([0.0, 0.02]),
    write_s=st.sampled_from([0.01, 0.3, 2.0]),
    cap=st.sampled_from([None, 900_000, 3_000_000]),
    uneven=st.sampled_from([1.0, 30.0]),
    worst=st.sampled_from([1000, 6000]),
)
def test_neither_quota_nor_purse_is_overdrawn(
    workers: int,
    seed: int,
    deaths: float,
    sleeps: float,
    write_s: float,
    cap: int | None,
    uneven: float,
    worst: int,
) -> None:
    course = Course(
        workers,
        calls=2000,
        seed=seed,
        deaths_per_s=deaths,
        sleeps_per_s=sleeps,
        write_s=write_s,
        cap=cap,
        uneven=uneven,
        worst=worst,
        most_s=900,
    )
    found = SharedWorld(course).run()
    assert found.worst_shares <= 1.0 + 1e-9
    assert cap is None or found.spent <= cap
    if cap is None and not deaths and not sleeps:
        assert found.left == 0
    if cap == 900_000 and found.counts["the cap is reached"] == workers:
        # Whoever died came back and went on with what it had leased.
        assert found.spent + found.lost >= cap - (workers + 1) * worst
    if cap == 900_000 and not deaths and not sleeps:
        assert found.counts["the cap is reached"] >= 1


def test_what_must_not_go_wrong_is_met() -> None:
    """Courses such as above: members are taken for gone, and die with money; writes collide."""
    seen: Counter[str] = Counter()
    for seed in range(4):
        course = Course(
            6, calls=2000, seed=seed, deaths_per_s=0.05, sleeps_per_s=0.02, write_s=0.3, most_s=900,
            cap=900_000, worst=2000,
        )  # fmt: skip
        found = SharedWorld(course).run()
        seen.update(found.counts)
        seen["conflicts"] += found.conflicts
    for what in (
        "taken for gone",
        "deaths with money",
        "deaths with calls in flight",
        "sleeps",
        "the cap is reached",
        "conflicts",
    ):
        assert seen[what] > 3, (what, seen)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_fair_shares_are_within_wants_and_use_what_there_is(wants: list[float]) -> None:
    shares = [fair_share(wants, want) for want in wants]
    assert all(share <= want + 1e-12 for share, want in zip(shares, wants, strict=True))
    assert abs(sum(shares) - min(1.0, sum(wants))) < 1e-9
    least_served = min(
        (share for share, want in zip(shares, wants, strict=True) if share < want - 1e-12),
        default=1.0,
    )
    assert all(share <= least_served + 1e-12 for share in shares)
