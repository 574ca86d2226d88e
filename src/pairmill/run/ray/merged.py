"""The merged folder of parts that may grow: made, left as it is, or made anew."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson

from pairmill import __version__
from pairmill.config import Settings
from pairmill.errors import ConfigError, FolderError, PairmillError
from pairmill.output.marks.log import RUN_MARKS
from pairmill.partition import find_parts
from pairmill.recipes.registry import make_recipe
from pairmill.run.ending import Ending
from pairmill.run.merge import Merged, merge
from pairmill.store.chain import read_manifest
from pairmill.store.files import atomic_write, refusal
from pairmill.store.folder import lock_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["account_of", "check_output", "digest_of", "merge_again"]

_NOTE = "merged.json"


def check_output(output: Path, parts: Path) -> None:
    """Check that parts may be merged into a folder.

    Raises:
        ConfigError: It is the run folder of one process.
    """
    if (output / ".run").is_dir() and not _note(parts):
        raise ConfigError(
            f"{output}: is the run folder of one process; give another folder with -o for what"
            f" {parts} is merged to"
        )


def merge_again(parts: Path, output: Path) -> Merged:
    """Merge all parts in a folder, unless the output holds just that already.

    People's marks are kept.

    Raises:
        FolderError: The output was changed since it was merged, and the parts have more; or they
            cannot be merged.
    """
    now = digest_of(*sorted(find_parts(parts).values()))
    before = output.with_name(f".{output.name}.before")
    if not output.exists() and before.exists():  # a merge was killed here
        before.rename(output)
    note = _note(parts) if output.exists() else {}
    if note:
        own = note["own"] or digest_of(output)  # killed when it had merged
        if note["parts"] == now:
            return account_of(output)
        if own != digest_of(output):
            raise FolderError(
                f"{output}: was changed since it was merged, and the parts have more now: 'pairmill"
                f" merge {parts} -o ANOTHER' merges them"
            )
        try:
            output.rename(before)
        except OSError as error:
            raise refusal(error, output) from None
    try:
        atomic_write(parts / _NOTE, orjson.dumps({"parts": now, "own": ""}))
        merged = merge([parts], output)
        with suppress(FileNotFoundError):
            shutil.copyfile(before / RUN_MARKS, output / RUN_MARKS)
        atomic_write(parts / _NOTE, orjson.dumps({"parts": now, "own": digest_of(output)}))
    except PairmillError:
        if note and not output.exists():
            before.rename(output)
            atomic_write(parts / _NOTE, orjson.dumps(note))
        raise
    shutil.rmtree(before, ignore_errors=True)
    return merged


def _note(parts: Path) -> dict[str, str]:
    """Return what was merged last, and hashes of it; {} for nothing."""
    with suppress(OSError, orjson.JSONDecodeError):
        found = orjson.loads((parts / _NOTE).read_bytes())
        if isinstance(found, dict) and found.keys() >= {"parts", "own"}:
            return found
    return {}


def digest_of(*folders: Path) -> str:
    """Return a hash of what run folders hold: their shards, and what became of their chunks."""
    content = hashlib.sha256()
    for folder in folders:
        found = read_manifest(folder / "manifest.json")
        content.update(orjson.dumps([found.get("shards"), found.get("counts")]))
    return content.hexdigest()


def account_of(output: Path) -> Merged:
    """Return what a merged folder holds."""
    with lock_folder(output, version=__version__) as folder, folder.read_ledger() as lookup:
        settings = Settings.model_validate_json(folder.resolved.read_bytes())
        ending = Ending(folder, lookup, make_recipe(settings, folder.state / "recipe"), settings)
        return Merged(ending.account(), [])
