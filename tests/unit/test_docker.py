"""The manifests agree with each other, with their schemas, and with what pairmill does."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from pairmill.config import load
from pairmill.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_RESUMABLE, EXIT_USAGE

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


def manifest(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "k8s" / name).read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", ["job.yaml", "volume.yaml"])
def test_kubernetes_knows_every_field(name: str) -> None:
    kubernetes_validate.validate(manifest(name), "1.33", strict=True)


def test_the_job_numbers_its_parts_as_its_command_does() -> None:
    job = manifest("job.yaml")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    count = job["completions"]
    assert f"--partition=auto/{count}" in container["args"]
    settings = load(DOCKER / "k8s" / "run.yaml")
    assert settings.share == "/data/quota"
    assert settings.rate_share == 1
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] > settings.grace_s + 10
    assert settings.status is not None
    assert int(settings.status.rpartition(":")[2]) == container["ports"][0]["containerPort"]


def test_the_job_tries_again_what_can_go_on_and_nothing_else() -> None:
    rules = manifest("job.yaml")["spec"]["podFailurePolicy"]["rules"]
    (failing,) = [rule for rule in rules if rule["action"] == "FailIndex"]
    assert failing["onExitCodes"]["values"] == sorted([EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG])
    assert EXIT_RESUMABLE not in failing["onExitCodes"]["values"]


def test_the_image_asks_for_extras_that_there_are() -> None:
    text = (DOCKER / "Dockerfile").read_text("utf-8")
    asked = re.search(r"^ARG EXTRAS=(.+)$", text, re.MULTILINE)
    assert asked is not None
    offered = re.findall(r"^(\w+) = \[\"", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(asked[1].split(",")) <= set(offered)


def test_compose_profiles_run_one_job_each() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]
    jobs = {name: service for name, service in services.items() if "build" in service}
    assert sorted(job["profiles"][0] for job in jobs.values()) == ["llamacpp", "openai", "vllm"]
    assert all("restart" not in job for job in jobs.values())  # 78 and 1 must not loop


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_array_script_is_valid_and_can_be_started() -> None:
    script = DOCKER / "slurm.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)


def test_the_skypilot_task_recovers_what_can_go_on_and_gives_flags_that_there_are() -> None:
    task = yaml.safe_load((DOCKER / "skypilot.yaml").read_text("utf-8"))
    recovery = task["resources"]["job_recovery"]
    assert recovery == {"max_restarts_on_errors": 0, "recover_on_exit_codes": [EXIT_RESUMABLE]}
    assert task["secrets"] == {"OPENAI_API_KEY": None}  # from who launches it, never from here
    names = set(re.findall(r"\$(\w+)", task["run"]))
    assert names == set(task["envs"])
    flags = {
        flag.replace("-", "_"): task["envs"][name]
        for flag, name in re.findall(r'--([a-z-]+) "\$(\w+)"', task["run"])
    }
    given = {**flags, "output": "out", "inputs": (task["envs"]["INPUT"],)}
    numbers = {name: float(given[name]) for name in ("rpm", "max_usd")}
    settings = load(given={**given, **numbers})
    assert settings.partition == "0/8"
    assert settings.share == task["envs"]["SHARE"]
    extras = re.search(r"pairmill\[([a-z,]+)\]", task["setup"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])
