from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import ConfigError
from pairmill.startup import read_secret_files

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_key_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text(" sk-1\n")
    environ = {
        "OPENAI_API_KEY_FILE": str(secret),
        "HF_TOKEN_FILE": str(secret),
        "HF_TOKEN": "given",
        "SSL_CERT_FILE": "/nowhere",
        "LOG_FILE": "/nowhere",
    }
    read_secret_files(environ)
    assert environ["OPENAI_API_KEY"] == "sk-1"
    assert environ["HF_TOKEN"] == "given"
    assert not {"SSL_CERT", "LOG"} & environ.keys()


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_key_is_told_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    secret = tmp_path / "key"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^OPENAI_API_KEY_FILE: "):
        read_secret_files({"OPENAI_API_KEY_FILE": str(secret)})
