"""Caps hold whatever a server counts, and every place shows the same money and the same sums."""

from __future__ import annotations

import json
import re
import signal
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import pairmill, rejects, rows, start
from tests.support.corpus import article, write_corpus
from tests.support.waiting import wait_until

from pairmill import generate
from pairmill.errors import EXIT_DONE, EXIT_RESUMABLE
from pairmill.simulator import (
    Faults,
    Latency,
    ScheduledStep,
    Simulator,
    SimulatorSettings,
    Thinking,
)

if TYPE_CHECKING:
    from pathlib import Path

CAP = 150_000
CHUNKS = 240


def _corpus(path: Path, count: int = CHUNKS) -> Path:
    path.write_text("".join(json.dumps({"text": article(n, 12)}) + "\n" for n in range(count)))
    return path


def _status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pairmill("status", folder, "--json").stdout)
    return found


@pytest.mark.parametrize(
    "scenario",
    [
        "usage-one-zero",
        "usage-outside",
        "ignores-max-tokens",
        pytest.param("ignores-max-tokens-silently", marks=pytest.mark.slow),
        pytest.param("usage-half", marks=pytest.mark.slow),
        pytest.param("usage-none", marks=pytest.mark.slow),
        pytest.param("usage-zero", marks=pytest.mark.slow),
    ],
)
def test_a_cap_in_tokens_holds_whatever_usage_says(tmp_path: Path, scenario: str) -> None:
    settings = SimulatorSettings(scenario=scenario, latency=Latency("fixed", 0.02))
    with Simulator(settings) as endpoint:
        summary = generate(
            _corpus(tmp_path / "a.jsonl"),
            output=tmp_path / "out",
            base_url=endpoint.url,
            max_total_tokens=CAP,
        )
        report = endpoint.report()
    billed = report["prompt_tokens"] + report["completion_tokens"]
    assert summary.exit_code == EXIT_RESUMABLE, summary.reason
    assert summary.cap == "max_total_tokens"
    assert 0.2 * CAP < billed <= CAP
    assert summary.pairs > 0
    assert "raise max_total_tokens to go on" in summary.lines()[-1]
    assert "run the same command again to resume" not in summary.lines()[-1]


def test_what_was_paid_for_nothing_counts_in_every_place(tmp_path: Path) -> None:
    """A model that thinks until there is no room for an answer is billed for it."""
    out = tmp_path / "out"
    thinking = Thinking(tokens=700, sigma=1.6, words=())  # of very unlike length, and no off
    settings = SimulatorSettings(thinking=thinking, latency=Latency("fixed", 0.02), seed=3)
    with Simulator(settings) as endpoint:
        run = pairmill(
            "run", _corpus(tmp_path / "a.jsonl", 60), "-o", out, "--concurrency", "8",
            url=endpoint.url,
        )  # fmt: skip
        report = endpoint.report()
    billed = Decimal(report["spent_usd"])
    found = _status(out)
    assert found["empty_calls"] > 0, "no reply was empty: the case did not come up"
    progress = [json.loads(line) for line in run.stderr.splitlines() if '"progress"' in line][-1]
    manifest = json.loads((out / "manifest.json").read_text())
    card, page = (out / "README.md").read_text(), _report(out)
    shown = f"{billed:.4f}"
    assert found["usd"] == progress["usd"] == manifest["cost"]["usd"] == round(float(billed), 6)
    assert f"| Cost | {shown} USD |" in card
    assert f"cost       ${shown}" in run.stderr
    assert f">{shown}<" in page
    prompt, answer = report["prompt_tokens"], report["completion_tokens"]
    for place in (found, progress, {f"{k}_tokens": n for k, n in manifest["tokens"].items()}):
        assert (place["prompt_tokens"], place["completion_tokens"]) == (prompt, answer)


def _report(out: Path) -> str:
    assert pairmill("report", out).returncode == EXIT_DONE
    return (out / "report.html").read_text()


def test_every_sum_adds_up_and_is_the_same_in_every_place(tmp_path: Path) -> None:
    """After skips, empties, rejects, drops and repairs, a kill and a resume."""
    corpus, out = write_corpus(tmp_path / "articles", 60, 12), tmp_path / "out"
    (corpus / "broken.jsonl").write_text('{broken\n{"text": "short"}\n{"nothing": 1}\n')
    skip = '{"skip": "boilerplate", "pairs": []}'
    script = (
        *(ScheduledStep(content=skip, match=f"# Report {n}\n", times=None) for n in (3, 4)),
        *(ScheduledStep(fault="refusal", match=f"# Report {n}\n", times=None) for n in (7, 8, 9)),
        *(ScheduledStep(fault="one_broken", match=f"# Report {n}\n", times=None) for n in (11, 12)),
    )
    settings = SimulatorSettings(
        latency=Latency("fixed", 0.05),
        faults=Faults({"trailing_comma": 0.1, "wrong_types": 0.1, "empty_content": 0.1}),
        script=script,
        seed=5,
    )
    with Simulator(settings) as endpoint:
        command = ("run", corpus, "-o", out, "--concurrency", "4")
        child = start(*command, url=endpoint.url)
        wait_until(lambda: endpoint.report()["calls"] >= 30)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        run = pairmill(*command, url=endpoint.url)
    assert run.returncode == EXIT_DONE, run.stderr
    found = _status(out)
    counts = found["counts"]
    _check_sums(counts)
    assert counts["documents"]["used"] == 60
    assert sum(counts["documents"]["skipped"].values()) == 3
    assert counts["chunks"]["to_do"] == 0
    assert counts["chunks"]["written"] > 0
    assert sum(counts["chunks"]["rejected"].values()) >= 3
    assert sum(counts["pairs"]["dropped"].values()) > 0
    assert counts["pairs"]["kept"] == len(rows(out))
    assert counts["reject_lines"] == len(rejects(out))
    _check_lines_by_reason(counts, rejects(out))
    assert json.loads((out / "manifest.json").read_text())["counts"] == counts
    _check_card((out / "README.md").read_text(), counts)
    _check_words(run.stderr, counts)
    progress = [json.loads(line) for line in run.stderr.splitlines() if '"progress"' in line][-1]
    assert progress["pairs"] == counts["pairs"]["kept"]
    assert progress["rejected"] == sum(counts["chunks"]["rejected"].values())
    assert progress["dropped_pairs"] == sum(counts["pairs"]["dropped"].values())
    assert progress["usd"] == found["usd"]
    assert progress["done"] == progress["total"] == counts["chunks"]["all"]


def _check_sums(counts: dict[str, Any]) -> None:
    documents, chunks, pairs = counts["documents"], counts["chunks"], counts["pairs"]
    assert documents["all"] == documents["used"] + sum(documents["skipped"].values())
    rejected = sum(chunks["rejected"].values())
    assert chunks["all"] == chunks["written"] + chunks["empty"] + rejected + chunks["to_do"]
    assert pairs["all"] == pairs["kept"] + sum(pairs["dropped"].values())


def _check_lines_by_reason(counts: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    dropped: dict[str, int] = {}
    whole: dict[str, int] = {}
    for line in lines:
        kind = whole if line["whole_unit"] else dropped
        if not line["whole_unit"] or line["class"]:
            kind[line["reason"]] = kind.get(line["reason"], 0) + 1
    assert dropped == counts["pairs"]["dropped"]
    assert whole == counts["chunks"]["rejected"]


def _check_card(card: str, counts: dict[str, Any]) -> None:
    for label, value in (
        ("Documents", counts["documents"]["all"]),
        ("Chunks", counts["chunks"]["all"]),
        ("of these, rejected", sum(counts["chunks"]["rejected"].values())),
        ("of these, kept", counts["pairs"]["kept"]),
        ("of these, dropped by a check", sum(counts["pairs"]["dropped"].values())),
    ):
        assert f"| {label} | {value:,} |" in card
    for reason, number in counts["pairs"]["dropped"].items():
        assert f"| dropped pairs | `{reason}` | {number:,} |" in card


def _check_words(told: str, counts: dict[str, Any]) -> None:
    rejected = sum(counts["chunks"]["rejected"].values())
    dropped = sum(counts["pairs"]["dropped"].values())
    assert re.search(rf"chunks +{counts['chunks']['all']} = .* {rejected} rejected", told)
    assert re.search(rf"pairs +.* {counts['pairs']['kept']} kept \+ {dropped} dropped", told)
    assert "pairmill retry" in told


@pytest.mark.slow
def test_each_reason_that_stands_in_rejected_can_be_tried_again(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 8, 12), tmp_path / "out"
    empty = (ScheduledStep(content='{"skip": "boilerplate", "pairs": []}', match="# Report 5\n"),)
    with Simulator(SimulatorSettings(script=empty)) as endpoint:
        assert pairmill("run", corpus, "-o", out, url=endpoint.url).returncode == EXIT_DONE
        (line,) = rejects(out)
        assert (line["reason"], line["class"]) == ("boilerplate", None)
        assert _status(out)["counts"]["chunks"]["empty"] == 1
        calls = endpoint.report()["calls"]
        again = pairmill("retry", out, "--reason", "boilerplate", url=endpoint.url)
        assert again.returncode == EXIT_DONE, again.stderr
        assert endpoint.report()["calls"] == calls + 1
    counts = _status(out)["counts"]
    assert (counts["chunks"]["empty"], counts["chunks"]["written"]) == (0, 8)
    assert counts["reject_lines"] == len(rejects(out)) == 1
    wrong = pairmill("retry", out, "--reason", "boilerplate")
    assert wrong.returncode == 2
    assert "nothing to ask again" in wrong.stderr
