from __future__ import annotations

import gc

import anyio
import anyio.lowlevel

from pairmill.run.tuning import calm_collector, loop_options


def test_the_collector_is_as_it_was_afterwards() -> None:
    before, held = gc.get_threshold(), gc.get_freeze_count()
    with calm_collector():
        assert gc.get_freeze_count() > held
        assert gc.get_threshold()[0] > before[0]
        assert gc.isenabled()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == held


def test_what_somebody_else_holds_back_from_the_collector_stays_so() -> None:
    gc.freeze()
    try:
        with calm_collector():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_the_event_loop_is_one_that_anyio_can_run() -> None:
    async def add() -> int:
        await anyio.lowlevel.checkpoint()
        return 3

    assert anyio.run(add, backend_options=loop_options()) == 3
