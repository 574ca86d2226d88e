from __future__ import annotations

import gzip
from array import array
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.output import source_texts
from pairmill.output.related import sketch_of
from pairmill.output.source_texts import (
    CachedTexts,
    SourceText,
    TextCacheWriter,
    cache_place,
    read_source_texts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pairmill.records import Chunk

TEXT = "The copper kettle spreads heat evenly across the whole mash, as brewers know. " * 30


def make_run(place: Path, inputs: str) -> Path:
    folder = place / "run"
    (folder / ".run").mkdir(parents=True)
    settings = load(given={"inputs": (inputs,), "output": str(folder)})
    (folder / ".run" / "config.json").write_text(settings.model_dump_json())
    (folder / ".run" / "settings.json").write_text("{}")
    (folder / ".run" / "origin.json").write_bytes(orjson.dumps({"place": str(place)}))
    return folder


def test_texts_come_from_where_the_run_was_started_until_all_have_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts").mkdir()
    for name in ("a", "b"):
        (tmp_path / "texts" / f"{name}.txt").write_text(f"{name} {TEXT}")
    folder = make_run(tmp_path, "texts")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    every = list(read_source_texts(folder, {"not there"}))
    assert len({chunk.document_id for chunk in every}) == 2
    wanted = {every[0].id}
    assert [chunk.id for chunk in read_source_texts(folder, wanted)] == [every[0].id]
    assert wanted == set()


def test_where_the_inputs_are_gone_or_were_piped_nothing_comes(tmp_path: Path) -> None:
    assert list(read_source_texts(make_run(tmp_path / "one", "gone"), {"x"})) == []
    assert list(read_source_texts(make_run(tmp_path / "two", "-"), {"x"})) == []
    assert list(read_source_texts(tmp_path / "no run", {"x"})) == []


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "texts" / f"{name}.txt").write_text(f"{name} is first. {TEXT}")
    return make_run(tmp_path, str(tmp_path / "texts"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often the inputs are read."""
    seen: list[int] = []

    def read(*arguments: Any) -> Iterator[Chunk]:
        seen.append(1)
        return read_chunks(*arguments)

    monkeypatch.setattr(source_texts, "read_chunks", read)
    return seen


def test_a_second_export_reads_no_input_again(run: Path, reads: list[int]) -> None:
    every = list(read_source_texts(run, {"not there"}))
    assert len(every) >= 3
    assert len(reads) == 1
    wanted = {every[0].id, every[-1].id}
    assert list(read_source_texts(run, set(wanted))) == every
    assert list(read_source_texts(run, {every[0].id})) == every[:1]
    assert list(read_source_texts(run, {"not there"})) == every  # the inputs are as they were
    assert len(reads) == 1
    assert all(text.sketch == sketch_of(text.text) for text in every)


def test_inputs_that_have_grown_are_read_again_and_those_that_are_gone_are_remembered(
    run: Path, reads: list[int], tmp_path: Path
) -> None:
    every = list(read_source_texts(run, {"not there"}))
    (tmp_path / "texts" / "d.txt").write_text(f"d is new. {TEXT}")
    more = list(read_source_texts(run, {"not there"}))
    assert len(reads) == 2
    assert len(more) > len(every)
    (tmp_path / "texts").rename(tmp_path / "away")
    assert list(read_source_texts(run, {"not there"})) == more
    assert list(read_source_texts(run, {every[0].id})) == every[:1]


def test_exports_that_want_other_chunks_do_not_take_turns(run: Path, reads: list[int]) -> None:
    ids = [text.id for text in read_source_texts(run, {"not there"})]
    cache_place(run).unlink()
    assert list(read_source_texts(run, {ids[-1]}))
    assert list(read_source_texts(run, {ids[0]}))
    assert list(read_source_texts(run, {ids[-1]}))
    assert len(reads) == 2  # with the one that found the ids


@pytest.mark.parametrize("damage", ["cut", "no gzip", "other format", "empty"])
def test_a_damaged_cache_is_as_good_as_none(run: Path, reads: list[int], damage: str) -> None:
    every = list(read_source_texts(run, {"not there"}))
    place = cache_place(run)
    data = place.read_bytes()
    place.write_bytes({
        "cut": data[: len(data) // 2],
        "no gzip": b"{}\n",
        "other format": gzip.compress(b'{"format":9}\n{"state":""}\n'),
        "empty": b"",
    }[damage])  # fmt: skip
    assert list(read_source_texts(run, {"not there"})) == every
    assert len(reads) == 2


def test_a_cache_without_its_last_line_was_not_finished(tmp_path: Path) -> None:
    place = tmp_path / "texts"
    place.write_bytes(gzip.compress(b'{"format":1}\n["d","c","text",null]\n'))
    assert CachedTexts(place).ids == frozenset()


def test_a_folder_that_cannot_be_written_to_costs_the_cache_and_no_more(tmp_path: Path) -> None:
    with TextCacheWriter(tmp_path / "nowhere" / "texts") as writer:
        writer.add(SourceText("d", "c", "text", array("I", [1, 2])))
        writer.keep("")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_is_broken_off_leaves_no_draft(run: Path) -> None:
    reading = read_source_texts(run, {"not there"})
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert [path.name for path in (run / ".run").glob("*texts*")] == []
    assert [path.name for path in (run / ".run").glob(".*texts*")] == []
