"""A checking process that never gets as far as to judge anything."""

from __future__ import annotations


def main() -> int:
    """End at once."""
    return 3
