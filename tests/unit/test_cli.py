from __future__ import annotations

import pytest
from typer.testing import CliRunner

from pairmill.cli import app


@pytest.mark.parametrize("command", ["run", "status", "qc"])
def test_switches_show_no_type_and_settings_show_theirs(command: str) -> None:
    told = (
        CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80", "NO_COLOR": "1"}).output
    )
    assert "<bool>" not in told
    assert "--help" in told
    if command == "run":
        assert "--accept-change" in told
        assert "process|ray" in told
    assert max(map(len, told.splitlines())) <= 80
