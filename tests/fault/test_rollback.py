"""A ledger older than its shards, or gone with its ``.run/``: noticed, mended, none twice."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import pairmill, rows
from tests.support.forge import Strike
from tests.support.waiting import wait_until

from pairmill.store.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.endurance import Course
    from tests.support.forge import Child, Forge

pytestmark = pytest.mark.fault


def killed(course: Course, forge: Forge, out: Path, step: int) -> None:
    """Go on with a run until it is killed at an operation."""
    assert course.start(forge, out, Strike(step, "write sync")).wait() == -signal.SIGKILL


def restore_all(before: Path, out: Path) -> None:
    shutil.rmtree(out / ".run")
    shutil.copytree(before / ".run", out / ".run")


def restore_ledger(before: Path, out: Path) -> None:
    for old in (out / ".run").glob("ledger.db*"):
        old.unlink()
    for file in (before / ".run").glob("ledger.db*"):
        shutil.copy(file, out / ".run" / file.name)


def without_wal(_before: Path, out: Path) -> None:
    for file in (out / ".run").glob("ledger.db-*"):
        file.unlink()


def of_another_folder(_before: Path, out: Path) -> None:
    shutil.copy(out.parent / "other/.run/ledger.db", out / ".run/ledger.db")


ROLLBACKS: dict[str, Callable[[Path, Path], None]] = {
    "all of .run restored": restore_all,
    "the ledger restored": restore_ledger,
}


def refused(course: Course, forge: Forge, out: Path) -> Child:
    """Start on a folder that must be refused in one line, and left as it is."""
    before = {p: p.read_bytes() for p in out.rglob("*.jsonl")}
    child = course.start(forge, out)
    assert child.wait() == 1, child.stderr
    assert len(child.stderr.splitlines()) == 1
    assert f"run 'pairmill recover {out}'" in child.stderr
    assert {p: p.read_bytes() for p in out.rglob("*.jsonl")} == before
    return child


def recover(forge: Forge, out: Path) -> None:
    child = forge.start("recover", out, url="")
    assert child.wait() == 0, child.stderr


@pytest.mark.parametrize("roll_back", ROLLBACKS.values(), ids=ROLLBACKS)
def test_a_ledger_older_than_the_published_shards_is_refused_and_mended(
    short_course: Course, forge: Forge, fast_path: Path, roll_back: Callable[[Path, Path], None]
) -> None:
    """Fault 61."""
    out, before = fast_path / "out", fast_path / "before"
    killed(short_course, forge, out, 30)
    shutil.copytree(out, before)
    short_course.finish(forge, out)
    roll_back(before, out)
    assert "older than the folder" in refused(short_course, forge, out).stderr
    recover(forge, out)
    short_course.check(out)
    short_course.endpoint.reset()
    short_course.finish(forge, out)
    assert short_course.endpoint.report()["calls"] == 0, "what stands in shards was bought again"


def test_a_ledger_that_lost_its_write_ahead_log_is_refused_and_mended(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 62: killed, and copied without ledger.db-wal."""
    for turn, step in enumerate((21, 24, 27)):
        out = fast_path / f"out-{turn}"
        killed(short_course, forge, out, step)
        pairs = len([*(out / ".run/open").glob("train-*"), *(out / "data").iterdir()])
        assert pairs
        without_wal(out, out)
        assert "commits are missing" in refused(short_course, forge, out).stderr
        recover(forge, out)
        short_course.check(out)
        short_course.finish(forge, out)


def test_a_ledger_of_another_folder_is_refused_and_mended(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 63."""
    for name in ("out", "other"):
        short_course.finish(forge, fast_path / name)
    of_another_folder(fast_path, fast_path / "out")
    assert "another folder" in refused(short_course, forge, fast_path / "out").stderr
    recover(forge, fast_path / "out")
    short_course.finish(forge, fast_path / "out")


def test_pairs_that_already_stand_twice_are_taken_out(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 64: an earlier version went on with a restored ledger."""
    out = fast_path / "out"
    short_course.finish(forge, out)
    shutil.copy(out / "data/train-00000.jsonl", out / "data/train-00077.jsonl")
    refused(short_course, forge, out)
    recover(forge, out)
    short_course.check(out)
    short_course.endpoint.reset()
    short_course.finish(forge, out)
    assert short_course.endpoint.report()["calls"] == 0


def test_a_healthy_ledger_is_left_alone_by_recover(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 65: after a good end, and after a kill."""
    for name, step in (("whole", None), ("killed", 15)):
        out = fast_path / name
        if step is None:
            short_course.finish(forge, out)
        else:
            killed(short_course, forge, out, step)
        before = RunFolder(out).ledger.read_bytes()
        found = pairmill("recover", out)
        assert found.returncode == 0
        assert "left as it is" in found.stdout
        assert RunFolder(out).ledger.read_bytes() == before
        assert not list((out / ".run").glob("*.damaged"))
        short_course.finish(forge, out)


def bare_copy(out: Path, copy: Path) -> Path:
    """``cp -r out/* copy/``."""
    shutil.copytree(out, copy, ignore=shutil.ignore_patterns(".run"))
    return copy


def test_a_folder_without_its_state_can_be_used_and_gone_on_with(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 66: nothing that stands in it is bought again."""
    short_course.finish(forge, fast_path / "out")
    copy = bare_copy(fast_path / "out", fast_path / "copy")
    for command in ("show", "report", "export", "qc"):
        found = pairmill(command, copy)
        assert "Traceback" not in found.stderr
        assert found.returncode == 0 or command == "qc", found.stderr
    status = pairmill("status", copy)
    assert status.returncode == 0, status.stderr
    short_course.endpoint.reset()
    short_course.finish(forge, copy)
    assert short_course.endpoint.report()["calls"] == 0
    again = bare_copy(fast_path / "out", fast_path / "again")
    recover(forge, again)
    short_course.finish(forge, again)
    assert short_course.endpoint.report()["calls"] == 0


@pytest.mark.parametrize("knows", [True, False], ids=["manifest", "manifest of an old version"])
def test_a_folder_without_its_state_is_bound_to_its_settings_all_the_same(
    short_course: Course, forge: Forge, fast_path: Path, *, knows: bool
) -> None:
    """Fault 66: other settings are refused before anything is asked, twice in a row."""
    short_course.finish(forge, fast_path / "out")
    copy = bare_copy(fast_path / "out", fast_path / "copy")
    if not knows:
        manifest = json.loads((copy / "manifest.json").read_bytes())
        del manifest["origin"], manifest["chain"]
        (copy / "manifest.json").write_text(json.dumps(manifest))
        refusal = pairmill("recover", copy)
        assert refusal.returncode == 1
        assert "with the same settings" in refusal.stderr
    short_course.endpoint.reset()
    command = ["run", str(short_course.corpus), "-o", str(copy), "--seed", "5"]
    for _ in range(2):
        found = pairmill(*command, url=short_course.endpoint.url)
        assert found.returncode == 2, found.stderr
        assert "--accept-change" in found.stderr
    short_course.finish(forge, copy)
    assert short_course.endpoint.report()["calls"] == 0


def test_a_run_whose_state_is_removed_while_it_works_can_be_gone_on_with(
    long_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 67."""
    long_course.endpoint.reset()
    out = fast_path / "out"
    child = long_course.start(forge, out)
    wait_until(lambda: len(list((out / "data").glob("*.jsonl"))) > 1, child)
    shutil.rmtree(out / ".run")
    assert child.wait() in {1, 75}, child.stderr
    assert "Traceback" not in child.stderr
    assert rows(out)
    long_course.finish(forge, out)
