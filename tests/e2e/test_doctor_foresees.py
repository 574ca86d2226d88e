"""What ``doctor`` says of an endpoint is what a run over it comes to, however it misbehaves."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.support.cli import KEY, environment
from tests.support.corpus import write_corpus

from pairmill.simulator import Simulator, SimulatorSettings, load_scenario, scenario_names

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CHUNKS = 3
SETTINGS = {"model": {"name": "simulated", "timeout_s": 5.0}, "limits": {"endpoint_wait_s": 40.0}}
WITHOUT_V1 = ("no-v1-vllm", "no-v1-ollama", "no-v1-lmstudio", "web-page")
AT_RANDOM = ("noise-", "sick-")
PAID_FOR = {"prose-always"}  # a run of three chunks ends with 1: it reads all of them, in vain


def shows_at_once(name: str) -> bool:
    """Whether what is odd concerns the first calls, and neither chance nor later ones."""
    if name.startswith(AT_RANDOM) or name in PAID_FOR:
        return False
    told = load_scenario(name).settings
    rules = [
        rule
        for rule in told.rules
        if not rule.when.after and rule.when.chunk is None and rule.when.share is None
    ]
    return bool(rules) or told.thinking is not None


@pytest.mark.parametrize("name", [it for it in scenario_names() if shows_at_once(it)])
def test_a_run_ends_as_doctor_said(name: str, tmp_path: Path) -> None:
    write_corpus(tmp_path / "articles", CHUNKS, sentences=8)
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    codes, said = [], []
    for command in (["doctor"], ["run", "articles", "-o", "out"]):
        with Simulator(SimulatorSettings(scenario=name, seed=3)) as endpoint:
            url = endpoint.url.removesuffix("/v1") if name in WITHOUT_V1 else endpoint.url
            done = subprocess.run(
                [sys.executable, "-m", "pairmill", *command, "--config", "settings.yaml"],
                cwd=tmp_path, env=environment(url), stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=80, check=False,
            )  # fmt: skip
        codes.append(done.returncode)
        said.append(done.stdout + done.stderr)
        assert KEY not in said[-1]
    assert codes[0] == codes[1], "\n---\n".join(said)
