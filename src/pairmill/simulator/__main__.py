"""``python -m pairmill.simulator``: runs the simulated endpoint as a process."""

from __future__ import annotations

import sys

from pairmill.simulator.cli import run_cli

if __name__ == "__main__":
    sys.exit(run_cli(sys.argv[1:]))
