from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import environment, rejects, rows
from tests.support.corpus import write_corpus

if TYPE_CHECKING:
    from pathlib import Path

PROSE = """# The tide mill

A tide mill is a water mill that is driven by the rise and fall of the tide. A dam with a gate is
built across a small bay, so that the water of the high tide is kept behind it. When the tide has
fallen far enough, the miller opens a second gate, and the stored water turns the wheel on its way
back to the sea.

The miller of a tide mill does not work by the clock. The tide comes about fifty minutes later each
day, so he may grind at noon in one week and at midnight in the next. In return he never waits for
rain, as the miller on a brook does, and he never waits for wind, as the owner of a windmill must.
"""


@pytest.mark.model
@pytest.mark.timeout(240)
def test_a_real_model_writes_pairs_on_this_machine(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 0)
    (corpus / "mill.md").write_text(PROSE, "utf-8")
    command = [sys.executable, "-m", "pairmill", "run", str(corpus), "-o", str(tmp_path / "out")]
    run = subprocess.run(
        [*command, "--model", "local", "--pairs-per-chunk", "2"],
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "proves the pipeline and is no teacher" in run.stderr
    found = rows(tmp_path / "out")
    lost = rejects(tmp_path / "out")
    assert len(found) + len(lost) >= 2, run.stderr
    for row in found:
        assert row["recipe"] == "extractive"
        assert row["instruction"].endswith(("?", "."))
        assert row["answer"] in " ".join(PROSE.split())
        assert row["completion_tokens"] > 0
