"""What many processes make of one quota and one purse: ``python -m benchmarks.scale``.

In virtual time, with the very code that decides in a run (`pairmill.share`); the calls themselves,
the network and the shared object are made up (`tests/support/sharing.py`).
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.machine import save, table
from tests.support.sharing import Course, Outcome, SharedWorld

RPM = 150_000.0
MINUTES = 4.0
MOST_ON_OBJECT = 64
COST = 250_000_000  # picodollars a call: $0.00025
WORKERS = (1, 8, 64, 512)
PLACES = {"folder": (10.0, 0.02), "object store": (1.0, 0.15)}


def course(workers: int, place: str, kind: str) -> Course:
    """Some minutes of work for the whole quota."""
    writes_per_s, write_s = PLACES[place]
    calls = RPM * MINUTES
    uneven = 9.0 * max(1, workers - 1) if kind == "one has 90 %" else 1.0
    return Course(
        workers,
        rpm=RPM,
        calls=calls,
        uneven=uneven,
        cap=int(calls * COST * (0.5 if kind == "half the money" else 2.0)),
        cost=COST,
        deaths_per_s=1 / 300 if kind == "deaths" else 0.0,
        back_s=20.0,
        writes_per_s=writes_per_s,
        write_s=write_s,
        step_s=0.1 if workers < 10 else 0.25,
        most_s=7200.0,
        seed=workers,
    )


def row(workers: int, place: str, kind: str, given: Course, found: Outcome) -> dict[str, Any]:
    ideal_s = MINUTES * 60.0 * (0.5 if kind == "half the money" else 1.0)
    cap = given.cap or 0
    return {
        "work": kind,
        "object": place,
        "workers": workers,
        "quota used": f"{100 * found.steady:.1f}%",
        "refused": f"{found.refused:.0f}",
        "leased and not used": f"{100 * found.idle_share_s / found.seconds:.1f}%",
        "writes a second": f"{found.writes / found.seconds:.2f}",
        "lost races": f"{100 * found.conflicts / max(1, found.conflicts + found.writes):.0f}%",
        "deaths": found.counts["deaths"],
        "over the cap": f"${max(0, found.spent - cap) / 1e12:.2f}",
        "money used": f"{100 * found.spent / cap:.1f}%",
        "time : ideal": f"{found.seconds / ideal_s:.2f}",
    }


def main() -> None:
    """Run all, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--quick", action="store_true", help="the folder only, without 512")
    given = parser.parse_args()
    rows = []
    for kind in ("even", "one has 90 %", "deaths", "half the money"):
        for place in PLACES:
            for workers in given.workers:
                if given.quick and (place != "folder" or workers > WORKERS[2]):
                    continue
                if workers == 1 and kind == "one has 90 %":
                    continue
                if workers > MOST_ON_OBJECT and place != "folder":
                    continue  # each join is a write, and an object takes one a second
                planned = course(workers, place, kind)
                rows.append(row(workers, place, kind, planned, SharedWorld(planned).run()))
                print(rows[-1], flush=True)
                save("scale", {"rows": rows})
    columns = list(rows[0])
    table(columns, [[str(entry[name]) for name in columns] for entry in rows])


if __name__ == "__main__":
    main()
