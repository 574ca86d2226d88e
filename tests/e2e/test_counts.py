"""One ledger of counts: the sums add up, and every place shows the same ones."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import pairmill, rejects, rows, start
from tests.support.corpus import article, write_corpus
from tests.support.viewing import viewing

from pairmill.output.marks.log import MarksFile, new_action
from pairmill.output.marks.overlay import read_marks, reject_key
from pairmill.output.marks.rescue import rescued_rows, row_of_reject
from pairmill.simulator import Latency, ScheduledStep, SimulatorProcess, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path

Counts = dict[str, Any]

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


@dataclass(frozen=True)
class Ended:
    """A run that was killed and has come to its end since.

    Attributes:
        out: Its folder.
        half: Its counts after the kill.
        counts: Its counts at the end, as ``status --json`` has them.
        told: What the last start said.
    """

    out: Path
    half: Counts
    counts: Counts
    told: str


def counts_of(out: Path) -> Counts:
    found: Counts = json.loads(pairmill("status", out, "--json").stdout)["counts"]
    return found


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    place = tmp_path_factory.mktemp("counts")
    corpus, out = lay_out(place), place / "run"
    script = tuple(
        ScheduledStep(fault=fault, match=f"# Report {number}\n", times=None)
        for fault, numbers in FAULTS.items()
        for number in numbers
    ) + tuple(
        ScheduledStep(content=half_good(number), match=f"# Report {number}\n", times=None)
        for number in (11, 17, 23)
    )
    settings = SimulatorSettings(latency=Latency("fixed", 0.1), script=script)
    config = place / "settings.yaml"
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
        half = counts_of(out)
        done = pairmill(*told, url=endpoint.url)
    assert done.returncode == 0, done.stderr
    return Ended(out, half, counts_of(out), done.stderr)


def test_the_sums_hold_and_each_kind_of_loss_occurred(ended: Ended) -> None:
    sums_hold(ended.half)
    sums_hold(ended.counts)
    documents, chunks, pairs = (ended.counts[name] for name in ("documents", "chunks", "pairs"))
    assert ended.half["pairs"]["kept"] > 0
    assert chunks["all"] > ended.half["chunks"]["written"]
    assert len(documents["skipped"]) >= 2
    assert chunks["empty"] == 3
    assert len(chunks["rejected"]) >= 2
    assert chunks["to_do"] == 0
    assert pairs["dropped"]


def test_the_shards_hold_what_is_counted(ended: Ended) -> None:
    lines = rejects(ended.out)
    assert len(rows(ended.out)) == ended.counts["pairs"]["kept"]
    assert len(lines) == ended.counts["reject_lines"]
    whole = [line for line in lines if line["whole_unit"]]
    rejected = sum(ended.counts["chunks"]["rejected"].values())
    assert sum(line["class"] is not None for line in whole) == rejected
    assert len(lines) - len(whole) == sum(ended.counts["pairs"]["dropped"].values())


def test_manifest_and_end_lines_say_the_same(ended: Ended) -> None:
    documents, chunks, pairs = (ended.counts[name] for name in ("documents", "chunks", "pairs"))
    manifest = json.loads((ended.out / "manifest.json").read_text())
    assert manifest["counts"] == ended.counts
    assert manifest["pairs"] == pairs["kept"]
    skipped, rejected = sum(documents["skipped"].values()), sum(chunks["rejected"].values())
    assert figures_in(ended.told, "documents") == [documents["all"], documents["used"], skipped]
    assert figures_in(ended.told, "chunks") == [
        chunks["all"], chunks["written"], chunks["empty"], rejected,
    ]  # fmt: skip
    dropped = sum(pairs["dropped"].values())
    assert figures_in(ended.told, "pairs") == [pairs["all"], pairs["kept"], dropped]


def test_qc_report_and_card_say_the_same(ended: Ended) -> None:
    documents, chunks, pairs = (ended.counts[name] for name in ("documents", "chunks", "pairs"))
    quality = json.loads(pairmill("qc", ended.out, "--json", "--fail-on", "never").stdout)
    assert quality["pairs"] == pairs["kept"]
    assert pairmill("report", ended.out).returncode == 0
    page = (ended.out / "report.html").read_text()
    card = (ended.out / "README.md").read_text()
    for label, number in (
        ("Documents", documents["all"]),
        ("of these, used", documents["used"]),
        ("Chunks", chunks["all"]),
        ("of these, with pairs", chunks["written"]),
        ("of these, with nothing to write about", chunks["empty"]),
        ("of these, rejected", sum(chunks["rejected"].values())),
        ("Pairs", pairs["all"]),
        ("of these, kept", pairs["kept"]),
        ("of these, dropped by a check", sum(pairs["dropped"].values())),
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


def test_the_card_of_an_export_says_the_same_also_without_a_ledger(
    ended: Ended, tmp_path: Path
) -> None:
    assert pairmill("export", ended.out, "-o", tmp_path / "one").returncode == 0
    bare = tmp_path / "bare"
    shutil.copytree(ended.out, bare, ignore=shutil.ignore_patterns(".run"))
    told_bare = json.loads(pairmill("status", bare, "--json").stdout)
    told_whole = json.loads(pairmill("status", ended.out, "--json").stdout)
    for name in ("counts", "percent", "usd", "calls", "prompt_tokens", "published_shards"):
        assert told_bare[name] == told_whole[name], name
    moved = pairmill("export", bare, "-o", tmp_path / "two")
    assert moved.returncode == 0, moved.stderr
    cards = [(tmp_path / name / "README.md").read_text() for name in ("one", "two")]
    told = [card.partition("## Counts")[2].partition("## Fields")[0] for card in cards]
    assert told[0] == told[1]
    assert f"| of these, kept | {ended.counts['pairs']['kept']} |" in told[0]
    assert f"| Documents | {ended.counts['documents']['all']} |" in told[0]


def test_every_reason_in_rejected_may_be_asked_again(ended: Ended, tmp_path: Path) -> None:
    out = ended.out
    lines = rejects(out)
    with SimulatorProcess(SimulatorSettings()) as endpoint:
        for reason in sorted({line["reason"] for line in lines}):
            again = pairmill("retry", out, "--reason", reason, url=endpoint.url)
            assert "nothing was rejected" not in again.stderr, reason
            if any(line["whole_unit"] for line in lines if line["reason"] == reason):
                assert again.returncode == 0, (reason, again.stderr)
            else:  # its chunks gave other pairs, which stay
                assert again.returncode == 2
                assert f"what was dropped as '{reason}' is of " in again.stderr
    after = counts_of(out)
    sums_hold(after)
    assert after["chunks"]["all"] == ended.counts["chunks"]["all"]
    assert after["chunks"]["rejected"] == {}
    assert len(rows(out)) == after["pairs"]["kept"] > ended.counts["pairs"]["kept"]
    assert len(rejects(out)) == after["reject_lines"]


def test_a_rescued_pair_that_was_not_measured_is_measured_as_it_is_accepted(
    ended: Ended, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(ended.out, out)
    surplus = [line for line in rejects(out) if line["reason"] == "surplus"]
    assert surplus
    assert all(line["grounding"] is None for line in surplus)
    with viewing(out) as view:
        view.ready()
        view.wait(lambda state: state["overview"])  # by then the texts were read
        found = view.get("/api/pairs", state="rejected", finding="surplus")["pairs"]
        told = view.post("/api/marks", {"action": "accept", "pairs": [found[0]["place"]]})
    (row,) = [row for row, _ in rescued_rows(out, read_marks(out))]
    assert "violin" in row["instruction"]  # of which its article says nothing
    assert 0 <= row["grounding"] < 0.3
    assert told["pairs"][0]["grounding"] == pytest.approx(row["grounding"], abs=0.01)


def test_what_people_decide_counts_in_exports_qc_and_report(ended: Ended, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(ended.out, out)
    counts = counts_of(out)  # another test may have asked again
    pairs = counts["pairs"]
    lines = [
        line
        for shard in sorted((out / "rejected").glob("rejected-*.jsonl"))
        for line in shard.read_bytes().splitlines(keepends=True)
    ]
    wanted = {
        key
        for line in lines
        if row_of_reject(json.loads(line), key := reject_key(line)) is not None
    }
    assert 0 < len(wanted) <= sum(pairs["dropped"].values())  # those that hold a whole pair
    marks = MarksFile(out / "marks.jsonl")
    marks.append(new_action("accept", sorted(wanted)))
    left_out = rows(out)[0]["id"]
    marks.append(new_action("reject", [left_out]))
    told = pairmill("export", out, "-o", tmp_path / "all", "--exact", "--split", "100/0/0")
    assert told.returncode == 0, told.stderr
    kept = sum(len(file.read_text().splitlines()) for file in
               (tmp_path / "all" / "data").glob("train-*.jsonl"))  # fmt: skip
    read = pairs["kept"] + len(wanted)
    assert f"{kept:,} of {read:,} pairs" in told.stderr
    dropped = sum(int(n) for n in re.findall(r"(\d+) ", told.stderr.split("dropped: ")[1]
                                             .splitlines()[0] + " "))  # fmt: skip
    assert kept + dropped == read
    assert f"1 rejected, {len(wanted)} rescued" in told.stderr or (
        f"{len(wanted)} rescued, 1 rejected" in told.stderr
    )
    judged = json.loads(pairmill("qc", out, "--json", "--fail-on", "never").stdout)
    assert judged["pairs"] == read - 1
    assert counts_of(out) == counts  # what the run did stays what it did
    assert pairmill("report", out).returncode == 0
    assert "rescued by people" in (out / "report.html").read_text("utf-8")
