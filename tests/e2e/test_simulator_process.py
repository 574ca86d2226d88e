"""The simulated endpoint as a child process, and its ceiling."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
import trustme

from pairmill.commands.simulate import simulate
from pairmill.errors import ConfigError
from pairmill.simulator import (
    ScheduledStep,
    SimulatedPrices,
    SimulatorProcess,
    SimulatorSettings,
    TlsFiles,
    run_cli,
    scenario_names,
)
from pairmill.simulator.ceiling import make_requests, measure_ceiling

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "pairmill.simulator"]


def ask(url: str) -> int:
    body = make_requests(1)[0].partition(b"\r\n\r\n")[2]
    request = urllib.request.Request(f"{url}/chat/completions", body)
    with urllib.request.urlopen(request, timeout=10) as response:
        return int(response.status)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_serves_reports_and_ends() -> None:
    with SimulatorProcess(SimulatorSettings(prices=SimulatedPrices(), api_keys=("k",))) as endpoint:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(endpoint.url)
        assert endpoint.report()["by_status"] == {"401": 1}
        endpoint.reset()
        assert endpoint.report(attempts=True)["attempts_of"] == {}
        pid = endpoint.pid
    assert not is_alive(pid)


def test_a_process_takes_a_script() -> None:
    with SimulatorProcess() as endpoint:
        endpoint.script(ScheduledStep(status=201, body={}))
        assert [ask(endpoint.url), ask(endpoint.url)] == [201, 200]
        with pytest.raises(ConfigError, match="no fault is called 'hung'"):
            endpoint.script(ScheduledStep(fault="hung"))


def test_a_process_ends_with_its_parent() -> None:
    code = (
        "import os, signal\n"
        "from pairmill.simulator import SimulatorProcess\n"
        "with SimulatorProcess() as endpoint:\n"
        "    print(endpoint.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    until = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_one_line_and_ends_on_a_signal(number: int, tmp_path: Path) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text("content: canned\n")
    with subprocess.Popen(
        [*COMMAND, "--settings", str(file), "--seed", "4"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        url = json.loads(child.stdout.readline())["url"]
        assert ask(url) == 200
        child.send_signal(number)
        assert child.stdout.read() == b""
        assert child.stderr.read() == b""
    assert child.returncode == 0


def test_bad_settings_are_one_plain_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text("faults: {rates: {hung: 0.5}}\n")
    assert run_cli(["--settings", str(file)]) == 78
    assert capsys.readouterr().err.startswith("simulator: no fault is called 'hung'")
    file.write_text("slots: many\n")
    assert run_cli(["--settings", str(file)]) == 78
    error = capsys.readouterr().err
    assert error.startswith("simulator: slots: ")
    assert error.count("\n") == 1


def test_a_taken_port_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with SimulatorProcess() as endpoint:
        port = endpoint.url.rpartition(":")[2].partition("/")[0]
        assert run_cli(["--port", port]) == 1
    assert capsys.readouterr().err.startswith(f"simulator: cannot listen on port {port}: ")


def test_the_ceiling_is_measured() -> None:
    found = measure_ceiling(
        SimulatorSettings(content="canned"), seconds=0.5, connections=8, depth=2
    )
    # Far below what an idle core does, since a test machine is never idle.
    assert found.per_core_second > 3000
    assert 2000 < found.response_bytes < 3500


def test_scenarios_are_listed_and_an_unknown_one_is_one_plain_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    simulate(list_scenarios=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(scenario_names())
    assert lines[0].startswith("account-anthropic  ")
    assert run_cli(["--scenario", "account-nobody"]) == 78
    assert capsys.readouterr().err.count("\n") == 1
    file = tmp_path / "mine.yaml"
    file.write_text("rules: [{when: {chunks: 3}}]\n")
    assert run_cli(["--scenario", str(file)]) == 78
    error = capsys.readouterr().err
    assert "rules.0.when.chunks" in error
    assert error.count("\n") == 1


def test_a_process_plays_a_scenario_over_https_and_keeps_the_requests(tmp_path: Path) -> None:
    own = trustme.CA().issue_cert("127.0.0.1")
    own.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    own.private_key_pem.write_to_path(tmp_path / "server.key")
    tls = TlsFiles(str(tmp_path / "server.pem"), str(tmp_path / "server.key"))
    settings = SimulatorSettings(scenario="thinking", keep_requests=5, tls=tls)
    with SimulatorProcess(settings) as endpoint:
        assert endpoint.url.startswith("https://127.0.0.1:")
        body = make_requests(1)[0].partition(b"\r\n\r\n")[2]
        request = urllib.request.Request(f"{endpoint.url}/chat/completions", body)
        anyone = ssl._create_unverified_context()
        with urllib.request.urlopen(request, timeout=10, context=anyone) as response:
            assert json.loads(response.read())["usage"]["completion_tokens_details"]
        assert [it["model"] for it in endpoint.requests()] == ["simulated"]
        assert endpoint.report()["thought_tokens"] > 0
    with (
        pytest.raises(ConfigError, match="did not start"),
        SimulatorProcess(SimulatorSettings(tls=TlsFiles("none.pem", "none.key"))),
    ):
        pass
