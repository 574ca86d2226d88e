"""Keeps a copy of the recipe in the run folder, and detects later changes.

``.run/recipe/`` holds the recipe file as ``recipe.yaml``, the files that it draws from, and
``recipe.json`` with the name and version of the recipe and the digest of a Python recipe's source.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ChangedError, PairmillError
from pairmill.recipes.load import COPY, library_names, read_recipe_file
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.recipes.recipe import Recipe
    from pairmill.recipes.recipe_file import RecipeFile
    from pairmill.store.folder import RunFolder

__all__ = ["check_copy", "copies_in", "keep_copy", "notice_of_copy"]

_NOTE = "recipe.json"
_MOST_NAMED = 5


def copies_in(folder: RunFolder) -> Path:
    """Return the path of a folder's recipe."""
    return folder.state / "recipe"


def notice_of_copy(recipe: Recipe, folder: RunFolder, given: str) -> str:
    """Return a line for people if the folder's copy replaces the given file; else ""."""
    origin = recipe.origin
    if origin is None or not origin.file.startswith(str(copies_in(folder))):
        return ""
    if given in library_names():
        return (
            f"this folder was begun with version {recipe.version} of the recipe {given} and keeps"
            " it; --accept-change takes today's"
        )
    return (
        "" if given == origin.file else f"{given} is gone: using the folder's copy, {origin.file}"
    )


def check_copy(folder: RunFolder, recipe: Recipe, *, accept_change: bool) -> str:
    """Refuse a recipe whose text is not the one that the folder was begun with.

    Returns a notice if the change was accepted; "" if there is none.

    Raises:
        ChangedError: The text differs, and ``accept_change`` is False; names the difference.
    """
    change = _change(folder, recipe)
    if change is None:
        return ""
    if not accept_change:
        raise ChangedError(f"{folder.path}: {change.told(recipe)}")
    return f"the recipe '{recipe.name}' changed, as accepted ({change.what})"


def keep_copy(folder: RunFolder, recipe: Recipe) -> None:
    """Copy the recipe into the folder, unless it is there already.

    Raises:
        StorageError: The disk refused.
    """
    place = copies_in(folder)
    origin = recipe.origin
    note = {"name": recipe.name, "version": recipe.version, "source": recipe.source}
    if origin is None and not recipe.source:
        return
    files = {_NOTE: orjson.dumps(note), **(origin.files if origin else {})}
    for name, data in files.items():
        path = place / PurePosixPath(name)
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, data)


@dataclass(frozen=True, slots=True)
class _Change:
    """The difference, and the earlier version."""

    what: str
    version: str

    def told(self, recipe: Recipe) -> str:
        where = recipe.origin.file if recipe.origin else recipe.name
        if self.version == recipe.version:
            return (
                f"begun with another text of the recipe {where} ({self.what}), though its version"
                f" is still {recipe.version}: raise 'version' and add --accept-change, by which"
                " chunks count as new (a question that stayed the same is not paid for again); or"
                " give another folder with -o"
            )
        return (
            f"begun with version {self.version} of the recipe {where}, which is version"
            f" {recipe.version} now ({self.what}); add --accept-change to go on, by which chunks"
            " count as new (a question that stayed the same is not paid for again); or give another"
            " folder with -o"
        )


def _change(folder: RunFolder, recipe: Recipe) -> _Change | None:
    note = _read_note(folder)
    before = str(note.get("version", ""))
    if note.get("name") != recipe.name:
        return None  # a different recipe, which the settings show
    if recipe.origin is not None:
        old = _read_copy(folder)
        if old is None or old.digest == recipe.origin.digest:
            return None
        return _Change(_differences(old.spec, recipe.origin.spec), old.version)
    if recipe.source and note.get("source") not in {"", None, recipe.source}:
        return _Change("its Python module differs", before)
    return None


def _read_note(folder: RunFolder) -> dict[str, Any]:
    try:
        found = orjson.loads((copies_in(folder) / _NOTE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_copy(folder: RunFolder) -> RecipeFile | None:
    try:
        return read_recipe_file(copies_in(folder) / COPY)
    except PairmillError:
        return None  # in another version's format; its identity is compared instead


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    real = [name for name in names if name != "version"] or names
    more = f" and {len(real) - _MOST_NAMED} more" if len(real) > _MOST_NAMED else ""
    return f"differs: {', '.join(real[:_MOST_NAMED])}{more}"
