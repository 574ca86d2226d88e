"""What a folder was begun with: working directory, versions, and a copy of the recipe.

``.run/origin.json`` lets ``retry`` find inputs that were named relative to a working directory, and
lets ``recover`` name the units of rows that were written under earlier settings.

``.run/recipe/`` holds the recipe file as ``recipe.yaml``, the files that it draws from, and
``recipe.json`` with the name and version of the recipe and the digest of a Python recipe's source.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ChangedError, PairmillError
from pairmill.quality.thresholds import VERSION
from pairmill.recipes.load import COPY, library_names, read_recipe_file
from pairmill.recipes.make import recipe_of_folder
from pairmill.store.chain import read_manifest
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.config import Settings
    from pairmill.recipes.recipe import Recipe
    from pairmill.recipes.recipe_file import RecipeFile
    from pairmill.store.folder import RunFolder

__all__ = [
    "RunOrigin",
    "check_copy",
    "check_recipe",
    "copies_in",
    "keep_copy",
    "note_merged",
    "note_start",
    "notice_of_copy",
    "read_origin",
    "recipe_for",
]


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """Attributes of a folder's starts.

    Attributes:
        place: The working directory of the last start; None if unknown.
        reading: The version of reading that it was begun with, or changed to; 0: unknown.
        prompts: The set of prompts that it uses; "" if not recorded.
        identities: Identity of each recipe and settings that were ever used, oldest first.
    """

    place: Path | None = None
    identities: tuple[str, ...] = ()
    reading: int = 0
    prompts: str = ""


def read_origin(folder: RunFolder) -> RunOrigin:
    """Return the record; empty if it is missing or unreadable."""
    try:
        found = orjson.loads(folder.origin.read_bytes())
    except FileNotFoundError:
        found = read_manifest(folder.manifest).get("origin")  # a folder without .run/
    except (OSError, orjson.JSONDecodeError):
        return RunOrigin()
    if not isinstance(found, dict):
        return RunOrigin()
    place, identities = found.get("place"), found.get("identities")
    known = identities if isinstance(identities, list) else []
    return RunOrigin(
        Path(place) if isinstance(place, str) else None,
        tuple(name for name in known if isinstance(name, str)),
        found["reading"] if isinstance(found.get("reading"), int) else int(bool(known)),
        str(found.get("prompts") or ""),
    )


def recipe_for(folder: RunFolder, settings: Settings) -> tuple[Recipe, str]:
    """Return the recipe that a folder continues with, and a notice if it is not the current one.

    A folder that was begun with an earlier table of checks keeps it, so that an upgrade of pairmill
    does not change a dataset midway. ``accept_change`` switches to the current table.

    Raises:
        ConfigError: The settings name an unknown recipe.
    """
    recipe, version = recipe_of_folder(settings, folder.state / "recipe")
    if version == VERSION:
        return recipe, ""
    notice = (
        f"this folder was begun with version {version} of the checks and keeps it;"
        " --accept-change applies today's, without a new call"
    )
    return recipe, notice


def check_recipe(folder: RunFolder, identity: str, *, accept_change: bool) -> str:
    """Refuse to pay again, unasked, for a folder that was begun with a different recipe.

    Its settings are unchanged, so an upgrade changed the recipe, and no finished unit belongs to
    the new one. Returns a notice if the change was accepted; "" if there is none.

    Raises:
        ChangedError: The recipe differs, and ``accept_change`` is False.
    """
    known = read_origin(folder).identities
    if folder.is_blank:
        return ""
    if not known or identity in known:
        return ""
    if not accept_change:
        raise ChangedError(
            f"{folder.path}: begun with another version of the recipe: its chunks count as new"
            f" and may be paid for again; add --accept-change to continue, give another"
            " folder with -o, or finish this one with the pairmill that began it"
        )
    return "the recipe changed, as accepted: chunks that are finished count as new"


def note_start(folder: RunFolder, recipe: Recipe, reading: int) -> None:
    """Record a start with this recipe and this version of reading.

    Raises:
        StorageError: The disk refused.
    """
    before = RunOrigin() if folder.is_blank else read_origin(folder)
    identities = dict.fromkeys((*before.identities, recipe.identity))
    now = RunOrigin(Path.cwd(), tuple(identities), reading, recipe.prompts)
    if folder.is_blank or before != now:
        _write(folder, now)


def note_merged(folder: RunFolder, origins: Sequence[RunOrigin]) -> None:
    """Record the starts of all parts in the folder that they are merged into.

    Raises:
        StorageError: The disk refused.
    """
    identities = dict.fromkeys(name for origin in origins for name in origin.identities)
    _write(folder, replace(origins[0], identities=tuple(identities)))


def _write(folder: RunFolder, origin: RunOrigin) -> None:
    document = {
        "place": None if origin.place is None else str(origin.place),
        "identities": list(origin.identities),
        "reading": origin.reading,
        "prompts": origin.prompts,
    }
    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    atomic_write(folder.origin, data)


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
