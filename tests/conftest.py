"""Which tests are slow: all that harm real processes, and a few that say so themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

FAULTS = Path(__file__).parent / "fault"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FAULTS in item.path.parents:
            item.add_marker(pytest.mark.slow)
