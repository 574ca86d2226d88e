"""Licences, sites and languages of a run's own rows: counted once a shard, right after anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.output import run_origins
from pairmill.output.card import render_card
from pairmill.output.facts import RunFacts
from pairmill.output.rows import complete_lines
from pairmill.output.run_origins import read_run_origins
from pairmill.store.folder import read_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pairmill.output.origins import Origins
    from pairmill.output.rows import ShardLine

ENGLISH = "The weir holds back the water of the river so that the mill may turn in summer too."
GERMAN = "Das Wehr staut das Wasser des Flusses, damit die Mühle auch im Sommer laufen kann."


@pytest.fixture
def folder(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> Path:
    made = run_folder([
        row(0, url="https://www.mills.example/a", license="CC BY-ND 4.0", answer=ENGLISH),
        row(1, url="https://mills.example/b", license="CC BY 4.0", answer=GERMAN),
        row(2, url=None, source="crawl/b.jsonl:7", license=None, answer=GERMAN),
    ])  # fmt: skip
    (made / ".run").mkdir(exist_ok=True)
    (made / ".run" / "settings.json").write_text("{}", "utf-8")
    return made


def counted(folder: Path) -> Origins:
    found = read_run_origins(read_folder(folder))
    assert found is not None
    return found


def add_shard(folder: Path, number: int, rows: list[dict[str, Any]]) -> None:
    shard = folder / "data" / f"train-{number:05d}.jsonl"
    shard.write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")


def test_the_runs_own_card_names_licences_sites_and_languages(folder: Path) -> None:
    found = counted(folder)
    card = render_card(
        RunFacts("r", "1", ("m",), "0.1.0", origins=found, languages=found.languages), state="s"
    )
    assert "| `mills.example` | 2 |" in card
    assert "| `local files` | 1 |" in card
    assert "crawl" not in card
    assert "| `CC-BY-ND-4.0` | 1 |" in card
    assert "| `unknown` | 1 |" in card
    assert "allows no adaptations" in card
    assert "language:\n- de\n- en\n" in card
    assert "de (67%)" in card


def test_a_shard_is_read_once(
    folder: Path, row: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def lines(shard: Path) -> Iterator[ShardLine]:
        read.append(shard.name)
        return complete_lines(shard)

    monkeypatch.setattr(run_origins, "complete_lines", lines)
    assert read_run_origins(read_folder(folder), only_kept=True) is None
    assert counted(folder).licenses == {"CC-BY-ND-4.0": 1, "CC-BY-4.0": 1, "unknown": 1}
    add_shard(folder, 1, [row(9, license="CC BY 4.0")])
    assert counted(folder).licenses["CC-BY-4.0"] == 2
    assert read == ["train-00000.jsonl", "train-00001.jsonl"]
    kept = read_run_origins(read_folder(folder), only_kept=True)
    assert kept is not None
    assert kept.licenses["CC-BY-4.0"] == 2


@pytest.mark.parametrize("harm", ["gone", "other", "damaged", "newer"])
def test_counts_of_shards_that_are_not_there_any_more_are_not_believed(
    folder: Path, row: Callable[..., dict[str, Any]], harm: str
) -> None:
    add_shard(folder, 1, [row(9, license="MIT")])
    assert counted(folder).licenses["MIT"] == 1
    kept = folder / ".run" / "origins.json"
    if harm == "gone":
        (folder / "data" / "train-00001.jsonl").unlink()
    elif harm == "other":
        add_shard(folder, 1, [row(9, license="ISC"), row(10, license="ISC")])
    elif harm == "damaged":
        kept.write_bytes(b'{"format": 1, "shards": {"train-00')
    else:
        kept.write_text(json.dumps(json.loads(kept.read_text()) | {"format": 2}), "utf-8")
    licenses = counted(folder).licenses
    assert licenses.get("MIT", 0) == (0 if harm in {"gone", "other"} else 1)
    assert licenses.get("ISC", 0) == (2 if harm == "other" else 0)
    assert sum(licenses.values()) == (3 if harm == "gone" else 5 if harm == "other" else 4)


def test_values_of_any_type_are_counted_as_unknown(
    folder: Path, row: Callable[..., dict[str, Any]]
) -> None:
    add_shard(folder, 0, [row(1, license=[1], url={"a": 1}, source=3, answer=None)])
    assert counted(folder).licenses == {"unknown": 1}
