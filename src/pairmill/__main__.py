"""``python -m pairmill`` is ``pairmill``."""

from __future__ import annotations

from pairmill.cli import main

if __name__ == "__main__":
    main()
