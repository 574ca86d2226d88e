"""The live page of a run, in a real browser, on a desk and on a telephone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.support.browser import needs_chromium, open_page
from tests.support.cli import start
from tests.support.corpus import write_corpus

from pairmill.simulator import Latency, Simulator, SimulatorSettings

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = [needs_chromium, pytest.mark.slow, pytest.mark.timeout(180)]

LINES = """[...document.querySelectorAll("#pools td")].map(
    (cell) => Math.round(cell.clientHeight / parseFloat(getComputedStyle(cell).lineHeight)))"""


def address_told(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"status: (http://\S+?/)", line):
            return found[1]
    raise AssertionError("no address was told")


def test_it_shows_a_run_in_every_width_without_a_problem(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 40)
    model = "a-vendor/a-model-with-a-long-name-2026-11-30-instruct"
    with Simulator(SimulatorSettings(latency=Latency("fixed", 1.0))) as endpoint:
        process = start(
            *("run", corpus, "-o", tmp_path / "out", "--status", "0", "--concurrency", "2"),
            *("--model", model, "--rpm", "240"),
            url=endpoint.url,
        )
        try:
            url = address_told(process)
            with open_page(tmp_path / "profile") as page:
                for width in (1440, 390):
                    page.goto(url, width=width)
                    page.wait("document.querySelector('#pools td')")
                    assert page.run("document.documentElement.scrollWidth") == width
                    assert max(page.run(LINES)) == 1  # no name is broken into letters
                    page.wait("/[0-9]+ %/.test(document.querySelector('#pools').textContent)")
                    assert "quota used" in page.run("document.querySelector('#tiles').textContent")
                    assert model in page.run("document.querySelector('#pools').textContent")
                assert page.problems == []
                assert all(each.startswith((url, "about:")) for each in page.requests)
        finally:
            process.kill()
            process.communicate()
