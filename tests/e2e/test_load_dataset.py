"""The real ``datasets`` library reads a run folder at every moment of a run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.output.card import render_card, write_card
from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions
from pairmill.output.facts import RunFacts
from pairmill.output.formats.registry import FORMATS
from pairmill.output.split import Shares
from pairmill.store.columns import ROW_FEATURES
from pairmill.store.row_encoding import add_fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The reader is another's code: what it warns of is not ours to fix.
pytestmark = pytest.mark.filterwarnings("ignore")

FACTS = RunFacts(recipe="backtranslate", prompt_version="1", models=("m",), version="0.1.0")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    datasets.disable_progress_bars()

    def load(folder: Path) -> Any:
        return datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))

    return load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    write_card(folder, FACTS)
    return folder


def row(number: int, **given: Any) -> dict[str, Any]:
    plain: dict[str, Any] = dict.fromkeys(ROW_FEATURES)
    plain |= {
        "id": f"{number:032x}",
        "instruction": "Why?",
        "answer": "Because.",
        "flags": [],
        "task": "pair",
    }
    plain |= {"attempts": 1, "prompt_tokens": 10, "completion_tokens": 5}
    return plain | given


def publish(folder: Path, number: int, *rows: dict[str, Any]) -> None:
    text = "".join(json.dumps(item) + "\n" for item in rows)
    (folder / "data" / f"train-{number:05d}.jsonl").write_text(text, "utf-8")
    write_card(folder, FACTS)


NEW_COLUMNS = ("task", "messages", "system", "reasoning", "fields")
CREATED = "2026-11-22T10:20:30Z"
SCORES = {"instruction_following": 4.0, "truthfulness": 5.0, "honesty": None, "helpfulness": 3.5}


def test_no_shard_yet_says_so(folder: Path, load: Callable[[Path], Any]) -> None:
    with pytest.raises(FileNotFoundError, match="data files"):
        load(folder)


def test_one_shard_loads_with_the_canonical_fields(
    folder: Path, load: Callable[[Path], Any]
) -> None:
    publish(folder, 0, row(1))
    rows = load(folder)["train"]
    assert rows.column_names == list(ROW_FEATURES)
    assert rows.num_rows == 1


def test_the_folder_grows_between_two_loads(folder: Path, load: Callable[[Path], Any]) -> None:
    publish(folder, 0, row(1))
    assert load(folder)["train"].num_rows == 1
    publish(folder, 1, row(2))
    assert load(folder)["train"].num_rows == 2


def test_another_folder_of_the_same_name_is_not_mistaken(
    tmp_path: Path, load: Callable[[Path], Any]
) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number) / "dataset"
        (folder / "data").mkdir(parents=True)
        publish(folder, 0, row(number))
        assert load(folder)["train"]["id"] == [f"{number:032x}"]


def test_null_first_and_empty_list_first(folder: Path, load: Callable[[Path], Any]) -> None:
    publish(folder, 0, row(1))
    publish(
        folder, 1, row(2, title="T", scores=SCORES, grounding=1, flags=["short"], created=CREATED)
    )
    rows = load(folder)["train"]
    assert rows[0]["scores"] is None
    assert rows[1]["scores"] == SCORES
    assert rows[1]["grounding"] == 1.0
    assert rows[1]["flags"] == ["short"]
    assert rows[1]["created"] == datetime(2026, 11, 22, 10, 20, 30, tzinfo=UTC)


def test_neighbours_in_the_folder_do_no_harm(folder: Path, load: Callable[[Path], Any]) -> None:
    publish(folder, 0, row(1))
    for name, text in {
        ".run/open/train-00001.jsonl": '{"id": "torn',
        ".run/ledger.db": "binary",
        "rejected/rejected-00000.jsonl": '{"reason": "refusal"}\n',
        "rejected/train-00000.jsonl": '{"reason": "refusal"}\n',
        "data/train-00001.jsonl.part": '{"id": "torn',
        "manifest.json": '{"shards": []}',
        "report.html": "<p>",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    loaded = load(folder)
    assert list(loaded) == ["train"]
    assert loaded["train"].num_rows == 1


def test_an_empty_shard_beside_a_full_one(folder: Path, load: Callable[[Path], Any]) -> None:
    publish(folder, 0)
    publish(folder, 1, row(1))
    assert load(folder)["train"].num_rows == 1


def test_a_final_card_with_hostile_names_loads(folder: Path, load: Callable[[Path], Any]) -> None:
    publish(folder, 0, row(1))
    hostile = '"]\n---\nconfigs: []\n# <script>alert(1)</script> ![x](http://x.test/a.png) `|'
    facts = RunFacts(
        recipe=hostile,
        prompt_version=hostile,
        models=(hostile,),
        version=hostile,
        pairs=1,
        rejections={hostile: 3},
        languages=("en", hostile),
        finished=True,
    )
    card = render_card(facts, state=hostile, name=hostile, license_id=hostile)
    (folder / "README.md").write_text(card, "utf-8")
    assert load(folder)["train"].num_rows == 1


@pytest.mark.parametrize("file_type", ["jsonl", "parquet"])
@pytest.mark.parametrize("shape", FORMATS)
def test_every_export_loads_with_its_own_columns_and_splits(
    shape: str, file_type: str, folder: Path, tmp_path: Path, load: Callable[[Path], Any]
) -> None:
    scores = [dict.fromkeys(SCORES, value) for value in (5.0, 1.0)]
    rows = [
        row(
            2 * number + index,
            instruction=f"What is {number}?",
            document_id=f"d{number}",
            chunk_id=f"c{number}",
            scores=scores[index],
            task="question" if shape == "question" else "pair",
            fields={"negatives": ["Not this."]} if shape == "triplets" else None,
        )
        for number in range(60)
        for index in range(2)
    ]
    publish(folder, 0, *rows)
    out = tmp_path / "out"
    options = ExportOptions(shape=shape, file_type=file_type, shares=Shares(60, 20, 20))
    summary = export(folder, out, options)
    loaded = load(out)
    assert {split: loaded[split].num_rows for split in loaded} == summary.kept
    assert sum(summary.kept.values()) == 60
    assert loaded["train"].column_names == list(FORMATS[shape].schema)


def test_rows_of_every_task_load_beside_rows_of_format_1(
    folder: Path, load: Callable[[Path], Any]
) -> None:
    old = {name: value for name, value in row(1).items() if name not in NEW_COLUMNS}
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    facts = replace(FACTS, fields={"difficulty": "string", "level": "int64", "tags": ("string",)})
    publish(folder, 0, old)
    publish(
        folder,
        1,
        row(2, task="conversation", messages=turns, system="Be kind."),
        row(3, task="text", instruction=None, fields={"difficulty": "hard", "level": 3}),
        row(4, fields={"level": 2, "tags": ["a"]}, reasoning="hm"),
    )
    write_card(folder, facts)
    rows = load(folder)["train"]
    assert rows.column_names == list(ROW_FEATURES)
    assert rows["task"] == [None, "conversation", "text", "pair"]
    assert rows[1]["messages"] == turns
    assert rows[2]["fields"] == {"difficulty": "hard", "level": 3, "tags": None}
    assert rows[3]["fields"]["tags"] == ["a"]


@pytest.mark.parametrize("file_type", ["jsonl", "parquet"])
def test_an_export_with_columns_beside_the_formats_own_loads(
    file_type: str, folder: Path, tmp_path: Path, load: Callable[[Path], Any]
) -> None:
    publish(folder, 0, row(1, document_id="d", chunk_id="c", fields={"level": 3}, created=CREATED))
    (folder / ".run").mkdir()
    add_fields(folder / ".run", {"level": "int64"})
    names = ("id", "created", "fields", "level", "scores")
    options = ExportOptions(file_type=file_type, shares=Shares(100, 0, 0), columns=names)
    export(folder, tmp_path / "out", options)
    rows = load(tmp_path / "out")["train"]
    assert rows.column_names == ["messages", *names]
    assert (rows[0]["level"], rows[0]["fields"]) == (3, {"level": 3})
    assert rows[0]["created"] == datetime(2026, 11, 22, 10, 20, 30, tzinfo=UTC)


def test_an_export_with_an_empty_split_loads(
    folder: Path, tmp_path: Path, load: Callable[[Path], Any]
) -> None:
    publish(folder, 0, row(1, document_id="d", chunk_id="c"))
    export(folder, tmp_path / "out", ExportOptions(shares=Shares(100, 0, 0)))
    assert list(load(tmp_path / "out")) == ["train"]
