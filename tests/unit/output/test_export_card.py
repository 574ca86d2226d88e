"""The card's lines for trainers are run as they stand there, against recorders for trainers."""

from __future__ import annotations

import json
import re
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.output.export import export
from pairmill.output.export_options import ExportOptions
from pairmill.output.formats.registry import FORMATS
from pairmill.output.split import Shares

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SCORES = {"truthfulness": 5, "honesty": None, "helpfulness": 5, "instruction_following": 5}


def make_rows(row: Callable[..., Any], shape: str) -> list[dict[str, Any]]:
    given: dict[str, Any] = {}
    if shape == "preference":
        other = {"answer": "Numbers are nothing at all, I would say.", "route": "closed_book"}
        given = {"scores": SCORES, "alternative": other | {"score": None}}
    if shape == "question":
        given = {"task": "question"}
    if shape == "triplets":
        given = {"fields": {"negatives": ["Snow lies."]}}
    if shape == "reasoning":
        given = {"reasoning": "It rains."}
    return [row(number, **given) for number in range(40)]


class Recorder:
    """Stands for a trainer: keeps what it was given."""

    seen: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, model: Any, **given: Any) -> None:
        Recorder.seen = given

    def train(self) -> None:
        Recorder.seen["trained"] = True


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tokenizer:
        def apply_chat_template(self, messages: list[dict[str, str]], tokenize: bool) -> str:
            return "".join(f"<{turn['role']}>{turn['content']}" for turn in messages)

    class FastLanguageModel:
        @staticmethod
        def from_pretrained(name: str, **_: Any) -> tuple[str, Tokenizer]:
            return name, Tokenizer()

        @staticmethod
        def get_peft_model(model: str) -> str:
            return model

    modules: dict[str, dict[str, Any]] = {
        "trl": {"SFTTrainer": Recorder, "DPOTrainer": Recorder, "GRPOTrainer": Recorder,
                "SFTConfig": dict},
        "unsloth": {"FastLanguageModel": FastLanguageModel},
        "sentence_transformers": {"SentenceTransformer": str,
                                  "SentenceTransformerTrainer": Recorder},
        "sentence_transformers.losses": {"MultipleNegativesRankingLoss": str},
    }  # fmt: skip
    for name, content in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)


def code_of(card: str, title: str) -> str:
    found = re.search(rf"^With {title}[^\n]*:\n\n```\w+\n(.*?)```", card, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


@pytest.fixture
def made(
    row: Callable[..., Any], run_folder: Callable[..., Path], tmp_path: Path
) -> Callable[[str], Path]:
    def make(shape: str) -> Path:
        out = tmp_path / f"out-{shape}"
        folder = run_folder(make_rows(row, shape), name=f"run-{shape}")
        export(folder, out, ExportOptions(shape, shares=Shares(80, 20, 0)))
        return out

    return make


def run_lines(lines: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    real = datasets.load_dataset
    monkeypatch.setattr(
        datasets,
        "load_dataset",
        lambda *args, **named: real(*args, cache_dir=str(out.parent / "cache"), **named),
    )
    Recorder.seen = {}
    exec(lines.replace("path/to/this/folder", str(out)), {"__name__": "card"})
    return Recorder.seen


@pytest.mark.parametrize("shape", [name for name in FORMATS if name != "triplets"])
def test_the_lines_for_trl_give_it_what_it_trains_on(
    shape: str, made: Callable[[str], Path], trainers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = made(shape)
    seen = run_lines(code_of((out / "README.md").read_text(), "TRL"), out, monkeypatch)
    assert seen["trained"]
    rows = seen["train_dataset"]
    assert len(rows) >= 20
    columns = set(rows.column_names)
    expected = {
        "text": {"text"},
        "preference": {"prompt", "chosen", "rejected"},
        "question": {"prompt", "answer"},
    }.get(shape, {"messages"})
    assert columns == expected
    for name in columns - {"text", "answer"}:
        assert all(set(turn) == {"role", "content"} for turn in rows[0][name])
        assert {turn["role"] for turn in rows[0][name]} <= {"user", "assistant"}
    if shape == "question":
        reward = seen["reward_funcs"]
        replies = [[{"content": "It is FIVE."}], [{"content": "no"}]]
        assert reward(replies, ["five", "five"]) == [1.0, 0.0]


@pytest.mark.parametrize("shape", ["messages", "reasoning", "sharegpt"])
def test_the_lines_for_unsloth_give_it_texts(
    shape: str, made: Callable[[str], Path], trainers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = made(shape)
    seen = run_lines(code_of((out / "README.md").read_text(), "Unsloth"), out, monkeypatch)
    texts = seen["train_dataset"]["text"]
    assert texts[0].startswith("<user>What is number ")
    assert "<assistant>" in texts[0]
    assert seen["args"] == {"dataset_text_field": "text"}


def test_the_lines_for_sentence_transformers_give_it_triplets(
    made: Callable[[str], Path], trainers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = made("triplets")
    lines = code_of((out / "README.md").read_text(), "sentence-transformers")
    rows = run_lines(lines, out, monkeypatch)["train_dataset"]
    assert rows.column_names == ["anchor", "positive", "negative"]
    assert rows[0]["negative"] == "Snow lies."


@pytest.mark.parametrize("shape", ["messages", "preference", "text"])
def test_llama_factory_is_told_names_that_stand_in_its_file(
    shape: str, made: Callable[[str], Path]
) -> None:
    out = made(shape)
    lines = code_of((out / "README.md").read_text(), "LLaMA-Factory")
    names = json.loads((out / "dataset_info.json").read_text())
    told = re.findall(r"--(?:eval_)?dataset (\S+)", lines)
    assert {name for group in told for name in group.split(",")} == set(names)
    stages = {"preference": "dpo", "text": "pt"}
    assert f"--stage {stages.get(shape, 'sft')} " in lines


def test_openai_is_told_of_where_it_takes_the_file(made: Callable[[str], Path]) -> None:
    out = made("messages")
    lines = code_of((out / "README.md").read_text(), "OpenAI")
    (name,) = re.findall(r'open\("([^"]+)"', lines)
    assert (out / name).is_file()
    assert "With OpenAI" not in (made("alpaca") / "README.md").read_text()
