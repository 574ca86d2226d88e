from __future__ import annotations

import subprocess
import sys

HEAVY = {"openai", "httpx2", "pydantic", "pydantic_core", "pyreqwest", "yaml", "anyio"}
PROBE = """
import sys
from pairmill.cli import main
sys.argv = ["pairmill", *sys.argv[1:]]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_help_loads_nothing_heavy() -> None:
    assert not loaded_by("--help") & HEAVY


def test_the_direct_wire_does_not_load_the_sdk() -> None:
    probe = "import sys, pairmill.llm.providers.direct; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
