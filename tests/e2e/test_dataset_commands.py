from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import KEY, pairmill, rows
from tests.support.corpus import write_corpus

from pairmill import generate
from pairmill.events import Bus, Notice
from pairmill.output.rows import published_shards
from pairmill.output.show import print_pairs
from pairmill.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    corpus = write_corpus(place / "articles", 30)
    with Simulator() as endpoint:
        made = pairmill("run", corpus, "-o", place / "run", url=endpoint.url)
    assert made.returncode == 0, made.stderr
    return place / "run"


def test_an_export_lands_beside_the_run_and_says_what_it_holds(finished: Path) -> None:
    done = pairmill("export", finished)
    assert done.returncode == 0, done.stderr
    out = finished.with_name("run-messages")
    split = {
        path.name.partition("-")[0]: path.read_text().splitlines()
        for path in (out / "data").iterdir()
    }
    kept = ", ".join(f"{len(split[name]):,} {name}" for name in ("train", "validation", "test")
                     if name in split)  # fmt: skip
    total = sum(map(len, split.values()))
    assert f"{total} of {len(rows(finished))} pairs in {out}: {kept}" in done.stderr
    assert "leak into train: 0.0% of" in done.stderr
    assert {tuple(json.loads(line)) for lines in split.values() for line in lines} == {
        ("messages",)
    }


def test_pairs_are_shown_to_programs_beside_their_text(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_pairs(finished, 3, 1, as_json=True)
    found = json.loads(capsys.readouterr().out)["pairs"]
    whole = {row["id"]: row for row in rows(finished)}
    assert len(found) == 3
    for pair in found:
        text = pair.pop("chunk")
        assert pair == whole[pair["id"]]
        assert pair["evidence"][:20] in text


def test_what_an_export_drops_is_counted_by_reason(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--to", "alpaca", "--exact", "--split", "100/0/0", "--min-score", "3", "-o", out)
    refused = pairmill("export", finished, *options)
    assert refused.returncode == 1
    assert f"{len(rows(finished))} unscored" in refused.stderr
    assert not out.exists()
    kept = pairmill("export", finished, *options, "--keep-unscored", "--format", "parquet")
    assert kept.returncode == 0, kept.stderr
    assert "leak into train: not measured" in kept.stderr
    assert [path.suffix for path in (out / "data").iterdir()] == [".parquet"]


@pytest.mark.slow
def test_what_means_the_same_is_dropped_where_embeddings_are_asked_for(tmp_path: Path) -> None:
    asked = (
        "How do I reduce the memory usage of my Python program?",
        "How can I reduce the memory usage of a Python program?",
        "Which bread keeps longest in a humid kitchen?",
    )
    lines = [
        {"instruction": text, "answer": f"Number {number}, as numbers are.", "id": str(number)}
        | {"document_id": "d", "chunk_id": "c"}
        for number, text in enumerate(asked)
    ]
    data = tmp_path / "run" / "data" / "train-00000.jsonl"
    data.parent.mkdir(parents=True)
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--split", "100/0/0", "-o", tmp_path / "out")
    plain = pairmill("export", tmp_path / "run", *options)
    assert "3 of 3 pairs" in plain.stderr, plain.stderr
    alike = pairmill("export", tmp_path / "run", *options, "--near", "embed")
    assert "2 of 3 pairs" in alike.stderr
    assert "dropped: 1 same_meaning" in alike.stderr
    told = pairmill("qc", data, "--near", "embed", "--json", "--fail-on", "never")
    figure = json.loads(told.stdout)["metrics"]["alike_meanings"]
    assert figure["value"] == pytest.approx(1 / 3)
    assert figure["rows"] == [2]
    without = pairmill("qc", data, "--json", "--fail-on", "never")
    assert json.loads(without.stdout)["not_checked"]["alike_meanings"] == "--near embed"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("export", "RUN", "--near", "vibes"), 2, "--near: needs one of words, embed"),
        (("qc", "RUN", "--near", "vibes"), 2, "--near: needs one of words, embed"),
        (("export", "RUN", "--to", "mesages"), 2, "did you mean 'messages'?"),
        (("export", "RUN", "--split", "90/5"), 2, "such as 90/5/5"),
        (("export", "RUN/nowhere"), 1, "there is no such folder"),
        (("report", "RUN/nowhere"), 1, "there is no such folder"),
        (("qc", "RUN/nowhere"), 1, "no such file or folder"),
        (("qc", "RUN", "--fail-on", "vibes"), 2, "unknown figure 'vibes'"),
        (("qc", "RUN", "--documents", "RUN/nowhere"), 1, "nowhere"),
        (("qc", "RUN", "--examples", "RUN/nowhere"), 1, "cannot read examples"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    finished: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    told = pairmill(*(text.replace("RUN", str(finished)) for text in arguments))
    assert told.returncode == code
    assert said in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


def test_a_report_shows_the_text_beside_its_pairs(finished: Path) -> None:
    done = pairmill("report", finished)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(finished / "report.html")
    page = (finished / "report.html").read_text("utf-8")
    assert "people rely on it." in page
    assert "Findings" in page
    assert ">Cost<" in page
    assert f"{len(rows(finished)):,}" in page


def test_qc_of_a_run_finds_the_documents_by_itself(finished: Path) -> None:
    done = pairmill("qc", finished, "--json", "--fail-on", "exact_repeats,refusals")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["pairs"] == len(rows(finished))
    assert report["unreadable"] == 0
    assert report["metrics"]["ungrounded"]["value"] == 0
    assert not any("documents" in reason for reason in report["skipped"])


def test_qc_fails_on_what_was_asked_for_and_shows_the_rows(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    pairs = [{"q": "What is it?", "a": f"It is number {n}, as numbers are."} for n in range(30)]
    source.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    fields = ("--instruction-field", "q", "--answer-field", "a")
    told = pairmill("qc", source, *fields)
    assert told.returncode == 1
    assert "fail  instructions that repeat another" in told.stdout
    assert "deduplicate the instructions" in told.stdout
    assert pairmill("qc", source, *fields, "--fail-on", "refusals").returncode == 0


@pytest.mark.slow
def test_qc_reads_what_export_wrote(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "shared"
    made = pairmill("export", finished, "--to", "sharegpt", "-o", out)
    assert made.returncode == 0, made.stderr
    documents = finished.with_name("articles")
    done = pairmill("qc", out, "--documents", documents, "--json", "--fail-on", "never")
    report = json.loads(done.stdout)
    assert report["unreadable"] == 0
    assert "train_test_leak" in report["metrics"]
    assert "ungrounded" in report["metrics"]
    assert published_shards(finished)


@pytest.mark.slow
def test_a_run_exports_itself_at_its_end_as_export_would(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with Simulator() as endpoint:
        told = ("run", finished.with_name("articles"), "-o", out, "--export", "alpaca")
        made = pairmill(*told, url=endpoint.url)
        again = pairmill(*told, url=endpoint.url)
    assert made.returncode == 0, made.stderr
    by_hand = pairmill("export", out, "--to", "alpaca", "-o", tmp_path / "by-hand" / "run-alpaca")
    there = tmp_path / "run-alpaca"
    for line in by_hand.stderr.replace(str(tmp_path / "by-hand"), str(tmp_path)).splitlines():
        assert line in made.stderr.splitlines()
        assert line in again.stderr.splitlines()
    files = [path.relative_to(there) for path in there.rglob("*") if path.is_file()]
    assert len(files) >= 5
    for file in files:
        assert (there / file).read_bytes() == (tmp_path / "by-hand/run-alpaca" / file).read_bytes()


def test_from_python_too_a_run_exports_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    corpus, told, bus = write_corpus(tmp_path / "articles", 3), list[str](), Bus()
    bus.subscribe(lambda event: told.append(event.text), Notice)
    with Simulator() as endpoint:
        generate(corpus, output=tmp_path / "run", bus=bus, base_url=endpoint.url, export="messages")
    assert any(f"pairs in {tmp_path / 'run-messages'}: " in line for line in told)
    assert (tmp_path / "run-messages" / "README.md").exists()


def test_a_run_that_has_not_ended_is_not_exported_and_says_so(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 30), tmp_path / "run"
    with Simulator() as endpoint:
        told = ("run", corpus, "-o", out, "--export", "messages", "--max-total-tokens", "9000")
        cut = pairmill(*told, "--concurrency", "1", url=endpoint.url)
    assert cut.returncode == 75, cut.stderr
    last = cut.stderr.splitlines()[-1]
    assert last == "not exported, since the run has not come to its end"
    assert not out.with_name("run-messages").exists()


@pytest.mark.slow
def test_an_export_that_cannot_be_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 2), tmp_path / "run"
    (tmp_path / "run-messages").mkdir()
    (tmp_path / "run-messages" / "mine.txt").write_text("mine")
    with Simulator() as endpoint:
        for place, to, code, said in (
            (out, "mesages", 2, "did you mean 'messages'?"),
            (out, "messages", 1, "is not empty and not an export of pairmill"),
            (corpus / "run", "messages", 2, "name an output outside of the inputs"),
        ):
            run = pairmill("run", corpus, "-o", place, "--export", to, url=endpoint.url)
            assert run.returncode == code
            assert said in run.stderr
            assert len(run.stderr.strip().splitlines()) == 1
        assert endpoint.report()["billed"] == 0


@pytest.mark.slow
def test_a_pair_is_explained_from_its_chunk_to_its_cost(finished: Path) -> None:
    row = rows(finished)[4]
    told = pairmill("explain", row["id"][:12], finished, "--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["row"] == row
    assert found["note"] == ""
    assert found["other_answers"] == []
    (exchange,) = found["exchanges"]
    assert found["chunk"]["text"] in exchange["messages"][-1]["content"]
    assert exchange["messages"][0]["role"] == "system"
    assert row["answer"] in json.loads(exchange["answer"])["pairs"][0].values() or (
        row["answer"] in exchange["answer"]
    )
    measures = {entry["check"]: entry for entry in found["measures"]}
    assert measures["grounding"]["value"] == pytest.approx(row["grounding"], abs=0.001)
    assert measures["grounding"]["limit"] == "drop below 0.3, flag below 0.45"
    assert measures["support"]["value"] == pytest.approx(row["support"], abs=0.001)
    assert measures["support"]["limit"] == "flag below 0.25"
    assert found["usd"] > 0
    page = pairmill("explain", row["id"], finished)
    assert "question 1, to" in page.stdout
    assert "for the whole chunk" in page.stdout


@pytest.mark.slow
def test_the_questions_of_a_known_author_are_made_again_with_the_style_card(
    tmp_path: Path,
) -> None:
    prose = "The loom stands in the hall, and we weave on it. You may look at it, said the weaver. "
    with (tmp_path / "in.jsonl").open("w") as file:
        for number in range(3):
            text = f"Report {number}. {prose * 20}"
            file.write(json.dumps({"text": text, "author": "Ada Weaver", "title": "Looms"}) + "\n")
    with Simulator() as endpoint:
        made = pairmill("run", tmp_path / "in.jsonl", "-o", tmp_path / "run", url=endpoint.url)
    assert made.returncode == 0, made.stderr
    told = pairmill("explain", rows(tmp_path / "run")[0]["id"], tmp_path / "run", "--json")
    found = json.loads(told.stdout)
    assert found["note"] == ""
    assert found["other_answers"] == []
    assert "How this author writes" in found["exchanges"][0]["messages"][0]["content"]


def test_an_unknown_pair_is_told_in_one_line(finished: Path) -> None:
    told = pairmill("explain", "nosuchpair", finished)
    assert told.returncode == 1
    assert told.stderr.strip() == (
        f"pairmill: {finished}: no pair 'nosuchpair', neither in data/ nor in rejected/"
    )


@pytest.mark.slow
def test_a_dry_export_writes_nothing_and_a_second_one_says_what_it_replaces(
    finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    dry = pairmill("export", finished, "-o", out, "--system", "Be kind.", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert f"pairs would go to {out}" in dry.stderr
    assert '"role": "system", "content": "Be kind."' in dry.stderr
    assert not out.exists()
    assert pairmill("export", finished, "-o", out).returncode == 0
    kept = sum(len(path.read_text().splitlines()) for path in (out / "data").iterdir())
    again = pairmill("export", finished, "-o", out, "--to", "alpaca")
    assert f"replaced the export that was there: messages, {kept:,} pairs" in again.stderr
    refused = pairmill("export", finished, "-o", out, "--to", "alpaca", "--system", "Be kind.")
    assert refused.returncode == 2
    assert "the format 'alpaca' has no place for a system message" in refused.stderr


@pytest.mark.slow
def test_qc_report_status_and_card_give_one_verdict(finished: Path) -> None:
    report = json.loads(pairmill("qc", finished, "--json", "--fail-on", "never").stdout)
    assert pairmill("report", finished).returncode == 0
    status = json.loads(pairmill("status", finished, "--json").stdout)
    assert status["verdict"] == {
        "status": report["status"], "text": report["verdict"], "pairs": len(rows(finished)),
    }  # fmt: skip
    told = f"{report['status']}, of {len(rows(finished)):,} pairs: "
    assert told in pairmill("status", finished).stdout
    card = (finished / "README.md").read_text("utf-8")
    assert f"## Verdict\n\n{told[:-2]}" in card  # behind it, marks are escaped
