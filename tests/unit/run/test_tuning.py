from __future__ import annotations

import gc
import platform
import re
import subprocess
import sys

import anyio
import anyio.lowlevel
import pytest

from pairmill.run.tuning import calm_collector, fitting_concurrency, loop_options, raise_limit


def test_the_collector_is_as_it_was_afterwards() -> None:
    gc.unfreeze()  # what a test before this one left held back
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc says of itself")
def test_threads_share_one_heap() -> None:
    """``malloc_stats`` names each heap that was ever used."""
    script = """
import ctypes, sys, threading
from pairmill.run.tuning import keep_heap_compact
if sys.argv[1] == "shared":
    keep_heap_compact()
held = []
threads = [threading.Thread(target=lambda: held.append(bytearray(50_000))) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""

    def heaps(how: str) -> int:
        command = [sys.executable, "-c", script, how]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        return len(re.findall(r"^Arena \d+:", told, re.MULTILINE))

    assert heaps("shared") == 1
    assert heaps("as it is") > 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc says of itself")
def test_big_blocks_stay_out_of_the_heap_whatever_was_freed_before() -> None:
    script = """
import ctypes, sys
from pairmill.run.tuning import keep_heap_compact
if sys.argv[1] == "compact":
    keep_heap_compact()
del (first := [bytearray(4 << 20)])[:]  # glibc raises its threshold to what was freed
held = [bytearray(1 << 20) for _ in range(50)]
ctypes.CDLL(None).malloc_stats()
"""

    def mapped(how: str) -> int:
        command = [sys.executable, "-c", script, how]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        found = re.search(r"max mmap regions =\s+(\d+)", told)
        assert found
        return int(found.group(1))

    assert mapped("compact") >= 50
    assert mapped("as it is") < 50


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what glibc keeps")
def test_what_is_free_within_the_heap_is_given_back() -> None:
    """Of 30 MB in small blocks all but every hundredth is freed."""
    script = """
import ctypes, os
from pairmill.run.tuning import keep_heap_compact, release_heap

def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

keep_heap_compact()
held = [bytes(6_000) for _ in range(5_000)]
held = held[::100]
before = resident()
release_heap()
print((before - resident()) >> 20)
"""
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(told) >= 20


def test_calls_leave_room_for_files() -> None:
    assert fitting_concurrency(256, 1024) == 256
    assert fitting_concurrency(4096, 1024) < 1024
    assert fitting_concurrency(8, 10) == 1


def test_the_limit_is_never_lowered() -> None:
    first = raise_limit()
    assert raise_limit() == first >= 256
