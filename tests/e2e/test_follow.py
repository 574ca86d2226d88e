"""``run --follow`` by the command line: crawls that go on while it runs, and while it is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import environment, pairmill, rows
from tests.support.corpus import article
from tests.support.waiting import wait_until

from pairmill.simulator import Latency, SimulatedQuota, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WIDTH = 24
CRAWL_S = float(os.environ.get("PAIRMILL_CRAWL_S", "60"))
"""Seconds that an hour's crawl takes; 3600 for the real pace, with kills minutes apart."""


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """End what a test that failed has left behind."""
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=20)
    STARTED.clear()


def start(*arguments: str | Path, url: str, stdin: int = subprocess.DEVNULL) -> Any:
    STARTED.append(
        subprocess.Popen(
            [sys.executable, "-m", "pairmill", "run", *map(str, arguments), "--follow", "-q"],
            env=environment(url),
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    return STARTED[-1]


def end(process: Any, code: int) -> None:
    """Wait for the end, with standard input closed; it must end with a code."""
    _, errors = process.communicate(timeout=90)
    assert process.returncode == code, errors


def line(number: int, url: str) -> str:
    record = {"url": url, "title": f"Report {number}", "text": article(number, 8)}
    return json.dumps(record) + "\n"


def current(folder: Path) -> list[dict[str, Any]]:
    """The rows that an export keeps, with the export's own counts checked."""
    out = folder.parent / f"{folder.name}-exported"
    made = pairmill("export", folder, "-o", out)
    assert made.returncode == 0, made.stderr
    told = json.loads((out / "export.json").read_text("utf-8"))
    entries = [
        json.loads(entry) for entry in (folder / "superseded.jsonl").read_text("utf-8").splitlines()
    ]
    states = {entry["chunk_id"]: entry["state"] for entry in entries}  # the last one holds
    gone = {chunk for chunk, state in states.items() if state == "superseded"}
    kept = [row for row in rows(folder) if row["chunk_id"] not in gone]
    others = sum(count for why, count in told["dropped"].items() if why != "superseded")
    assert sum(told["kept"].values()) + others == len(kept)
    return kept


def test_articles_from_a_pipe_become_pairs_and_a_changed_one_replaces_its_own(
    tmp_path: Path,
) -> None:
    with Simulator() as endpoint:
        process = start("-", "-o", tmp_path / "out", url=endpoint.url, stdin=subprocess.PIPE)
        process.stdin.write(line(1, "u1") + line(2, "u2"))
        process.stdin.flush()
        wait_until(lambda: endpoint.report()["requests"] >= 3)
        process.stdin.write(line(3, "u1"))
        end(process, 0)
    kept = current(tmp_path / "out")
    assert {row["url"] for row in kept} == {"u1", "u2"}
    assert len(rows(tmp_path / "out")) == len(kept) + 1
    counts = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))["counts"]
    assert (counts["pairs"]["kept"], counts["pairs"]["superseded"]) == (2, 1)


def test_parts_that_follow_are_merged_with_what_was_superseded_in_each(tmp_path: Path) -> None:
    file, out, merged = tmp_path / "in.jsonl", tmp_path / "out", tmp_path / "merged"
    given = (file, "-o", out, "--follow-idle-s", "0", "--set", "shared_lines=keep")
    with Simulator() as endpoint:
        for version in range(2):
            with file.open("a", encoding="utf-8") as growing:
                growing.writelines(line(10 * version + n, f"u{n}") for n in range(8))
            for index in range(2):
                end(start(*given, "--partition", f"{index}/2", url=endpoint.url), 0)
    parts = [out / f"part-{index}-of-2" for index in range(2)]
    assert pairmill("merge", out, "-o", merged).returncode == 0
    found = [
        json.loads((folder / "manifest.json").read_text("utf-8"))["counts"]["pairs"]
        for folder in (*parts, merged)
    ]
    one, other, both = [(it["kept"], it["superseded"]) for it in found]
    assert all((*one, *other))
    assert both == (one[0] + other[0], one[1] + other[1]) == (8, 8)
    assert {row["title"] for row in current(merged)} == {f"Report {10 + n}" for n in range(8)}


def test_what_does_not_go_with_it_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    given = ("run", tmp_path / "in", "-o", tmp_path / "out", "--follow", "--limit", "5")
    found = pairmill(*given, url="http://127.0.0.1:9/v1")
    assert found.returncode == 2, found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


class Crawl(threading.Thread):
    """Writes articles while a run goes on: into a growing file and as files, some of them again."""

    def __init__(self, folder: Path, articles: int, seconds: float, dice: random.Random) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.last: dict[str, int] = {}  # article to the number of its last text
        self.lines: list[int] = []
        self._articles = articles
        self._pause_s = seconds / articles
        self._dice = dice
        folder.mkdir()

    def run(self) -> None:
        with (self.folder / "crawl.jsonl").open("a", encoding="utf-8") as file:
            for number in range(self._articles):
                if number % 8 == 7:  # a file of its own, written aside and renamed
                    name = f"page-{number % 400}.md"
                    new = self.folder / f".{name}"
                    new.write_text(article(number, 8), "utf-8")
                    new.rename(self.folder / name)
                else:
                    again = number > 40 and self._dice.random() < 0.1
                    name = f"u{self._dice.randrange(number - 20)}" if again else f"u{number}"
                    file.write(line(number, name))  # in blocks: lines are torn all the time
                    self.lines.append(number)
                self.last[name] = number
                time.sleep(self._pause_s)


def memory_of(pid: int) -> int:
    """Resident KiB of a process and its children."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "--pid", str(pid), "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return sum(map(int, listed.stdout.split()))


@pytest.mark.slow
@pytest.mark.timeout(400 + CRAWL_S)
def test_a_crawl_is_followed_through_ten_kills(tmp_path: Path) -> None:
    dice = random.Random(7)
    crawl = Crawl(tmp_path / "in", 4000, CRAWL_S, dice)
    out = tmp_path / "out"
    given = (tmp_path / "in", "-o", out, "--concurrency", str(WIDTH), "--set", "shard_bytes=65536")
    settings = SimulatorSettings(latency=Latency(shape="lognormal", seconds=0.05))
    with Simulator(settings) as endpoint:
        crawl.start()
        for _ in range(10):
            process = start(*given, url=endpoint.url)
            time.sleep(dice.uniform(0.05, 0.117) * CRAWL_S)
            process.send_signal(signal.SIGKILL)
            end(process, -signal.SIGKILL)
        idle_s = max(5.0, 20 * CRAWL_S / 4000)  # some articles: lines come in blocks
        process = start(*given, "--follow-idle-s", str(idle_s), url=endpoint.url)
        peaks: list[int] = []
        while process.poll() is None:
            peaks.append(memory_of(process.pid))
            time.sleep(0.5)
        end(process, 0)
        crawl.join()
        bought_again = endpoint.report()["bought_again"]
        asked = endpoint.report()["requests"]
        stopped = start(*given, url=endpoint.url)
        time.sleep(4)
        stopped.send_signal(signal.SIGTERM)
        end(stopped, 75)
        assert endpoint.report()["requests"] == asked
    found = rows(out)
    ids = [row["id"] for row in found]
    assert len(ids) == len(set(ids))
    counts = json.loads((out / "manifest.json").read_text("utf-8"))["counts"]
    rejected = sum(counts["chunks"]["rejected"].values())
    texts = {row["title"] for row in found}
    assert len(texts) == len({row["chunk_id"] for row in found}) > 3000
    # A page may be replaced before it was looked at; of lines no version is ever missed.
    assert len({f"Report {it}" for it in crawl.lines} - texts) <= rejected < 40
    kept = current(out)
    last = {f"Report {it}" for it in crawl.last.values()}
    assert {row["title"] for row in kept} <= last
    assert len(last - {row["title"] for row in kept}) <= rejected
    assert bought_again <= 10 * (WIDTH + 30)
    pages = sum(name.startswith("page") for name in crawl.last)
    assert len(crawl.lines) + pages <= counts["documents"]["all"] <= counts["chunks"]["all"]
    assert counts["chunks"]["to_do"] == 0
    half = len(peaks) // 2
    assert max(peaks[half:]) < 1.15 * max(peaks[:half]), "memory grows"
    assert (out / ".run" / "follow.db").stat().st_size < 4 * 2**20


def check_once(crawl: Crawl, folder: Path) -> None:
    """Every article's last text has its pairs, once, but for what was rejected."""
    found = rows(folder)
    assert len({row["id"] for row in found}) == len(found)
    counts = json.loads((folder / "manifest.json").read_text("utf-8"))["counts"]
    rejected = sum(counts["chunks"]["rejected"].values())
    last = {f"Report {it}" for it in crawl.last.values()}
    kept = {row["title"] for row in current(folder)}
    assert kept <= last
    assert len(last - kept) <= rejected < 10 + len(last) // 50
    assert counts["chunks"]["to_do"] == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_parts_follow_one_crawl_on_one_quota_through_kills(tmp_path: Path) -> None:
    dice = random.Random(11)
    crawl = Crawl(tmp_path / "in", 1000, 30.0, dice)
    out, merged = tmp_path / "out", tmp_path / "merged"
    more = ("--set", "shared_lines=keep", "--rpm", "3000", "--share", tmp_path / "share")
    given = (tmp_path / "in", "-o", out, "--follow-idle-s", "8", *more)
    quota = SimulatedQuota(rpm=3000, burst_s=1.0)  # a second of patience: this machine may be busy
    settings = SimulatorSettings(latency=Latency("lognormal", 0.1), quota=quota)

    def begin(index: int) -> Any:
        return start(*given, "--partition", f"{index}/2", url=endpoint.url)

    with Simulator(settings) as endpoint:
        crawl.start()
        running = [begin(index) for index in range(2)]
        killed = 0
        for _ in range(6):
            time.sleep(dice.uniform(2.0, 6.0))
            index = dice.randrange(2)
            if running[index].poll() is None:
                running[index].send_signal(signal.SIGKILL)
                end(running[index], -signal.SIGKILL)
                killed += 1
                running[index] = begin(index)
        crawl.join()
        for process in running:
            end(process, 0)
        for index in range(2):  # what came after one had waited in vain
            end(begin(index), 0)
        report = endpoint.report()
    assert killed >= 4
    assert report["rate_limited"] == 0
    assert pairmill("merge", out, "-o", merged).returncode == 0
    check_once(crawl, merged)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_crawls_share_one_purse_through_kills(tmp_path: Path) -> None:
    dice = random.Random(12)
    crawls = [Crawl(tmp_path / f"in-{index}", 500, 15.0, dice) for index in range(2)]
    cap = 0.08
    settings = SimulatorSettings(latency=Latency("lognormal", 0.1))

    def begin(index: int, usd: float, *more: str) -> Any:
        place = (tmp_path / f"in-{index}", "-o", tmp_path / f"out-{index}")
        sharing = ("--max-usd", str(usd), "--share", tmp_path / "share", "--concurrency", "8")
        return start(*place, *sharing, *more, url=endpoint.url)

    with Simulator(settings) as endpoint:
        for crawl in crawls:
            crawl.start()
        running = [begin(index, cap) for index in range(2)]
        killed, until = 0, time.monotonic() + 120
        while any(it.poll() is None for it in running) and time.monotonic() < until:
            time.sleep(dice.uniform(1.0, 3.0))
            index = dice.randrange(2)
            if killed < 4 and running[index].poll() is None:
                running[index].send_signal(signal.SIGKILL)
                end(running[index], -signal.SIGKILL)
                killed += 1
                running[index] = begin(index, cap)
        for process in running:
            end(process, 75)
        assert killed >= 2
        assert 0.4 * cap <= float(endpoint.report()["spent_usd"]) <= cap
        for crawl in crawls:
            crawl.join()
        last = [begin(index, 10.0, "--follow-idle-s", "3") for index in range(2)]
        for process in last:
            end(process, 0)
    for index, crawl in enumerate(crawls):
        check_once(crawl, tmp_path / f"out-{index}")
