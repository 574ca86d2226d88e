"""A run on a real S3 server, with kills and lost machines; one quota shared through the same.

Some of it also on Azure's emulator, where that is installed: see ``tests.support.azure_server``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from tests.support.azure_server import AZURITE, CONTAINER, azure_server
from tests.support.cli import rows, start
from tests.support.corpus import article
from tests.support.s3_server import BUCKET, s3_environment, s3_process, s3_server

from pairmill.objects.url import open_store
from pairmill.simulator import Latency, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("obstore")
pytest.importorskip("moto")
pytestmark = [pytest.mark.slow, pytest.mark.fault, pytest.mark.timeout(600)]

UPLOAD_S, LEASE_S, WIDTH = 1.0, 10.0, 8


@pytest.fixture(params=["s3", "az"])
def cloud(request: pytest.FixtureRequest) -> Iterator[str]:
    """A place in a store of either kind."""
    if request.param == "az" and AZURITE is None:
        pytest.skip("Azurite is not installed: npm install -g azurite")
    serve, name = (s3_server, BUCKET) if request.param == "s3" else (azure_server, CONTAINER)
    with serve() as environment, patch.dict(os.environ, environment):
        yield f"{request.param}://{name}/run"


@pytest.fixture
def s3() -> Iterator[str]:
    with s3_server() as environment, patch.dict(os.environ, environment):
        yield f"s3://{BUCKET}/run"


def write(folder: Path, articles: int) -> None:
    lines = (json.dumps({"text": article(number, 8)}) + "\n" for number in range(articles))
    (folder / "in.jsonl").write_text("".join(lines), "utf-8")


def given(folder: Path, url: str, machine: str, *more: str) -> tuple[str | Path, ...]:
    sets = (f"work_dir={folder / machine}", f"upload_s={UPLOAD_S}", f"lease_s={LEASE_S}")
    flags = (flag for each in sets for flag in ("--set", each))
    named = ("--model", "m", "--concurrency", str(WIDTH), "-q")
    return ("run", folder / "in.jsonl", "-o", url, *named, *flags, *more)


def finish(*arguments: str | Path, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``pairmill`` to its end, however busy this machine is."""
    process = start(*arguments, url=url)
    output, errors = process.communicate(timeout=240)
    return subprocess.CompletedProcess([], process.returncode, output, errors)


def slow_endpoint() -> Simulator:
    return Simulator(SimulatorSettings(latency=Latency("fixed", 0.3)))


def wait_for(endpoint: Simulator, answered: int, process: Any) -> None:
    until = time.monotonic() + 120
    while endpoint.report()["answered"] < answered and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.05)


def published(url: str) -> list[dict[str, Any]]:
    store = open_store(url, "test")
    found = []
    for name in store.names("data"):
        got = store.get(name)
        assert got is not None
        found += [json.loads(line) for line in got[0].splitlines()]
    return found


def test_machines_are_lost_and_at_most_the_last_seconds_are_bought_again(
    tmp_path: Path, cloud: str
) -> None:
    write(tmp_path, 300)
    dice = random.Random(5)
    losses = 3
    with slow_endpoint() as endpoint:
        for number in range(losses):
            process = start(*given(tmp_path, cloud, f"m{number}"), url=endpoint.url)
            wait_for(endpoint, 70 * (number + 1) + dice.randrange(20), process)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            shutil.rmtree(tmp_path / f"m{number}")
        last = finish(*given(tmp_path, cloud, "last"), url=endpoint.url)
        answered = endpoint.report()["answered"]
    with slow_endpoint() as endpoint:
        plain = finish(
            *("run", tmp_path / "in.jsonl", "-o", tmp_path / "plain", "-q"),
            *("--model", "m", "--concurrency", str(WIDTH)),
            url=endpoint.url,
        )
        needed = endpoint.report()["answered"]
    assert (last.returncode, plain.returncode) == (0, 0), last.stderr + plain.stderr
    # What N seconds bring at most, the upload and calls in flight; this machine may be slow.
    per_loss = (UPLOAD_S + 3.0) * WIDTH / 0.3 + WIDTH
    assert answered - needed <= losses * per_loss
    ids = [row["id"] for row in rows(tmp_path / "last" / "dataset")]
    assert len(ids) == len(set(ids))
    assert set(ids) == {row["id"] for row in rows(tmp_path / "plain")}
    assert sorted(row["id"] for row in published(cloud)) == sorted(ids)


def test_killed_on_one_machine_nothing_is_bought_again(tmp_path: Path, s3: str) -> None:
    write(tmp_path, 150)
    kills = 3
    with slow_endpoint() as endpoint:
        for number in range(kills):
            process = start(*given(tmp_path, s3, "one"), url=endpoint.url)
            wait_for(endpoint, 40 * (number + 1), process)
            process.send_signal(signal.SIGKILL)
            _, told = process.communicate(timeout=60)
            assert "waiting" not in told
        last = finish(*given(tmp_path, s3, "one"), url=endpoint.url)
        answered = endpoint.report()["answered"]
    found = rows(tmp_path / "one" / "dataset")
    assert last.returncode == 0, last.stderr
    assert answered <= 150 * 1.1 + kills * 2 * WIDTH
    assert sorted(row["id"] for row in published(s3)) == sorted(row["id"] for row in found)


def test_of_two_processes_one_stops_with_75_and_writes_nothing(tmp_path: Path, cloud: str) -> None:
    write(tmp_path, 120)
    url = f"{cloud}/x"
    part = f"{url}/part-0-of-2"
    with Simulator(SimulatorSettings(latency=Latency("fixed", 200.0))) as endpoint:
        first = start(*given(tmp_path, url, "one", "--partition", "0/2"), url=endpoint.url)
        store, until = open_store(part, "test"), time.monotonic() + 120
        while not store.names("log"):
            assert time.monotonic() < until
            time.sleep(0.1)
        second = finish(*given(tmp_path, url, "two", "--partition", "0/2"), url=endpoint.url)
        other = finish(*given(tmp_path, url, "two", "--partition", "0/3"), url=endpoint.url)
        is_running = first.poll() is None
        first.send_signal(signal.SIGTERM)
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=120)
    assert is_running
    assert second.returncode == 75, second.stderr
    assert "works on it; stopping" in second.stderr.splitlines()[-1]
    assert other.returncode == 78, other.stderr
    assert "holds parts of 2" in other.stderr
    with Simulator(SimulatorSettings()) as endpoint:
        last = finish(*given(tmp_path, url, "one", "--partition", "0/2"), url=endpoint.url)
    assert last.returncode == 0, last.stderr
    found = sorted(row["id"] for row in published(part))
    assert len(set(found)) == len(found)
    assert found == sorted(row["id"] for row in rows(tmp_path / "one/dataset/part-0-of-2"))


def test_who_was_suspended_while_another_took_over_stops_with_75(tmp_path: Path, s3: str) -> None:
    write(tmp_path, 200)
    with slow_endpoint() as endpoint:
        first = start(*given(tmp_path, s3, "one"), url=endpoint.url)
        wait_for(endpoint, 40, first)
        first.send_signal(signal.SIGSTOP)
        second = finish(*given(tmp_path, s3, "two"), url=endpoint.url)
        first.send_signal(signal.SIGCONT)
        _, told = first.communicate(timeout=120)
        again = finish(*given(tmp_path, s3, "one"), url=endpoint.url)
    assert second.returncode == 0, second.stderr
    assert first.returncode == 75, told
    assert "has taken it over" in told
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "one" / "dataset.behind-1").is_dir()
    found = rows(tmp_path / "two" / "dataset")
    assert {row["id"] for row in rows(tmp_path / "one" / "dataset")} == {row["id"] for row in found}
    assert len(published(s3)) == len(found)


def test_a_store_that_hangs_past_the_lease_is_waited_for_and_nothing_is_asked_meanwhile(
    tmp_path: Path,
) -> None:
    write(tmp_path, 200)
    lease = ("--set", "lease_s=6")
    with s3_process() as (environment, server), patch.dict(os.environ, environment):
        url = f"s3://{BUCKET}/run"
        with slow_endpoint() as endpoint:
            loud = (each for each in given(tmp_path, url, "one", *lease) if each != "-q")
            process = start(*loud, url=endpoint.url)
            wait_for(endpoint, 40, process)
            server.send_signal(signal.SIGSTOP)
            time.sleep(7.0)  # a lease, and the calls that were in flight
            held = endpoint.report()["answered"]
            time.sleep(4.0)
            still = endpoint.report()["answered"]
            is_running = process.poll() is None
            server.send_signal(signal.SIGCONT)
            _, told = process.communicate(timeout=240)
            answered = endpoint.report()["answered"]
    assert is_running, told
    assert held == still < 200
    assert process.returncode == 0, told
    assert "nothing new is asked until it can be written to" in told
    assert "answers again: going on" in told
    assert answered <= 200 * 1.1 + WIDTH


def test_parts_in_a_bucket_are_read_and_merged_by_their_url(tmp_path: Path, s3: str) -> None:
    write(tmp_path, 40)
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with Simulator(SimulatorSettings()) as endpoint, patch.dict(os.environ, environment):
        parts = [
            start(*given(tmp_path, s3, "m", "--partition", f"{at}/2"), url=endpoint.url)
            for at in range(2)
        ]
        ended = [(process.communicate(timeout=120)[1], process.returncode) for process in parts]
        shutil.rmtree(tmp_path / "m")
        merged = finish("merge", s3, "-o", tmp_path / "merged")
        status = finish("status", f"{s3}/part-0-of-2", "--json")
        around = finish("show", s3)
        shown = finish("show", f"{s3}/part-1-of-2", "--seed", "1")
        exported = finish("export", f"{s3}/part-1-of-2", "-o", tmp_path / "export")
        viewed = finish("view", s3)
        fetched = finish("fetch", f"{s3}/part-0-of-2", "-o", tmp_path / "fetched")
        plain = finish(
            "run", tmp_path / "in.jsonl", "-o", tmp_path / "plain", "--model", "m", url=endpoint.url
        )
    assert [code for _, code in ended] == [0, 0], ended
    assert merged.returncode == 0, merged.stderr
    assert plain.returncode == 0, plain.stderr
    assert {row["id"] for row in rows(tmp_path / "merged")} == {
        row["id"] for row in rows(tmp_path / "plain")
    }
    assert json.loads(status.stdout)["pairs"] == len(rows(tmp_path / "fetched"))
    assert shown.returncode == exported.returncode == fetched.returncode == 0
    assert around.returncode == 2
    assert "holds 2 parts: name one, such as" in around.stderr
    assert viewed.returncode == 2
    assert "pairmill fetch" in viewed.stderr


def test_a_quota_is_shared_through_the_bucket(tmp_path: Path, s3: str) -> None:
    write(tmp_path, 60)
    more = ("--share", f"s3://{BUCKET}/quota", "--max-usd", "0.02", "--model", "gpt-4o-mini")
    with Simulator(SimulatorSettings(latency=Latency("fixed", 0.1))) as endpoint:
        parts = [
            start(*given(tmp_path, s3, "m", "--partition", f"{at}/2", *more), url=endpoint.url)
            for at in range(2)
        ]
        ended = [(process.communicate(timeout=200)[1], process.returncode) for process in parts]
        spent = float(endpoint.report()["spent_usd"])
    assert {code for _, code in ended} <= {0, 75}, ended
    assert 0.0 < spent <= 0.02


def test_a_server_without_if_match_is_refused(tmp_path: Path) -> None:
    """Localbucket is a real server that honours If-None-Match, and ignores If-Match."""
    pytest.importorskip("localbucket")
    write(tmp_path, 1)
    (tmp_path / "root" / BUCKET).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys, localbucket; sys.exit(localbucket.main())"
    server = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "root"), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        with patch.dict(os.environ, s3_environment(port)):
            url = f"s3://{BUCKET}/run"
            run = finish(*given(tmp_path, url, "one"), url="http://127.0.0.1:9/v1")
            shared = ("--share", f"s3://{BUCKET}/quota")
            local = ("run", tmp_path / "in.jsonl", "-o", tmp_path / "out", "--model", "m")
            quota = finish(*local, *shared, url="http://127.0.0.1:9/v1")
    finally:
        server.kill()
        server.wait()
    assert (run.returncode, quota.returncode) == (78, 78), run.stderr + quota.stderr
    assert f"output: s3://{BUCKET}/run does not honour conditional writes" in run.stderr
    assert "share: " in quota.stderr
    assert "does not honour conditional writes" in quota.stderr
    left = [path.name for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert all(name.startswith("probe-") for name in left)  # it cannot delete either


def wait_for_port(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    pytest.fail("the server did not start")


def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, cloud: str) -> None:
    write(tmp_path, 1)
    url = cloud.replace(BUCKET, "another-bucket")
    found = finish(*given(tmp_path, url, "one"), url="http://127.0.0.1:9/v1")
    assert found.returncode == 78, found.stderr
    kind = "bucket" if url.startswith("s3") else "container"
    assert found.stderr.strip() == f"pairmill: output: {url}: there is no such {kind}"
