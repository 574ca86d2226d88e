"""Which set of prompts a run asks with: today's, or the one that its folder was begun with.

A set is a version of all templates that come along, with the plan and the answers' schemas that
belong to them. A folder goes on with its own for good, since other prompts are other questions,
each of which would be paid for; ``prompts: "2"`` with ``accept_change`` takes another on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pairmill.store.chain import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.config import Settings

__all__ = ["FIRST", "LATEST", "of_folder", "of_settings"]

FIRST, LATEST = "1", "2"


def of_settings(settings: Settings) -> str:
    """The set that settings name; today's where they name none."""
    return LATEST if settings.prompts == "auto" else settings.prompts


def of_folder(settings: Settings, state: Path) -> str:
    """The set that a run asks with.

    Args:
        settings: Of the run; what they name holds.
        state: The folder's ``.run``, which may not be there.
    """
    if settings.prompts != "auto":
        return settings.prompts
    try:
        found = orjson.loads((state / "origin.json").read_bytes())
    except FileNotFoundError:
        found = read_manifest(state.parent / "manifest.json").get("origin")
    except (OSError, orjson.JSONDecodeError):
        return LATEST
    if not isinstance(found, dict) or not found.get("identities"):
        return LATEST
    named = found.get("prompts", FIRST)  # the first version did not note it
    return named if named in {FIRST, LATEST} else LATEST
