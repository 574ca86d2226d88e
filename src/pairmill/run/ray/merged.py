"""The merged dataset of parts that may grow: created, left unchanged, or replaced.

It is a folder beside that of the parts, or a place in an object store beside theirs. What was
merged last is noted with the parts; a merged dataset that somebody has gone on with since is never
replaced. In a store, any machine can go on from there.
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from msgspec import Struct

from pairmill import __version__
from pairmill.errors import ConfigError, FolderError, PairmillError, StorageError
from pairmill.objects.port import probe
from pairmill.objects.url import open_store
from pairmill.output.marks.log import RUN_MARKS
from pairmill.partition import find_parts, part_of
from pairmill.recipes.make import make_recipe
from pairmill.replica.publish import chain_stored, publish, stored_manifest
from pairmill.replica.restore import fetch
from pairmill.replica.takeover import chain_of, spool_lock
from pairmill.run.ending import Ending
from pairmill.run.merge import Merged, merge
from pairmill.store.chain import LedgerChain, read_manifest
from pairmill.store.files import atomic_write, refusal
from pairmill.store.folder import RunFolder, lock_folder
from pairmill.store.side_files import read_last_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pairmill.objects.port import ObjectStore

__all__ = ["check_output", "check_store", "merge_again", "merge_in_store", "parts_url"]

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
    now = _digest(*sorted(find_parts(parts).values()))
    before = output.with_name(f".{output.name}.before")
    if not output.exists() and before.exists():  # a merge was killed here
        before.rename(output)
    note = _note(parts) if output.exists() else {}
    if note:
        own = note["own"] or _digest(output)  # killed when it had merged
        if note["parts"] == now:
            return _account(output)
        if own != _digest(output):
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
        atomic_write(parts / _NOTE, orjson.dumps({"parts": now, "own": _digest(output)}))
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


def _digest(*folders: Path) -> str:
    """Return a hash of run folders' content: their shards, and the outcome of their chunks."""
    content = hashlib.sha256()
    for folder in folders:
        found = read_manifest(folder / "manifest.json")
        content.update(orjson.dumps([found.get("shards"), found.get("counts")]))
    return content.hexdigest()


def _account(output: Path) -> Merged:
    with lock_folder(output, version=__version__) as folder, folder.read_ledger() as lookup:
        settings = read_last_settings(folder)
        if settings is None:
            raise FolderError(f"{folder.resolved}: missing or damaged; run the same command again")
        ending = Ending(folder, lookup, make_recipe(settings, folder.state / "recipe"), settings)
        return Merged(ending.account(), [])


class _Note(Struct, frozen=True):
    """What was merged last.

    Attributes:
        parts: Hash of what the parts held.
        chain: Id of the merged ledger; "" while it is being uploaded.
        generation: Of that ledger then.
    """

    parts: str
    chain: str = ""
    generation: int = 0


def parts_url(url: str) -> str:
    """Return where the parts of a run on a cluster lie."""
    return f"{url}-parts"


def check_store(url: str) -> set[int]:
    """Check that parts may be merged into a place; return the numbers of parts that are there.

    Raises:
        ConfigError: The store cannot be used, or the place holds something else.
        StorageError: It cannot be reached now.
    """
    store, around = open_store(url, "output"), open_store(parts_url(url), "output")
    probe(around, "output")
    if parts := [name for name in store.folders() if part_of(name)]:
        raise ConfigError(
            f"{url}: holds parts that were begun with --partition, such as {parts[0]}; give another"
            " place with -o"
        )
    if stored_manifest(store) is not None and _read(around)[0] is None:
        raise ConfigError(
            f"{url}: is the run of one process; give another place with -o for what"
            f" {parts_url(url)} is merged to"
        )
    return {part.count for name in around.folders() if (part := part_of(name))}


def merge_in_store(
    url: str, parts: Path, output: Path, tell: Callable[[str], None] = lambda _: None
) -> Merged:
    """Merge all parts in the store, unless the place holds just that already.

    Args:
        url: Of the place.
        parts: A local folder for copies of the parts.
        output: A local folder for the merged run.
        tell: Receives a line about each download and each wait.

    Raises:
        FolderError: The place was changed since it was merged, and the parts have more; or they
            cannot be merged.
        StorageError: The store cannot be reached now, or the local disk refused.
    """
    store, around = open_store(url, "output"), open_store(parts_url(url), "output")
    fetch(parts_url(url), parts)
    now = _digest(*sorted(find_parts(parts).values()))
    note, token = _read(around)
    there = chain_stored(stored_manifest(store))
    if note is not None and note.chain and there is not None:
        is_ours = there == LedgerChain(note.chain, note.generation)
        if note.parts == now:
            if chain_of(RunFolder(output)) != there:
                fetch(url, output)
            return _account(output)
        if not is_ours:
            raise FolderError(
                f"{url}: was changed since it was merged, and the parts have more now: 'pairmill"
                f" merge {parts_url(url)} -o ANOTHER' merges them"
            )
    token = _write(around, _Note(now), token)
    marks = _marks(output)
    with spool_lock(output, store.where) as spool:
        shutil.rmtree(output, ignore_errors=True)
        merged = merge([parts], output, place=url)
        if marks:
            (output / RUN_MARKS).parent.mkdir(parents=True, exist_ok=True)
            atomic_write(output / RUN_MARKS, marks)
        made = publish(store, output, spool, replaces=there, version=__version__, tell=tell)
    _write(around, _Note(now, made.chain, made.generation), token)
    return merged


def _marks(output: Path) -> bytes:
    with suppress(OSError):
        return (output / RUN_MARKS).read_bytes()
    return b""


def _read(around: ObjectStore) -> tuple[_Note | None, Any]:
    got = around.get(_NOTE)
    if got is None:
        return None, None
    try:
        return msgspec.json.decode(got[0], type=_Note), got[1]
    except msgspec.DecodeError:
        raise FolderError(f"{around.where}/{_NOTE}: is damaged; remove it") from None


def _write(around: ObjectStore, note: _Note, token: Any) -> Any:
    """Replace the note, and return its version.

    Raises:
        StorageError: Another process has written it meanwhile.
    """
    data = msgspec.json.encode(note)
    done = around.create(_NOTE, data) if token is None else around.replace(_NOTE, data, token)
    if done is None and (got := around.get(_NOTE)) is not None and got[0] == data:
        return got[1]  # of our own earlier try, whose reply was lost, or nothing changed
    if done is None:
        raise StorageError(f"{around.where}: another process merges it too", transient=True)
    return done
