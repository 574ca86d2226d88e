"""Exports of run folders, compared byte for byte."""

from __future__ import annotations

import filecmp
from typing import TYPE_CHECKING

from tests.support.cli import pairmill

if TYPE_CHECKING:
    from pathlib import Path


def exported(folder: Path) -> Path:
    """The folder's export, with a name that is the same for all."""
    out = folder.parent / f"{folder.name}-exported" / "dataset"
    found = pairmill("export", folder, "-o", out)
    assert found.returncode == 0, found.stderr
    return out


def same_files(one: Path, other: Path) -> bool:
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    return all(filecmp.cmp(one / name, other / name, shallow=False) for name in names)
