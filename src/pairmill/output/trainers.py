"""Settings for two trainers, written beside the data.

``dataset_info.json`` is read by LLaMA-Factory with ``dataset_dir`` set to the exported folder; it
takes one file per name, several names separated by commas. ``axolotl.yaml`` is to be merged into
the user's own settings. Both after the projects' documentation as of 2026.

What differs from format to format is in its `Format`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.output.formats.format import Format
    from pairmill.output.tables import WrittenTable

__all__ = ["entry_names", "render_axolotl", "render_llama_factory", "trainer_section", "trl_lines"]

_AXOLOTL_HEAD = """\
# Merge this into your Axolotl settings. The path is relative to where axolotl is started.
"""


def render_llama_factory(
    shape: Format, name: str, files: Mapping[str, Sequence[WrittenTable]]
) -> str:
    """Render ``dataset_info.json``: one entry for each file of each split."""
    names = entry_names(name, files)
    entries: dict[str, Any] = {
        entry: {"file_name": file.path, **shape.llama_factory}
        for split, written in files.items()
        for entry, file in zip(names[split], written, strict=True)
    }
    return json.dumps(entries, indent=2) + "\n"


def entry_names(name: str, files: Mapping[str, Sequence[WrittenTable]]) -> dict[str, list[str]]:
    """Return LLaMA-Factory's names for the files of each split."""
    stem = re.sub(r"\W+", "_", name).strip("_") or "pairs"
    found: dict[str, list[str]] = {}
    for split, written in files.items():
        label = stem if split == "train" else f"{stem}_{split}"
        numbers = range(len(written))
        found[split] = (
            [label] if len(written) == 1 else [f"{label}_{number:05d}" for number in numbers]
        )
    return found


def render_axolotl(shape: Format, name: str, files: Mapping[str, Sequence[WrittenTable]]) -> str:
    """Render ``axolotl.yaml``: the train files, and the validation files to test on."""
    settings: dict[str, Any] = dict(shape.axolotl_top)
    for key, split in (("datasets", "train"), ("test_datasets", "validation")):
        written = files.get(split)
        if written:
            settings[key] = [_axolotl_entry(shape, name, written)]
    return _AXOLOTL_HEAD + yaml.safe_dump(settings, sort_keys=False)


def _axolotl_entry(shape: Format, name: str, written: Sequence[WrittenTable]) -> dict[str, Any]:
    ending = written[0].path.rpartition(".")[2]
    kind = ending if ending in {"parquet", "csv"} else "json"
    paths = [file.path for file in written]
    place = {"path": f"./{name}", "ds_type": kind, "data_files": paths, "split": "train"}
    return {**place, **json.loads(json.dumps(dict(shape.axolotl)))}  # copies: YAML without anchors


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
    trl = shape.trl
    if trl is None:
        return ""
    lines = ["from datasets import load_dataset", f"from trl import {trl.trainer}"]
    lines += ["", f'rows = load_dataset("{place}", split="train")']
    lines += ["", "", trl.reshape.rstrip("\n")] if trl.reshape else []
    call = f'{trl.trainer}("YOUR_MODEL", train_dataset=rows{trl.more}).train()'
    return "\n".join([*lines, call, ""])


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
    if shape.trl is None:
        name, code = shape.library
        code = code.format(place=_PLACE)
        return "\n\n".join([*parts, f"With {name}:", _fenced(code, "python")])
    parts += ["With TRL:", _fenced(trl_lines(shape, _PLACE), "python")]
    if "messages" in shape.schema or "conversations" in shape.schema:
        reshape = f"\n\n{shape.trl.reshape}" if shape.trl.reshape else ""
        code = _UNSLOTH.format(place=_PLACE, reshape=reshape)
        parts += ["With Unsloth:", _fenced(code, "python")]
    parts += ["With LLaMA-Factory:", _fenced(_llama_factory(shape, name, files), "sh")]
    axolotl = "axolotl train settings.yaml    # your settings, with axolotl.yaml merged in\n"
    parts += ["With Axolotl, started beside this folder:", _fenced(axolotl, "sh")]
    if shape.openai and file_type == "jsonl" and not shape.added:
        code = "".join(_OPENAI.format(file=file.path) for file in files["train"][:1])
        parts += ["With OpenAI's fine-tuning, from within this folder:", _fenced(code, "python")]
    return "\n\n".join(parts)


def _llama_factory(shape: Format, name: str, files: Mapping[str, Sequence[WrittenTable]]) -> str:
    names = entry_names(name, files)
    tested = f" --eval_dataset {','.join(names['validation'])}" if "validation" in names else ""
    return (
        f"llamafactory-cli train --stage {shape.llama_stage} --do_train true \\\n"
        f"  --dataset_dir {_PLACE} --dataset {','.join(names['train'])}{tested} \\\n"
        "  --model_name_or_path YOUR_MODEL --template YOUR_TEMPLATE \\\n"
        "  --finetuning_type lora --output_dir out\n"
    )


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text}```"
