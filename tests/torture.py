"""Disturb run folders for as long as you like: ``make torture SEED=... MINUTES=30``.

Made-up lives in virtual time, real processes that are killed, journals that lose power, and runs
whose server breaks replies and lies about what it bills, with ledgers that are rolled back and
signals that come twice, in turns. It ends with a table of what was survived, or with the seed of
what was not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support.billing import billed_run
from tests.support.endurance import (
    fast_folder,
    kill_at_operations,
    kill_at_random,
    lay_course,
)
from tests.support.forge import Forge
from tests.support.journals import Killed, check_and_finish, commit_all
from tests.support.power import PowerDisk
from tests.support.simulation import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.endurance import Course

LIVES = 200  # between two rounds with real processes
KILLS = 10
DRAWS = 200
BILLED = 3
LOST = "simulated answers lost: in flight, younger than a commit, or refused by the disk"


def main() -> int:
    """Go on until the time is over; the exit code is 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if given.seed is None else given.seed
    until = time.monotonic() + 60 * given.minutes
    counts: Counter[str] = Counter()
    say(f"seed {seed}")
    with fast_folder() as folder:
        if given.minutes <= 0:
            return int(not live(seed, 1, folder, counts))
        with (
            Forge(folder / "logs") as forge,
            lay_course(forge, folder / "long", articles=120) as long,
            lay_course(forge, folder / "short", articles=24, latency_s=0.02) as short,
        ):
            while time.monotonic() < until:
                if not live(seed, LIVES, folder, counts):
                    return 1
                dice = random.Random(seed)
                lose_power(dice, folder, counts)
                kill(dice, forge, long, short, folder, counts)
                if not bill(seed, forge, folder, counts):
                    return 1
                seed += LIVES
                say(f"{max(0, until - time.monotonic()) / 60:.1f} minutes left; {dict(counts)}")
    for what, count in counts.items():
        say(f"| {what} | {count:,} |")
    return 0


def live(first: int, lives: int, folder: Path, counts: Counter[str]) -> bool:
    """Live through some histories; False, and the seed told, where one goes wrong."""
    for seed in range(first, first + lives):
        place = folder / f"life-{seed}"
        place.mkdir()
        try:
            history = simulate(seed, place)
        except BaseException:
            say(f"make torture MINUTES=0 SEED={seed}")
            raise
        shutil.rmtree(place)
        if history.wrong:
            say(f"make torture MINUTES=0 SEED={seed}: {history.wrong}")
            return False
        counts["simulated lives"] += 1
        counts["simulated starts"] += history.starts
        counts["simulated kills"] += history.kills
        counts["simulated power losses"] += history.power_losses
        counts["simulated stops"] += history.stops
        counts["simulated refusals of the disk"] += history.refusals
        counts["simulated calls"] += history.calls
        counts[LOST] += history.wasted
    return True


def lose_power(dice: random.Random, folder: Path, counts: Counter[str]) -> None:
    """Cut the power at random operations of a journal."""
    for _ in range(DRAWS):
        path, crashed = folder / "power", folder / "power-crashed"
        disk = PowerDisk(path, dice.randint(0, 90), crashed, dice)
        acknowledged: set[int] = set()
        with suppress(Killed):
            commit_all(path, disk, acknowledged)
        if disk.crashed is not None:
            check_and_finish(disk.crashed, acknowledged)
            shutil.rmtree(crashed)
            counts["power losses of a journal"] += 1
        shutil.rmtree(path)


def kill(
    dice: random.Random,
    forge: Forge,
    long: Course,
    short: Course,
    folder: Path,
    counts: Counter[str],
) -> None:
    """Kill real processes, at random moments and at operations on their files."""
    place = folder / "kills"
    toll = kill_at_random(long, forge, place, KILLS, dice)
    counts["kill -9 at random moments"] += toll.kills
    counts["of them at work"] += toll.at_work
    counts["answers bought again after them"] += toll.wasted
    counts["most of them after one kill"] = max(
        counts["most of them after one kill"], toll.most_wasted
    )
    steps = sorted(dice.sample(range(120), 8))
    operations = kill_at_operations(short, forge, place / "operations", steps)
    counts["kill -9 at operations on files"] += operations.kills
    counts["runs finished afterwards"] += toll.finished + operations.finished
    shutil.rmtree(place)


def bill(first: int, forge: Forge, folder: Path, counts: Counter[str]) -> bool:
    """Run against a server that bills what it does; False, and the seed told, if one goes wrong."""
    for seed in range(first, first + BILLED):
        place = folder / f"billed-{seed}"
        ordeal = billed_run(seed, forge, place)
        counts["billed runs"] += 1
        counts.update(ordeal.counts)
        if ordeal.wrong:
            say(f"billed run, seed {seed}: {'; '.join(ordeal.wrong)}")
            return False
        shutil.rmtree(place)
    return True


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
