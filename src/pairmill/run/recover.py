"""``pairmill recover``: a run folder whose ledger is lost or damaged, made to work again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import orjson
from pydantic import ValidationError

from pairmill import __version__
from pairmill.config import Settings, fingerprint, load
from pairmill.errors import ConfigError, FolderError
from pairmill.recipes.registry import make_recipe
from pairmill.run.origin import read_origin
from pairmill.store.files import refusal
from pairmill.store.folder import lock_folder, write_settings
from pairmill.store.lookup import Lookup
from pairmill.store.manifest import write_manifest
from pairmill.store.rebuild import Rebuilt, rebuild

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.store.folder import RunFolder

__all__ = ["recover"]


def recover(path: Path) -> list[str]:
    """Rebuild a folder's ledger from its shards and rejects, and whatever the old one still gives.

    Pairs that stand in shards stay, and count as done. Paid answers that stood in the ledger alone
    are kept as far as they can be read, and are lost otherwise.

    Returns:
        Plain lines that say what was found.

    Raises:
        FolderError: There is no run folder, a newer pairmill made it, or another process works in
            it.
        StorageError: The disk refused; the same command goes on.
    """
    with lock_folder(path, version=__version__) as folder:
        settings = _settings(folder)
        lines = _mend_settings(folder, settings)
        identities = dict.fromkeys(read_origin(folder).identities)
        if settings is not None:
            identities.setdefault(make_recipe(settings, folder.state / "recipe").identity)
        rebuilt = rebuild(folder, tuple(identities))
        with Lookup(folder.ledger) as lookup:
            write_manifest(folder, lookup, facts={"recovered": True, "finished": False})
    return [*lines, *_account(rebuilt, folder)]


def _settings(folder: RunFolder) -> Settings | None:
    """The settings of the last start; None where nothing of them can be read."""
    with suppress(OSError, ValidationError):
        return Settings.model_validate_json(folder.resolved.read_bytes())
    with suppress(OSError, orjson.JSONDecodeError, ConfigError):
        document = orjson.loads(folder.settings.read_bytes())
        if isinstance(document, dict) and isinstance(document.get("settings"), dict):
            known = {k: v for k, v in document["settings"].items() if k in Settings.model_fields}
            return load(given=known)
    return None


def _mend_settings(folder: RunFolder, settings: Settings | None) -> list[str]:
    """Write the settings that decide what the pairs are anew, where they cannot be read."""
    with suppress(OSError, orjson.JSONDecodeError):
        document = orjson.loads(folder.settings.read_bytes())
        if isinstance(document, dict) and isinstance(document.get("settings"), dict):
            return []
    if settings is not None:
        write_settings(folder, fingerprint(settings))
        return [f"{folder.settings}: written anew"]
    try:
        folder.settings.unlink(missing_ok=True)
    except OSError as error:
        raise FolderError(str(refusal(error, folder.settings))) from None
    return [f"{folder.settings}: lost; the next start's settings are taken for the folder's"]


def _account(rebuilt: Rebuilt, folder: RunFolder) -> list[str]:
    found = f"{rebuilt.units:,} finished units with {rebuilt.pairs:,} pairs"
    saved = f"{rebuilt.answers:,} paid answers saved from the old one, which is kept beside it"
    lines = [f"rebuilt {folder.ledger}: {found}; {saved}", *rebuilt.damaged]
    if rebuilt.cut:
        lines.append(f"{rebuilt.cut} lines of units that may be half written were taken off")
    if rebuilt.unnamed:
        lines.append(
            f"{rebuilt.unnamed:,} pairs were made under settings that are not known any more: under"
            " those settings, their chunks would be asked again"
        )
    if not rebuilt.answers:
        lines.append("answers that were paid for and not yet in a shard are lost")
    return lines
