"""Finds the inputs of a run folder, even if it was moved or is opened from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pairmill.chunking.reader import read_chunks
from pairmill.config import Settings
from pairmill.errors import PairmillError
from pairmill.plain import plain
from pairmill.sources.files import check_inputs
from pairmill.sources.remote import is_remote

if TYPE_CHECKING:
    from pairmill.records import Chunk
    from pairmill.store.folder import RunFolder

__all__ = ["code_notice", "find_chunks", "find_inputs", "has_code"]

_CODE = "the run read its texts with Python code of its own, which is not run; --run-code runs it"


def has_code(settings: Settings) -> bool:
    """Return whether a run's settings name Python files or objects as recipe or sources."""
    return bool(_code_of(settings))


def _code_of(settings: Settings) -> list[str]:
    """Return the names by which a run's settings ask for Python code to be run."""
    name = settings.recipe_name
    own = [name] if ":" in name or name.endswith(".py") else []
    return [*own, *settings.sources, *filter(None, [settings.splitter])]


def code_notice(folder: RunFolder, without_texts: str, without_recipe: str = "") -> list[str]:
    """Return a notice that a folder's Python code was not run, and what is missing as a result.

    Args:
        folder: The run folder.
        without_texts: What is missing where the run's texts cannot be read without it.
        without_recipe: What is missing where its recipe is such code; "" for nothing.
    """
    settings = _settings_of(folder)
    if settings is None:
        return []
    reads = bool(settings.sources or settings.splitter)
    missing = without_texts if reads else without_recipe
    named = ", ".join(plain(name, 80) for name in _code_of(settings)[:3])
    if not named or not missing:
        return []
    why = f"that takes Python code which the folder names ({named}), and which is not run"
    return [f"{missing}: {why}; --run-code runs it"]


def _settings_of(folder: RunFolder) -> Settings | None:
    try:
        return Settings.model_validate_json(folder.resolved.read_bytes())
    except (OSError, ValueError):
        return None


def find_inputs(folder: RunFolder, *, run_code: bool = False) -> tuple[Settings | None, str]:
    """Return a run's settings with inputs that can be read from here, or why there are none.

    Relative paths are tried from the working directory, from that of the run's last start, and from
    beside and inside the folder.

    Args:
        folder: The run folder.
        run_code: Whether Python code that its settings name may run; a folder may come from anyone.
    """
    settings = _settings_of(folder)
    if settings is None:
        return None, "the folder does not say what it was made from (.run/config.json)"
    if (settings.sources or settings.splitter) and not run_code:
        return None, _CODE
    if "-" in settings.inputs:
        return None, "the run read standard input, which is gone"
    if any(map(is_remote, settings.inputs)):  # a folder of somebody else's must not lead anywhere
        return None, "the run read files by URL; name the documents with --documents"
    settings = settings.model_copy(update={"output": folder.path})
    here = folder.path.resolve()
    for place in (Path(), _place_of_start(folder), here.parent, here):
        if place is None:
            continue
        inputs = tuple(str(place / name) for name in settings.inputs)
        try:
            check_inputs(inputs, folder.path, settings.sources)
        except (PairmillError, OSError, ValueError):
            continue
        return settings.model_copy(update={"inputs": inputs}), ""
    names = ", ".join(settings.inputs[:3])
    return None, f"the run's documents are not there any more: {names}; name them with --documents"


def find_chunks(folder: RunFolder, wanted: set[str], *, run_code: bool = False) -> dict[str, Chunk]:
    """Read a run's inputs again for some chunks, by their ids; ends with the last one found."""
    found: dict[str, Chunk] = {}
    settings, _ = find_inputs(folder, run_code=run_code)
    if settings is None or not wanted:
        return found
    try:
        for chunk in read_chunks(settings, lambda _note: None):
            if chunk.id in wanted:
                found[chunk.id] = chunk
                if len(found) == len(wanted):
                    break
    except (OSError, ValueError, PairmillError):
        pass  # inputs change; what was found before is still worth showing
    return found


def _place_of_start(folder: RunFolder) -> Path | None:
    try:
        place = orjson.loads(folder.origin.read_bytes()).get("place")
    except (OSError, ValueError, AttributeError):
        return None
    return Path(place) if isinstance(place, str) else None
