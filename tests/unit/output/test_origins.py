"""Licences, sites and languages of a run's own rows: counted once a shard, right after anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import InputError
from pairmill.output import origins
from pairmill.output.card import render_card
from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions
from pairmill.output.export_summary import summary_lines
from pairmill.output.facts import RunFacts
from pairmill.output.marks.log import MarksFile, new_action
from pairmill.output.origins import (
    UNKNOWN,
    forbids_adaptation,
    is_wanted,
    license_name,
    read_run_origins,
    warnings,
)
from pairmill.output.rows import complete_lines
from pairmill.output.split import Shares
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

    monkeypatch.setattr(origins, "complete_lines", lines)
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


ALL_TRAIN = Shares(100, 0, 0)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/", "CC-BY-SA-4.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/3.0/deed.de", "CC-BY-NC-ND-3.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "Public domain"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International License", "CC-BY-SA-4.0"),
        ("Creative Commons Attribution-NonCommercial-NoDerivs 2.0", "CC-BY-NC-ND-2.0"),
        ("CC0", "CC0-1.0"),
        ("mit", "MIT"),
        ("MIT License", "MIT"),
        ("https://opensource.org/licenses/MIT", "MIT"),
        ("https://spdx.org/licenses/GPL-3.0-or-later", "GPL-3.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("This work is in the public domain.", "Public domain"),
        ("\u00a9 2024 The Times", "All rights reserved"),
        ("Copyright 2020 by A. Nyone. All rights reserved.", "All rights reserved"),
        ("(c) 2024 The Times", "All rights reserved"),
        ("(CC BY 4.0 AND (MIT))", "CC-BY-4.0 AND MIT"),
        ("Our own terms", "Our own terms"),
        ("cc-by-4.0 AND CC BY-SA 4.0", "CC-BY-4.0 AND CC-BY-SA-4.0"),
        ("", UNKNOWN),
        (None, UNKNOWN),
        (["MIT"], UNKNOWN),
        ("x\u202e\x1b[31m y", "x [31m y"),
    ],
)
def test_one_name_for_every_spelling(said: object, name: str) -> None:
    assert license_name(said) == name


def test_what_is_wanted() -> None:
    assert is_wanted("CC BY 4.0", ["cc-by-4.0"])
    assert is_wanted("https://creativecommons.org/licenses/by-sa/4.0/", ["CC-BY-SA-*"])
    assert is_wanted("CC BY 4.0", ["https://creativecommons.org/licenses/by/4.0/"])
    assert not is_wanted("CC BY-ND 4.0", ["CC-BY-4.0"])
    assert not is_wanted("CC BY 4.0 AND CC BY-ND 4.0", ["CC-BY-4.0"])
    wordy = f"CC BY 4.0, {'in the words of its author, ' * 11}".strip()
    assert not is_wanted(f"{wordy} AND CC BY-ND 4.0", ["CC-BY-4.0"])  # however long they are
    assert is_wanted(None, ["unknown"])
    assert not is_wanted(None, ["CC-*", "MIT"])


def test_what_forbids_and_what_is_warned_of() -> None:
    assert forbids_adaptation("CC-BY-ND-4.0")
    assert forbids_adaptation("MIT AND All rights reserved")
    assert not forbids_adaptation("CC-BY-SA-4.0")
    told = " ".join(warnings({"CC-BY-ND-4.0": 3, UNKNOWN: 2, "CC-BY-NC-4.0": 1, "MIT": 9}))
    assert "not known for 2 rows" in told
    assert "3 rows come from texts whose licence allows no adaptations" in told
    assert "1 rows come from texts for non-commercial use only" in told
    assert warnings({"MIT": 9}) == []


def licensed(row: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    names = ["CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", "CC BY-ND 4.0", None]
    return [row(at, document_id=f"d{at}", license=name) for at, name in enumerate(names)]


def test_the_card_counts_them_and_warns(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    options = ExportOptions(shares=ALL_TRAIN, columns=("license",))
    summary = export(run_folder(licensed(row)), tmp_path / "out", options)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "### Licences" in card
    (line,) = [line for line in card.splitlines() if line.startswith("| `CC-BY-4.0`")]
    assert line.replace(" ", "") == "|`CC-BY-4.0`|2|2|"
    assert "allows no adaptations" in card
    assert "not known for 1 rows" in card
    assert any(line.startswith("licences of the texts: 2 CC-BY-4.0") for line in
               summary_lines(summary))  # fmt: skip
    lines = next((tmp_path / "out" / "data").glob("*.jsonl")).read_text("utf-8").splitlines()
    assert {json.loads(line)["license"] for line in lines} >= {"CC BY 4.0", None}


def test_a_filter_holds_even_for_what_people_accepted(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    rows = licensed(row)
    folder = run_folder(rows)
    MarksFile(folder / "marks.jsonl").append(new_action("accept", [rows[2]["id"]]))
    options = ExportOptions(shares=ALL_TRAIN, licenses=("CC-BY-4.0",))
    summary = export(folder, tmp_path / "out", options)
    assert summary.kept == {"train": 2}
    assert summary.dropped == {"license_not_wanted": 1, "license_unknown": 1}
    assert (
        "- Licences of the documents: `CC-BY-4.0`" in (tmp_path / "out" / "README.md").read_text()
    )
    with pytest.raises(InputError, match="license_unknown"):
        export(folder, tmp_path / "none", ExportOptions(licenses=("MIT",)))


def test_rows_of_before_there_was_the_column_count_as_unknown(
    tmp_path: Path, run_folder: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    rows = [row(at) for at in range(3)]
    for item in rows:
        del item["license"]
    export(run_folder(rows), tmp_path / "out", ExportOptions(shares=ALL_TRAIN))
    assert "are not recorded" in (tmp_path / "out" / "README.md").read_text("utf-8")
