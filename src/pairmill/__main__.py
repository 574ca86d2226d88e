"""``pairmill`` and ``python -m pairmill``."""

from __future__ import annotations

import sys

from pairmill.startup import hold_standard_streams, quit_on_signals

__all__ = ["GO_ON", "main"]

GO_ON = frozenset({"run", "retry", "recover"})
"""Commands that resume when given again."""


def main() -> None:
    """Set up the process, then load and run the command line."""
    hold_standard_streams()
    if GO_ON.intersection(sys.argv[1:2]):
        quit_on_signals()
    from pairmill.cli import main as run_command  # noqa: PLC0415 (takes a while; see above)

    run_command()


if __name__ == "__main__":
    main()
