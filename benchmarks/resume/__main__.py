"""How long a start takes that finds its units finished, until the first new call.

python -m benchmarks.resume [UNITS]          200,000 where none is given
python -m benchmarks.resume --no-record N    as with a folder that has no record of what was read

The folder is made by reading the input as a run does, and committing outcomes straight into its
journal, under the ids that the run will look for; then one chunk is added at the input's end.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import corpus
from benchmarks.cells import endpoint
from benchmarks.machine import describe, save

from pairmill import __version__
from pairmill.chunking.pass_over import recording
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.reader_process import ReaderProcess
from pairmill.config import Settings, fingerprint, load
from pairmill.recipes.make import make_recipe
from pairmill.records import Outcome, Usage, digest
from pairmill.store.entries import Batch, UnitOutcome
from pairmill.store.folder import open_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = 5000
PROBE = """
import json, os, resource, sys, time
from pairmill.events import Bus, CallAnswered, UnitsKnown
from pairmill import generate
started, idle_s = time.perf_counter(), time.process_time()
found = {}
def listen(event):
    if isinstance(event, CallAnswered):
        found.setdefault("seconds", time.perf_counter() - started)
    if isinstance(event, UnitsKnown):
        found["known"] = found.get("known", 0) + event.count
bus = Bus()
bus.subscribe(listen)
generate(sys.argv[1], output=sys.argv[2], base_url=sys.argv[3], model="m", bus=bus,
         structured_output="json_schema", checks="off")
own, child = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
found["peak_mb"] = round(own.ru_maxrss / 1024, 1)
found["reader_peak_mb"] = round(child.ru_maxrss / 1024, 1)
found["cpu_s"] = round(own.ru_utime + own.ru_stime - idle_s, 2)
found["reader_cpu_s"] = round(child.ru_utime + child.ru_stime, 2)
print(json.dumps(found))
"""


def outcomes(settings: Settings, *, has_record: bool) -> Iterator[UnitOutcome]:
    """A finished unit for each chunk of the input."""
    identity = make_recipe(settings).identity
    job = ReaderJob.of(settings, keeps_memory=True)
    with ReaderProcess(recording(job, __version__) if has_record else job) as batches:
        for batch in batches:
            for chunk, *_ in batch.chunks:
                unit = digest(chunk, identity)
                row = b'{"id":"%s"}\n' % unit.encode()
                yield UnitOutcome(unit, Outcome.WRITTEN, (row,), (), None, 1, Usage(500, 300, 0))


def build(articles: Path, out: Path, url: str, *, has_record: bool) -> None:
    """Make the run folder in which every chunk of ``articles`` is finished."""
    settings = load(
        given={"inputs": (str(articles),), "output": str(out), "model": "m", "base_url": url,
               "structured_output": "json_schema", "checks": "off"}
    )  # fmt: skip
    with open_folder(
        out,
        settings_fingerprint=fingerprint(settings),
        accept_change=False,
        version=__version__,
    ) as folder:
        journal = Journal.open(folder, clock=time.monotonic)
        done = outcomes(settings, has_record=has_record)
        while group := list(itertools.islice(done, COMMIT)):
            journal.commit(Batch((), group))
        journal.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume")
    parser.add_argument("units", type=int, nargs="?", default=200_000)
    parser.add_argument("--no-record", action="store_true")
    given = parser.parse_args()
    count = given.units
    print(describe(), "\n")
    with tempfile.TemporaryDirectory(prefix="pairmill-bench-") as name, endpoint("zero") as it:
        folder = Path(name)
        articles = folder / "articles.jsonl"
        with articles.open("wb") as file:
            corpus.write(file, count)
        started = time.perf_counter()
        build(articles, folder / "run", it.url, has_record=not given.no_record)
        built_s = time.perf_counter() - started
        with articles.open("ab") as file:
            corpus.write(file, 1, seed=2)
        found = measure(articles, folder / "run", it.url)
    found |= {"units": count, "built_s": round(built_s, 1), "load": round(os.getloadavg()[0], 1)}
    found["us_per_unit"] = round(found["seconds"] / count * 1e6, 1)
    print(f"{count:,} finished units skipped, first new answer after {found['seconds']:.1f} s")
    print(found)
    if not given.no_record:
        save("resume", found)


def measure(articles: Path, out: Path, url: str) -> dict[str, Any]:
    child = subprocess.Popen(
        [sys.executable, "-c", PROBE, str(articles), str(out), url],
        stdout=subprocess.PIPE,
        env={**os.environ, "OPENAI_API_KEY": "none"},
    )
    out_text, _ = child.communicate()
    import orjson

    return dict(orjson.loads(out_text))


if __name__ == "__main__":
    main()
