from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.output.qc.public import SHAPES, Exchange, Fault, Shape

from pairmill.output.check_dataset import write_clean, write_findings
from pairmill.output.qc.read import Fields, read_pairs
from pairmill.output.qc.report import Report, check
from pairmill.output.qc.variety import Profile
from pairmill.quality.trust import Status

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 90
PROSE = [shape for shape in SHAPES if shape.draw.__name__ == "_plain"]
BY_NAME = {shape.name: shape for shape in SHAPES}
GERMAN = (
    "Die Brauer im Tal nahmen einen Kessel aus Kupfer, weil er die Wärme gut verteilt. Nach dem "
    "Brand war das auch in der Stadt so, und man hat es nicht bereut. Wir wissen es von ihnen."
)
FAULTS: dict[str, Fault] = {
    "refusals": lambda e: replace(e, said="I'm sorry, but I cannot help with that request."),
    "wrong_language": lambda e: replace(e, said=GERMAN),
    "truncated": lambda e: replace(e, said=e.said[:-9]),
    "secrets": lambda e: replace(e, said=f"{e.said} The key is {'AKIA' + 'IOSFODNN7ABCDEFG'}."),
    "personal_data": lambda e: replace(e, said=f"{e.said} Write to a.berg@brewmail.org."),
    "meta_text": lambda e: replace(e, said=f"{e.said}<|im_end|>"),
}


def write(path: Path, shape: Shape, *planted: object) -> Path:
    file = path / f"{shape.name}.jsonl"
    lines = [json.dumps(record) for record in shape.records(COUNT, *planted)]  # type: ignore[arg-type]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def bad(report: Report) -> dict[str, float]:
    found = {Status.WARN, Status.FAIL}
    return {metric.key: metric.value for metric in report.metrics if metric.status in found}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_clean_file_in_a_public_shape_raises_nothing(shape: Shape, tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path, shape))
    assert len(pairs.rows) == COUNT
    assert pairs.unreadable == 0
    assert bad(check(pairs)) == {}


@pytest.mark.parametrize("name", ["oasst-trees", "ultrafeedback-rated", "r1", "capybara", "p3"])
def test_faults_are_found_in_replies_that_stand_deep_in_a_record(name: str, tmp_path: Path) -> None:
    planted = frozenset(range(3, COUNT, 9))
    for key in ("refusals", "wrong_language", "truncated"):
        pairs = read_pairs(write(tmp_path, BY_NAME[name], planted, FAULTS[key]))
        report = check(pairs)
        assert bad(report)[key] == pytest.approx(len(planted) / COUNT, abs=0.02), key
        (metric,) = [metric for metric in report.metrics if metric.key == key]
        assert {hit.row - 1 for hit in metric.hits} == planted, key
        assert not any("was not read" in note for note in report.notes)


@pytest.mark.parametrize("key", FAULTS)
def test_what_is_planted_is_found_and_its_lines_are_named(key: str, tmp_path: Path) -> None:
    shapes = [PROSE[(at + sorted(FAULTS).index(key)) % len(PROSE)] for at in (0, 5)]
    if key == "refusals":  # where tools are offered, "I cannot" is what is wanted
        shapes = [shape for shape in shapes if shape.name != "openai-tools"] or [BY_NAME["kto"]]
    for shape in shapes:
        planted = frozenset(range(3, COUNT, 9))
        pairs = read_pairs(write(tmp_path, shape, planted, FAULTS[key]))
        report = check(pairs)
        (metric,) = [metric for metric in report.metrics if metric.key == key]
        assert metric.value == pytest.approx(len(planted) / COUNT, abs=0.02), shape.name
        rows = tmp_path / f"{shape.name}.bad"
        write_findings(rows, report, pairs)
        found = [json.loads(line) for line in rows.read_text().splitlines()]
        lines = {row["line"] for row in found if row["check"] == key}
        assert lines == {number + 1 for number in planted}, shape.name
        assert all(row["file"].endswith(f"{shape.name}.jsonl") for row in found)
        assert "brewmail" not in rows.read_text()


def test_repeats_and_pointers_at_nothing_are_found_in_any_shape(tmp_path: Path) -> None:
    planted = frozenset(range(0, COUNT, 10))
    shape = BY_NAME["sharegpt"]
    report = check(
        read_pairs(
            write(tmp_path, shape, planted, lambda e: replace(e, asked="Why use brass at all?"))
        )
    )
    values = {metric.key: metric.value for metric in report.metrics}
    assert values["near_repeats"] == 0  # the talks go on differently
    alpaca = BY_NAME["orca"]

    def point(exchange: Exchange) -> Exchange:
        return replace(exchange, asked=f"{exchange.asked[:-1]}, according to the passage?")

    found = check(read_pairs(write(tmp_path, alpaca, planted, point)))
    assert "meta_references" not in bad(found)  # a system message may hold it
    found = check(read_pairs(write(tmp_path, BY_NAME["kto"], planted, point)))
    assert bad(found)["meta_references"] == pytest.approx(len(planted) / COUNT, abs=0.02)


def test_an_answer_is_held_against_the_records_own_text(tmp_path: Path) -> None:
    planted = frozenset(range(0, COUNT, 7))
    stray = "Modern taxation depends on poetry, and experts agree that grammar improves cinema."
    shape = BY_NAME["dolly"]
    pairs = read_pairs(write(tmp_path, shape, planted, lambda e: replace(e, said=stray)))
    report = check(pairs)
    assert report.profile is Profile.GROUNDED
    assert bad(report)["ungrounded"] == pytest.approx(len(planted) / COUNT, abs=0.02)
    assert {"copied", "grounding_lift"} <= report.unchecked.keys()


def test_answers_to_avoid_are_not_judged(tmp_path: Path) -> None:
    records = BY_NAME["kto"].records(COUNT)
    for record in records[::3]:
        record["label"] = False
        record["completion"][0]["content"] = "I cannot help with that."
    file = tmp_path / "kto.json"
    file.write_text(json.dumps(records), "utf-8")
    pairs = read_pairs(file)
    assert bad(check(pairs)) == {}
    assert "30 answers are labelled as ones to avoid (label), and were not judged" in pairs.notes


def test_every_reply_of_a_talk_is_judged(tmp_path: Path) -> None:
    records = BY_NAME["sharegpt"].records(COUNT)
    for record in records[::5]:
        record["conversations"][-1]["value"] = "I'm sorry, but I cannot help with that."
    file = tmp_path / "talks.json"
    file.write_text(json.dumps(records), "utf-8")
    report = check(read_pairs(file))
    assert bad(report)["refusals"] == pytest.approx(0.2, abs=0.02)
    (metric,) = [metric for metric in report.metrics if metric.key == "refusals"]
    assert {hit.exchange for hit in metric.hits} == {1}


def test_what_should_go_is_left_out_and_the_rest_keeps_its_bytes(tmp_path: Path) -> None:
    planted = frozenset({2, 50, 51})
    file = write(tmp_path, BY_NAME["alpaca"], planted, FAULTS["refusals"])
    lines = file.read_bytes().splitlines()
    file.write_bytes(b"\n".join([*lines[:10], b'{"torn', *lines[10:]]) + b"\n")
    pairs = read_pairs(file)
    out = tmp_path / "clean.jsonl"
    kept, dropped = write_clean(file, out, check(pairs), pairs)
    assert dropped >= 4
    left = out.read_bytes().splitlines()
    assert len(left) == kept == COUNT + 1 - dropped
    assert set(left) <= set(lines)
    assert not {lines[at] for at in planted} & set(left)
    assert bad(check(read_pairs(out))) == {}


def test_csv_is_read_and_its_lines_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["instruction", "input", "output"])
        for record in BY_NAME["alpaca"].records(COUNT):
            writer.writerow(record.values())
    pairs = read_pairs(file)
    assert len(pairs.rows) == COUNT
    assert bad(check(pairs)) == {}
    assert pairs.rows[0].place.line > 1


def test_fields_with_dots_lead_into_a_record(tmp_path: Path) -> None:
    file = write(tmp_path, BY_NAME["self-instruct"])
    pairs = read_pairs(file, Fields("instruction", "instances.0.output"))
    assert pairs.rows == read_pairs(file).rows


def test_a_check_that_knows_no_word_of_a_language_says_so(tmp_path: Path) -> None:
    dutch = "De kinderen gaan vandaag met hun oude leraar naar het bos, omdat het weer mooi is."
    file = tmp_path / "nl.jsonl"
    records = [
        {"prompt": f"Waar gaan de {at} kinderen vandaag naartoe?", "completion": f"{dutch} {at}."}
        for at in range(20)
    ]
    file.write_text("\n".join(map(json.dumps, records)), "utf-8")
    report = check(read_pairs(file))
    keys = {metric.key for metric in report.metrics}
    assert {"refusals", "meta_text", "meta_references", "yes_no"} <= report.unchecked.keys()
    assert not keys & {"refusals", "meta_text", "meta_references", "yes_no"}
    assert "(nl)" in report.unchecked["refusals"]
