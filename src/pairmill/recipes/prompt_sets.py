"""Selects the prompt set of a run: the current one, or the one its folder was begun with.

A set is a version of all bundled templates, with the plan and answer schemas that belong to them. A
folder keeps its set for good, since changed prompts are new questions, each of which would be paid
for; ``prompts: "2"`` with ``accept_change`` switches on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pairmill.store.chain import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.config import Settings

__all__ = ["FIRST", "LATEST", "identities_of", "of_folder", "of_settings"]

FIRST, LATEST = "1", "2"


def of_settings(settings: Settings) -> str:
    """Return the prompt set that the settings name; the current one if they name none."""
    return LATEST if settings.prompts == "auto" else settings.prompts


def of_folder(settings: Settings, state: Path) -> str:
    """Return the prompt set that a run asks with.

    Args:
        settings: The run's; a set named there is used.
        state: The folder's ``.run``, which may be missing.
    """
    if settings.prompts != "auto":
        return settings.prompts
    found = _origin(state)
    if not found.get("identities"):
        return LATEST
    named = str(found.get("prompts", FIRST))  # the first version did not record it
    return named if named in {FIRST, LATEST} else LATEST


def identities_of(state: Path) -> tuple[str, ...]:
    """Return the identities of the recipes that a folder was run with, oldest first.

    Args:
        state: The folder's ``.run``, which may be missing.
    """
    known = _origin(state).get("identities")
    return tuple(name for name in known if isinstance(name, str)) if isinstance(known, list) else ()


def _origin(state: Path) -> dict[str, object]:
    """Return what a folder notes about its starts; {} if that is missing or unreadable."""
    try:
        found = orjson.loads((state / "origin.json").read_bytes())
    except FileNotFoundError:
        found = read_manifest(state.parent / "manifest.json").get("origin")
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}
