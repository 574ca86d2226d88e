"""Files beside an export's data: card, manifest, and settings for two trainers.

``dataset_info.json`` is read by LLaMA-Factory with ``dataset_dir`` set to the exported folder; it
takes one file per name, several names separated by commas. ``axolotl.yaml`` is to be merged into
the user's own settings. Both follow the projects' documentation as of 2026; what differs from
format to format is in its `Format`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import yaml

from pairmill.output.card import CARD, Layout, render_card
from pairmill.output.export_place import MANIFEST
from pairmill.output.facts import RunFacts
from pairmill.output.markup import code, escaped
from pairmill.output.table_files import csv_reader_options
from pairmill.records import digest
from pairmill.store.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pairmill.output.export_options import ExportOptions
    from pairmill.output.export_summary import ExportSummary
    from pairmill.output.formats.format import Format
    from pairmill.output.leak import Leak
    from pairmill.output.table_files import WrittenTable

__all__ = [
    "entry_names",
    "export_card",
    "render_axolotl",
    "render_llama_factory",
    "trainer_section",
    "trl_lines",
    "write_neighbours",
]


def export_card(summary: ExportSummary, shape: Format, options: ExportOptions, version: str) -> str:
    """Return the README.md of an exported folder."""
    recipes = [name.rpartition(" ") for name in summary.recipes]
    facts = RunFacts(
        recipe=", ".join(sorted({name for name, _, _ in recipes})),
        prompt_version=", ".join(sorted({prompt for _, _, prompt in recipes})),
        models=summary.models,
        version=version,
        pairs=summary.rows,
        rejections=summary.dropped,
        counts=summary.counts,
        languages=summary.origins.languages,
        origins=summary.origins,
        finished=True,
    )
    layout = Layout(
        {split: f"data/{split}-*.{options.file_type}" for split in summary.files},
        shape.schema,
        shape.notes,
        summary.kept,
        csv_reader_options(shape) if options.file_type == "csv" else {},
        summary.dropped,
    )
    content = digest(*(file.sha256 for files in summary.files.values() for file in files))
    sections = (
        _splits(summary, options),
        _open_book(summary),
        _marks(summary, options),
        _thresholds(options),
    )
    name = summary.folder.resolve().name
    return render_card(
        facts,
        layout,
        state=content,
        name=name,
        license_id=options.license_id,
        extra=[section for section in sections if section],
        closing=[trainer_section(shape, name, summary.files, options.file_type)],
    )


def _splits(summary: ExportSummary, options: ExportOptions) -> str:
    shares = options.shares
    lines = [
        "## Splits",
        "",
        (
            f"Shares {shares.train:g}/{shares.validation:g}/{shares.test:g} of the documents, "
            f"seed {options.seed}. {_kept_together(summary)}"
        ),
    ]
    if summary.leak:
        leak = summary.leak
        lines += [
            "",
            (
                f"Leak test over {leak.held_out:,} held-out rows: {leak.same_instruction:,} "
                f"instructions also stand in train, {leak.copied_answer:,} answers share at least "
                f"half of their 8-word runs with train; mean overlap {leak.overlap:.2%}."
                f"{_sources(leak)}"
            ),
        ]
    if summary.chosen_by:
        told = "; ".join(f"{escaped(how)}: {count:,}" for how, count in summary.chosen_by.items())
        lines += ["", f"What made an answer the chosen one: {told}."]
    if summary.length_gap:
        lines += ["", f"{escaped(summary.length_gap.line(), 400)}."]
    return "\n".join(lines)


def _kept_together(summary: ExportSummary) -> str:
    if summary.related is None:
        return "A document's pairs are in one split."
    return (
        "A document's pairs are in one split, with those of documents whose answers share half of "
        f"their 8-word runs with it{_by_text(summary)}: "
        f"{summary.related:,} documents have such kin."
    )


def _by_text(summary: ExportSummary) -> str:
    if not summary.sources_read:
        return ""
    return " or of whose own text a passage is nearly the same"


def _sources(leak: Leak) -> str:
    if leak.copied_source is None:
        return ""
    return f" The text of {leak.copied_source:,} of all held-out rows stands in train's documents."


def _open_book(summary: ExportSummary) -> str:
    if not summary.open_book:
        return ""
    opened, unsaid = summary.open_book.get("opened", 0), summary.open_book.get("unanswerable", 0)
    return (
        f"## Open book\n\n{opened:,} rows have passages in the prompt, up to three of them from"
        f" other documents of the same split. In {unsaid:,} of these the row's own passage is"
        " missing, and the answer is that the texts do not say."
    )


def _marks(summary: ExportSummary, options: ExportOptions) -> str:
    marked = summary.marked
    out, edited = marked.get("rejected", 0), marked.get("edited", 0)
    wanted = marked.get("accepted", 0)
    rescued = marked.get("rescued", 0)
    if not (out or edited or wanted or rescued):
        return ""
    back = f" {rescued:,} that the run had dropped were accepted, and are here." if rescued else ""
    only = " Only accepted and edited ones are here." if options.marks == "accepted" else ""
    return (
        f"## Looked at by people\n\nOf the run's pairs {wanted:,} are accepted, {edited:,} edited"
        f" and {out:,} rejected; rejected ones are left out, and edited ones stand here with their"
        f" new texts.{back}{only}"
    )


def _thresholds(options: ExportOptions) -> str:
    policy = options.policy
    lines = []
    lines += [
        f"- {aspect.replace('_', ' ').capitalize()} rated at least {least:g}"
        for aspect, least in policy.min_aspects
    ]
    if policy.min_score is not None:
        unscored = "kept" if policy.keep_unscored else "dropped"
        lines.append(f"- Mean rating at least {policy.min_score:g}; unscored rows {unscored}")
    if policy.min_grounding is not None:
        lines.append(f"- Grounding at least {policy.min_grounding:g}")
    if policy.min_support is not None:
        lines.append(f"- Support at least {policy.min_support:g}")
    if policy.verified:
        lines.append("- Every sentence of an answer verified against its chunk by a model")
    if options.licenses:
        lines.append(f"- Licences of the documents: {', '.join(map(code, options.licenses))}")
    if policy.drop_flags:
        lines.append(f"- Dropped flags: {escaped(', '.join(sorted(policy.drop_flags)))}")
    return "\n".join(["## Thresholds", "", *lines]) if lines else ""


def write_neighbours(
    staging: Path, summary: ExportSummary, shape: Format, options: ExportOptions, version: str
) -> None:
    """Write them into the folder in which an export is made.

    Raises:
        StorageError: The disk refused.
    """
    name = summary.folder.resolve().name
    manifest = {
        "format": shape.name,
        "file_type": options.file_type,
        "shares": asdict(options.shares),
        "seed": options.seed,
        "policy": {**asdict(options.policy), "drop_flags": sorted(options.policy.drop_flags)},
        "columns": list(options.columns),
        "system": options.system or None,
        "marks": {"used": options.marks, **summary.marked},
        "rows": summary.rows,
        "kept": summary.kept,
        "dropped": summary.dropped,
        "related_documents": summary.related,
        "sources_read": summary.sources_read,
        "moved_documents": list(summary.moved),
        "open_book": {
            "percent": options.open_book,
            "unanswerable": options.unanswerable,
            "rows": summary.open_book,
        }
        if options.open_book
        else None,
        "leak": asdict(summary.leak) if summary.leak else None,
        "length_gap": asdict(summary.length_gap) if summary.length_gap else None,
        "files": {
            split: [asdict(file) for file in files] for split, files in summary.files.items()
        },
    }
    write_text(staging / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    write_text(staging / "dataset_info.json", render_llama_factory(shape, name, summary.files))
    write_text(staging / "axolotl.yaml", render_axolotl(shape, name, summary.files))
    write_text(staging / CARD, export_card(summary, shape, options, version))


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
