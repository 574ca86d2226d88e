"""A command with the memory that it alone took at its most."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# What the kernel says of a child counts what its parent held when it was started: a test that holds
# much would measure itself. So a small process starts the command, and notes what that one took.
_LAUNCH = """
import os, sys
child = os.spawnv(os.P_NOWAIT, sys.argv[2], sys.argv[2:])
_, status, used = os.wait4(child, 0)
open(sys.argv[1], "w").write(str(used.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def run_for_peak(
    command: list[str], note: Path, env: dict[str, str], fed: Iterable[bytes] = ()
) -> tuple[int, str, int]:
    """Run a Python command; return its exit code, what it told, and its peak memory in KiB.

    Args:
        command: Arguments of the interpreter.
        note: A file to write the peak to.
        env: The environment.
        fed: What to write to its standard input.
    """
    launch = [sys.executable, "-S", "-E", "-c", _LAUNCH, str(note), sys.executable, *command]
    with subprocess.Popen(
        launch, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        for block in fed:
            child.stdin.write(block)
        child.stdin.close()
        told = child.stderr.read().decode()
    return child.returncode, told, int(note.read_text())
