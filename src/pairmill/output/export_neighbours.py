"""Files beside an export's data: manifest, card, and settings for trainers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from pairmill.output.card import CARD
from pairmill.output.export_card import export_card
from pairmill.output.export_place import MANIFEST
from pairmill.output.files import write_text
from pairmill.output.trainers import render_axolotl, render_llama_factory

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.output.export_options import ExportOptions
    from pairmill.output.export_summary import ExportSummary
    from pairmill.output.formats.format import Format

__all__ = ["write_neighbours"]


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
