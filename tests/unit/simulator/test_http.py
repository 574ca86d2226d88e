from __future__ import annotations

import subprocess
import sys


def test_without_the_extra_the_message_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['httptools'] = sys.modules['uvloop'] = None\n"
        "from pairmill.simulator import run_cli\n"
        "sys.exit(run_cli([]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 78
    assert done.stderr == (b"the simulated endpoint needs httptools: install pairmill[simulate]\n")
