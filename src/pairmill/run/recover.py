"""``pairmill recover``: repairs a run folder whose ledger is lost or damaged."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from pairmill import __version__
from pairmill.config import Settings, fingerprint, load
from pairmill.errors import ConfigError, FolderError
from pairmill.recipes.make import make_recipe
from pairmill.run.origin import read_origin
from pairmill.store.chain import read_manifest
from pairmill.store.files import refusal
from pairmill.store.folder import lock_folder, write_settings
from pairmill.store.manifest import write_manifest
from pairmill.store.recovery import find_harm
from pairmill.store.shards import holds_shards
from pairmill.store.side_files import read_last_settings
from pairmill.store.sqlite.rebuild import Rebuilt, rebuild
from pairmill.store.sqlite.store import SQLITE

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.store.folder import RunFolder

__all__ = ["adopt", "recover"]


def recover(path: Path) -> list[str]:
    """Rebuild a folder's ledger from its shards, its rejects, and the remains of the old ledger.

    A ledger that is intact and matches the shards is left alone. Pairs in shards are kept, once
    each, and count as done. Paid answers that only the ledger holds are kept as far as they can be
    read.

    Returns:
        Lines for people that say what was found.

    Raises:
        FolderError: It is not a run folder, a newer pairmill made it, or another process works in
            it.
        StorageError: The disk refused; the same command can be run again.
    """
    with lock_folder(path, version=__version__) as folder:
        if folder.ledgers is not SQLITE:
            raise FolderError(
                f"{path}: its ledger is kept by '{folder.ledgers.name}'; recover rebuilds those of"
                " SQLite alone"
            )
        settings = _settings(folder)
        lines = _mend_settings(folder, settings)
        identities = dict.fromkeys(read_origin(folder).identities)
        if settings is not None:
            identities.setdefault(make_recipe(settings, folder.state / "recipe").identity)
        harm = find_harm(folder)
        if not harm:
            return [*lines, f"{folder.ledger}: whole, and in step with the shards; left as it is"]
        if not identities and not folder.has_ledger and holds_shards(folder):
            raise FolderError(
                f"{path}: the settings that its pairs were made with are not recorded; run"
                f" 'pairmill run"
                f" INPUT -o {path}' with the same settings, which rebuilds the ledger"
            )
        return [*lines, *_rebuild(folder, tuple(identities))]


def adopt(folder: RunFolder, settings: Settings, identity: str) -> list[str]:
    """Build a ledger from its shards for a folder that came without its ``.run/``.

    Args:
        folder: Locked.
        settings: Of this start.
        identity: Of its recipe.

    Returns:
        Lines for people that say what was found.

    Raises:
        ChangedError: Its pairs were made with other settings, and ``accept_change`` is False.
        StorageError: The disk refused; the same command can be run again.
    """
    identities = dict.fromkeys((*read_origin(folder).identities, identity))
    lines = _rebuild(folder, tuple(identities), strict=not settings.accept_change)
    write_settings(folder, fingerprint(settings))
    return [f"{folder.path} came without its .run/", *lines]


def _rebuild(folder: RunFolder, identities: tuple[str, ...], *, strict: bool = False) -> list[str]:
    rebuilt = rebuild(folder, identities, version=folder.version, strict=strict)
    with folder.read_ledger() as lookup:
        write_manifest(folder, lookup, facts={"recovered": True, "finished": False})
    return _account(rebuilt, folder)


def _settings(folder: RunFolder) -> Settings | None:
    """Return the settings of the last start; None if they are unreadable."""
    last = read_last_settings(folder)
    if last is not None:
        return last
    with suppress(OSError, orjson.JSONDecodeError, ConfigError):
        document = orjson.loads(folder.settings.read_bytes())
        if isinstance(document, dict) and isinstance(document.get("settings"), dict):
            known = {k: v for k, v in document["settings"].items() if k in Settings.model_fields}
            return load(given=known)
    told = read_manifest(folder.manifest).get("origin")
    with suppress(ConfigError):
        if isinstance(told, dict) and isinstance(told.get("settings"), dict) and told["settings"]:
            known = {k: v for k, v in told["settings"].items() if k in Settings.model_fields}
            return load(given=known)
    return None


def _mend_settings(folder: RunFolder, settings: Settings | None) -> list[str]:
    """Rewrite the settings that determine the pairs, if they are unreadable."""
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
    lines = [f"rebuilt {folder.ledger}: {found}", *rebuilt.damaged]
    if rebuilt.is_kept:
        lines[0] += f"; {rebuilt.answers:,} paid answers saved from the old one, kept beside it"
    if rebuilt.doubles:
        lines.append(f"{rebuilt.doubles:,} lines that stood twice were taken out")
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
