from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


from pairmill.store.columns import ROW_FEATURES


def make_row(number: int, **given: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(ROW_FEATURES)
    row |= {
        "id": f"{number:032x}",
        "instruction": f"What is number {number} about?",
        "answer": f"Number {number} is about itself, as numbers are.",
        "document_id": f"document {number // 4}",
        "chunk_id": f"chunk {number // 2}",
        "source": "a.txt",
        "recipe": "backtranslate",
        "prompt_version": "1",
        "model": "m-1",
        "flags": [],
        "attempts": 1,
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "created": "2026-11-22T10:20:30Z",
    }
    return row | given


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    return make_row


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """Build a run folder whose shards hold the given lists of rows."""

    def build(*shards: list[dict[str, Any]], name: str = "run") -> Path:
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        for number, rows in enumerate(shards):
            text = "".join(json.dumps(item) + "\n" for item in rows)
            (folder / "data" / f"train-{number:05d}.jsonl").write_text(text, "utf-8")
        return folder

    return build
