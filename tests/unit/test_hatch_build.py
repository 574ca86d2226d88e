from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The build hook, which only its build environment can import as it is."""
    interface: Any = ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = object
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hook(build: ModuleType, root: Path, warned: list[str]) -> Any:
    made = build.SpeedupsHook()
    made.root, made.target_name = str(root), "wheel"
    made.app = SimpleNamespace(display_warning=warned.append)
    return made


def source_in(root: Path, build: ModuleType, text: str) -> None:
    path = root / build.SOURCE
    path.parent.mkdir(parents=True)
    path.write_text(text, "utf-8")


def test_a_source_that_does_not_compile_leaves_a_pure_wheel_and_says_why(
    build: ModuleType, tmp_path: Path
) -> None:
    source_in(tmp_path, build, "this is not C\n")
    warned: list[str] = []
    data: dict[str, Any] = {"artifacts": []}
    hook(build, tmp_path, warned).initialize("standard", data)
    assert data == {"artifacts": []}
    assert len(warned) == 1
    assert not (tmp_path / build.BUILT).exists()


@pytest.mark.parametrize("linker", ["", "no-such-compiler -shared"])
def test_no_compiler_is_a_sentence(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linker: str
) -> None:
    source_in(tmp_path, build, "int x;\n")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _name: linker)
    found = build.compile_extension(tmp_path / build.SOURCE, tmp_path / build.BUILT)
    assert "link" in found or "no-such-compiler" in found


def test_missing_headers_are_a_sentence(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    assert "headers" in build.compile_extension(tmp_path / "a.c", tmp_path / "a.so")


def test_an_sdist_compiles_nothing(build: ModuleType, tmp_path: Path) -> None:
    warned: list[str] = []
    made = hook(build, tmp_path, warned)
    made.target_name = "sdist"
    made.initialize("standard", {"artifacts": []})
    assert not warned


def test_what_is_built_is_a_module_and_part_of_the_wheel(build: ModuleType, tmp_path: Path) -> None:
    source_in(tmp_path, build, (ROOT / build.SOURCE).read_text("utf-8"))
    warned: list[str] = []
    data: dict[str, Any] = {"artifacts": []}
    hook(build, tmp_path, warned).initialize("standard", data)
    if warned:
        pytest.skip(warned[0])
    assert data == {
        "artifacts": ["src/pairmill/quality/_speedups.abi3.so"],
        "pure_python": False,
        "infer_tag": True,
    }
    spec = importlib.util.spec_from_file_location("_speedups", tmp_path / build.BUILT)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lexicon = module.Lexicon(lambda word: (word, 0), 8)
    assert module.Text(lexicon, b"one two one", b"").distinct == 2
