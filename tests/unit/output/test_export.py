from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import FolderError, InputError, StorageError, UsageError
from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions, ExportPolicy
from pairmill.output.export_place import MANIFEST
from pairmill.output.export_summary import summary_lines
from pairmill.output.leak import LengthGap
from pairmill.output.open_book import WORDS
from pairmill.output.related import near_repeats, related_documents
from pairmill.output.source_texts import SourceText
from pairmill.output.split import Shares, read_splits
from pairmill.quality.phrases import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

ALL_TRAIN = Shares(100, 0, 0)
Rows = list[dict[str, Any]]


def records(out: Path, split: str = "train") -> Rows:
    files = sorted((out / "data").glob(f"{split}-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def fingerprint(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("file_type", ["jsonl", "parquet"])
def test_the_bytes_do_not_depend_on_the_order_of_the_run(
    file_type: str, row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(number) for number in range(500)]
    rows += [
        row(1_000 + number, instruction=f"what is number {number} about") for number in range(50)
    ]
    options = ExportOptions(file_type=file_type)
    seen = []
    for attempt, cut in enumerate((550, 100, 7)):
        random.Random(attempt).shuffle(rows)
        shards = [rows[start : start + cut] for start in range(0, len(rows), cut)]
        out = tmp_path / str(attempt) / "out"
        export(run_folder(*shards, name=f"run{attempt}"), out, options)
        seen.append(fingerprint(out))
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 8


def test_each_row_is_kept_or_dropped_with_a_reason(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    low = {"truthfulness": 2.0, "honesty": None, "helpfulness": 3.0, "instruction_following": 3.0}
    high = {"truthfulness": 5.0, "honesty": None, "helpfulness": 4.0, "instruction_following": 5.0}
    rows = [
        row(0, scores=high),
        row(1, scores=high, instruction="WHAT is number 0 about"),
        row(2, scores=low),
        row(3),
        row(4, scores=high, flags=["near_copy"]),
        row(5, scores=high, grounding=0.1),
        row(6, scores=high, answer=" \n"),
        row(7, scores=high, grounding=0.9, flags=["harmless"]),
    ]
    policy = ExportPolicy(min_score=4, min_grounding=0.3, drop_flags=frozenset({"near_copy"}))
    folder = run_folder(rows, [row(0, scores=high)])
    summary = export(folder, tmp_path / "out", ExportOptions(shares=ALL_TRAIN, policy=policy))
    assert summary.kept == {"train": 2}
    assert summary.dropped == {
        "empty": 1,
        "flag_near_copy": 1,
        "low_grounding": 1,
        "low_score": 1,
        "same_id": 1,
        "same_instruction": 1,
        "unscored": 1,
    }
    assert summary.rows == 9 == sum(summary.kept.values()) + sum(summary.dropped.values())


def test_a_mean_does_not_hide_an_aspect_that_is_low(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    false = {"truthfulness": 2, "honesty": 5, "helpfulness": 5, "instruction_following": 5}
    true = {**false, "truthfulness": 4, "honesty": None}
    rows = [row(0, scores=false), row(1, scores=true), row(2)]
    policy = ExportPolicy(min_score=4, min_aspects=(("truthfulness", 3), ("honesty", 3)))
    summary = export(
        run_folder(rows), tmp_path / "out", ExportOptions(shares=ALL_TRAIN, policy=policy)
    )
    assert summary.dropped == {"low_truthfulness": 1, "unscored": 1}
    assert summary.kept == {"train": 1}


@pytest.mark.parametrize(
    ("parent_scores", "child_scores", "stays"),
    [
        ((5, 5), (2, 2), "parent"),
        ((3, 3), (4, 4), "child"),
        ((5, 3), (4, 5), "parent"),  # the mean is not higher, but the truth is
        (None, (1, 1), "child"),
        ((5, 5), None, "child"),
    ],
)
def test_a_child_takes_its_parents_place_unless_the_judge_says_otherwise(
    row: Callable[..., Any],
    run_folder: Callable[..., Path],
    tmp_path: Path,
    parent_scores: tuple[int, int] | None,
    child_scores: tuple[int, int] | None,
    stays: str,
) -> None:
    def scores(given: tuple[int, int] | None) -> dict[str, int] | None:
        return dict(zip(("truthfulness", "helpfulness"), given, strict=True)) if given else None

    parent = row(0, scores=scores(parent_scores), document_id="d", chunk_id="c")
    child = row(
        1, scores=scores(child_scores), parent_id=parent["id"], document_id="d", chunk_id="c"
    )
    out = tmp_path / "out"
    export(run_folder([parent, child]), out, ExportOptions(shape="alpaca", shares=ALL_TRAIN))
    kept = [record["instruction"] for record in records(out)]
    assert kept == [{"parent": parent, "child": child}[stays]["instruction"]]


def test_records_come_by_document_chunk_and_id(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(number) for number in (7, 0, 5, 2)]
    out = tmp_path / "out"
    export(run_folder(rows), out, ExportOptions(shape="alpaca", shares=ALL_TRAIN))
    asked = [record["instruction"] for record in records(out)]
    assert asked == [f"What is number {number} about?" for number in (0, 2, 5, 7)]
    assert list(records(out)[0]) == ["instruction", "input", "output"]


def test_no_document_stands_in_two_splits(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(number) for number in range(400)]
    out = tmp_path / "out"
    related = [(f"document {number}", f"document {number + 1}") for number in range(0, 100, 2)]
    options = ExportOptions(shape="prompt_completion", shares=Shares(60, 20, 20))
    summary = export(run_folder(rows), out, options, find_related=lambda _: related)
    assert summary.related == 100
    group_of: dict[int, set[str]] = {}
    for split in ("train", "validation", "test"):
        assert summary.kept[split] > 20
        for record in records(out, split):
            number = int(record["prompt"].split()[3])
            group_of.setdefault(number // 8, set()).add(split)
    assert all(len(splits) == 1 for splits in group_of.values())
    assert summary.leak is not None
    assert summary.leak.same_instruction == 0


def test_documents_whose_answers_share_text_are_kept_together(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    draw = random.Random(3)
    words = [f"{one}{two}" for one in "abcdefgh" for two in ("ra", "lo", "mi", "ten", "sky")]
    told = [" ".join(draw.choices(words, k=60)) for _ in range(60)]
    rows = [
        row(number, document_id=f"d{number}", chunk_id=f"c{number}",
            answer=f"{told[number % 60]} and number {number} at its end.")
        for number in range(120)
    ]  # fmt: skip
    folder, options = run_folder(rows), ExportOptions(shares=Shares(50, 25, 25))
    parted = export(folder, tmp_path / "parted", options)
    assert parted.leak is not None
    assert parted.leak.copied_answer > 10
    kept = export(folder, tmp_path / "kept", options, find_related=related_documents)
    assert kept.leak is not None
    assert kept.leak.copied_answer == 0
    assert kept.related == 120
    assert "120 documents have such kin" in (tmp_path / "kept" / "README.md").read_text("utf-8")
    assert "kin" not in (tmp_path / "parted" / "README.md").read_text("utf-8")


def test_documents_that_share_a_phrase_are_no_kin(row: Callable[..., Any]) -> None:
    phrase = "as everybody in the old harbour town has always known"
    rows = [
        row(number, document_id=f"d{number}",
            answer=f"{phrase} {' '.join(f'w{number}x{at}' for at in range(40))}")
        for number in range(5)
    ]  # fmt: skip
    assert related_documents(rows) == set()
    assert related_documents([row(1, answer="short"), row(9, answer="short")]) == set()


def test_a_repeat_finder_of_the_callers_decides_over_all_rows(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    asked: list[str] = []

    def every_second(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
        asked.extend(item["id"] for item in rows)
        return dict.fromkeys(asked[1::2], "near_duplicate")

    rows = [row(number) for number in (3, 1, 2, 0)] + [row(9, answer="")]
    options = ExportOptions(shares=ALL_TRAIN)
    summary = export(run_folder(rows), tmp_path / "out", options, find_repeats=every_second)
    assert asked == [f"{number:032x}" for number in range(4)]
    assert summary.dropped == {"empty": 1, "near_duplicate": 2}
    kept = [record["messages"][0]["content"] for record in records(tmp_path / "out")]
    assert kept == ["What is number 0 about?", "What is number 2 about?"]


def test_near_repeats_are_found_and_the_better_one_stays(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    long = "How does one keep a sourdough starter alive through a whole winter in a cold kitchen"
    rows = [
        row(0, instruction=f"{long}?", scores={"truthfulness": 2.0}),
        row(1, instruction=f"{long} these days?", scores={"truthfulness": 5.0}),
        row(2),
    ]
    options = ExportOptions(shape="alpaca", shares=ALL_TRAIN)
    summary = export(run_folder(rows), tmp_path / "out", options, find_repeats=near_repeats)
    assert summary.dropped == {"near_duplicate": 1}
    kept = [record["instruction"] for record in records(tmp_path / "out")]
    assert kept == [f"{long} these days?", rows[2]["instruction"]]


def test_files_are_cut_by_size_and_numbered(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(number) for number in range(20)]
    out = tmp_path / "out"
    options = ExportOptions(shares=ALL_TRAIN, file_bytes=1_000)
    summary = export(run_folder(rows), out, options)
    names = sorted(path.name for path in (out / "data").iterdir())
    assert len(names) > 2
    assert names[0] == f"train-00000-of-{len(names):05d}.jsonl"
    assert len(records(out)) == 20
    manifest = json.loads((out / MANIFEST).read_text("utf-8"))
    told = manifest["files"]["train"]
    assert [file["path"] for file in told] == [f"data/{name}" for name in names]
    for file in told:
        data = (out / file["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        assert data.count(b"\n") == file["rows"]
    assert sum(file["rows"] for file in told) == summary.kept["train"]


def test_a_preference_export_tells_how_lengths_differ(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    def scores(value: float) -> dict[str, float]:
        return dict.fromkeys(("truthfulness", "helpfulness"), value)

    answers = [(5.0, "one two three four five six"), (1.0, "one two three four"),
               (5.0, "one two three"), (1.0, "one two three four")]  # fmt: skip
    rows = [
        row(number, answer=answer, scores=scores(score), chunk_id=f"c{number // 2}",
            instruction=f"Why is it number {number // 2}?")
        for number, (score, answer) in enumerate(answers)
    ]  # fmt: skip
    options = ExportOptions(shape="preference", shares=ALL_TRAIN)
    summary = export(run_folder(rows), tmp_path / "out", options)
    assert summary.length_gap == LengthGap(0.5, 4.25, 0.5)
    assert summary_lines(summary)[-1] == (
        "length gap: chosen answers are +0.5 words longer than rejected ones on average (of 4), "
        "and the longer in 50% of the pairs; under a tenth is good: too wide: training learns "
        "length"
    )
    assert json.loads((tmp_path / "out" / MANIFEST).read_text())["length_gap"]["mean_words"] == 0.5
    assert "0\\.5 words longer" in (tmp_path / "out" / "README.md").read_text("utf-8")
    assert LengthGap(-2.0, 100.0, 0.4).line().endswith("good: fine")


def test_a_preference_export_pairs_judged_answers(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    def judged(number: int, score: float, instruction: str) -> dict[str, Any]:
        scores = {"truthfulness": score}
        place = {"document_id": "d", "chunk_id": "c"}
        return dict(row(number, instruction=instruction, scores=scores, **place))

    rows = [judged(0, 1, "Why?"), judged(1, 5, "Why?"), judged(2, 5, "How?")]
    out = tmp_path / "out"
    summary = export(run_folder(rows), out, ExportOptions(shape="preference", shares=ALL_TRAIN))
    [record] = records(out)
    assert record == {"prompt": "Why?", "chosen": rows[1]["answer"], "rejected": rows[0]["answer"]}
    assert summary.dropped == {"unpaired": 1}


def test_an_earlier_export_is_replaced_whole(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export(run_folder([row(0)]), out, ExportOptions(shares=ALL_TRAIN))
    export(
        run_folder([row(number) for number in range(8)], name="more"),
        out,
        ExportOptions(shape="alpaca", file_type="parquet", shares=ALL_TRAIN),
    )
    names = sorted(path.name for path in (out / "data").iterdir())
    assert names == ["train-00000-of-00001.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "out", "run"]


def test_a_folder_that_is_not_ours_is_left_alone(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run_folder([row(0)])
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(FolderError, match="not an export of pairmill"):
        export(folder, out)
    (out / MANIFEST).write_text("{}")
    with pytest.raises(FolderError, match=r"thesis\.txt"):
        export(folder, out)
    with pytest.raises(FolderError, match="not an export of pairmill"):
        export(folder, folder)
    with pytest.raises(FolderError, match="is a file"):
        export(folder, out / "thesis.txt")
    assert (out / "thesis.txt").read_text() == "mine"


def test_a_failed_export_leaves_nothing_and_the_old_one_stands(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    good = run_folder([row(0)])
    export(good, out, ExportOptions(shares=ALL_TRAIN))
    before = fingerprint(out)
    damaged = run_folder([row(1)], name="damaged")
    with (damaged / "data" / "train-00000.jsonl").open("a") as file:
        file.write('{"id": \n')
    with pytest.raises(FolderError, match=r"train-00000\.jsonl: no row at byte"):
        export(damaged, out)
    assert fingerprint(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "out", "run"]


def test_nothing_to_export_says_what_became_of_the_rows(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no published pairs"):
        export(tmp_path, tmp_path / "out")
    options = ExportOptions(policy=ExportPolicy(min_score=3))
    with pytest.raises(InputError, match=r"none of 2 rows passed \(2 unscored\)"):
        export(run_folder([row(0), row(1)]), tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_parquet_without_its_extra_names_it(
    row: Callable[..., Any],
    run_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"pip install 'pairmill\[parquet\]'"):
        export(run_folder([row(0)]), tmp_path / "out", ExportOptions(file_type="parquet"))
    with pytest.raises(UsageError, match="unknown file type 'xlsx'"):
        export(tmp_path / "run", tmp_path / "out", ExportOptions(file_type="xlsx"))


def test_a_place_that_cannot_be_written_says_so(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write beside"):
        export(run_folder([row(0)]), tmp_path / "file" / "out")


def test_the_card_and_the_trainers_snippets_name_the_files(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    import yaml

    rows = [row(number) for number in range(200)]
    out = tmp_path / "my pairs"
    options = ExportOptions(
        shares=Shares(60, 40, 0), policy=ExportPolicy(min_score=1, keep_unscored=True)
    )
    summary = export(run_folder(rows), out, options, version="0.1.0")
    card = (out / "README.md").read_text("utf-8")
    assert "Shares 60/40/0 of the documents, seed 0" in card
    assert f"Leak test over {summary.kept['validation']} held-out rows: 0" in card
    assert "Mean rating at least 1; unscored rows kept" in card
    assert "prompt version `1`" in card
    info = json.loads((out / "dataset_info.json").read_text("utf-8"))
    assert set(info) == {"my_pairs", "my_pairs_validation"}
    for entry in info.values():
        assert (out / entry["file_name"]).is_file()
    axolotl = yaml.safe_load((out / "axolotl.yaml").read_text("utf-8"))
    [train], [held_out] = axolotl["datasets"], axolotl["test_datasets"]
    assert train["type"] == "chat_template"
    assert (out / train["data_files"][0]).is_file()
    assert held_out["data_files"] != train["data_files"]


def chunk_of(number: int, text: str) -> SourceText:
    return SourceText(f"d{number}", f"c{number}", text)


def test_documents_whose_own_texts_are_copies_share_a_split_whatever_their_answers_say(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    draw = random.Random(3)
    words = [f"{one}{two}" for one in "abcdefgh" for two in ("ra", "lo", "mi", "ten", "sky")]
    texts = [" ".join(draw.choices(words, k=150)) for _ in range(40)]
    rows = [
        row(number, document_id=f"d{number}", chunk_id=f"c{number}",
            answer=" ".join(draw.choices(words, k=40)))
        for number in range(80)
    ]  # fmt: skip
    folder, options = run_folder(rows), ExportOptions(shares=Shares(50, 25, 25))
    chunks = [chunk_of(number, texts[number % 40]) for number in range(80)]

    def read(wanted: set[str]) -> Iterator[SourceText]:
        assert wanted == {f"c{number}" for number in range(80)}
        yield from chunks

    by_answers = export(folder, tmp_path / "one", options, find_related=related_documents)
    assert (by_answers.related, by_answers.sources_read) == (0, 0)
    assert "by answers alone" in " ".join(summary_lines(by_answers))
    kept = export(
        folder, tmp_path / "two", options, find_related=related_documents, read_texts=read
    )
    assert (kept.related, kept.sources_read) == (80, 80)
    assert kept.leak is not None
    assert kept.leak.copied_source == 0
    placed = dict(read_splits(tmp_path / "two", options.shares, options.seed))
    assert all(placed[f"d{number}"] == placed[f"d{number + 40}"] for number in range(40))
    assert "nearly the same" in (tmp_path / "two" / "README.md").read_text("utf-8")


def test_an_export_in_the_place_of_another_moves_no_document_or_names_it(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(number, document_id=f"d{number:03}", chunk_id=f"c{number}") for number in range(90)]
    options, out = ExportOptions(shares=Shares(50, 25, 25)), tmp_path / "out"
    folder = run_folder(rows)
    export(folder, out, options)
    before = dict(read_splits(out, options.shares, options.seed))
    assert set(before.values()) == {"train", "validation", "test"}
    edges = [(f"d{number:03}", f"d{number + 1:03}") for number in range(0, 90, 2)]
    summary = export(folder, out, options, find_related=lambda _: edges)
    after = dict(read_splits(out, options.shares, options.seed))
    assert all(after[one] == after[other] for one, other in edges)
    assert list(summary.moved) == [name for name in before if before[name] != after[name]] != []
    assert summary.moved[0] in " ".join(summary_lines(summary))
    other = export(folder, out, ExportOptions(shares=Shares(50, 25, 25), seed=5))
    assert other.moved == ()  # another seed asks for another assignment


def make_texts(count: int) -> list[str]:
    draw = random.Random(11)
    words = [f"{one}{two}" for one in "abcdefgh" for two in ("ra", "lo", "mi", "ten", "sky", "un")]
    return [" ".join([f"subject{number}", *draw.choices(words, k=60)]) for number in range(count)]


def test_an_open_book_never_answers_in_another_language(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    answer = "საქართველოს დედაქალაქი თბილისი მდებარეობს მდინარე მტკვრის ორივე ნაპირზე."
    rows = [
        row(number, document_id=f"d{number}", chunk_id=f"c{number}", answer=f"{answer} {number}")
        for number in range(30)
    ]
    texts = make_texts(30)
    options = ExportOptions(open_book=100, unanswerable=100)

    def read(_wanted: set[str]) -> Iterator[SourceText]:
        yield from (chunk_of(number, texts[number]) for number in range(30))

    summary = export(run_folder(rows), tmp_path / "out", options, read_texts=read)
    assert summary.open_book["opened"] == 30
    assert summary.open_book["unanswerable"] == 0


@pytest.mark.parametrize("shape", ["messages", "alpaca"])
def test_an_open_book_shows_passages_of_the_same_split_only(
    shape: str, row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    texts = make_texts(60)
    rows = [
        row(number, document_id=f"d{number}", chunk_id=f"c{number}",
            answer=f"The answer tells of subject{number} alone, and rests on what stands there.")
        for number in range(60)
    ]  # fmt: skip
    folder, out = run_folder(rows), tmp_path / "out"
    options = ExportOptions(
        shape=shape, shares=Shares(50, 25, 25), open_book=80, unanswerable=25, seed=2
    )

    def read(_wanted: set[str]) -> Iterator[SourceText]:
        yield from (chunk_of(number, texts[number]) for number in range(59))

    summary = export(folder, out, options, find_related=related_documents, read_texts=read)
    counts = summary.open_book
    assert 35 < counts["opened"] < 58
    assert 4 < counts["unanswerable"] < 25
    placed = dict(read_splits(out, options.shares, options.seed))
    opened = unsaid = beside = 0
    for split in ("train", "validation", "test"):
        for record in records(out, split):
            if shape == "messages":
                asked, said = (turn["content"] for turn in record["messages"])
            else:
                asked = f"{record['input']}\n\n{record['instruction']}"
                said = record["output"]
            own = int(asked.rpartition("What is number ")[2].split()[0])
            shown = [int(part.split()[0]) for part in asked.split("subject")[1:]]
            assert all(placed[f"d{number}"] == split for number in shown)
            opened += bool(shown)
            beside += len(shown) > 1
            if said == "The texts do not say.":
                unsaid += 1
                assert shown
                assert own not in shown
            elif shown:
                assert own in shown
                assert texts[own] in asked
    assert (opened, unsaid) == (counts["opened"], counts["unanswerable"])
    assert beside > 10
    told = " ".join(summary_lines(summary))
    assert f"{opened} pairs with passages" in told
    assert "Open book" in (out / "README.md").read_text("utf-8")


def test_an_open_book_needs_a_prompt_and_says_which_texts_are_gone(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = run_folder([row(number) for number in range(5)])
    for options in (ExportOptions(shape="text", open_book=10), ExportOptions(open_book=101)):
        with pytest.raises(UsageError, match="--open-book"):
            export(folder, tmp_path / "out", options, read_texts=lambda _: iter(()))
    options = ExportOptions(open_book=100, shares=ALL_TRAIN)
    summary = export(folder, tmp_path / "out", options, read_texts=lambda _: iter(()))
    assert summary.open_book == {"no_text": 5}
    assert "5 more as they are" in " ".join(summary_lines(summary))


def test_every_language_of_the_phrases_has_its_words_for_an_open_book() -> None:
    assert set(WORDS) == set(LANGUAGES)


def test_rows_that_a_format_cannot_hold_are_told_where_they_fit(
    run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    folder = run_folder([row(1, task="text", instruction=None)])
    with pytest.raises(InputError, match=r"1 task_text\); formats that hold such rows: text"):
        export(folder, tmp_path / "out")
    assert export(folder, tmp_path / "out", ExportOptions(shape="text")).kept == {"train": 1}


def test_before_the_first_shard_it_says_when_there_will_be_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / ".run" / "open").mkdir(parents=True)
    (folder / ".run" / "config.json").write_text('{"shard_age_s": 300}', "utf-8")
    (folder / ".run" / "open" / "train-00000.jsonl").write_text('{"id": "1"}\n' * 3, "utf-8")
    with pytest.raises(InputError, match=r"3 pairs are written .* at most 5 minutes after"):
        export(folder, tmp_path / "out")
    with pytest.raises(InputError, match="there is no such folder"):
        export(tmp_path / "nowhere", tmp_path / "out")


def test_a_format_without_a_place_for_system_texts_says_so_or_folds_them(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(at, system="Speak plainly." if at % 2 else None) for at in range(6)]
    run = run_folder(rows)
    for shape in ("alpaca", "prompt_completion"):
        plain = export(run, tmp_path / shape, ExportOptions(shape=shape, shares=ALL_TRAIN))
        assert (plain.without_system, plain.folded_systems) == (3, 0)
        assert any("system texts left out: 3" in line for line in summary_lines(plain))
        assert "Speak plainly." not in str(records(tmp_path / shape))
    kept = export(
        run,
        tmp_path / "column",
        ExportOptions(shape="alpaca", shares=ALL_TRAIN, columns=("system",)),
    )
    assert kept.without_system == 0
    options = ExportOptions(shape="alpaca", shares=ALL_TRAIN, fold_system=True)
    folded = export(run, tmp_path / "folded", options)
    assert (folded.without_system, folded.folded_systems) == (0, 3)
    asked = [record["instruction"] for record in records(tmp_path / "folded")]
    assert sum(text.startswith("Speak plainly.\n\nWhat is number ") for text in asked) == 3
    own = export(run, tmp_path / "own", ExportOptions(shares=ALL_TRAIN))
    assert own.without_system == 0
    with pytest.raises(UsageError, match="--fold-system"):
        export(run, tmp_path / "x", ExportOptions(shape="text", fold_system=True))


def test_a_folded_system_text_stands_before_passages_and_is_no_part_of_the_request(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [row(1, system="Be brief."), row(2, system="Be kind.", instruction="What is one?")]
    rows += [row(3, system="Be calm.", instruction="What is one?")]

    def read(_wanted: set[str]) -> Iterator[SourceText]:
        yield from (SourceText(it["document_id"], it["chunk_id"], "Some passage.") for it in rows)

    options = ExportOptions(
        shape="prompt_completion", shares=ALL_TRAIN, fold_system=True, open_book=100, unanswerable=0
    )
    summary = export(run_folder(rows), tmp_path / "out", options, read_texts=read)
    found = [record["prompt"] for record in records(tmp_path / "out")]
    assert found[0].startswith("Be brief.\n\nText 1:\nSome passage.\n\nWhat is number 1")
    assert summary.dropped == {"same_instruction": 1}  # as in formats with a place for system texts


def test_a_system_text_for_all_can_be_folded_too(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    run = run_folder([row(0)])
    with pytest.raises(UsageError, match="messages, reasoning, sharegpt have one; --fold-system"):
        export(run, tmp_path / "x", ExportOptions(shape="alpaca", system="Be brief."))
    options = ExportOptions(shape="alpaca", shares=ALL_TRAIN, system="Be brief.", fold_system=True)
    export(run, tmp_path / "out", options)
    assert records(tmp_path / "out")[0]["instruction"].startswith("Be brief.\n\nWhat")
