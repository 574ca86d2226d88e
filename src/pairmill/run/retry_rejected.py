"""``pairmill retry``: tombstones asked again, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pairmill.config import Settings
from pairmill.errors import FolderError, UsageError
from pairmill.run.origin import read_origin
from pairmill.sources.files import STANDARD_INPUT
from pairmill.store.folder import read_folder
from pairmill.store.lookup import Lookup

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.store.folder import RunFolder

__all__ = ["RetryRequest", "begun", "prepare"]


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """Which tombstones to lift, and whom to ask instead of the run's own model.

    Attributes:
        begun: The settings that the folder was begun with, which stay its own.
    """

    begun: Settings
    reason: str | None = None


def prepare(
    path: Path, *, reason: str | None = None, model: str | None = None
) -> tuple[Settings, RetryRequest, Path | None]:
    """Find out how to ask again for a folder's tombstones.

    Returns:
        The settings to run with; what to ask again; and the working directory that the inputs'
        names are relative to, where that is known.

    Raises:
        FolderError: There is no run folder, or its settings cannot be read.
        UsageError: There is no such tombstone.
    """
    folder = read_folder(path)
    settings = begun(folder)
    _check_reason(folder, reason)
    changes = {
        "model": model or settings.model,
        "pools": tuple(pool for pool in settings.pools if model in {None, pool.model}),
        "recipe": settings.recipe_name,  # another model does not choose another recipe
        "limit": None,
        "limit_per_document": None,
        "accept_change": False,
        "output": path.absolute(),
    }
    own = settings.model_copy(update={"accept_change": False})
    place = read_origin(folder).place
    known_place = place if place and place.is_dir() else None
    return settings.model_copy(update=changes), RetryRequest(own, reason), known_place


def begun(folder: RunFolder) -> Settings:
    """The settings of a folder's last start.

    Raises:
        FolderError: They cannot be read.
    """
    try:
        settings = Settings.model_validate_json(folder.resolved.read_bytes())
    except (OSError, ValidationError):
        raise FolderError(
            f"{folder.resolved}: missing or damaged; run 'pairmill run' once more with the inputs"
        ) from None
    if STANDARD_INPUT in settings.inputs:
        raise UsageError(
            f"{folder.path}: made from standard input, which cannot be read again; give a file to"
            " 'pairmill run' if you have it"
        )
    return settings


def _check_reason(folder: RunFolder, reason: str | None) -> None:
    with Lookup(folder.ledger) as lookup:
        pending, reasons = lookup.reopened(), lookup.totals().reasons
    if pending or (reasons if reason is None else reason in reasons):
        return
    there = ", ".join(f"{count} {name}" for name, count in reasons.items()) or "none"
    wanted = "nothing was rejected" if reason is None else f"nothing was rejected as '{reason}'"
    raise UsageError(f"{folder.path}: {wanted}; there is: {there}")
