from __future__ import annotations

import random
from typing import TYPE_CHECKING

import anyio
import pytest

from pairmill.run.claims import Claims
from pairmill.store.claim_store import ClaimStore, held_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pairmill.run.claims import UnitTurn

pytestmark = pytest.mark.anyio

UNITS = [f"{number:032x}" for number in range(40)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClaimStore]:
    with ClaimStore(tmp_path / "claims.db", "r") as opened:
        yield opened


async def decide(store: ClaimStore, facts: dict[str, list[str]], seed: int) -> dict[str, list[str]]:
    """Let units claim their facts, each after a time of its own; what each got."""
    claims, dice, got = Claims(store), random.Random(seed), {}

    async def run(unit: str, turn: UnitTurn, rounds: int) -> None:
        for _ in range(rounds):
            await anyio.lowlevel.checkpoint()
        try:
            if facts[unit]:
                is_first = await turn.claim(facts[unit])
                got[unit] = [fact for fact, own in zip(facts[unit], is_first, strict=True) if own]
        finally:
            turn.leave()

    async with anyio.create_task_group() as group:
        for unit in facts:
            group.start_soon(run, unit, claims.enter(unit), dice.randrange(60))
    return got


async def test_who_is_first_depends_on_the_order_of_reading_alone(tmp_path: Path) -> None:
    dice = random.Random(1)
    facts = {
        unit: [f"fact {dice.randrange(30)}" for _ in range(dice.randrange(5))] for unit in UNITS
    }
    facts = {unit: list(dict.fromkeys(listed)) for unit, listed in facts.items()}
    wanted: dict[str, list[str]] = {}
    seen: set[str] = set()
    for unit, listed in facts.items():
        if listed:
            wanted[unit] = [fact for fact in listed if fact not in seen]
            seen |= set(listed)
    assert sum(map(len, wanted.values())) < sum(map(len, facts.values()))
    for seed in range(8):
        with ClaimStore(tmp_path / f"{seed}.db", "r") as store:
            assert await decide(store, facts, seed) == wanted


async def test_a_resumed_run_decides_as_before_whichever_units_were_finished(
    store: ClaimStore,
) -> None:
    facts = {
        unit: [f"fact {(number * 7 + k) % 20}" for k in range(3)]
        for number, unit in enumerate(UNITS)
    }
    wanted = await decide(store, facts, 0)
    for seed in range(5):
        left = {
            unit: facts[unit] for unit in UNITS if random.Random(f"{seed}{unit}").random() < 0.4
        }
        again = await decide(store, left, seed)
        assert again == {unit: wanted[unit] for unit in left}


async def test_one_that_leaves_without_a_claim_holds_nobody_up(store: ClaimStore) -> None:
    claims = Claims(store)
    slow, quick = claims.enter(UNITS[0]), claims.enter(UNITS[1])
    got: list[bool] = []

    async def claim() -> None:
        got.extend(await quick.claim(["a"]))

    async with anyio.create_task_group() as group:
        group.start_soon(claim)
        await anyio.wait_all_tasks_blocked()
        assert got == []
        slow.leave()
    assert got == [True]
    slow.leave()  # once more does nothing
    assert await claims.enter(UNITS[2]).claim(["a", "b"]) == [False, True]


async def test_one_that_is_cancelled_while_it_waits_gives_way_when_it_leaves(
    store: ClaimStore,
) -> None:
    claims = Claims(store)
    first, second, third = (claims.enter(unit) for unit in UNITS[:3])
    async with anyio.create_task_group() as group:
        group.start_soon(second.claim, ["a"])
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    second.leave()
    first.leave()
    with anyio.fail_after(1):
        assert await third.claim(["a"]) == [True]


async def test_a_second_claim_gives_up_what_the_first_one_got(store: ClaimStore) -> None:
    turn = Claims(store).enter(UNITS[0])
    assert await turn.claim(["a", "b"]) == [True, True]
    assert await turn.claim(["b", "c"]) == [True, True]
    assert store.claim(UNITS[1], ["a", "b", "c"]) == [True, False, False]


async def test_what_a_unit_holds_can_be_read_beside(store: ClaimStore, tmp_path: Path) -> None:
    store.claim(UNITS[0], ["a"])
    assert held_by(tmp_path / "claims.db", "r", UNITS[0], ["a", "b"]) == [True, True]
    assert held_by(tmp_path / "claims.db", "r", UNITS[1], ["a", "b"]) == [False, True]
    assert held_by(tmp_path / "none.db", "r", UNITS[1], ["a"]) == [True]


async def test_who_brings_nothing_waits_for_nobody_and_gives_up_what_it_had(
    store: ClaimStore,
) -> None:
    store.claim(UNITS[1], ["a"])
    claims = Claims(store)
    claims.enter(UNITS[0])
    with anyio.fail_after(1):
        assert await claims.enter(UNITS[1]).claim([]) == []
    assert store.claim(UNITS[2], ["a"]) == [True]


async def test_nobody_waits_once_the_run_is_ending(store: ClaimStore) -> None:
    def end() -> None:
        raise InterruptedError

    claims = Claims(store, end)
    claims.enter(UNITS[0])
    with pytest.raises(InterruptedError):
        await claims.enter(UNITS[1]).claim(["a"])
    assert store.claim(UNITS[2], ["a"]) == [True]


async def test_another_version_of_a_recipe_claims_anew(store: ClaimStore, tmp_path: Path) -> None:
    assert store.claim(UNITS[0], ["a"]) == [True]
    with ClaimStore(tmp_path / "claims.db", "another") as later:
        assert later.claim(UNITS[1], ["a"]) == [True]
    assert store.claim(UNITS[2], ["a"]) == [False]
