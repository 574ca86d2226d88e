"""axe-core (Deque, MPL-2.0) for the tests of the pages: fetched once, never in a test.

``python -m tests.support.axe`` fetches it with npm into ``.cache/``, or says why it cannot.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

__all__ = ["AXE", "VERSION", "fetch"]

VERSION = "4.11.0"
AXE = Path(__file__).parents[2] / ".cache" / f"axe-{VERSION}.min.js"


def fetch() -> str:
    """Fetch it unless it is there; return what was done, or why nothing could be."""
    if AXE.is_file():
        return f"axe-core {VERSION} is there"
    npm = shutil.which("npm")
    if npm is None:
        return "axe-core was not fetched: npm is missing; the accessibility tests are skipped"
    with tempfile.TemporaryDirectory() as place:
        command = [npm, "pack", f"axe-core@{VERSION}", "--pack-destination", place]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        packed = Path(place) / f"axe-core-{VERSION}.tgz"
        if done.returncode or not packed.is_file():
            return "axe-core was not fetched: npm found no way; the accessibility tests are skipped"
        with tarfile.open(packed) as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member is not None
            AXE.parent.mkdir(exist_ok=True)
            AXE.write_bytes(member.read())
    return f"axe-core {VERSION} was fetched"


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
