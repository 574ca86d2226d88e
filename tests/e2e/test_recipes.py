"""The steps of a recipe in whole runs, against the simulated endpoint."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import KEY, pairmill, rejects, rows, start
from tests.support.corpus import write_corpus

from pairmill import generate
from pairmill.errors import ChangedError
from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions, ExportPolicy
from pairmill.output.related import near_repeats
from pairmill.simulator import Latency, ScheduledStep, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SENTENCES = 22  # three pairs a chunk


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def endpoint() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


def test_a_judge_that_is_called_in_later_buys_only_its_own_calls(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 8, SENTENCES), tmp_path / "out"
    generate(corpus, output=out, base_url=endpoint.url)
    before, written = endpoint.report()["billed"], rows(out)
    judged: dict[str, Any] = {
        "judge": "all",
        "judge_model": "wise",
        "judge_trust": 0,
        "accept_change": True,
    }
    generate(corpus, output=out, base_url=endpoint.url, **judged)
    assert endpoint.report()["billed"] == before + 8
    found = [row for row in rows(out) if row["scores"]]
    assert len(found) == len(written) == 24
    assert sorted(row["answer"] for row in found) == sorted(row["answer"] for row in written)
    assert {row["model"] for row in found} == {"gpt-4o-mini"}
    for row in found:
        assert all(score is None or score in {1, 2, 3, 4, 5} for score in row["scores"].values())
    best = ExportOptions(policy=ExportPolicy(min_score=1.0))
    summary = export(out, tmp_path / "sft", best, find_repeats=near_repeats)
    assert summary.dropped["unscored"] == 24
    assert sum(summary.kept.values()) + summary.dropped.get("near_duplicate", 0) == 24


def test_a_judge_of_nonsense_costs_no_pair(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 4, SENTENCES), tmp_path / "out"
    nonsense = ScheduledStep(
        content="I would give these a 9 out of 10.", match="Examples:", times=None
    )
    with Simulator(SimulatorSettings(script=(nonsense,))) as endpoint:
        run = pairmill("run", corpus, "-o", out, "--judge", "all", url=endpoint.url)
    assert run.returncode == 0, run.stderr
    assert len(rows(out)) == 12
    assert all(row["scores"] is None and row["flags"] == ["unscored"] for row in rows(out))
    assert json.loads((out / "figures.json").read_text("utf-8"))["judge"]["unscored"] == 12
    # Words without an object are asked for afresh once; no more than any question may cost.
    assert all(2 < row["attempts"] <= 1 + 3 for row in rows(out))


@pytest.mark.slow
def test_trust_in_the_judge_is_measured_and_written_down(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 12, SENTENCES), tmp_path / "out"
    generate(corpus, output=out, base_url=endpoint.url, judge="all", judge_trust=1.0)
    found = json.loads((out / "figures.json").read_text("utf-8"))["judge"]
    assert (found["rated"], found["unscored"]) == (36, 0)
    assert found["repeated"]["truthfulness"]["compared"] == 36
    assert sum(control["planted"] for control in found["controls"].values()) == 12
    assert set(found["mean_by_position"]) == {"1", "2", "3"}

    told = pairmill("status", out).stdout
    report = pairmill("report", out)
    page = (out / "report.html").read_text("utf-8")
    assert report.stdout.strip() == str(out / "report.html")
    for shown in (told, report.stderr, page, (out / "README.md").read_text("utf-8")):
        text = shown.replace("\\", "")
        assert "Judge: agreement with itself (quadratic-weighted kappa)" in text
        assert "Judge: planted faults found (number changed)" in text
        assert "Judge: rating against length of the answer (Spearman)" in text
        assert "36 pairs" in text
    assert json.loads(pairmill("status", out, "--json").stdout)["judge"]["rated"] == 36


@pytest.mark.parametrize("mode", ["two_step", "verbatim"])
def test_the_other_modes_write_grounded_pairs(
    tmp_path: Path, endpoint: Simulator, mode: str
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 5, SENTENCES), tmp_path / "out"
    run = pairmill("run", corpus, "-o", out, "--mode", mode, url=endpoint.url)
    assert run.returncode == 0, run.stderr
    found = rows(out)
    assert len(found) == (15 if mode == "two_step" else 5)
    assert all(row["grounding"] > 0.9 for row in found)
    assert {row["recipe"] for row in found} == {f"backtranslate_{mode}"}


def test_evolved_pairs_name_their_parents_and_take_their_place_in_an_export(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 8, SENTENCES), tmp_path / "out"
    assert pairmill("run", corpus, "-o", out, "--evolve", "on", url=endpoint.url).returncode == 0
    found = {row["id"]: row for row in rows(out)}
    children = [row for row in found.values() if row["parent_id"]]
    assert len(children) >= 2
    assert all(found[row["parent_id"]]["chunk_id"] == row["chunk_id"] for row in children)
    assert all(found[row["parent_id"]]["parent_id"] is None for row in children)
    evolved = json.loads((out / "figures.json").read_text("utf-8"))["evolve"]
    assert sum(operator["kept"] for operator in evolved.values()) == len(children)
    assert (
        f"{evolved['deepen']['kept']} of {evolved['deepen']['tried']} kept"
        in pairmill("status", out).stdout
    )
    alone = export(out, tmp_path / "alone")
    assert alone.dropped.get("evolved_from") == len(children)
    told = pairmill("export", out, "-o", tmp_path / "both", "--keep-parents")
    assert told.returncode == 0, told.stderr
    assert "evolved_from" not in told.stderr


def test_second_answers_become_preferences(tmp_path: Path, endpoint: Simulator) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 12, SENTENCES), tmp_path / "out"
    told = ("--preference", "samples", "--judge", "all")
    assert pairmill("run", corpus, "-o", out, *told, url=endpoint.url).returncode == 0
    bearing = [row for row in rows(out) if row["alternative"]]
    assert len(bearing) > 20
    assert all(row["alternative"]["route"] == "samples" for row in bearing)
    assert all(1 <= row["alternative"]["score"] <= 5 for row in bearing)
    summary = export(out, tmp_path / "dpo", ExportOptions(shape="preference"))
    kept = sum(summary.kept.values())
    assert 0 < kept < len(bearing)
    assert kept + sum(summary.dropped.values()) == len(rows(out))


def test_an_answer_without_the_text_is_the_rejected_one_without_a_judge(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 6, SENTENCES), tmp_path / "out"
    generate(corpus, output=out, base_url=endpoint.url, preference="closed_book")
    answers = {row["instruction"]: row["answer"] for row in rows(out) if row["alternative"]}
    assert answers
    export(out, tmp_path / "dpo", ExportOptions(shape="preference"))
    lines = (tmp_path / "dpo" / "data").glob("*.jsonl")
    records = [json.loads(line) for path in lines for line in path.read_text().splitlines()]
    assert records
    assert all(record["chosen"] == answers[record["prompt"]] for record in records)


def test_a_pair_that_points_at_its_source_is_bought_once_more(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 1, SENTENCES), tmp_path / "out"
    with Simulator() as endpoint:
        generate(corpus, output=tmp_path / "good", base_url=endpoint.url)
    pairs = [
        {"type": "why", "evidence": row["evidence"], "instruction": row["instruction"],
         "answer": row["answer"]}
        for row in rows(tmp_path / "good")
    ]  # fmt: skip
    pairs[1]["instruction"] = "What does the author say about Oslo?"
    step = ScheduledStep(content=json.dumps({"skip": None, "pairs": pairs}), match="N=3")
    with Simulator(SimulatorSettings(script=(step,))) as endpoint:
        ended = generate(corpus, output=out, base_url=endpoint.url)
        assert endpoint.report()["billed"] == 3  # one tries the endpoint
    assert ended.pairs + len(rejects(out)) == 3
    assert all("author" not in row["instruction"] for row in rows(out))
    assert {row["attempts"] for row in rows(out)} == {2}


@pytest.mark.slow
def test_a_target_ends_the_run_and_is_kept_to_by_the_next_start(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 40, SENTENCES), tmp_path / "out"
    run = pairmill("run", corpus, "-o", out, "--target-pairs", "20", url=endpoint.url)
    assert run.returncode == 0, run.stderr
    assert 20 <= len(rows(out)) < 23
    asked = endpoint.report()["calls"]
    assert asked <= 1 + 8
    again = pairmill("run", corpus, "-o", out, "--target-pairs", "20", url=endpoint.url)
    assert again.returncode == 0, again.stderr
    assert endpoint.report()["calls"] == asked
    pairmill("run", corpus, "-o", out, "--target-pairs", "30", url=endpoint.url)
    assert 30 <= len(rows(out)) < 33


@pytest.mark.slow
def test_each_document_gives_its_share_over_several_starts(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 4, 150), tmp_path / "out"  # 7 chunks each
    told = ("--per-document", "6", "--limit")
    for limit in ("3", "15", "28"):
        run = pairmill("run", corpus, "-o", out, *told, limit, url=endpoint.url)
        assert run.returncode == 0, run.stderr
    found = Counter(row["document_id"] for row in rows(out))
    assert len(found) == 4
    assert all(6 <= count < 9 for count in found.values())


def test_one_author_has_one_prompt_prefix_in_every_start(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = tmp_path / "articles.jsonl", tmp_path / "out"
    said = "So I tried it, and it's just a kettle! You don't need much, do you? I'd fill it. " * 12
    one = {"text": said, "author": "Ann", "id": "1"}
    other = {"text": said.replace("kettle", "stove"), "author": "Ann", "id": "2"}
    corpus.write_text(json.dumps(one) + "\n", "utf-8")
    generate(corpus, output=out, base_url=endpoint.url)
    first = _prefixes(out)
    corpus.write_text(json.dumps(other) + "\n" + json.dumps(one) + "\n", "utf-8")
    generate(corpus, output=out, base_url=endpoint.url)
    assert len(first) == 1
    assert _prefixes(out) == first


def _prefixes(out: Path) -> set[str]:
    import sqlite3

    with sqlite3.connect(out / ".run" / "memory.db") as database:
        asked = "SELECT value FROM kept WHERE name LIKE 'style%'"
        kept = {value for (value,) in database.execute(asked)}
    database.close()
    return kept


def test_a_verifier_that_is_called_in_later_buys_only_its_own_calls_and_a_replay_none(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 8, SENTENCES), tmp_path / "out"
    generate(corpus, output=out, base_url=endpoint.url)
    before = endpoint.report()["billed"]
    verified: dict[str, Any] = {
        "verify": "all",
        "verify_model": "careful",
        "verify_trust": 0,
        "unsupported": "flag",
        "accept_change": True,
    }
    generate(corpus, output=out, base_url=endpoint.url, **verified)
    assert endpoint.report()["billed"] == before + 8
    found = [row for row in rows(out) if row["verification"]]
    assert len(found) == 24
    told = Counter[str]()
    for row in found:
        said = row["verification"]
        told.update({name: count for name, count in said.items() if name != "quotes"})
        assert len(said["quotes"]) == said["supported"] + said["not_in_text"] + said["unproven"]
    assert told["supported"] > 20
    generate(corpus, output=out, base_url=endpoint.url, **verified)
    assert endpoint.report()["billed"] == before + 8
    best = ExportOptions(policy=ExportPolicy(verified=True))
    summary = export(out, tmp_path / "sft", best, find_repeats=near_repeats)
    doubted = sum(not row["verification"] or bool(row["flags"]) for row in rows(out))
    assert summary.dropped["unverified"] == doubted


@pytest.mark.slow
def test_a_verifier_of_nonsense_leaves_pairs_unverified_and_the_run_says_so(
    tmp_path: Path,
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 4, SENTENCES), tmp_path / "out"
    nonsense = ScheduledStep(content="All of it is true!", match="Sentences:", times=None)
    with Simulator(SimulatorSettings(script=(nonsense,))) as endpoint:
        run = pairmill("run", corpus, "-o", out, "--verify", "all", url=endpoint.url)
    assert run.returncode == 0, run.stderr
    assert len(rows(out)) == 12
    assert all("unverified" in row["flags"] for row in rows(out))
    assert json.loads((out / "figures.json").read_text("utf-8"))["verify"]["outcomes"] == {
        "unverified": 12
    }
    assert "12 of 12 pairs without a verdict" in " ".join(run.stderr.split())


@pytest.mark.slow
def test_what_the_verifier_said_stands_in_status_report_card_and_qc(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 12, SENTENCES), tmp_path / "out"
    generate(corpus, output=out, base_url=endpoint.url, verify="all")
    found = json.loads((out / "figures.json").read_text("utf-8"))["verify"]
    assert sum(control["planted"] for control in found["controls"].values()) >= 12
    assert found["controls"]["copied"]["detected"] == 0
    told = pairmill("status", out).stdout
    report = pairmill("report", out)
    page = (out / "report.html").read_text("utf-8")
    for shown in (told, report.stderr, page, (out / "README.md").read_text("utf-8")):
        text = shown.replace("\\", "")
        assert "Verifier: sentences that the text does not support" in text
        assert "Verifier: planted errors found" in text
    assert "sentences that a verifier" in pairmill("qc", out).stdout


def test_a_folder_begun_with_the_first_prompts_goes_on_with_them_without_a_call(
    tmp_path: Path, endpoint: Simulator
) -> None:
    """As an earlier version left it: neither its settings nor its origin name a set."""
    corpus, out = write_corpus(tmp_path / "articles", 5, SENTENCES), tmp_path / "out"
    generate(corpus, output=out, base_url=endpoint.url, prompts="1")
    for name in ("settings", "origin"):
        path = out / ".run" / f"{name}.json"
        noted = json.loads(path.read_text("utf-8"))
        noted.pop("prompts", None)
        noted.get("settings", {}).pop("prompts", None)
        path.write_text(json.dumps(noted), "utf-8")
    before = endpoint.report()["billed"]
    again = generate(corpus, output=out, base_url=endpoint.url)
    assert (again.exit_code, endpoint.report()["billed"]) == (0, before)
    judged = generate(
        corpus, output=out, base_url=endpoint.url, judge="all", judge_trust=0, accept_change=True
    )
    assert judged.exit_code == 0
    assert endpoint.report()["billed"] == before + 5
    assert {row["prompt_version"] for row in rows(out)} == {"2"}
    write_corpus(corpus, 6, SENTENCES)
    generate(corpus, output=out, base_url=endpoint.url, judge="all", judge_trust=0)
    assert {row["prompt_version"] for row in rows(out)} == {"2"}


@pytest.mark.slow
def test_the_card_says_what_made_an_answer_the_chosen_one(
    tmp_path: Path, endpoint: Simulator
) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 6, SENTENCES), tmp_path / "out"
    generate(corpus, output=out, base_url=endpoint.url, preference="closed_book")
    assert pairmill("export", out, "--to", "preference", "-o", tmp_path / "dpo").returncode == 0
    card = (tmp_path / "dpo" / "README.md").read_text("utf-8")
    assert "What made an answer the chosen one: written with the text in view: " in card
    assert "judge agreed" not in card


@pytest.mark.slow
def test_kill_resume_and_changed_checks_buy_no_test_of_judge_or_verifier_again(
    tmp_path: Path,
) -> None:
    corpus, whole = write_corpus(tmp_path / "articles", 24, SENTENCES), tmp_path / "whole"
    out = tmp_path / "out"
    flags = ("--judge", "all", "--verify", "all", "--set", "unsupported=flag", "--concurrency", "8")
    with Simulator() as endpoint:
        pairmill("run", corpus, "-o", whole, *flags, url=endpoint.url)
        needed = endpoint.report()["requests"]
        assert needed >= 24 * 5  # pairs, verdicts, ratings, and a test of each
    with Simulator(SimulatorSettings(latency=Latency("fixed", 0.05))) as endpoint:
        child = start("run", corpus, "-o", out, *flags, url=endpoint.url)
        while endpoint.report()["billed"] < needed // 2:
            time.sleep(0.01)
        child.kill()
        child.communicate()
        pairmill("run", corpus, "-o", out, *flags, url=endpoint.url)
        # What was not committed at the kill is asked again; no question is a new one.
        assert endpoint.report()["requests"] == needed
        before = endpoint.report()["billed"]
        changed_checks = ("--concurrency", "3", "--set", "checks={answer_min_words: 26}")
        refused = pairmill("run", corpus, "-o", out, *flags, *changed_checks, url=endpoint.url)
        assert refused.returncode == ChangedError.exit_code
        assert "--accept-change" in refused.stderr
        accepted = (*flags, *changed_checks, "--accept-change")
        changed = pairmill("run", corpus, "-o", out, *accepted, url=endpoint.url)
        assert changed.returncode == 0, changed.stderr
        assert endpoint.report()["billed"] == before
