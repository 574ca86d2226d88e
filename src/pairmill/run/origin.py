"""Records of a folder's starts beside the settings: working directory, recipes, versions.

``.run/origin.json`` lets ``retry`` find inputs that were named relative to a working directory, and
lets ``recover`` name the units of rows that were written under earlier settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pairmill.errors import ChangedError
from pairmill.quality.thresholds import VERSION
from pairmill.recipes.registry import recipe_of_folder
from pairmill.store.chain import read_manifest
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.config import Settings
    from pairmill.recipes.recipe import Recipe
    from pairmill.store.folder import RunFolder

__all__ = ["RunOrigin", "check_recipe", "note_merged", "note_start", "read_origin", "recipe_for"]


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
