"""Folders, settings and exports that earlier versions left: every command still takes them.

``tests/fixtures/earlier`` holds what the code of six commits made, from the first run folder to the
present table of checks (see its README). The newest one shows that what is written today is whole.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import pairmill, rows
from tests.support.endurance import check_manifest, fast_folder, ledger_answers
from tests.support.forge import Forge

from pairmill.output.marks.log import FORMAT as MARKS_FORMAT
from pairmill.simulator import Simulator
from pairmill.store.side_files import FORMATS
from pairmill.store.sqlite.database import FORMAT as LEDGER_FORMAT
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier"
VERSIONS = sorted(path.name.removesuffix(".tar.gz") for path in EARLIER.glob("*.tar.gz"))
WITH_PARTS = [name for name in VERSIONS if name not in {"ledger-1", "checks-1", "checks-2"}]
NEWEST = "checks-5"
ARTICLES = 6


@dataclass(frozen=True)
class Place:
    """An unpacked fixture, with an endpoint to go on with."""

    path: Path
    forge: Forge
    endpoint: Simulator

    def run(self, *arguments: str | Path) -> str:
        """Run a command to a good end, and return what it said on standard error."""
        return self.forge.run(*self._with_settings(arguments), url=self.endpoint.url).stderr

    def refused(self, *arguments: str | Path) -> tuple[int, str]:
        """Run a command that says no in one line; return its exit code and the line."""
        child = self.forge.start(*self._with_settings(arguments), url=self.endpoint.url)
        code = child.wait()
        lines = [line for line in child.stderr.splitlines() if not line.startswith("{")]
        assert len(lines) == 1, child.stderr
        return code, lines[0]

    def _with_settings(self, arguments: tuple[str | Path, ...]) -> tuple[str | Path, ...]:
        if arguments[0] != "run":
            return arguments
        return (*arguments, "--config", self.path / "settings.yaml")

    @property
    def calls(self) -> int:
        return int(self.endpoint.report()["calls"])

    def status(self, folder: Path) -> dict[str, Any]:
        found = pairmill("status", folder, "--json")
        assert found.returncode == 0, found.stderr
        told: dict[str, Any] = json.loads(found.stdout)
        return told


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with fast_folder() as path, Forge(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Simulator]:
    with Simulator() as opened:
        yield opened


def unpack(name: str, path: Path) -> Path:
    with tarfile.open(EARLIER / f"{name}.tar.gz") as archive:
        archive.extractall(path, filter="data")
    return path / name


@pytest.fixture
def place(
    request: pytest.FixtureRequest, tmp_path: Path, forge: Forge, endpoint: Simulator
) -> Place:
    name = getattr(request, "param", NEWEST)
    return Place(unpack(name, tmp_path), forge, endpoint)


every = pytest.mark.parametrize("place", VERSIONS, indirect=True)


@every
def test_a_finished_folder_is_finished_and_exports_what_it_did(place: Place) -> None:
    folder, before = place.path / "finished", _content(place.path / "finished" / "data")
    told = place.status(folder)
    assert told["counts"]["chunks"]["written"] == told["counts"]["chunks"]["all"] == ARTICLES
    former = _records(place.path / "export")
    place.run("export", folder, "-o", place.path / "anew")
    assert _texts(_records(place.path / "anew")) == _texts(former)
    place.run("export", folder, "-o", place.path / "export")  # it knows its own former export
    assert _texts(_records(place.path / "export")) == _texts(former)
    for command in ("show", "report"):
        place.run(command, folder)
    assert _content(folder / "data") == before


@every
def test_a_killed_folder_is_gone_on_with_under_the_settings_of_its_time(place: Place) -> None:
    folder = place.path / "killed"
    before, bought, calls = rows(folder), ledger_answers(folder), place.calls
    assert 0 < bought < ARTICLES
    command = ("run", place.path / "articles", "-o", folder)
    child = place.forge.start(*place._with_settings(command), url=place.endpoint.url)
    code = child.wait()
    is_same = code == 0
    if not is_same:  # reading or prompts were improved since: what it costs is said before
        assert code == 2, child.stderr
        assert "--accept-change" in child.stderr
        assert place.calls == calls
        place.run(*command, "--accept-change")
    found = rows(folder)
    assert found[: len(before)] == before
    assert len({row["id"] for row in found}) == len(found)
    assert len({row["document_id"] for row in found}) == ARTICLES
    check_manifest(folder)
    if is_same:
        assert place.calls - calls == ARTICLES - bought
    calls = place.calls
    place.run(*command)
    assert place.calls == calls


@pytest.mark.parametrize(
    ("place", "kind"),
    [*((name, "finished") for name in VERSIONS), ("ledger-1", "killed"), (NEWEST, "killed")],
    indirect=["place"],
)
def test_a_ledger_that_is_lost_is_rebuilt(place: Place, kind: str) -> None:
    folder = place.path / kind
    for file in (folder / ".run").glob("ledger.db*"):
        file.unlink()
    kept = sorted(_ids(folder))
    if kind == "killed":  # nobody knows whether the last unit of the open shard is whole
        kept = sorted(set(kept) - {_ids(folder)[-1]})
    place.run("recover", folder)
    assert sorted(_ids(folder)) == kept
    with SqliteLookup(folder / ".run" / "ledger.db") as lookup:
        assert lookup.totals().units == {"written": len(kept)}


@pytest.mark.parametrize("place", WITH_PARTS, indirect=True)
def test_parts_are_merged(place: Place) -> None:
    merged = place.path / "merged"
    place.run("merge", place.path / "parts", "-o", merged)
    parts = sorted((place.path / "parts").iterdir())
    assert Counter(_ids(merged)) == Counter(name for part in parts for name in _ids(part))
    assert len(rows(merged)) == ARTICLES
    check_manifest(merged)


def test_the_newest_fixture_is_of_the_present_formats(place: Place) -> None:
    """Whoever raises a format makes a fixture of the last version that wrote the former one."""
    from pairmill.chunking.clean import READING_VERSION
    from pairmill.quality.thresholds import VERSION

    state = place.path / "finished" / ".run"
    assert _ledger_format(state / "ledger.db") == LEDGER_FORMAT
    origin = json.loads((state / "origin.json").read_bytes())
    assert (NEWEST.removeprefix("checks-"), origin["reading"]) == (VERSION, READING_VERSION)


def _newer_settings(folder: Path) -> None:
    path = folder / ".run" / "settings.json"
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps({**found, "format": found["format"] + 1}), "utf-8")


def _newer_manifest(folder: Path) -> None:
    """As a copy of the published files has it."""
    shutil.rmtree(folder / ".run")
    path = folder / "manifest.json"
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps({**found, "format": found["format"] + 1}), "utf-8")


def _newer_ledger(folder: Path) -> None:
    with closing(sqlite3.connect(folder / ".run" / "ledger.db")) as db:
        db.execute(f"PRAGMA user_version = {LEDGER_FORMAT + 1}")


def _newer_config(folder: Path) -> None:
    """As if a later version had changed what a file beside the ledger means."""
    path = folder / ".run" / "config.json"
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps({**found, "format": FORMATS[".run/config.json"] + 1}), "utf-8")


def _newer_memory(folder: Path) -> None:
    with closing(sqlite3.connect(folder / ".run" / "memory.db")) as db:
        db.execute(f"PRAGMA user_version = {FORMATS['.run/memory.db'] + 1}")


def _newer_marks(folder: Path) -> None:
    line = {"format": MARKS_FORMAT + 1, "id": "0" * 16, "at": "2030-01-01T00:00:00Z", "action": "x"}
    (folder / "marks.jsonl").write_text(json.dumps(line) + "\n", "utf-8")


READERS = ["status", "report"]  # of the ledger; export and show need nothing but rows


@pytest.mark.parametrize(
    ("change", "command"),
    [
        *((_newer_settings, name) for name in ("run", "recover", "export", "show", *READERS)),
        *((_newer_manifest, name) for name in ("run", "recover", "export", *READERS)),
        *((_newer_ledger, name) for name in ("run", "recover", *READERS)),
        *((_newer_config, name) for name in ("run", "recover", "export", "show", *READERS)),
        *((_newer_memory, name) for name in ("run", "status")),
        *((_newer_marks, name) for name in ("run", "export", "report")),
    ],
)
def test_a_folder_of_a_newer_version_is_refused_in_one_line_and_left_alone(
    place: Place, change: Callable[[Path], None], command: str
) -> None:
    folder = place.path / "finished"
    change(folder)
    before = _content(folder / "data")
    begun = [
        path for path in folder.glob(".run/*.json") if path.name in {"config.json", "origin.json"}
    ]
    notes = [path.read_bytes() for path in begun]
    more = {"run": ("-o", folder), "export": ("-o", place.path / "anew")}
    first = place.path / "articles" if command == "run" else folder
    code, line = place.refused(command, first, *more.get(command, ()))
    assert code == 1
    assert "made by a newer pairmill" in line
    assert "upgrade pairmill" in line
    assert str(folder) in line
    assert _content(folder / "data") == before
    assert [path.read_bytes() for path in begun] == notes
    assert not (place.path / "anew").exists()


def test_fields_that_only_a_newer_version_knows_are_ignored(place: Place) -> None:
    folder = place.path / "finished"
    former, calls = place.status(folder), place.calls
    files = [*folder.glob(".run/**/*.json"), folder / "manifest.json"]
    for path in files:
        found = json.loads(path.read_bytes())
        path.write_text(json.dumps({**found, "invented": {"later": [1]}}), "utf-8")
    assert {"config.json", "origin.json", "settings.json"} <= {path.name for path in files}
    assert place.status(folder) == former
    place.run("report", folder)
    place.run("export", folder, "-o", place.path / "anew")
    assert _texts(_records(place.path / "anew")) == _texts(_records(place.path / "export"))
    place.run("run", place.path / "articles", "-o", folder)
    assert place.calls == calls


def test_a_setting_that_is_not_known_is_named(place: Place) -> None:
    settings = place.path / "settings.yaml"
    settings.write_text(settings.read_text("utf-8") + "concurency: 4\n", "utf-8")
    code, line = place.refused("run", place.path / "articles", "-o", place.path / "new")
    assert code in {2, 78}
    assert "concurency" in line
    assert "concurrency" in line.replace("concurency", "")
    assert not (place.path / "new").exists()


def _content(folder: Path) -> dict[str, bytes]:
    """Return all files that no reader may change: not those of SQLite's shared memory."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal", "lock"))
    }


def _records(export: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((export / "data").iterdir())
        for line in path.read_text("utf-8").splitlines()
    ]


def _texts(records: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(record["messages"], sort_keys=True) for record in records)


def _ids(folder: Path) -> list[str]:
    """Return ids of rows in published and open shards."""
    shards = (*folder.glob("data/train*"), *folder.glob(".run/open/train*"))
    lines = (line for path in shards for line in path.read_bytes().split(b"\n")[:-1])
    return [json.loads(line)["id"] for line in lines]


def _ledger_format(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])
