"""One ledger of counts: the sums add up, and every place shows the same ones."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import pairmill, rejects, rows, start
from tests.support.corpus import article, write_corpus

from pairmill.simulator import Latency, ScheduledStep, SimulatorProcess, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

FAULTS = {
    "refusal": (3, 9),
    "garbage": (5,),
    "empty_pairs": (4, 10, 16),
    "one_broken": (7, 13, 19),
    "fences": (8,),
    "content_filter": (21,),
}


def lay_out(folder: Path) -> Path:
    """Articles, and neighbours that cannot be used for four reasons."""
    corpus = write_corpus(folder / "articles", 30, 10)
    (corpus / "empty.md").write_text("")
    (corpus / "blank.txt").write_text(" \n\n ")
    (corpus / "short.txt").write_text("Too short to ask about.")
    (corpus / "broken.json").write_text('{"text": ')
    (corpus / "copy.md").write_text((corpus / "article-001.md").read_text())
    return corpus


def half_good(number: int) -> str:
    """A reply of two pairs: one rests on the article, the other on nothing that it says."""
    sentence = next(line for line in article(number, 10).splitlines() if line.startswith("In "))
    pairs = [
        {"evidence": sentence, "instruction": f"What is told of {sentence.split()[1]}, and why?",
         "answer": f"{sentence} That is what the report says of it."},
        {"evidence": sentence, "instruction": "How should a violin be tuned before a concert?",
         "answer": "Tighten every string slowly while an assistant plays an oboe nearby."},
    ]  # fmt: skip
    return json.dumps({"skip": False, "pairs": [{"type": "why", **pair} for pair in pairs]})


def sums_hold(counts: dict[str, Any]) -> None:
    documents, chunks, pairs = counts["documents"], counts["chunks"], counts["pairs"]
    assert documents["all"] == documents["used"] + sum(documents["skipped"].values())
    rejected = sum(chunks["rejected"].values())
    assert chunks["all"] == chunks["written"] + chunks["empty"] + rejected + chunks["to_do"]
    assert pairs["all"] == pairs["kept"] + sum(pairs["dropped"].values())


def figures_in(text: str, name: str) -> list[int]:
    """The numbers of a line of the end summary, in its order, without those in brackets."""
    (line,) = re.findall(rf"^\s*{name}\s+(\S.*)$", text, re.MULTILINE)
    return [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", line.partition("(")[0])]


def test_every_place_shows_the_same_sums_after_a_kill_and_a_resume(tmp_path: Path) -> None:
    corpus, out = lay_out(tmp_path), tmp_path / "run"
    script = tuple(
        ScheduledStep(fault=fault, match=f"# Report {number}\n", times=None)
        for fault, numbers in FAULTS.items()
        for number in numbers
    ) + tuple(
        ScheduledStep(content=half_good(number), match=f"# Report {number}\n", times=None)
        for number in (11, 17, 23)
    )
    settings = SimulatorSettings(latency=Latency("fixed", 0.1), script=script)
    config = tmp_path / "settings.yaml"
    config.write_text(json.dumps({
        "limits": {"concurrency": 2},
        "storage": {"shard_bytes": 4096, "commit_interval_s": 0.02},
        "model": {"structured_output": "json_schema"},
    }))  # fmt: skip
    told = ("run", corpus, "-o", out, "--config", config)
    with SimulatorProcess(settings) as endpoint:
        first = start(*told, url=endpoint.url)
        deadline = time.monotonic() + 30
        while not list((out / "data").glob("train-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        first.kill()
        first.communicate()
        half = json.loads(pairmill("status", out, "--json").stdout)["counts"]
        sums_hold(half)
        assert 0 < half["pairs"]["kept"]
        done = pairmill(*told, url=endpoint.url)
        assert done.returncode == 0, done.stderr
    status = json.loads(pairmill("status", out, "--json").stdout)
    counts = status["counts"]
    sums_hold(counts)
    documents, chunks, pairs = counts["documents"], counts["chunks"], counts["pairs"]
    # Each kind of loss really occurred.
    assert len(documents["skipped"]) >= 2
    assert chunks["empty"] == 3
    assert len(chunks["rejected"]) >= 2
    assert pairs["dropped"]
    assert chunks["to_do"] == 0
    assert chunks["all"] > half["chunks"]["written"]
    # The shards themselves.
    assert len(rows(out)) == pairs["kept"]
    lines = rejects(out)
    assert len(lines) == counts["reject_lines"]
    whole = [line for line in lines if line["whole_unit"]]
    assert sum(line["class"] is not None for line in whole) == sum(chunks["rejected"].values())
    assert len(lines) - len(whole) == sum(pairs["dropped"].values())
    # Every other place.
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["counts"] == counts
    assert manifest["pairs"] == pairs["kept"]
    assert figures_in(done.stderr, "documents") == [
        documents["all"], documents["used"], sum(documents["skipped"].values()),
    ]  # fmt: skip
    assert figures_in(done.stderr, "chunks") == [
        chunks["all"], chunks["written"], chunks["empty"], sum(chunks["rejected"].values()),
    ]  # fmt: skip
    dropped = sum(pairs["dropped"].values())
    assert figures_in(done.stderr, "pairs") == [pairs["all"], pairs["kept"], dropped]
    quality = json.loads(pairmill("qc", out, "--json", "--fail-on", "never").stdout)
    assert quality["pairs"] == pairs["kept"]
    assert pairmill("report", out).returncode == 0
    page = (out / "report.html").read_text()
    card = (out / "README.md").read_text()
    for label, number in (
        ("Documents", documents["all"]),
        ("of these, used", documents["used"]),
        ("Chunks", chunks["all"]),
        ("of these, with pairs", chunks["written"]),
        ("of these, with nothing to write about", chunks["empty"]),
        ("of these, rejected", sum(chunks["rejected"].values())),
        ("Pairs", pairs["all"]),
        ("of these, kept", pairs["kept"]),
        ("of these, dropped by a check", dropped),
    ):
        assert f"| {label} | {number:,} |" in card
    for what, reasons in (
        ("skipped documents", documents["skipped"]),
        ("rejected chunks", chunks["rejected"]),
        ("dropped pairs", pairs["dropped"]),
    ):
        for reason, number in reasons.items():
            assert f"| {what} | `{reason}` | {number} |" in card
            assert reason in page
    exported = pairmill("export", out)
    assert exported.returncode == 0, exported.stderr
    export_card = (tmp_path / "run-messages" / "README.md").read_text()
    assert f"| of these, kept | {pairs['kept']} |" in export_card
    assert f"| Documents | {documents['all']} |" in export_card
    # A folder that lost its ledger still says the same, from its manifest.
    (out / ".run").rename(tmp_path / "lost")
    moved = pairmill("export", out, "-o", tmp_path / "again")
    assert moved.returncode == 0, moved.stderr
    again = (tmp_path / "again" / "README.md").read_text()
    start_of = "## Counts"
    end_of = "## Fields"
    assert (
        again.partition(start_of)[2].partition(end_of)[0]
        == export_card.partition(start_of)[2].partition(end_of)[0]
    )
    (tmp_path / "lost").rename(out / ".run")
    # Every reason that stands in rejected/ may be asked again.
    with SimulatorProcess(SimulatorSettings()) as endpoint:
        for reason in sorted({line["reason"] for line in lines}):
            again_run = pairmill("retry", out, "--reason", reason, url=endpoint.url)
            assert "nothing was rejected" not in again_run.stderr, reason
            if any(line["whole_unit"] for line in lines if line["reason"] == reason):
                assert again_run.returncode == 0, (reason, again_run.stderr)
            else:  # its chunks gave other pairs, which stay
                assert again_run.returncode == 2
                assert f"what was dropped as '{reason}' is of " in again_run.stderr
    after = json.loads(pairmill("status", out, "--json").stdout)["counts"]
    sums_hold(after)
    assert after["chunks"]["all"] == chunks["all"]
    assert after["chunks"]["rejected"] == {}
    assert len(rows(out)) == after["pairs"]["kept"] > pairs["kept"]
    assert len(rejects(out)) == after["reject_lines"]
