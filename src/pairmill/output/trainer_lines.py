"""The card's code for trainers: TRL, Unsloth, LLaMA-Factory, Axolotl, OpenAI.

TRL 1.16 joins a plain ``prompt`` and what follows it without anything between, gives plain text no
chat template, and leaves ShareGPT's role names as they are; so the lines make turns first.
After the projects' documentation as of 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.trainers import entry_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.output.formats.format import Format
    from pairmill.output.tables import WrittenTable

__all__ = ["trainer_section", "trl_lines"]

_TURNS = """\
def turns(row):
    return {{
        "messages": [
            {{"role": "user", "content": {asked}}},
            {{"role": "assistant", "content": row["{replied}"]}},
        ]
    }}


rows = rows.map(turns, remove_columns=rows.column_names)
"""
_PREFERRED = """\
def turns(row):
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "chosen": [{"role": "assistant", "content": row["chosen"]}],
        "rejected": [{"role": "assistant", "content": row["rejected"]}],
    }


rows = rows.map(turns, remove_columns=rows.column_names)
"""
_CHECKED = """\
def turns(row):
    return {"prompt": [{"role": "user", "content": row["question"]}], "answer": row["answer"]}


def holds_answer(completions, answer, **_):
    replies = [turns[0]["content"].lower() for turns in completions]
    return [float(right.lower() in reply) for right, reply in zip(answer, replies)]


rows = rows.map(turns, remove_columns=rows.column_names)
"""
_NAMED = """\
def turns(row):
    roles = {"human": "user", "gpt": "assistant"}
    return {
        "messages": [
            {"role": roles.get(turn["from"], turn["from"]), "content": turn["value"]}
            for turn in row["conversations"]
        ]
    }


rows = rows.map(turns, remove_columns=rows.column_names)
"""
_INPUT = "f\"{row['instruction']}\\n\\n{row['input']}\".strip()"

_RESHAPED: Mapping[str, str] = {
    "alpaca": _TURNS.format(asked=_INPUT, replied="output"),
    "prompt_completion": _TURNS.format(asked='row["prompt"]', replied="completion"),
    "sharegpt": _NAMED,
    "preference": _PREFERRED,
    "question": _CHECKED,
}
_TRL_TRAINERS: Mapping[str, tuple[str, str]] = {
    "preference": ("DPOTrainer", ""),
    "question": ("GRPOTrainer", ", reward_funcs=holds_answer"),
}
_STAGES: Mapping[str, str] = {"preference": "dpo", "text": "pt"}
_SENTENCE_TRANSFORMERS = """\
from datasets import load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.losses import MultipleNegativesRankingLoss

rows = load_dataset("{place}", split="train")
rows = rows.filter(lambda row: row["negatives"]).map(
    lambda row: {{"anchor": row["query"], "negative": row["negatives"][0]}},
    remove_columns=["query", "negatives"],
).select_columns(["anchor", "positive", "negative"])
model = SentenceTransformer("YOUR_MODEL")
loss = MultipleNegativesRankingLoss(model)
SentenceTransformerTrainer(model, train_dataset=rows, loss=loss).train()
"""
_UNSLOTH = """\
from unsloth import FastLanguageModel  # before trl
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained("YOUR_MODEL", load_in_4bit=True)
model = FastLanguageModel.get_peft_model(model)
rows = load_dataset("{place}", split="train")
{reshape}rows = rows.map(
    lambda row: {{"text": tokenizer.apply_chat_template(row["messages"], tokenize=False)}}
)
SFTTrainer(
    model, train_dataset=rows, processing_class=tokenizer, args=SFTConfig(dataset_text_field="text")
).train()
"""
_OPENAI = """\
from openai import OpenAI

client = OpenAI()
file = client.files.create(file=open("{file}", "rb"), purpose="fine-tune")
client.fine_tuning.jobs.create(training_file=file.id, model="YOUR_MODEL")
"""
_PLACE = "path/to/this/folder"


def trl_lines(shape: Format, place: str) -> str:
    """Python that loads an export and trains on it with TRL; "" for what TRL does not train.

    Args:
        shape: The export's format.
        place: The exported folder, or its name on the hub.
    """
    if shape.name == "triplets":
        return ""
    trainer, more = _TRL_TRAINERS.get(shape.name, ("SFTTrainer", ""))
    reshape = _RESHAPED.get(shape.name, "")
    lines = ["from datasets import load_dataset", f"from trl import {trainer}"]
    lines += ["", f'rows = load_dataset("{place}", split="train")']
    lines += ["", "", reshape.rstrip("\n")] if reshape else []
    return "\n".join([*lines, f'{trainer}("YOUR_MODEL", train_dataset=rows{more}).train()', ""])


def trainer_section(
    shape: Format, name: str, files: Mapping[str, Sequence[WrittenTable]], file_type: str
) -> str:
    """Return the card's section on training; "" if the export has no row to train on.

    Args:
        shape: The export's format.
        name: The exported folder's name.
        files: Split to its files.
        file_type: ``jsonl``, ``parquet`` or ``csv``.
    """
    if "train" not in files:
        return ""
    parts = ["## How to train on it"]
    if code := trl_lines(shape, _PLACE):
        parts += ["With TRL:", _fenced(code, "python")]
    if shape.name == "triplets":
        code = _SENTENCE_TRANSFORMERS.format(place=_PLACE)
        return "\n\n".join([*parts, "With sentence-transformers:", _fenced(code, "python")])
    if "messages" in shape.schema or "conversations" in shape.schema:
        reshape = _RESHAPED.get(shape.name, "")
        reshape = f"\n\n{reshape}" if reshape else ""
        code = _UNSLOTH.format(place=_PLACE, reshape=reshape)
        parts += ["With Unsloth:", _fenced(code, "python")]
    parts += ["With LLaMA-Factory:", _fenced(_llama_factory(shape, name, files), "sh")]
    axolotl = "axolotl train settings.yaml    # your settings, with axolotl.yaml merged in\n"
    parts += ["With Axolotl, started beside this folder:", _fenced(axolotl, "sh")]
    if shape.name == "messages" and file_type == "jsonl" and not shape.added:
        code = "".join(_OPENAI.format(file=file.path) for file in files["train"][:1])
        parts += ["With OpenAI's fine-tuning, from within this folder:", _fenced(code, "python")]
    return "\n\n".join(parts)


def _llama_factory(shape: Format, name: str, files: Mapping[str, Sequence[WrittenTable]]) -> str:
    names = entry_names(name, files)
    tested = f" --eval_dataset {','.join(names['validation'])}" if "validation" in names else ""
    return (
        f"llamafactory-cli train --stage {_STAGES.get(shape.name, 'sft')} --do_train true \\\n"
        f"  --dataset_dir {_PLACE} --dataset {','.join(names['train'])}{tested} \\\n"
        "  --model_name_or_path YOUR_MODEL --template YOUR_TEMPLATE \\\n"
        "  --finetuning_type lora --output_dir out\n"
    )


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text}```"
