from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from markdown_it import MarkdownIt

from pairmill.output.card import Layout, declare, folder_state, render_card, type_name, write_card
from pairmill.output.facts import RunFacts
from pairmill.records import Usage
from pairmill.store.columns import ROW_FEATURES, Feature

if TYPE_CHECKING:
    from pathlib import Path

FACTS = RunFacts(recipe="backtranslate", prompt_version="3", models=("m-1",), version="0.1.0")
DONE = RunFacts(
    recipe="backtranslate",
    prompt_version="3",
    models=("m-1", "m-2"),
    version="0.1.0",
    documents=12,
    chunks=1_234,
    pairs=2_500,
    rejections={"refusal": 2, "invalid_json": 7},
    usage=Usage(1_000_000, 200_000, 300_000),
    cost_usd=0.27,
    languages=("en", "fr"),
    finished=True,
)


def front_matter(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    head, _, _ = card[4:].partition("\n---\n")
    loaded = yaml.safe_load(head)
    assert isinstance(loaded, dict)
    return loaded


def test_before_the_run_the_card_names_files_and_every_field() -> None:
    head = front_matter(render_card(FACTS, state="s"))
    files = head["configs"][0]["data_files"]
    assert files == [{"split": "train", "path": "data/train-*.jsonl"}]
    assert [field["name"] for field in head["dataset_info"]["features"]] == list(ROW_FEATURES)
    assert head["license"] == "unknown"
    assert "size_categories" not in head


def test_before_the_run_no_number_is_claimed() -> None:
    card = render_card(FACTS, state="s")
    assert "has not ended" in card
    assert "## Counts" not in card


def test_at_the_end_counts_reasons_tokens_and_cost_are_told() -> None:
    card = render_card(DONE, state="s")
    assert "has not ended" not in card
    for line in (
        "| Chunks | 1,234 |",
        "| Pairs written | 2,500 |",
        "| Dropped units and pairs | 9 |",
        "| Prompt tokens | 1,000,000 |",
        "| Cost | 0.2700 USD |",
        "- Model: `m-1`, `m-2`",
    ):
        assert line in card
    assert card.index("`invalid_json` | 7") < card.index("`refusal` | 2")
    head = front_matter(card)
    assert head["size_categories"] == ["1K<n<10K"]
    assert head["language"] == ["en", "fr"]


def test_the_card_names_every_field_and_its_type() -> None:
    card = render_card(FACTS, state="s")
    for name, feature in ROW_FEATURES.items():
        assert f"| `{name}` | {type_name(feature)} |" in card


def test_nested_features_are_declared_as_the_hub_writes_them() -> None:
    schema: dict[str, Feature] = {
        "turns": ({"role": "string", "parts": ("string",)},),
        "grid": (("int64",),),
    }
    assert declare(schema) == [
        {
            "name": "turns",
            "list": [{"name": "role", "dtype": "string"}, {"name": "parts", "list": "string"}],
        },
        {"name": "grid", "list": {"list": "int64"}},
    ]


def test_hostile_names_stay_in_their_place() -> None:
    hostile = "\n---\n# Owned\n<img src=x onerror=a()> [a](http://x.test) ``` | `x` \u202e\x1b[2J"
    facts = RunFacts(
        recipe=hostile,
        prompt_version=hostile,
        models=(hostile,),
        version=hostile,
        rejections={hostile: 1},
        languages=(hostile,),
        finished=True,
    )
    card = render_card(facts, state=hostile, name=hostile, license_id=hostile)
    head = front_matter(card)
    assert head["license"] == "unknown"
    assert "language" not in head
    body = card.partition("\n---\n\n")[2]
    page = MarkdownIt("commonmark").enable("table").render(body)
    assert page.count("<h1>") == 1
    assert page.count("<table>") == 3
    for inert in ("<img", "<a ", "<hr"):
        assert inert not in page
    assert "\x1b" not in card
    assert "\u202e" not in card
    # A row of the table of reasons keeps its two cells.
    row = next(line for line in body.splitlines() if line.startswith("| `--- "))
    assert row.count("|") == 3


def test_splits_of_an_export_are_named_with_their_rows() -> None:
    layout = Layout(
        {"train": "data/train-*.parquet", "test": "data/test-*.parquet"},
        {"prompt": "string"},
        {"prompt": "The request"},
        {"train": 90, "test": 10},
    )
    card = render_card(DONE, layout, state="s", extra=("## More\n\nText.",))
    assert "| Rows in test | 10 |" in card
    assert "## More" in card
    head = front_matter(card)
    assert [item["split"] for item in head["configs"][0]["data_files"]] == ["train", "test"]
    assert head["size_categories"] == ["n<1K"]


def test_the_state_changes_with_the_files(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    seen = [folder_state(tmp_path)]
    for number in range(2):
        (tmp_path / "data" / f"train-{number:05d}.jsonl").write_text("{}\n")
        seen.append(folder_state(tmp_path))
    assert len(set(seen)) == 3
    assert folder_state(tmp_path) == seen[-1]


def test_writing_leaves_one_file_and_carries_the_state(tmp_path: Path) -> None:
    folder = tmp_path / "my set"
    folder.mkdir()
    write_card(folder, FACTS)
    write_card(folder, DONE)
    assert [path.name for path in folder.iterdir()] == ["README.md"]
    text = (folder / "README.md").read_text("utf-8")
    assert folder_state(folder) in text
    assert front_matter(text)["pretty_name"] == "my set"
