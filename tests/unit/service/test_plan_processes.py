from __future__ import annotations

from typing import Any

import pytest
from tests.support.asks import settings

from pairmill import config
from pairmill.service.plan_processes import planned_processes


@pytest.mark.parametrize(
    ("cores", "given", "pages", "checks"),
    [
        (1, {}, "up to 1 for", "none to check pairs, which the run does itself (there is one core"),
        (2, {}, "up to 2 for", "up to 1 to check pairs, once 100 chunks a second are finished"),
        (8, {}, "up to 8 for", "up to 2 to check pairs, once 100 chunks a second are finished"),
        (8, {"page_processes": 3}, "up to 3 for", "up to 2 to check"),
        (2, {"check_processes": 4}, "up to 2 for", "4 to check pairs, from the first pair on"),
        (2, {"check_processes": 0}, "up to 2 for", "none to check pairs, which the run does"),
        (2, {"checks": "off"}, "up to 2 for", "none to check pairs (checks: off)"),
    ],
)
def test_each_kind_is_told_with_its_number(
    monkeypatch: pytest.MonkeyPatch, cores: int, given: dict[str, Any], pages: str, checks: str
) -> None:
    monkeypatch.setattr(config, "_cores", lambda: cores)
    lines = planned_processes(settings(model="m", **given))
    assert len(lines) == 3
    assert lines[0].startswith("1 to read")
    assert lines[1].startswith(pages)
    assert lines[2].startswith(checks)


def test_a_model_on_this_machine_is_a_process_too() -> None:
    assert planned_processes(settings(model="local"))[3:] == [
        "1 for the model local, on this machine"
    ]
