from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from tests.support.corpus import article

from pairmill.errors import EXIT_FAILED
from pairmill.events import UnitFinished
from pairmill.quality.canary import CanaryInput, ChunkComparer
from pairmill.quality.grounding import prepare_chunk, prepare_pair
from pairmill.records import Outcome
from pairmill.run.recipe_context import ON_TRIAL, CanaryGuard, Repeats
from pairmill.run.run_memory import RunMemory
from pairmill.run.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[RunMemory]:
    with RunMemory(tmp_path / "memory.db") as memory:
        yield memory


def canary_input(comparer: ChunkComparer, number: int, *, blind: bool) -> CanaryInput:
    text = article(number)
    said = (
        "The lighthouse keeper trimmed the wick and sounded his horn for ships." if blind else text
    )
    return comparer.look(prepare_chunk(text), [prepare_pair(f"What of {number}?", said)])


def test_a_run_whose_answers_ignore_their_chunks_is_stopped_and_told_why(memory: RunMemory) -> None:
    stop = Stop()
    comparer = ChunkComparer()
    watch = CanaryGuard(stop, memory)
    for number in range(50):
        assert not stop.is_requested
        watch.see(canary_input(comparer, number, blind=True))
    assert stop.is_requested
    assert stop.exit_code == EXIT_FAILED
    assert "is the text in the prompt?" in stop.reason


def test_a_run_that_reads_its_chunks_goes_on(memory: RunMemory) -> None:
    stop = Stop()
    comparer = ChunkComparer()
    watch = CanaryGuard(stop, memory)
    for number in range(60):
        watch.see(canary_input(comparer, number, blind=False))
    assert not stop.is_requested


@pytest.mark.parametrize(("blind", "said"), [(True, "is the text in the prompt?"), (False, "")])
def test_a_short_run_gets_a_verdict_at_its_end_and_is_not_stopped(
    memory: RunMemory, blind: bool, said: str
) -> None:
    stop = Stop()
    comparer = ChunkComparer()
    watch = CanaryGuard(stop, memory)
    assert watch.conclude() == ""
    for number in range(12):
        watch.see(canary_input(comparer, number, blind=blind))
    assert watch.conclude().endswith(said)
    assert bool(watch.conclude()) == blind
    assert not stop.is_requested


async def test_no_more_chunks_are_handed_out_than_the_trial_allows(memory: RunMemory) -> None:
    comparer = ChunkComparer()
    watch = CanaryGuard(Stop(), memory)
    handed = 0

    async def feed() -> None:
        nonlocal handed
        while True:
            await watch.hand_out()
            handed += 1
            if handed >= 1000:
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed)
        await anyio.wait_all_tasks_blocked()
        assert handed == ON_TRIAL
        for number in range(49):
            watch.see(canary_input(comparer, number, blind=False))
            watch.listen(UnitFinished(Outcome.WRITTEN))
        await anyio.wait_all_tasks_blocked()
        assert handed == ON_TRIAL
        watch.see(canary_input(comparer, 49, blind=False))
        await anyio.wait_all_tasks_blocked()
        assert handed == 1000


async def test_chunks_without_pairs_do_not_hold_up_the_run(memory: RunMemory) -> None:
    watch = CanaryGuard(Stop(), memory)
    with anyio.fail_after(5):
        for _ in range(1000):
            await watch.hand_out()
            watch.listen(UnitFinished(Outcome.WRITTEN))


async def test_without_checks_nobody_is_on_trial(memory: RunMemory) -> None:
    watch = CanaryGuard(Stop(), memory, on_trial=False)
    with anyio.fail_after(5):
        for _ in range(3 * ON_TRIAL):
            await watch.hand_out()


def test_what_is_kept_outlives_the_process_and_is_kept_once(tmp_path: Path) -> None:
    with RunMemory(tmp_path / "memory.db") as memory:
        assert memory.get("style") is None
        memory.set("style", "calm")
        memory.set("style", "wild")
    with RunMemory(tmp_path / "memory.db") as memory:
        assert memory.get("style") == "calm"


def test_an_instruction_may_come_as_often_as_the_cap_says() -> None:
    repeats = Repeats(2)
    assert [repeats.admit(text) for text in ("Why?", "why", "WHY!", "How?")] == [
        True,
        True,
        False,
        True,
    ]
    assert all(Repeats(None).admit("Why?") for _ in range(5))


def test_the_counts_stay_bounded_and_forget_the_longest_unseen() -> None:
    repeats = Repeats(1, counted=10)
    for number in range(1000):
        assert repeats.admit(f"What is {number}?")
    assert not repeats.admit("What is 999?")
    assert repeats.admit("What is 1?")
