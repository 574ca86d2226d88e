from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.asks import settings

from pairmill.errors import FolderError
from pairmill.store.folder import lock_folder, open_folder, read_folder
from pairmill.store.side_files import FORMATS, check_formats, read_last_settings
from pairmill.store.timeline import Timeline, read_timeline, write_timeline

FINISHED = Path("tests/fixtures/run-folder-1/finished")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "dataset"
    shutil.copytree(FINISHED, path)
    (path / "run").rename(path / ".run")
    return path


def write(path: Path, number: int | None) -> None:
    """Write a file of a format, with a field that no version knows."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    if path.suffix == ".db":
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE invented (later)")
            db.execute(f"PRAGMA user_version = {number or 0}")
        return
    document = {"invented": True} | ({} if number is None else {"format": number})
    line = json.dumps(document) + "\n"
    path.write_text("{}\n" + line if path.suffix == ".jsonl" else line, "utf-8")


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_a_newer_format_is_refused_wherever_the_folder_is_opened(
    folder: Path, name: str
) -> None:
    write(folder / name, FORMATS[name] + 1)
    says = f"{name}: made by a newer pairmill .format 2, this one reads 1.; upgrade pairmill"
    with pytest.raises(FolderError, match=says):
        read_folder(folder)
    with pytest.raises(FolderError, match=says), lock_folder(folder, version="1"):
        pass
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    with (
        pytest.raises(FolderError, match=says),
        open_folder(folder, settings_fingerprint={}, accept_change=True, version="1"),
    ):
        pass
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("number", [None, 1])
def test_a_field_that_is_not_known_is_no_reason_to_refuse(
    folder: Path, name: str, number: int | None
) -> None:
    write(folder / name, number)
    check_formats(read_folder(folder))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "two"}', "\udcff"])
@pytest.mark.parametrize("name", ["figures.json", ".run/timeline.json", "superseded.jsonl"])
def test_what_is_damaged_has_no_format(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    check_formats(read_folder(folder))


def test_only_the_last_whole_line_of_a_file_of_lines_counts(folder: Path) -> None:
    """A newer version appends; a line without an end is still being written."""
    path = folder / "superseded.jsonl"
    path.write_text('{"format": 1}\n' * 9_000 + '{"format": 2}', "utf-8")
    check_formats(read_folder(folder))
    with path.open("a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(FolderError, match="superseded"):
        read_folder(folder)


def test_settings_that_only_another_version_knows_are_ignored(folder: Path) -> None:
    known = settings(model="m-1", request={"body": {"top_p": 0.5}})
    document = json.loads(known.model_dump_json())
    document["invented"] = {"deep": [1]}
    document["request"]["invented"] = 2
    path = read_folder(folder)
    path.resolved.write_text(json.dumps(document), "utf-8")
    assert read_last_settings(path) == known
    path.resolved.write_text(json.dumps({**document, "seed": "no number"}), "utf-8")
    assert read_last_settings(path) is None
    path.resolved.unlink()
    assert read_last_settings(path) is None


def test_the_timeline_of_a_version_with_more_fields_is_read(tmp_path: Path) -> None:
    path = tmp_path / "timeline.json"
    write_timeline(path, Timeline())
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "invented": []}), "utf-8")
    assert read_timeline(path) == Timeline()
