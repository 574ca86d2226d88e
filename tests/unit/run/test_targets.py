from __future__ import annotations

import pytest
from tests.support.asks import make_chunk

from pairmill.events import UnitFinished
from pairmill.records import Outcome
from pairmill.run.reader import Work
from pairmill.run.targets import PairTarget


def works(*documents: str) -> list[Work]:
    return [
        Work(f"{number}", make_chunk(str(number), document_id=document), {})
        for number, document in enumerate(documents)
    ]


class Runner:
    """Finishes units one by one, each with its number of pairs."""

    def __init__(self, target: int | None, per_document: int | None, accepted: int = 0) -> None:
        self.spared: list[str] = []
        self.quota = PairTarget(
            target, per_document, most=3, accepted=accepted, spare=self.spared.append
        )
        self.begun: list[Work] = []
        self.most_at_once = 0

    async def run(self, offered: list[Work], give: dict[str, int], at_once: int = 2) -> list[str]:
        """Offer everything; finish the oldest whenever ``at_once`` are under way."""
        open_units: list[Work] = []

        def finish() -> None:
            work = open_units.pop(0)
            pairs = give.get(work.unit, 3)
            event = UnitFinished(Outcome.WRITTEN, pairs, document=work.chunk.document_id)
            self.quota.listen(event)

        import anyio

        async def finisher() -> None:
            while True:
                await anyio.wait_all_tasks_blocked()
                if open_units:
                    finish()
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(finisher)
            async for work in self.quota.admit(offered):
                self.begun.append(work)
                open_units.append(work)
                self.most_at_once = max(self.most_at_once, len(open_units))
                while len(open_units) >= at_once:
                    finish()
            async for work in self.quota.rest():
                self.begun.append(work)
                open_units.append(work)
            while open_units:
                finish()
            tasks.cancel_scope.cancel()
        return [work.unit for work in self.begun]


async def test_no_more_chunks_are_begun_than_the_target_needs() -> None:
    runner = Runner(10, None)
    assert await runner.run(works(*"aaaaaaaaaa"), {}) == ["0", "1", "2", "3"]
    assert runner.quota.is_full
    assert runner.spared == ["4", "5", "6", "7", "8", "9"]


async def test_chunks_that_give_less_are_made_up_for() -> None:
    runner = Runner(6, None)
    given = {"0": 0, "1": 1, "2": 0, "3": 2}
    assert await runner.run(works(*"aaaaaaaa"), given) == ["0", "1", "2", "3", "4"]


async def test_a_target_that_is_reached_already_needs_nothing() -> None:
    runner = Runner(6, None, accepted=6)
    assert runner.quota.is_full
    assert await runner.run(works(*"aa"), {}) == []


async def test_each_document_gives_its_share_and_others_are_not_held_up() -> None:
    runner = Runner(None, 3)
    begun = await runner.run(works(*"aaabbbccc"), {"0": 0, "1": 3}, at_once=9)
    assert sorted(begun) == ["0", "1", "3", "6"]
    assert begun[:3] == ["0", "3", "6"]  # the second of a had to wait for the first
    assert sorted(runner.spared) == ["2", "4", "5", "7", "8"]


async def test_a_document_that_never_gives_enough_is_asked_to_its_end() -> None:
    runner = Runner(None, 5)
    assert sorted(await runner.run(works(*"aaaa"), dict.fromkeys("0123", 1))) == [*"0123"]
    assert runner.spared == []


async def test_what_a_document_gave_before_counts() -> None:
    runner = Runner(None, 4)
    runner.quota.note([("a", 2), ("a", 2), ("b", 1)])
    assert await runner.run(works(*"aabb"), {}) == ["2"]


@pytest.mark.parametrize("target", [1, 5, 7])
async def test_both_targets_hold_together(target: int) -> None:
    runner = Runner(target, 3)
    begun = await runner.run(works(*"aabbccdd"), {}, at_once=1)
    assert len(begun) == -(-target // 3)
    assert len({work.chunk.document_id for work in runner.begun}) == len(begun)
