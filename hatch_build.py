"""Compile the checks' inner loops at installation; without a compiler, pairmill works without."""

from __future__ import annotations

import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("src/pairmill/quality/_speedups.c")
BUILT = SOURCE.with_suffix(".abi3.so")


class SpeedupsHook(BuildHookInterface):
    """Builds ``_speedups`` beside its source, for wheels and for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (hatchling's)
        """Build it, and name the wheel after this platform if that worked."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        problem = compile_extension(root / SOURCE, root / BUILT)
        if problem:
            self.app.display_warning(f"the checks will run without compiled loops: {problem}")
            return
        build_data["artifacts"].append(BUILT.as_posix())
        build_data["pure_python"] = False
        build_data["infer_tag"] = True


def compile_extension(source: Path, built: Path) -> str:
    """Compile a C file to an extension module; return what is missing, or ""."""
    linker = shlex.split(sysconfig.get_config_var("LDSHARED") or "")
    include = sysconfig.get_path("include")
    if not linker:
        return "this Python does not say how extensions are linked"
    if not Path(include, "Python.h").is_file():
        return "the headers of this Python are not installed"
    fresh = built.with_name(f"{built.name}.new")
    command = [*linker, "-O2", "-fPIC", f"-I{include}", str(source), "-o", str(fresh)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode:
        return (
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the compiler failed"
        )
    fresh.replace(built)
    return ""
