"""The dataset card: the README.md with which ``datasets.load_dataset(folder)`` works.

The front matter names the data files and every field's type. Both are needed: without the names a
stray file breaks the load, without the types a field that is null in the first shard does. It is
written before the first shard, and again after each published one.

Again after each, because of the reader's cache: given a card, ``datasets`` 5.2 names its cache by
the card's front matter alone. A folder that grew is then read as it was, and another folder of the
same name is read in its stead, without a word. So the front matter carries the state of the files.

A folder without any row does not load with any card: ``datasets`` refuses an empty split whether
its file is missing ("no data files found") or empty ("corresponds to no data"). We leave the file
missing, because that message is the true one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from pairmill.display import sanitize
from pairmill.output.markup import LONGEST, code, escaped, table
from pairmill.quality.trust import verdicts
from pairmill.records import digest
from pairmill.store.columns import ROW_FEATURES, ROW_NOTES, with_fields
from pairmill.store.files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pairmill.output.facts import RunFacts
    from pairmill.store.columns import Feature, Schema

__all__ = ["CARD", "RUN_LAYOUT", "Layout", "folder_state", "render_card", "write_card"]

CARD = "README.md"

_METHOD = (
    "Documents are cleaned and cut into chunks; a recipe asks the model for pairs whose answers "
    "rest on the chunk; what does not parse is repaired or kept in `rejected/` with its reason."
)
_UNREAD = (
    "- The answers are a model's words. They were checked against their chunk by counting words, "
    "not by a person: read a sample before you train on it."
)
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of a dataset's rows, and their columns.

    Attributes:
        files: Split to a glob below the folder. Only splits with a row may be named.
        schema: The fields of every row, in order.
        notes: Field to its meaning, in a few words.
        rows: Split to its number of rows, where known.
        reader: Further options for ``datasets`` to read the files.
        left_out: For an export, reason to number of pairs left out.
    """

    files: Mapping[str, str]
    schema: Schema
    notes: Mapping[str, str]
    rows: Mapping[str, int] | None = None
    reader: Mapping[str, Any] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


RUN_LAYOUT = Layout({"train": "data/train-*.jsonl"}, ROW_FEATURES, ROW_NOTES)
"""A run folder: every shard is ``train``; only ``export`` splits."""


def folder_state(folder: Path, layout: Layout = RUN_LAYOUT) -> str:
    """Fingerprint the data files of a folder: names, sizes and modification times."""
    found = sorted(path for glob in layout.files.values() for path in folder.glob(glob))
    stats = [(path, path.stat()) for path in found]
    return digest(*(f"{path.name} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats))


def write_card(folder: Path, facts: RunFacts, *, name: str | None = None) -> None:
    """Write or replace a run folder's card, whole or not at all.

    Call it before the first shard, after each published one, and at the end.

    Args:
        folder: The run folder.
        facts: What is known of the run.
        name: The dataset's name for people; the folder's own name where None.

    Raises:
        StorageError: The disk refused.
    """
    text = render_card(facts, state=folder_state(folder), name=name or folder.resolve().name)
    write_text(folder / CARD, text)


def render_card(
    facts: RunFacts,
    layout: Layout | None = None,
    *,
    state: str,
    name: str = "Instruction pairs",
    license_id: str = "unknown",
    extra: Sequence[str] = (),
    closing: Sequence[str] = (),
) -> str:
    """Write the card as Markdown with YAML front matter.

    Nothing in ``facts``, ``name`` or ``license_id`` can leave its place: names are escaped, what
    is no language code or licence id is left out of the front matter.

    Args:
        facts: What is known of the run.
        layout: Where the rows are; a run folder's where None.
        state: Identifier of the present data files, for readers' caches; see the module's text.
        name: The dataset's name, for people.
        license_id: A licence id of the Hugging Face hub; ``unknown`` until the maker settles it.
        extra: Finished Markdown sections that are before the limits.
        closing: Likewise, at the end.
    """
    layout = layout or replace(RUN_LAYOUT, schema=with_fields(facts.fields))
    sections = [
        f"# {escaped(name) or 'Instruction pairs'}",
        _opening(facts),
        _making(facts),
        _counts(facts, layout),
        _verdict(facts),
        _trials(facts),
        facts.origins.section() if facts.origins else "",
        _fields(layout),
        *extra,
        _limits(license_id),
        _loading(layout),
        *closing,
    ]
    head = yaml.safe_dump(
        _front_matter(facts, layout, state, name, license_id), sort_keys=False, allow_unicode=True
    )
    return f"---\n{head}---\n\n" + "\n\n".join(part for part in sections if part) + "\n"


def _front_matter(
    facts: RunFacts, layout: Layout, state: str, name: str, license_id: str
) -> dict[str, Any]:
    languages = sorted({code for code in facts.languages if _LANGUAGE.fullmatch(code)})
    rows = sum(layout.rows.values()) if layout.rows else facts.pairs
    head: dict[str, Any] = {
        "pretty_name": sanitize(name, LONGEST) or "Instruction pairs",
        "license": license_id if _LICENSE.fullmatch(license_id) else "unknown",
        "language": languages,
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "instruction-tuning", "pairmill"],
        "size_categories": [_size(rows)] if rows else [],
    }
    about = sanitize(f"Data files in state {state}")
    files = [{"split": split, "path": path} for split, path in layout.files.items()]
    config = {"config_name": "default", "description": about, "data_files": files}
    return {key: value for key, value in head.items() if value} | {
        "configs": [config | dict(layout.reader)],
        "dataset_info": {"features": declare(layout.schema)},
    }


def _size(rows: int) -> str:
    return next((label for bound, label in _SIZES if rows < bound), "n>100M")


def _opening(facts: RunFacts) -> str:
    state = "" if facts.finished else "\n\nThe run that writes this dataset has not ended yet."
    return (
        "Instruction and answer pairs, each written by a language model from a chunk of a real "
        f"document, with its provenance. Made with pairmill {escaped(facts.version)}.{state}"
    )


def _making(facts: RunFacts) -> str:
    models = ", ".join(code(model) for model in facts.models) or "(not answered yet)"
    return "\n".join(
        [
            "## How it was made",
            "",
            _METHOD,
            "",
            f"- Model: {models}",
            f"- Recipe: {code(facts.recipe)}, prompt version {code(facts.prompt_version)}",
        ]
    )


def _counts(facts: RunFacts, layout: Layout) -> str:
    """Describe the run's counts, as sums that add up, and its cost."""
    parts = [_sums(facts), _exported(facts, layout), _bill(facts)]
    rows = [(label, value) for part in parts for label, value in part if value is not None]
    if not rows:
        return ""
    text = "## Counts\n\n" + table(("What", "How many"), rows, right=(1,))
    if facts.counts is not None:
        losses = [
            *(("skipped documents", why, n) for why, n in _ordered(facts.counts.skipped)),
            *(("rejected chunks", why, n) for why, n in _ordered(facts.counts.rejected)),
            *(("dropped pairs", why, n) for why, n in _ordered(facts.counts.dropped)),
            *(("pairs left out of this export", why, n) for why, n in _ordered(layout.left_out)),
        ]
        told = [(what, code(why), f"{n:,}") for what, why, n in losses]
        head = ("What", "Reason", "How many")
        return (
            f"{text}\n\nLost on the way, by reason:\n\n" + table(head, told, right=(2,))
            if told
            else text
        )
    if not facts.rejections:
        return text
    reasons = [(code(reason), f"{count:,}") for reason, count in _ordered(facts.rejections)]
    return f"{text}\n\nDropped, by reason:\n\n" + table(("Reason", "How many"), reasons, right=(1,))


def _exported(facts: RunFacts, layout: Layout) -> list[tuple[str, str | None]]:
    """Describe which of the kept pairs an export took, and what happened to the others."""
    if layout.rows is None:
        return []
    left = sum(layout.left_out.values())
    waiting = facts.counts.pairs - (facts.pairs or 0) if facts.counts else 0
    return [
        ("of the kept pairs, not published yet", _number(waiting) if waiting > 0 else None),
        ("of the kept pairs, left out of this export", _number(left) if left else None),
        *((f"Rows in {name}", _number(rows)) for name, rows in layout.rows.items()),
    ]


def _sums(facts: RunFacts) -> list[tuple[str, str | None]]:
    counts = facts.counts
    if counts is None:
        return [
            ("Documents", _number(facts.documents)),
            ("Chunks", _number(facts.chunks)),
            ("Units finished", _number(facts.units)),
            ("Units without usable content", _number(facts.empty_units)),
            ("Pairs written", _number(facts.pairs)),
            ("Dropped units and pairs", _number(facts.rejected) if facts.finished else None),
        ]
    documents: list[tuple[str, str | None]] = [
        ("Documents", _number(counts.documents)),
        ("of these, used", _number(counts.used)),
        ("of these, skipped", _number(sum(counts.skipped.values()))),
    ]
    return [
        *(documents if counts.documents else ()),
        ("Chunks", _number(counts.chunks)),
        ("of these, with pairs", _number(counts.written)),
        ("of these, with nothing to write about", _number(counts.empty)),
        ("of these, rejected", _number(counts.rejected_chunks)),
        ("of these, to do", _number(counts.to_do) if counts.to_do else None),
        ("Chunks that repeat others", _number(counts.repeated) if counts.repeated else None),
        ("Pairs", _number(counts.pairs + counts.dropped_pairs)),
        ("of these, kept", _number(counts.pairs)),
        ("of these, dropped by a check", _number(counts.dropped_pairs)),
    ]


def _bill(facts: RunFacts) -> list[tuple[str, str | None]]:
    usage = facts.usage
    doubt = (
        f"{facts.doubt_usd:,.4f} USD" if facts.cost_usd is not None and facts.doubt_usd else None
    )
    return [
        ("Answers repaired by a second call", _number(facts.repairs)),
        ("Prompt tokens", _number(usage.prompt_tokens) if usage else None),
        ("of these, from the provider's cache", _number(usage.cached_tokens) if usage else None),
        ("Completion tokens", _number(usage.completion_tokens) if usage else None),
        ("Cost", None if facts.cost_usd is None else f"{facts.cost_usd:,.4f} USD"),
        ("at most more, for calls whose end or count is not known", doubt),
    ]


def _ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _verdict(facts: RunFacts) -> str:
    found = facts.verdict
    return "" if found is None else f"## Verdict\n\n{escaped(found.line, 600)}"


def _trials(facts: RunFacts) -> str:
    rows = [
        (check.status, escaped(check.name), escaped(check.found, 400), escaped(check.hint))
        for check in verdicts(facts.figures)
    ]
    head = ("", "Figure", "Found", "What it means")
    return (
        "## Judge, verifier, evolution and voice on trial\n\n" + table(head, rows) if rows else ""
    )


def _number(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def declare(schema: Schema) -> list[dict[str, Any]]:
    """Return the schema as the ``dataset_info.features`` list of a Hugging Face dataset card."""
    return [{"name": name, **_declaration(feature)} for name, feature in schema.items()]


def type_name(feature: Feature) -> str:
    """Describe a type in a few words: ``string``, ``list of string``, ``struct``."""
    if isinstance(feature, str):
        return feature
    if isinstance(feature, tuple):
        return f"list of {type_name(feature[0])}"
    return "struct"


def _declaration(feature: Feature) -> dict[str, Any]:
    if isinstance(feature, str):
        return {"dtype": feature}
    if not isinstance(feature, tuple):
        return {"struct": declare(feature)}
    inner = feature[0]
    if isinstance(inner, str):
        return {"list": inner}
    return {"list": _declaration(inner) if isinstance(inner, tuple) else declare(inner)}


def _fields(layout: Layout) -> str:
    rows = [
        (code(name), type_name(feature), escaped(layout.notes.get(name, "")))
        for name, feature in layout.schema.items()
    ]
    return "## Fields\n\n" + table(("Field", "Type", "Meaning"), rows)


def _limits(license_id: str) -> str:
    licence = (
        "No licence is settled here: that is for whoever publishes the dataset."
        if license_id == "unknown"
        else "The licence above is what the dataset's maker declared."
    )
    lines = [
        "## Limits",
        "",
        _UNREAD,
        f"- The texts come from the documents' authors, whose rights stand. {licence}",
        "- The terms of the model's provider may restrict what may be trained on its answers.",
        "- Opinions, errors and gaps of the documents and of the model are in the pairs too.",
    ]
    return "\n".join(lines)


def _loading(layout: Layout) -> str:
    split = next(iter(layout.files), "train")
    return "\n".join(
        [
            "## How to load it",
            "",
            "```python",
            "from datasets import load_dataset",
            "",
            f'rows = load_dataset("path/to/this/folder", split="{split}")',
            "```",
        ]
    )
