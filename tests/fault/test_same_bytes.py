"""The same pairs give the same exported bytes, however the run went that made them.

Each run is the command line in a process of its own, against an endpoint whose answers come from
the text. The corpus holds what makes an order matter: texts that nearly repeat others, articles in
files and in records, and replies that have to be mended, asked for again, or given up.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.corpus import article
from tests.support.endurance import FAULTS

from pairmill.simulator import Latency, ScheduledStep, SimulatorProcess, SimulatorSettings

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from tests.support.forge import Forge

pytestmark = pytest.mark.fault

ARTICLES = 60
ALIKE = (
    "Nobody in the upper valley could ever say for certain who had first carried the heavy copper "
    "kettle across the frozen river towards the old mill. Those who were old enough to remember "
    "the winter market told their grandchildren that seven quiet brewers had pulled it on a sledge "
    "made of orchard timber."
)
NOTE = (
    "Timber bridges cross frozen rivers since",
    "Copper lanterns guide winter letters towards",
    "Canal libraries lend harbour maps until",
)
KILLS = 5
CONCURRENCY = 8
SETTINGS = {
    "judge": "all",
    "evolve": "on",
    "preference": "samples",
    "structured_output": "json_schema",
    "shard_bytes": 16_384,
    "commit_interval_s": 0.02,
}
EXPORTS = {
    "messages": ("--to", "messages"),
    "scored": ("--to", "alpaca", "--min-score", "3", "--split", "60/20/20"),
    "exact": ("--to", "sharegpt", "--exact", "--format", "parquet"),
    "preference": ("--to", "preference", "--split", "80/10/10"),
}


@dataclass(frozen=True)
class Articles:
    """The same articles, laid out in files and records in an order of one's own."""

    folder: Path

    @classmethod
    def lay(cls, folder: Path, order: Sequence[int]) -> Articles:
        """Half of them are files, named by their place; the others are lines of one file."""
        folder.mkdir(parents=True)
        lines = []
        for place, number in enumerate(order):
            if number % 2:
                (folder / f"{place:03}.md").write_text(text_of(number), "utf-8")
            else:
                record = {"id": f"r{number}", "author": f"Author {number}", "text": text_of(number)}
                lines.append(json.dumps(record) + "\n")
        (folder / "records.jsonl").write_text("".join(lines), "utf-8")
        return cls(folder)


def text_of(number: int) -> str:
    """Two in three are notes so much alike that what is asked of one is nearly that of others."""
    if number % 3:
        own = " ".join(f"{line} {number + 100}." for line in NOTE)
        return f"# Note {number}\n\n{ALIKE} {own}"
    return article(number, 20)


@dataclass(frozen=True)
class Mill:
    """Makes runs of the same articles, and exports of them."""

    forge: Forge
    endpoint: SimulatorProcess
    config: Path

    def run(self, articles: Articles, out: Path, concurrency: int = CONCURRENCY) -> None:
        self.forge.run(*self.command(articles, out, concurrency), url=self.endpoint.url)

    def run_killed(self, articles: Articles, out: Path, dice: random.Random) -> None:
        """Kill it at random moments, go on each time with another number of calls in flight."""
        for _ in range(KILLS):
            command = self.command(articles, out, dice.choice((2, 3, 4)))
            child = self.forge.start(*command, url=self.endpoint.url)
            time.sleep(dice.uniform(0.1, 0.4))
            child.kill()
            assert child.wait() == -signal.SIGKILL, "it came to its end before it could be killed"
        self.run(articles, out)

    def command(self, articles: Articles, out: Path, concurrency: int) -> tuple[str | Path, ...]:
        flags = ("--config", self.config, "--concurrency", str(concurrency))
        return ("run", articles.folder, "-o", out, *flags)

    def exports(self, run: Path) -> dict[str, bytes]:
        """What each kind of export holds: the path of each file to its bytes."""
        found = {}
        for name, flags in EXPORTS.items():
            out = run.parent / "exports" / name
            self.forge.run("export", run, *flags, "-o", out, url="")
            for path in sorted(out.rglob("*")):
                if path.is_file():
                    found[f"{name}/{path.relative_to(out)}"] = path.read_bytes()
        shutil.rmtree(run.parent / "exports")
        return found


def _new(folder: Path) -> Path:
    """A folder of its own: where tests are shared out anew, fixtures are made more than once."""
    return Path(tempfile.mkdtemp(prefix="same-bytes-", dir=folder))


@pytest.fixture(scope="module")
def mill(forge: Forge, shared_folder: Path) -> Iterator[Mill]:
    folder = _new(shared_folder)
    config = folder / "settings.yaml"
    config.write_text(json.dumps(SETTINGS), "utf-8")
    script = tuple(
        ScheduledStep(fault=fault, match=f"# Report {number}\n", times=None)
        for first, fault in FAULTS.items()
        for number in range(first, ARTICLES, 17)
    )
    settings = SimulatorSettings(latency=Latency("lognormal", 0.03, sigma=0.8), script=script)
    with SimulatorProcess(settings) as endpoint:
        yield Mill(forge, endpoint, config)


@pytest.fixture(scope="module")
def articles(shared_folder: Path) -> Articles:
    return Articles.lay(_new(shared_folder) / "articles", range(ARTICLES))


@pytest.fixture(scope="module")
def plain(mill: Mill, articles: Articles, shared_folder: Path) -> dict[str, bytes]:
    """What comes of a run that nothing disturbs."""
    out = _new(shared_folder) / "run"
    mill.run(articles, out)
    return mill.exports(out)


def test_there_is_something_to_differ_in(plain: dict[str, bytes]) -> None:
    told: dict[str, Any] = {name: json.loads(plain[f"{name}/export.json"]) for name in EXPORTS}
    kept = {name: sum(export["kept"].values()) for name, export in told.items()}
    assert min(kept.values()) >= 4, kept
    reasons = {"near_duplicate", "same_instruction", "evolved_from"}
    assert reasons <= told["messages"]["dropped"].keys()
    assert told["messages"]["related_documents"] > 0
    assert {"low_score", "unscored"} <= told["scored"]["dropped"].keys()
    assert set(told["messages"]["kept"]) == {"train", "validation", "test"}


@pytest.mark.parametrize("concurrency", [1, 256])
def test_the_bytes_do_not_depend_on_the_calls_in_flight(
    mill: Mill, articles: Articles, plain: dict[str, bytes], fast_path: Path, concurrency: int
) -> None:
    mill.run(articles, fast_path / "run", concurrency)
    assert_same(mill.exports(fast_path / "run"), plain)


def test_the_bytes_do_not_depend_on_the_order_of_the_input(
    mill: Mill, plain: dict[str, bytes], fast_path: Path, dice: random.Random
) -> None:
    order = dice.sample(range(ARTICLES), ARTICLES)
    mill.run(Articles.lay(fast_path / "articles", order), fast_path / "run")
    # Files are named by their place here, and the card names them.
    found, expected = (
        {name: data for name, data in files.items() if not name.endswith("README.md")}
        for files in (mill.exports(fast_path / "run"), plain)
    )
    assert len(found) > len(EXPORTS)
    assert_same(found, expected)


def test_the_bytes_do_not_depend_on_five_kills(
    mill: Mill, articles: Articles, plain: dict[str, bytes], fast_path: Path, dice: random.Random
) -> None:
    mill.run_killed(articles, fast_path / "run", dice)
    assert_same(mill.exports(fast_path / "run"), plain)


def assert_same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    differing = {
        name: _first_difference(found.get(name, b""), expected.get(name, b""))
        for name in found.keys() | expected.keys()
        if found.get(name) != expected.get(name)
    }
    assert not differing


def _first_difference(found: bytes, expected: bytes) -> tuple[bytes, bytes]:
    lines = zip_longest(found.splitlines(), expected.splitlines(), fillvalue=b"")
    return next((pair for pair in lines if pair[0] != pair[1]), (b"", b""))
