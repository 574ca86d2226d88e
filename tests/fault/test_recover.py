"""A ledger that is lost, damaged or from the future: refused in one line, and rebuilt."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import rejects, rows
from tests.support.corpus import write_corpus
from tests.support.endurance import kill_at_operations
from tests.support.forge import Strike
from tests.support.waiting import wait_until

from pairmill.simulator import Simulator
from pairmill.store.folder import RunFolder
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.endurance import Course
    from tests.support.forge import Child, Forge

pytestmark = pytest.mark.fault


def recover(forge: Forge, out: Path, strike: Strike | None = None) -> Child:
    return forge.start("recover", out, url="", strike=strike)


def scribble(ledger: Path) -> None:
    data = bytearray(ledger.read_bytes())
    data[4096 : len(data) // 2] = b"\x5a" * (len(data) // 2 - 4096)
    ledger.write_bytes(data)


def cut_in_half(ledger: Path) -> None:
    ledger.write_bytes(ledger.read_bytes()[: ledger.stat().st_size // 2])


HARM: dict[str, Callable[[Path], object]] = {
    "deleted": lambda ledger: ledger.unlink(),
    "emptied": lambda ledger: ledger.write_bytes(b""),
    "scribbled on": scribble,
    "cut in half": cut_in_half,
    "overwritten": lambda ledger: ledger.write_bytes(b"not a database, sorry" * 1000),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_lost_ledger_is_refused_in_one_line_and_rebuilt(
    short_course: Course, forge: Forge, fast_path: Path, harm: Callable[[Path], object]
) -> None:
    """Faults 09, 10: what stands in shards is done, and is not bought again."""
    out = fast_path / "out"
    short_course.finish(forge, out)
    ledger = RunFolder(out).ledger
    with SqliteLookup(ledger) as lookup:
        before = lookup.totals()
    assert before.units["rejected"] >= 1
    assert (
        not ledger.with_name("ledger.db-wal").exists()
        or not ledger.with_name("ledger.db-wal").stat().st_size
    )
    harm(ledger)
    short_course.endpoint.reset()
    refused = short_course.start(forge, out)
    assert refused.wait() == 1, refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert f"pairmill recover {out}" in refused.stderr
    assert recover(forge, out).wait() == 0
    with SqliteLookup(RunFolder(out).ledger) as lookup:
        totals = lookup.totals()
    assert totals.units == before.units
    assert totals.pairs == len(short_course.told)
    assert totals.reasons == before.reasons
    assert totals.calls == sum(
        {row["chunk_id"]: row["attempts"] for row in (*rows(out), *rejects(out))}.values()
    )
    short_course.finish(forge, out)
    assert short_course.endpoint.report()["calls"] == 0


def test_of_a_killed_run_all_but_the_last_unit_of_a_shard_is_kept(
    long_course: Course, forge: Forge, fast_path: Path, dice: random.Random
) -> None:
    """Fault 09: without its ledger an open shard's end may be half a unit."""
    out = fast_path / "random-0"
    long_course.endpoint.reset()
    child = long_course.start(forge, out, Strike(dice.randint(60, 140), "write sync"))
    assert child.wait() == -signal.SIGKILL
    for file in (out / ".run").glob("ledger.db*"):
        file.unlink()
    assert recover(forge, out).wait() == 0
    long_course.check(out)
    long_course.finish(forge, out)


def test_answers_that_can_be_read_are_not_bought_again(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 10: a published shard was deleted; its pairs come again from the ledger's answers."""
    out = fast_path / "out"
    short_course.finish(forge, out)
    (out / "data/train-00001.jsonl").unlink()
    refused = short_course.start(forge, out)
    assert refused.wait() == 1
    assert "train-00001.jsonl: missing" in refused.stderr
    short_course.endpoint.reset()
    assert recover(forge, out).wait() == 0
    short_course.finish(forge, out)
    assert short_course.endpoint.report()["calls"] == 0


def test_killed_at_each_operation_it_can_be_repeated(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 04: kills while the ledger is exchanged."""
    whole = fast_path / "whole"
    child = short_course.start(forge, whole, Strike(25, "write sync"))
    assert child.wait() == -signal.SIGKILL
    with closing(sqlite3.connect(whole / ".run/ledger.db")) as ledger:
        ledger.execute("DROP TABLE units")
    for step in range(0, 60, 5):
        out = fast_path / "out"
        shutil.copytree(whole, out)
        child = recover(forge, out, Strike(step))
        code = child.wait()
        assert code in {0, -signal.SIGKILL}, child.stderr
        assert recover(forge, out).wait() == 0
        with SqliteLookup(RunFolder(out).ledger) as lookup:
            assert lookup.totals().calls > 3, "answers that could be read are gone"
        if step % 15 == 0:
            short_course.finish(forge, out)
        shutil.rmtree(out)
        if code == 0:
            break
    assert 5 < step < 57


def test_a_newer_pairmills_ledger_is_left_alone(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 21."""
    out = fast_path / "out"
    short_course.finish(forge, out)
    with closing(sqlite3.connect(out / ".run/ledger.db")) as ledger:
        ledger.execute("PRAGMA user_version = 3")
    before = (out / ".run/ledger.db").read_bytes()
    for start in (short_course.start, recover):
        child = start(forge, out)
        assert child.wait() == 1
        assert "made by a newer pairmill (format 3" in child.stderr
        assert len(child.stderr.splitlines()) == 1
    assert (out / ".run/ledger.db").read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", '"a"', '{"format": 1}'])
def test_damaged_settings_are_mended(
    short_course: Course, forge: Forge, fast_path: Path, text: str
) -> None:
    """Fault 09."""
    out = fast_path / "out"
    short_course.finish(forge, out)
    (out / ".run/settings.json").write_text(text)
    refused = short_course.start(forge, out)
    assert refused.wait() == 1
    assert f"pairmill recover {out}" in refused.stderr
    assert recover(forge, out).wait() == 0
    short_course.endpoint.reset()
    short_course.finish(forge, out)
    assert short_course.endpoint.report()["calls"] == 0


@pytest.mark.parametrize("harm", ["cut in a line", "without its last newline", "emptied"])
def test_a_published_shard_that_was_cut_short_is_whole_after_recover(
    short_course: Course, forge: Forge, fast_path: Path, harm: str
) -> None:
    """Fault 87: no torn line stays, and what is missing is written again from the ledger."""
    out = fast_path / "out"
    short_course.finish(forge, out)
    shard = out / "data/train-00000.jsonl"
    data = shard.read_bytes()
    shard.write_bytes(data[: {"emptied": 0, "cut in a line": -40}.get(harm, -1)])
    assert recover(forge, out).wait() == 0
    short_course.endpoint.reset()
    short_course.finish(forge, out)
    assert short_course.endpoint.report()["calls"] == 0


@pytest.mark.parametrize("name", ["README.md", "manifest.json", ".run/pace.json"])
def test_a_folder_in_the_place_of_a_file_is_no_resumable_end(
    short_course: Course, forge: Forge, fast_path: Path, name: str
) -> None:
    """Fault 88: the next start would meet it again, so that a supervisor must not try for ever."""
    out = fast_path / "out"
    short_course.finish(forge, out)
    (out / name).unlink(missing_ok=True)
    (out / name).mkdir()
    child = short_course.start(forge, out)
    code = child.wait()
    assert "Traceback" not in child.stderr
    if code != 0:  # where it is not needed it may be in the way of nothing
        assert code == 1, child.stderr
        assert f"{name}: a folder stands where the file should be; move it away" in child.stderr
    (out / name).rmdir()
    short_course.finish(forge, out)


def test_what_a_run_remembers_is_made_anew_where_it_cannot_be_read(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 89."""
    out = fast_path / "out"
    child = short_course.start(forge, out, Strike(30, "write sync"))
    assert child.wait() == -signal.SIGKILL
    (out / ".run/memory.db").write_bytes(b"\xff\0junk{")
    short_course.finish(forge, out)


def test_pairs_under_earlier_settings_are_known_as_well(forge: Forge, fast_path: Path) -> None:
    """Fault 19: each start notes its recipe, by which its units are named."""
    corpus, out = write_corpus(fast_path / "articles", 3, 10), fast_path / "out"
    with Simulator() as endpoint:
        url = endpoint.url
        forge.run("run", corpus, "-o", out, "--seed", "1", url=url)
        forge.run("run", corpus, "-o", out, "--seed", "2", "--accept-change", url=url)
        ids, calls = {row["id"] for row in rows(out)}, endpoint.report()["calls"]
        assert len(ids) == 6
        (out / ".run/ledger.db").unlink()
        assert recover(forge, out).wait() == 0
        for seed in ("1", "2"):
            forge.run("run", corpus, "-o", out, "--seed", seed, "--accept-change", url=url)
        assert endpoint.report()["calls"] == calls
    assert {row["id"] for row in rows(out)} == ids
    assert len(rows(out)) == 6


def test_a_run_that_works_is_not_disturbed(
    long_course: Course, forge: Forge, fast_path: Path
) -> None:
    """Fault 16."""
    long_course.endpoint.reset()
    child = long_course.start(forge, fast_path / "out")
    wait_until((fast_path / "out/.run/config.json").exists, child)
    other = recover(forge, fast_path / "out")
    assert other.wait() == 1
    assert f"process {child.pid} " in other.stderr
    assert child.wait() == 0
    long_course.finish(forge, fast_path / "out")


def test_where_there_is_no_run_it_says_so(forge: Forge, fast_path: Path) -> None:
    child = recover(forge, fast_path)
    assert child.wait() == 1
    assert "no pairmill run here" in child.stderr
    assert not (fast_path / ".run").exists()


def test_a_run_that_was_recovered_is_killed_like_any_other(
    short_course: Course, forge: Forge, fast_path: Path
) -> None:
    out = fast_path / "out"
    assert short_course.start(forge, out, Strike(25, "write sync")).wait() == -signal.SIGKILL
    (out / ".run/ledger.db").unlink()
    assert recover(forge, out).wait() == 0
    kill_at_operations(short_course, forge, out, [3, 9, 27])
