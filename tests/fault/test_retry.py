"""Dead letters are tombstones; ``pairmill retry`` asks again for them, and only for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import environment, pairmill, rejects, rows
from tests.support.corpus import write_corpus
from tests.support.waiting import wait_until

from pairmill.simulator import Latency, ScheduledStep, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.forge import Forge

pytestmark = pytest.mark.fault

REFUSED, FILTERED = (2, 5), (7,)


@pytest.fixture
def endpoint() -> Iterator[Simulator]:
    """Fails three chunks in every attempt, and answers them when they are asked again."""
    script = [ScheduledStep(fault="refusal", match=f"# Report {n}\n", times=3) for n in REFUSED]
    script += [
        ScheduledStep(fault="content_filter", match=f"# Report {n}\n", times=1) for n in FILTERED
    ]
    settings = SimulatorSettings(latency=Latency("fixed", 0.05), script=tuple(script))
    with Simulator(settings) as opened:
        yield opened


@pytest.fixture
def out(forge: Forge, endpoint: Simulator, fast_path: Path, settings_file: Path) -> Path:
    """A finished run with three tombstones."""
    corpus, out = write_corpus(fast_path / "articles", 10, 10), fast_path / "out"
    forge.run("run", corpus, "-o", out, "--config", settings_file, url=endpoint.url)
    assert len(tombstones(out)) == 3
    return out


def tombstones(out: Path) -> set[str]:
    return {row["id"] for row in rejects(out) if row["whole_unit"]}


def status(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pairmill("status", out, "--json").stdout)
    return found


def test_dead_letters_are_not_asked_again_by_themselves(
    forge: Forge, endpoint: Simulator, out: Path, settings_file: Path
) -> None:
    """Fault 44: a poisoned chunk costs its attempts once; the others are not affected."""
    calls = endpoint.report()["calls"]
    corpus = out.parent / "articles"
    forge.run("run", corpus, "-o", out, "--config", settings_file, url=endpoint.url)
    assert endpoint.report()["calls"] == calls
    assert len({row["document_id"] for row in rows(out)}) == 7
    assert all(row["attempts"] <= 3 for row in rejects(out))


def test_they_are_asked_again_and_nothing_else_is(
    forge: Forge, endpoint: Simulator, out: Path
) -> None:
    """Fault 47."""
    before, calls, bill = rows(out), endpoint.report()["calls"], status(out)
    forge.run("retry", out, url=endpoint.url)
    assert endpoint.report()["calls"] == calls + 3
    assert rows(out)[: len(before)] == before
    assert len({row["document_id"] for row in rows(out)}) == 10
    after = status(out)
    assert after["units"] == {"written": 10}
    assert after["rejections"] == {}
    assert after["calls"] == bill["calls"] + 3
    assert after["prompt_tokens"] > bill["prompt_tokens"]


def test_one_reason_alone(forge: Forge, endpoint: Simulator, out: Path) -> None:
    """Fault 47."""
    calls = endpoint.report()["calls"]
    forge.run("retry", out, "--reason", "refusal", url=endpoint.url)
    assert endpoint.report()["calls"] == calls + len(REFUSED)
    left = status(out)
    assert left["units"] == {"written": 9, "rejected": 1}
    assert "refusal" not in left["rejections"]


def test_another_model_is_asked_and_the_folder_keeps_its_own(
    forge: Forge, endpoint: Simulator, out: Path, settings_file: Path
) -> None:
    """Fault 47."""
    forge.run("retry", out, "--model", "gpt-bigger", url=endpoint.url)
    assert sum(row["model"].startswith("gpt-bigger") for row in rows(out)) == 3
    corpus = out.parent / "articles"
    again = forge.run("run", corpus, "-o", out, "--config", settings_file, url=endpoint.url)
    assert "nothing new" in again.stderr


def test_what_fails_again_is_a_tombstone_again(
    forge: Forge, endpoint: Simulator, out: Path
) -> None:
    """Fault 47."""
    endpoint.script(ScheduledStep(fault="refusal", times=None), replace=True)
    child = forge.start("retry", out, url=endpoint.url)
    assert child.wait() == 0
    assert status(out)["units"] == {"written": 7, "rejected": 3}
    assert status(out)["rejections"] == {"refusal": 3}


def test_killed_and_repeated_it_asks_for_what_is_left(
    forge: Forge, endpoint: Simulator, out: Path
) -> None:
    """Fault 47."""
    endpoint.script(
        ScheduledStep(fault="hang", match="# Report 5\n", times=1),
        replace=True,
    )
    child = forge.start("retry", out, url=endpoint.url)
    wait_until(lambda: status(out)["units"].get("written") == 9, child)
    child.kill()
    child.wait()
    calls = endpoint.report()["calls"]
    forge.run("retry", out, url=endpoint.url)
    assert endpoint.report()["calls"] == calls + 1
    assert len({row["document_id"] for row in rows(out)}) == 10
    assert status(out)["units"] == {"written": 10}


def test_a_chunk_that_is_gone_stays_a_tombstone(
    forge: Forge, endpoint: Simulator, out: Path
) -> None:
    """Fault 20: its article was deleted."""
    (out.parent / "articles/article-005.md").unlink()
    child = forge.run("retry", out, url=endpoint.url)
    assert "not found in the input, and rejected as before: 1" in child.stderr
    assert status(out)["units"] == {"written": 9, "rejected": 1}
    assert status(out)["rejections"] == {"refusal": 1}


def test_inputs_are_found_from_anywhere(endpoint: Simulator, tmp_path: Path) -> None:
    """Names relative to the first start's working directory, in rows as well."""
    write_corpus(tmp_path / "articles", 6, 10)
    (tmp_path / "elsewhere").mkdir()

    def call(place: str, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "pairmill", *arguments],
            cwd=tmp_path / place,
            env=environment(endpoint.url),
            capture_output=True,
            check=True,
        )

    call(".", "run", "articles", "-o", "out")
    call("elsewhere", "retry", os.path.join("..", "out"))  # noqa: PTH118 (as typed)
    assert {row["source"] for row in rows(tmp_path / "out")} == {
        f"articles/article-{number:03}.md" for number in range(6)
    }


def test_nothing_to_ask_again_is_said(forge: Forge, endpoint: Simulator, out: Path) -> None:
    child = forge.start("retry", out, "--reason", "too_dull", url=endpoint.url)
    assert child.wait() == 2
    assert "nothing was rejected as 'too_dull'; there is: 2 refusal" in child.stderr
    assert len(child.stderr.splitlines()) == 1
