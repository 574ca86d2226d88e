"""Proxies, certificates, packings and echoed keys, on both wires, through the command line."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from typing import TYPE_CHECKING, Any

import brotli
import pytest
import zstandard
from tests.support.cli import KEY, environment, rows
from tests.support.corpus import write_corpus
from tests.support.strange import Answer, certificate, chat, strange_server
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.fault

WIRES = pytest.mark.parametrize("wire", ["direct", "sdk"])
DEAD = "127.0.0.1:9"


def pairs(request: dict[str, Any]) -> str:
    """An answer that any recipe of pairs can use."""
    text = " ".join(str(message["content"]) for message in request["messages"])
    long = [line for line in text.splitlines() if len(line) > 80]
    sentence = long[-1][:200] if long else "nothing"
    pair = {
        "instruction": "What does the report say about its subject, in its own words?",
        "answer": sentence,
        "evidence": sentence,
        "kind": "explain",
    }
    return json.dumps({"pairs": [pair]})


def run(
    folder: Path, url: str, wire: str, *arguments: str, command: str = "run", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run pairmill on a small corpus in an environment with some more variables."""
    corpus = write_corpus(folder / "articles", 2, 10)
    config = folder / "settings.yaml"
    settings = {"wire": wire, "checks": "off", "concurrency": 2, "endpoint_wait_s": 3}
    config.write_text(json.dumps({**settings, "structured_output": "json_schema"}), "utf-8")
    words = [command, *([str(corpus)] if command == "run" else [])]
    if command == "run":
        words += ["-o", str(folder / "out")]
    words += ["--config", str(config), *arguments]
    return subprocess.run(
        [sys.executable, "-m", "pairmill", *words],
        env={**environment(url), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def pairmill_run(corpus: Path, out: Path, config: Path) -> list[str]:
    words = ["run", str(corpus), "-o", str(out), "--config", str(config)]
    return [sys.executable, "-m", "pairmill", *words]


def good(request: dict[str, Any], _key: str) -> Answer:
    return 200, {}, chat(pairs(request))


@WIRES
def test_a_call_to_this_machine_asks_no_proxy(fast_path: Path, wire: str) -> None:
    """Fault 69."""
    proxies = {"HTTP_PROXY": f"http://{DEAD}", "ALL_PROXY": f"socks5://{DEAD}"}
    with strange_server(good) as server:
        found = run(fast_path, server.url, wire, **proxies)
    assert found.returncode == 0, found.stderr
    assert rows(fast_path / "out")


@pytest.mark.parametrize("command", ["run", "doctor"])
@WIRES
def test_a_socks_proxy_gives_one_line(fast_path: Path, wire: str, command: str) -> None:
    """Fault 69: one that is not there, or whose library is not."""
    url = "http://192.0.2.1:9/v1"
    found = run(fast_path, url, wire, command=command, ALL_PROXY=f"socks5h://{DEAD}")
    assert found.returncode in {75, 78}, found.stderr
    assert "Traceback" not in found.stderr
    assert "proxy" in (found.stderr + found.stdout)
    assert "TLS" not in found.stderr


@WIRES
def test_certificates_of_the_environment_are_trusted(fast_path: Path, wire: str) -> None:
    """Fault 70: also on the way to this machine."""
    files = certificate(fast_path)
    with strange_server(good, tls=files) as server:
        refused = run(fast_path, server.url, wire)
        assert refused.returncode == 78
        assert "TLS" in refused.stderr
        found = run(fast_path, server.url, wire, SSL_CERT_FILE=str(files.authority))
    assert found.returncode == 0, found.stderr
    assert rows(fast_path / "out")


def _raw(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize("packing", ["gzip", "deflate", "raw", "br", "zstd"])
@WIRES
def test_a_packing_that_nobody_asked_for_is_read(fast_path: Path, wire: str, packing: str) -> None:
    """Fault 71."""
    ways: dict[str, Callable[[bytes], bytes]]
    ways = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": _raw}
    ways |= {"br": brotli.compress, "zstd": zstandard.compress}
    pack = ways[packing]
    header = {"Content-Encoding": "deflate" if packing == "raw" else packing}
    with strange_server(lambda r, _: (200, header, pack(chat(pairs(r))))) as server:
        found = run(fast_path, server.url, wire)
    assert found.returncode == 0, found.stderr
    assert rows(fast_path / "out")


@WIRES
def test_a_packing_that_cannot_be_read_is_named(fast_path: Path, wire: str) -> None:
    """Fault 71: it is a matter of settings, and no waiting mends it."""
    with strange_server(lambda r, _: (200, {"Content-Encoding": "snappy"}, b"?" * 99)) as server:
        found = run(fast_path, server.url, wire)
    assert found.returncode == 78, found.stderr
    assert "'snappy'" in found.stderr
    assert len(server.asked) <= 4  # twice, and so another question that might not meet it


def spelt(key: str) -> dict[str, str]:
    """The key in forms that a search for it would miss."""
    return {
        "split": "\u200b".join(key),
        "escaped": "".join(f"\\u{ord(char):04x}" for char in key),
        "capitals": key.swapcase(),
        "plain": key,
    }


@pytest.mark.parametrize("form", ["plain", "split", "escaped", "capitals"])
@WIRES
def test_a_key_that_a_server_repeats_gets_nowhere(fast_path: Path, wire: str, form: str) -> None:
    """Fault 72: in every field of an answer, of its headers, and of a failure."""

    def repeat(request: dict[str, Any], key: str) -> Answer:
        word = spelt(key)[form]
        if len(server.asked) % 3 == 0:
            error = {"message": f"bad {word}", "type": word, "code": word, "param": word}
            return (
                500,
                {"retry-after": "0", "x-request-id": key},
                json.dumps({"error": error}).encode(),
            )
        answer = pairs(request).replace(
            "What does", f"What does {word}" if form != "split" else "Why"
        )
        headers = {f"x-ratelimit-limit-{key}": "5", "x-ratelimit-limit-requests": f"{key} 9"}
        body = chat(answer, model=word, id=word, system_fingerprint=word, object=word)
        return 200, headers, body

    with strange_server(repeat) as server:
        found = run(fast_path, server.url, wire, "--limit", "6")
        asked = run(fast_path, server.url, wire, command="doctor")
    assert "Traceback" not in found.stderr
    told = found.stderr + found.stdout + asked.stderr + asked.stdout
    assert KEY in server.keys
    hidden = [each.replace("\\", "").lower() for each in spelt(KEY).values()]
    assert not any(each in told.lower() for each in hidden)
    for path in (fast_path / "out").rglob("*"):
        if path.is_file():
            data = path.read_bytes().replace(b"\\", b"").lower()
            assert not any(each.encode() in data for each in hidden), path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@WIRES
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_signal_while_the_first_call_hangs_ends_as_resumable(
    fast_path: Path, wire: str, number: signal.Signals, *, secure: bool
) -> None:
    """Fault 73: at the probe, with no traceback."""
    files = certificate(fast_path)
    corpus = write_corpus(fast_path / "articles", 2, 10)
    config = fast_path / "settings.yaml"
    config.write_text(json.dumps({"wire": wire}), "utf-8")
    with strange_server(lambda _request, _key: None, tls=files if secure else None) as server:
        child = subprocess.Popen(
            pairmill_run(corpus, fast_path / "out", config),
            env={**environment(server.url), "SSL_CERT_FILE": str(files.authority)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(lambda: bool(server.asked))
            began = time.monotonic()
            child.send_signal(number)
            _, told = child.communicate(timeout=10)
        finally:
            child.kill()
        assert child.returncode == 75, told
        assert time.monotonic() - began < 5
        assert "Traceback" not in told


def test_two_signals_that_arrive_together_are_one(fast_path: Path) -> None:
    """Fault 74: GNU timeout, systemd and supervisors signal a process and its group."""
    corpus = write_corpus(fast_path / "articles", 4, 10)
    config = fast_path / "settings.yaml"
    config.write_text(json.dumps({"structured_output": "json_schema", "checks": "off"}), "utf-8")

    def slow(request: dict[str, Any], key: str) -> Answer:
        time.sleep(1.5)
        return good(request, key)

    for turn in range(4):
        out = fast_path / f"out-{turn}"
        with strange_server(slow) as server:
            child = subprocess.Popen(
                pairmill_run(corpus, out, config),
                env=environment(server.url),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                text=True,
            )
            try:
                wait_until(lambda server=server: len(server.asked) >= 4)  # type: ignore[misc]
                child.send_signal(signal.SIGTERM)
                os.killpg(child.pid, signal.SIGTERM)
                _, told = child.communicate(timeout=20)
            finally:
                child.kill()
        assert child.returncode in {0, 75}, told
        assert len({row["chunk_id"] for row in rows(out)}) == 4, "what was in flight was let go"


def test_a_signal_before_anything_is_loaded_ends_as_resumable(fast_path: Path) -> None:
    """Fault 75: from the first moment that is ours."""
    hook = fast_path / "sitecustomize.py"
    path = f"{fast_path}:{os.environ.get('PYTHONPATH', '')}"
    # The moment at which the command line begins to load, made long.
    hook.write_text(
        "import sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'pairmill.cli':\n"
        "            open(sys.argv[0] and 'loading', 'w').close()\n"
        "            time.sleep(20)\n"
        "sys.meta_path.insert(0, Slow())\n"
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        mark = fast_path / "loading"
        mark.unlink(missing_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-m", "pairmill", "run", "x", "-o", "out"],
            cwd=fast_path,
            env={**environment(None), "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(mark.exists)
            child.send_signal(number)
            _, told = child.communicate(timeout=10)
        finally:
            child.kill()
        assert child.returncode == 75, told
        assert "run the same command again to resume" in told
