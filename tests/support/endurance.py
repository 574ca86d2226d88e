"""A run that is disturbed again and again, and what must be true of its folder all the while."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cli import rejects, rows
from tests.support.corpus import write_corpus
from tests.support.forge import ANY, Strike

from pairmill.simulator import Latency, ScheduledStep, SimulatorProcess, SimulatorSettings
from pairmill.store.folder import RunFolder
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

    from tests.support.forge import Child, Forge

__all__ = [
    "CONCURRENCY",
    "Course",
    "Toll",
    "fast_folder",
    "kill_at_operations",
    "kill_at_random",
    "lay_course",
    "ledger_answers",
]

CONCURRENCY = 6
LATENCY_S = 0.08
CALM_S = 5.0
CALLS_S = 30.0
_AT_START_UP = 0.25  # of the kills
_MOST_CALLS = 25  # of one start before it is killed

# Every so many articles one meets a fault whenever its question is asked: what a killed run asks
# again must meet the same. One is mended for free, one costs a second answer, one is given up.
FAULTS = {3: "fences", 7: "one_broken", 11: "refusal", 13: "two_of_three"}


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A folder in memory where there is one: a killed process loses nothing that it wrote."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name)


@dataclass(frozen=True)
class Course:
    """A corpus, settings, an endpoint, and what an undisturbed run makes of them.

    Attributes:
        told: What every row says, but for when it was made.
        dropped: Likewise, of the rejects.
    """

    corpus: Path
    config: Path
    endpoint: SimulatorProcess
    told: dict[str, dict[str, Any]]
    dropped: dict[str, dict[str, Any]]

    def start(self, forge: Forge, out: Path, strike: Strike | None = None) -> Child:
        """Start the run, or go on with it."""
        command = ("run", self.corpus, "-o", out, "--config", self.config)
        return forge.start(*command, url=self.endpoint.url, strike=strike)

    def finish(self, forge: Forge, out: Path) -> None:
        """Go on undisturbed to the end; then everything is there, once, and whole."""
        child = self.start(forge, out)
        code = child.wait()
        assert code == 0, child.stderr
        self.check(out)
        assert {_name(row) for row in rows(out)} == set(self.told)
        assert {_name(row) for row in rejects(out)} == set(self.dropped)
        check_manifest(out)

    def check(self, out: Path) -> None:
        """Whatever is published is whole, single, and what an undisturbed run would say."""
        for found, expected in ((rows(out), self.told), (rejects(out), self.dropped)):
            assert len({_name(row) for row in found}) == len(found), "something stands there twice"
            for row in found:
                assert _timeless(row) == expected[_name(row)]

    def wasted(self, out: Path) -> int:
        """Answers that were billed so far, and that the ledger does not have."""
        self.wait_for_calm()
        return int(self.endpoint.report()["billed"]) - ledger_answers(out)

    def wait_for_calls(self, count: int, child: Child) -> None:
        """Return when the endpoint was asked so often, or its client has ended."""
        until = time.monotonic() + CALLS_S
        while int(self.endpoint.report()["calls"]) < count and _lives(child):
            assert time.monotonic() < until, "the endpoint is not asked"
            time.sleep(0.005)

    def wait_for_calm(self) -> None:
        """Return when the endpoint has nothing left in flight."""
        until = time.monotonic() + CALM_S
        while self.endpoint.report()["in_flight"]:
            assert time.monotonic() < until, "the endpoint is still busy with a dead client"
            time.sleep(0.005)


@dataclass
class Toll:
    """What disturbing runs came to: for the assertion at hand, and for the table of a long one."""

    kills: int = 0
    at_work: int = 0
    finished: int = 0
    wasted: int = 0
    most_wasted: int = 0


def kill_at_random(
    course: Course, forge: Forge, folder: Path, rounds: int, moments: random.Random
) -> Toll:
    """Kill so many runs at random moments; each run goes on where the one before was killed.

    One of four at a moment of its start-up, the others at work: behind a random number of calls.
    """
    toll = Toll()
    while toll.kills < rounds:
        course.endpoint.reset()
        out = folder / f"random-{toll.finished}"
        wasted = 0
        while toll.kills < rounds:
            asked = int(course.endpoint.report()["calls"])
            child = course.start(forge, out)
            if moments.random() < _AT_START_UP:
                time.sleep(moments.uniform(0.0, 0.5))
            else:
                course.wait_for_calls(asked + moments.randint(1, _MOST_CALLS), child)
                time.sleep(moments.uniform(0.0, LATENCY_S))
            child.kill()
            if child.wait() != -signal.SIGKILL:
                break  # it came to its end before
            toll.kills += 1
            toll.at_work += int(course.endpoint.report()["calls"]) > asked
            course.check(out)
            before, wasted = wasted, course.wasted(out)
            toll.most_wasted = max(toll.most_wasted, wasted - before)
            # In flight, or answered within the time of one commit: on a busy machine two calls.
            assert wasted - before <= 3 * CONCURRENCY
        course.finish(forge, out)
        assert course.endpoint.report()["bought_again"] == wasted
        toll.finished += 1
        toll.wasted += wasted
    return toll


def kill_at_operations(
    course: Course, forge: Forge, out: Path, steps: Iterable[int], *, at: str = ANY
) -> Toll:
    """Kill one run after the other at an operation on its files, all in one folder."""
    toll = Toll()
    for step in steps:
        child = course.start(forge, out, Strike(step, at))
        code = child.wait()
        course.check(out)
        if code == 0:
            break
        assert code == -signal.SIGKILL, child.stderr
        toll.kills += 1
    course.finish(forge, out)
    toll.finished += 1
    return toll


@contextmanager
def lay_course(
    forge: Forge, folder: Path, *, articles: int, latency_s: float = LATENCY_S, **settings: Any
) -> Iterator[Course]:
    """Write a corpus and settings, start an endpoint, and see what an undisturbed run comes to."""
    corpus = write_corpus(folder / "articles", articles, 10)
    config = folder / "settings.yaml"
    given = {
        "limits": {"concurrency": CONCURRENCY},
        "storage": {"shard_bytes": 4096, "commit_interval_s": 0.02},
        # No trial call, so that every call is a unit's.
        "model": {"structured_output": "json_schema"},
        **settings,
    }
    config.write_text(json.dumps(given), "utf-8")
    script = tuple(
        ScheduledStep(fault=fault, match=f"# Report {number}\n", times=None)
        for first, fault in FAULTS.items()
        for number in range(first, articles, 17)
    )
    latency = Latency("lognormal", latency_s, sigma=0.4)
    endpoint = SimulatorSettings(latency=latency, script=script)
    with SimulatorProcess(endpoint) as simulator:
        out = folder / "undisturbed"
        forge.run("run", corpus, "-o", out, "--config", config, url=simulator.url)
        assert simulator.report()["bought_again"] == 0
        told = {_name(row): _timeless(row) for row in rows(out)}
        dropped = {_name(row): _timeless(row) for row in rejects(out)}
        assert len(told) == len(rows(out))
        assert len(dropped) == len(rejects(out))
        simulator.reset()
        yield Course(corpus, config, simulator, told, dropped)


def _lives(child: Child) -> bool:
    """Whether it runs; a parent that has not looked yet keeps the dead as zombies."""
    try:
        state = Path(f"/proc/{child.pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def ledger_answers(out: Path) -> int:
    """How many answers the ledger of a folder has; 0 where there is none yet."""
    ledger = RunFolder(out).ledger
    if not ledger.exists() or not ledger.stat().st_size:
        return 0
    with SqliteLookup(ledger) as lookup:
        return lookup.totals().calls


def check_manifest(out: Path) -> None:
    """The manifest names every published shard, with its true checksum."""
    manifest = json.loads((out / "manifest.json").read_bytes())
    named = {shard["name"]: shard["sha256"] for shard in manifest["shards"]}
    there = {
        f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for kind in ("data", "rejected")
        for path in (out / kind).glob("*.jsonl")
    }
    assert named == there
    assert manifest["facts"]["finished"] is True


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "created"}


def _name(row: dict[str, Any]) -> str:
    """A row's id; rejects of one unit share its id, and differ in what was dropped and why."""
    return str(row["id"]) if "answer" in row else f"{row['id']} {row['reason']} {row['raw']}"
