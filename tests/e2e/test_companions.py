"""Companions from outside the package: a module of a user's own, and the example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.cli import pairmill, rows
from tests.support.corpus import write_corpus

from pairmill.api import Bus, RunView, generate
from pairmill.events import Notice
from pairmill.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples/companions/status_server.py"

MODULE = '''
import asyncio, dataclasses, json

async def record(view):
    """Write down the last state that was seen."""
    try:
        while True:
            await asyncio.sleep(0.01)
    finally:
        found = dataclasses.asdict(view.progress())
        found["pools"] = [(pool.name, pool.gate.in_flight) for pool in view.pools()]
        (view.folder / "seen.json").write_text(json.dumps(found))

async def fall(view):
    await asyncio.sleep(0)
    raise RuntimeError("the pager does not answer")
'''


@pytest.fixture
def endpoint() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


def test_a_module_beside_the_settings_file_watches_a_run_and_a_failing_one_ends_nothing(
    tmp_path: Path, endpoint: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "articles", 3)
    (tmp_path / "beside_it.py").write_text(MODULE, "utf-8")
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({"companions": ["beside_it:record", "beside_it:fall"]}))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = pairmill("run", corpus, "-o", tmp_path / "out", "--config", config, url=endpoint.url)
    assert found.returncode == 0, found.stderr
    assert "companion 'fall' failed: RuntimeError: the pager does not answer" in found.stderr
    seen: dict[str, Any] = json.loads((tmp_path / "out/seen.json").read_text("utf-8"))
    assert seen["pairs"] == len(rows(tmp_path / "out"))
    assert seen["units"] == seen["planned"] > 0
    assert seen["calls"] >= seen["units"]
    assert len(seen["pools"]) == 1


def test_the_example_serves_the_state_and_metrics_of_a_run(
    tmp_path: Path, endpoint: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("PAIRMILL_STATUS_PORT", "0")
    corpus = write_corpus(tmp_path / "articles", 3)
    pages: dict[str, str] = {}

    async def visit(view: RunView) -> None:
        """Ask the example for its pages; another companion, so that the run is really on."""
        place = view.folder / "status-port"
        while not place.exists():  # noqa: ASYNC110 (another one writes it)
            await asyncio.sleep(0.005)
        for path in ("/", "/metrics"):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(place.read_text()))
            writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            pages[path] = (await reader.read()).decode().partition("\r\n\r\n")[2]
            writer.close()

    notices: list[str] = []
    bus = Bus()
    bus.subscribe(lambda event: notices.append(event.text), Notice)
    summary = generate(
        corpus,
        output=tmp_path / "out",
        base_url=endpoint.url,
        bus=bus,
        companions=[f"{EXAMPLE}:serve", visit],
    )
    assert summary.exit_code == 0
    assert not [text for text in notices if "failed" in text]
    assert {"units", "pairs", "usd", "pools"} <= json.loads(pages["/"]).keys()
    assert "\npairmill_planned " in pages["/metrics"]
