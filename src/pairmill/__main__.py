"""``pairmill`` and ``python -m pairmill``."""

from __future__ import annotations

import sys

from pairmill.startup import hold_standard_streams, quit_on_signals

__all__ = ["main"]

_GO_ON = frozenset({"run", "retry", "recover"})  # commands that the same command goes on with


def main() -> None:
    """Make the process ready, then load and run the command line."""
    hold_standard_streams()
    if _GO_ON.intersection(sys.argv[1:2]):
        quit_on_signals()
    from pairmill.cli import main as run_command  # noqa: PLC0415 (takes a while; see above)

    run_command()


if __name__ == "__main__":
    main()
