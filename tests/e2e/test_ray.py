"""A run on a Ray cluster of two nodes on loopback, whose workers are killed."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import environment, pairmill, rows
from tests.support.corpus import article
from tests.support.exports import exported, same_files
from tests.support.s3_server import BUCKET, s3_server

from pairmill.simulator import Latency, SimulatedQuota, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pairmill[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PARTS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two nodes of two CPUs each; yields the address."""
    from ray.cluster_utils import Cluster

    before = {name: os.environ.get(name) for name in ("RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE")}
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    node = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80_000_000}
    started = Cluster(initialize_head=True, head_node_args=node)
    try:
        started.add_node(num_cpus=2, object_store_memory=80_000_000)
    except Exception:  # noqa: BLE001 (its own; it waits 30 s, and a busy machine may need more)
        started.add_node(num_cpus=2, object_store_memory=80_000_000)
    yield str(started.address)
    started.shutdown()  # type: ignore[no-untyped-call]
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


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


def write(folder: Path, articles: int) -> None:
    lines = (json.dumps({"text": article(number, 8)}) + "\n" for number in range(articles))
    (folder / "in.jsonl").write_text("".join(lines), "utf-8")


def begin(folder: Path, url: str, cluster: str, *more: str) -> subprocess.Popen[str]:
    command = ["run", str(folder / "in.jsonl"), "-o", str(folder / "out"), "--engine", "ray"]
    address = ["--ray-address", cluster, "--partitions", str(PARTS)]
    STARTED.append(
        subprocess.Popen(
            [sys.executable, "-m", "pairmill", *command, *address, *more],
            env=environment(url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    return STARTED[-1]


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=200)
    return process.returncode, errors


def worker(folder: Path, index: int) -> int | None:
    """The process that works on a part now."""
    with suppress(OSError, ValueError):
        lock = folder / "out-parts" / f"part-{index}-of-{PARTS}" / ".run" / "lock"
        found = re.search(r"\d+", lock.read_text("utf-8"))
        return int(found[0]) if found else None
    return None


def kill_some(
    process: subprocess.Popen[str], folder: Path, endpoint: Simulator, kills: int, every: int
) -> int:
    """Kill workers of parts while the run is under way; return how many."""
    dice, killed, at = random.Random(4), 0, every
    while killed < kills and process.poll() is None:
        time.sleep(0.1)
        answered = endpoint.report()["answered"]
        pid = worker(folder, dice.randrange(PARTS))
        if answered < at or pid is None:
            continue
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed, at = killed + 1, answered + every
    return killed


def test_killed_workers_on_two_nodes_make_what_one_process_makes(
    tmp_path: Path, cluster: str
) -> None:
    write(tmp_path, 240)
    with Simulator(SimulatorSettings(latency=Latency("fixed", 0.3))) as endpoint:
        alone = pairmill("run", tmp_path / "in.jsonl", "-o", tmp_path / "alone", url=endpoint.url)
        assert alone.returncode == 0, alone.stderr
        endpoint.reset()
        running = begin(tmp_path, endpoint.url, cluster, "--concurrency", "8")
        killed = kill_some(running, tmp_path, endpoint, 3, 40)
        code, errors = finish(running)
        assert code == 0, errors
        assert killed == 3
        lost = re.findall(r"worker \d+ lost", errors)
        assert 2 <= len(lost) <= 3, errors  # the last one may have been at its end
        assert same_files(exported(tmp_path / "alone"), exported(tmp_path / "out"))
        last = [json.loads(line) for line in errors.splitlines() if '"progress"' in line][-1]
        assert last["done"] == last["total"] == 240
        assert last["pairs"] == len(rows(tmp_path / "out"))
        assert endpoint.report()["bought_again"] <= 3 * 8 + 10

        billed = endpoint.report()["requests"]
        code, errors = finish(begin(tmp_path, endpoint.url, cluster))
        assert (code, endpoint.report()["requests"]) == (0, billed), errors
        assert "nothing new in 240 chunks" in errors

        write(tmp_path, 260)  # new articles: the parts go on, and are merged anew
        code, errors = finish(begin(tmp_path, endpoint.url, cluster))
        assert code == 0, errors
        assert endpoint.report()["requests"] <= billed + 25
        again = pairmill("run", tmp_path / "in.jsonl", "-o", tmp_path / "alone", url=endpoint.url)
        assert again.returncode == 0, again.stderr
    assert len({row["chunk_id"] for row in rows(tmp_path / "out")}) > 240
    assert {row["id"] for row in rows(tmp_path / "alone")} == {
        row["id"] for row in rows(tmp_path / "out")
    }


def test_a_signal_ends_all_parts_and_the_same_command_goes_on(tmp_path: Path, cluster: str) -> None:
    write(tmp_path, 300)
    with Simulator(SimulatorSettings(latency=Latency("fixed", 0.5))) as endpoint:
        running = begin(tmp_path, endpoint.url, cluster, "--concurrency", "8")
        while endpoint.report()["answered"] < 60:
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        code, errors = finish(running)
        assert code == 75, errors
        assert "stopped by SIGTERM" in errors.splitlines()[-1]
        assert "run the same command again to resume" in errors.splitlines()[-1]
        assert endpoint.report()["abandoned"] == 0
        bought = endpoint.report()["bought_again"]
        code, errors = finish(begin(tmp_path, endpoint.url, cluster, "--concurrency", "64"))
        assert code == 0, errors
        assert endpoint.report()["bought_again"] - bought <= 5  # repairs ask again, too
    assert len({row["chunk_id"] for row in rows(tmp_path / "out")}) >= 290


def test_one_part_with_most_of_the_work_gets_most_of_the_quota(
    tmp_path: Path, cluster: str
) -> None:
    write(tmp_path, 1800)
    parts = tmp_path / "out-parts"
    with Simulator() as endpoint:  # all parts but the first have done most of theirs
        for index in range(1, PARTS):
            done = pairmill(
                *("run", tmp_path / "in.jsonl", "-o", parts, "--partition", f"{index}/{PARTS}"),
                *("--limit", "1730"),
                url=endpoint.url,
            )
            assert done.returncode == 0, done.stderr
    quota = SimulatedQuota(rpm=1200, burst_s=1.0)  # a second of patience: this machine may be busy
    settings = SimulatorSettings(quota=quota, latency=Latency("fixed", 0.3))
    with Simulator(settings) as endpoint:
        code, errors = finish(begin(tmp_path, endpoint.url, cluster, "--rpm", "1200"))
        assert code == 0, errors
        report = endpoint.report()
    assert report["rate_limited"] == 0
    answered = [row[0] for row in report["seconds"]]
    total = sum(answered)
    cumulated = [sum(answered[: at + 1]) for at in range(len(answered))]
    begun = next(at for at, count in enumerate(cumulated) if count > 0.25 * total)
    last = next(at for at, count in enumerate(cumulated) if count > 0.95 * total)
    used = (cumulated[last - 1] - cumulated[begun]) / (last - 1 - begun) / 20.0
    assert used >= 0.95, (used, answered)


def test_one_cap_holds_for_all_parts_whoever_is_killed(tmp_path: Path, cluster: str) -> None:
    write(tmp_path, 1200)
    cap = 0.10
    more = ("--max-usd", str(cap), "--concurrency", "16")
    with Simulator(SimulatorSettings(latency=Latency("lognormal", 0.4))) as endpoint:
        running = begin(tmp_path, endpoint.url, cluster, *more)
        killed = kill_some(running, tmp_path, endpoint, 4, 50)
        code, errors = finish(running)
        spent = float(endpoint.report()["spent_usd"])
        assert killed >= 2
        assert code == 75, errors
        assert "the cap of $0.10 is reached" in errors.splitlines()[-1]
        assert 0.7 * cap <= spent <= cap  # calls in flight at a kill count at their worst
        code, errors = finish(begin(tmp_path, endpoint.url, cluster, *more))  # it stays reached
        assert code == 75, errors
        assert float(endpoint.report()["spent_usd"]) <= cap


def test_parts_in_a_store_go_on_on_another_machine_from_what_was_uploaded(
    tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    write(tmp_path, 160)
    work = tmp_path / "work"
    sets = (f"work_dir={work}", "upload_s=0.5", "lease_s=4")
    more = [flag for each in sets for flag in ("--set", each)]
    with (
        s3_server() as keys,
        Simulator(SimulatorSettings(latency=Latency("fixed", 0.4))) as endpoint,
    ):
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{BUCKET}/set"
        alone = pairmill("run", tmp_path / "in.jsonl", "-o", tmp_path / "alone", url=endpoint.url)
        assert alone.returncode == 0, alone.stderr
        endpoint.reset()
        running = begin(tmp_path, endpoint.url, cluster, "-o", url, "--concurrency", "8", *more)
        parts = work / "dataset-parts"
        lost = lose_a_machine(running, parts, endpoint, 40)
        code, errors = finish(running)
        assert code == 0, errors
        assert f"restored from {url}-parts/{lost}" in errors
        assert url in errors.splitlines()[-1] or f"pairs in {url}" in errors
        assert endpoint.report()["bought_again"] <= 60  # some seconds of one part's answers
        status = pairmill("status", url, "--json")
        assert json.loads(status.stdout)["pairs"] == len(rows(tmp_path / "alone"))
        assert same_files(exported(tmp_path / "alone"), exported(work / "dataset"))

        shutil.rmtree(work)  # the driver's machine is another, too
        billed = endpoint.report()["requests"]
        code, errors = finish(begin(tmp_path, endpoint.url, cluster, "-o", url, *more))
        assert (code, endpoint.report()["requests"]) == (0, billed), errors
        write(tmp_path, 170)
        code, errors = finish(begin(tmp_path, endpoint.url, cluster, "-o", url, *more))
        assert code == 0, errors
        fetched = pairmill("fetch", url, "-o", tmp_path / "copy")
        assert fetched.returncode == 0, fetched.stderr
    assert len({row["chunk_id"] for row in rows(tmp_path / "copy")}) > 155


def lose_a_machine(
    process: subprocess.Popen[str], parts: Path, endpoint: Simulator, answered: int
) -> str:
    """Kill the worker of one part, and remove all that its machine has of it."""
    while endpoint.report()["answered"] < answered:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    for name in (f"part-{index}-of-{PARTS}" for index in range(PARTS)):
        with suppress(OSError, ValueError, TypeError):
            lock = (parts / name / ".run" / "lock").read_text("utf-8")
            found = re.search(r"\d+", lock)
            assert found is not None
            os.kill(int(found[0]), signal.SIGKILL)
            shutil.rmtree(parts / name, ignore_errors=True)
            shutil.rmtree(parts / f".{name}.replica", ignore_errors=True)
            return name
    raise AssertionError("no part is at work")


def test_pairs_are_a_dataset_of_ray_and_its_rows_are_documents(
    tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
import json, sys, ray, pairmill
from pairmill.ray import read_pairs
ray.init(address=sys.argv[1], log_to_driver=False)
texts = [json.loads(line) for line in open("in.jsonl")]
summary = pairmill.generate(ray.data.from_items(texts), output="out", engine="ray", partitions=2)
pairs = read_pairs("out")
parts = read_pairs("out-parts")
kept = pairs.filter(lambda row: row["support"] is not None).count()
print(json.dumps([summary.exit_code, summary.pairs, pairs.count(), parts.count(), kept,
    str(pairs.take(1)[0]["created"])[:2], sorted(pairs.schema().names)[:2]]))
"""
    write(tmp_path, 30)
    with Simulator() as endpoint:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [sys.executable, "-c", script, cluster],
            cwd=tmp_path,
            env=environment(endpoint.url),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    assert found == [0, found[1], found[1], found[1], found[1], "20", ["alternative", "answer"]]
    assert found[1] == len(rows(tmp_path / "out")) >= 28
