"""How soon the viewer's page is there, and how long a filter takes, beside a pass over the rows.

python -m benchmarks.view [ROWS]           100,000 where none is given

The pass over the rows is what an answer costs without an index: every line parsed, every test made.
Paints are those of headless Chromium, told by the page itself; without it they are left out.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from benchmarks.machine import describe, median, save, table
from tests.support.browser import CHROMIUM, open_page
from tests.support.viewing import View, viewing

from pairmill.store.columns import ROW_FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable

SHARD_ROWS = 20_000
REPEATS = 5
FILTERS: tuple[tuple[str, dict[str, str], Callable[[dict[str, Any]], bool]], ...] = (
    ("all", {}, lambda _row: True),
    ("a flag", {"finding": "near_copy"}, lambda row: "near_copy" in row["flags"]),
    ("a type", {"kind": "why"}, lambda row: row["kind"] == "why"),
    ("a rare word", {"search": "weir17"}, lambda row: " weir17" in _text(row)),
    ("a word in a quarter of the rows", {"search": "loom"}, lambda row: "loom" in _text(row)),
    (
        "that word, a type, the longest first",
        {"search": "loom", "kind": "why", "sort": "long"},
        lambda row: row["kind"] == "why" and "loom" in _text(row),
    ),
)


def _text(row: dict[str, Any]) -> str:
    return f" {row['instruction']} {row['answer']} ".lower()


def write(folder: Path, rows: int) -> None:
    """A run folder of rows of about 1.4 kB."""
    chance = random.Random(7)
    words = [f"{stem}{at}" for stem in ("weir", "mill", "gear", "yarn") for at in range(800)]
    blank: dict[str, Any] = dict.fromkeys(ROW_FEATURES)
    (folder / "data").mkdir(parents=True)
    for start in range(0, rows, SHARD_ROWS):
        with (folder / "data" / f"train-{start // SHARD_ROWS:05d}.jsonl").open("wb") as file:
            for number in range(start, min(start + SHARD_ROWS, rows)):
                said = chance.choices(words, k=chance.randint(40, 160))
                if not number % 4:
                    said[3] = "loom"
                row = blank | {
                    "id": f"{number:032x}",
                    "instruction": " ".join(chance.choices(words, k=14)),
                    "answer": " ".join(said),
                    "document_id": f"d{number // 20}",
                    "chunk_id": f"{number // 4:032x}",
                    "source": f"a.jsonl:{number // 20}",
                    "recipe": "backtranslate",
                    "prompt_version": "1",
                    "model": "m",
                    "kind": chance.choice(("why", "how_to", "explain")),
                    "flags": chance.choice(([], [], ["near_copy"], ["truncated"])),
                    "grounding": chance.random(),
                    "created": "2026-11-22T10:20:30Z",
                }
                file.write(orjson.dumps(row) + b"\n")


def scan(folder: Path, test: Callable[[dict[str, Any]], bool]) -> tuple[float, int]:
    """Milliseconds of one pass over all rows, and how many passed."""
    started = time.perf_counter()
    count = 0
    for shard in sorted((folder / "data").iterdir()):
        with shard.open("rb") as file:
            count += sum(test(orjson.loads(line)) for line in file)
    return 1000 * (time.perf_counter() - started), count


def asked(view: View, given: dict[str, str]) -> float:
    """Milliseconds until the first 25 pairs and their number are there."""
    started = time.perf_counter()
    view.get("/api/pairs", **given)
    return 1000 * (time.perf_counter() - started)


def paints(view: View, profile: Path) -> dict[str, float]:
    """Milliseconds to the first paint, and to the first list of pairs, in a browser."""
    found: dict[str, list[float]] = {"first paint": [], "list of pairs": []}
    with open_page(profile) as page:
        for _ in range(REPEATS):
            page.goto(view.address)
            page.wait("document.querySelectorAll('article').length >= 25")
            paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            page.wait(paint)
            found["first paint"].append(page.run(paint))
            entry = (
                "performance.getEntriesByType('resource').find((r) => r.name.includes('pairs?'))"
            )
            found["list of pairs"].append(page.run(f"{entry}.responseEnd"))
    return {name: median(times) for name, times in found.items()}


def main() -> int:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        write(folder, rows)
        started = time.perf_counter()
        with viewing(folder) as view:
            view.wait(lambda state: state["newest"] >= 25, 120)
            usable = time.perf_counter() - started
            view.wait(lambda state: state["progress"]["is_done"], 600)
            indexed = time.perf_counter() - started
            view.wait(lambda state: state["overview"], 600)  # nothing works beside it any more
            time.sleep(2)
            times = []
            for name, given, test in FILTERS:
                mine = median([asked(view, given) for _ in range(REPEATS)])
                whole, count = scan(folder, test)
                assert view.get("/api/pairs", **given)["total"] == count, name
                times.append((name, count, mine, whole))
            painted = paints(view, Path(place) / "profile") if CHROMIUM else {}
    head = ["filter", "found", "ms", "ms of a pass", "ratio"]
    lines = [[n, f"{c:,}", f"{m:.0f}", f"{w:.0f}", f"{w / m:.0f}"] for n, c, m, w in times]
    about = describe()
    sys.stdout.write(f"{rows:,} rows; load {about['load_1m']}\n")
    sys.stdout.write(f"first pairs after {usable:.1f} s, index after {indexed:.1f} s\n")
    sys.stdout.write("".join(f"{name}: {ms:.0f} ms\n" for name, ms in painted.items()))
    table(head, lines)
    save("view", {"rows": rows, "filters": times, "paints": painted,
                  "usable_s": usable, "indexed_s": indexed})  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
