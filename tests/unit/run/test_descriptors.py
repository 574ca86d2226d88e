from __future__ import annotations

from pairmill.run.descriptors import fitting_concurrency, raise_limit


def test_calls_leave_room_for_files() -> None:
    assert fitting_concurrency(256, 1024) == 256
    assert fitting_concurrency(4096, 1024) < 1024
    assert fitting_concurrency(8, 10) == 1


def test_the_limit_is_never_lowered() -> None:
    first = raise_limit()
    assert raise_limit() == first >= 256
