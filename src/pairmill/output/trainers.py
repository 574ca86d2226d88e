"""Settings for two trainers, written beside the data.

``dataset_info.json`` is read by LLaMA-Factory with ``dataset_dir`` set to the exported folder; it
takes one file per name, several names separated by commas. ``axolotl.yaml`` is to be merged into
the user's own settings. Both after the projects' documentation as of 2026.
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

__all__ = ["entry_names", "render_axolotl", "render_llama_factory"]

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
