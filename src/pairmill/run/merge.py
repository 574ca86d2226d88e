"""``pairmill merge``: merges the parts of a run, as if one process had made them.

The parts' shards are copied under new numbers, and the ledger is built from them and from the
parts' ledgers, so that ``status``, ``export``, ``retry``, and a further ``run`` over the same input
work on the merged folder without paying again. The folder appears complete or not at all. With a
URL for output it is made on this machine, and uploaded.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from msgspec import structs

from pairmill import __version__
from pairmill.config import Settings, fingerprint
from pairmill.errors import FolderError, UsageError
from pairmill.objects.url import WORK_NAME, default_work_dir, open_store, store_url
from pairmill.output.origins import read_run_origins
from pairmill.partition import find_parts, parse_partition
from pairmill.recipes.make import for_unit, make_recipe
from pairmill.replica.publish import check_free, publish
from pairmill.replica.takeover import spool_lock
from pairmill.run.ending import Ending
from pairmill.run.judge_figures import merge_metrics
from pairmill.run.origin import note_merged, read_origin
from pairmill.store.counts import count_run, read_input_counts
from pairmill.store.files import atomic_write, refusal
from pairmill.store.folder import lock_folder, open_folder
from pairmill.store.shards import KINDS
from pairmill.store.side_files import read_last_settings
from pairmill.store.sqlite.rebuild import rebuild
from pairmill.store.sqlite.store import SQLITE
from pairmill.store.superseded import SupersededLog, read_superseded
from pairmill.store.timeline import join_timelines, read_timeline, write_timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pairmill.partition import Partition
    from pairmill.run.ending import Account
    from pairmill.store.counts import RunCounts
    from pairmill.store.entries import ShardRecord
    from pairmill.store.folder import RunFolder

__all__ = ["Merged", "merge", "merge_to_store"]

_READ_BYTES = 2**20
_KEPT = ("recipe", "fields.json")  # files of a part's .run/ that all parts have in common
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that is locked for merging.

    Attributes:
        settings: Of its last start.
        counts: What became of its chunks.
        shards: Its shards, according to its ledger.
    """

    folder: RunFolder
    partition: Partition
    settings: Settings
    counts: RunCounts
    shards: list[ShardRecord]


@dataclass(frozen=True, slots=True)
class Merged:
    """A folder that was merged.

    Attributes:
        account: Its counts and cost.
        lines: Plain lines that say what was merged.
    """

    account: Account
    lines: list[str]


def merge(
    paths: Sequence[Path], output: Path, *, unfinished: bool = False, place: str = ""
) -> Merged:
    """Make one run folder of the parts of a run.

    Args:
        paths: The parts' folders, or folders that contain them.
        output: The folder to make; it must not exist, or be empty.
        unfinished: Merge even if parts are missing or unfinished. The merged folder knows which
            chunks are done; a run over it does the others.
        place: What to call the folder; "": by its path.

    Returns:
        What the folder holds.

    Raises:
        UsageError: The output cannot be used, or no part is named.
        FolderError: A part is missing, unfinished, damaged, or of another run.
        LockedError: A part is being worked on.
        StorageError: The disk refused; nothing was made.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{output}: already exists; give a new folder with -o")
    with ExitStack() as stack:
        parts = [_open(path, stack) for path in _part_folders(paths)]
        parts.sort(key=lambda part: part.partition)
        _check_kinship(parts)
        if not unfinished:
            _check_finished(parts)
        building = output.with_name(f".{output.name}.merging")
        try:
            shutil.rmtree(building, ignore_errors=True)  # of a merge that was killed
            building.mkdir(parents=True)
            merged = _build(parts, building, output, place or str(output))
            if output.is_dir():
                output.rmdir()
            building.rename(output)
        except OSError as error:
            raise refusal(error, output) from None
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return merged


def _part_folders(paths: Sequence[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        inside = find_parts(path)
        for folder in [inside[part] for part in sorted(inside)] or [path]:
            found[folder] = None
    if not found:
        raise UsageError("nothing to merge: name the folders of the parts, or the one around them")
    return list(found)


def _open(path: Path, stack: ExitStack) -> _Part:
    folder = stack.enter_context(lock_folder(path, version=__version__))
    settings = read_last_settings(folder)
    if settings is None:
        raise FolderError(f"{folder.resolved}: cannot be read; run this part's command once more")
    if settings.partition is None:
        raise FolderError(f"{path}: not a part made by 'run --partition'")
    if folder.ledgers is not SQLITE:
        raise FolderError(
            f"{path}: its ledger is kept by '{folder.ledgers.name}'; merge reads those of SQLite"
            " alone: export each part, and join the exports"
        )
    with folder.read_ledger() as lookup:
        return _Part(
            folder,
            parse_partition(settings.partition, {}),
            settings,
            count_run(folder, lookup),
            lookup.shards(),
        )


def _check_kinship(parts: Sequence[_Part]) -> None:
    first = parts[0]
    count = first.partition.count
    for part in parts[1:]:
        if part.partition.count != count:
            raise FolderError(
                f"{part.folder.path}: is part {part.partition}, but {first.folder.path} is part"
                f" {first.partition}: not of one run"
            )
        for name, value in _meaning(part).items():
            if value != _meaning(first)[name]:
                raise FolderError(
                    f"{part.folder.path}: made with another '{name}' than {first.folder.path}: not"
                    " of one run"
                )
    for one, other in pairwise(parts):
        if one.partition == other.partition:
            raise FolderError(
                f"{one.folder.path} and {other.folder.path} are both part {one.partition}"
            )


def _check_finished(parts: Sequence[_Part]) -> None:
    count = parts[0].partition.count
    missing = sorted(set(range(count)) - {part.partition.index for part in parts})
    if missing:
        named = ", ".join(f"{index}/{count}" for index in missing[:_MOST_NAMED])
        more = ", ..." if len(missing) > _MOST_NAMED else ""
        raise FolderError(
            f"{len(missing):,} of {count:,} parts are missing: {named}{more}; run them, or add"
            " --unfinished to merge what is there"
        )
    for part in parts:
        if part.counts.to_do or not part.counts.is_input_whole:
            left = f"{part.counts.to_do:,} chunks to do" if part.counts.to_do else "input to read"
            raise FolderError(
                f"{part.folder.path}: has {left}; run it to its end, or add --unfinished to merge"
                " what is there"
            )


def _meaning(part: _Part) -> dict[str, object]:
    """Return the settings that determine a part's pairs, except the partition."""
    given = part.settings.model_copy(update={"partition": None})
    own = for_unit(given, make_recipe(given), part.folder.path)
    return {**fingerprint(own), "inputs": given.inputs}


def _build(parts: Sequence[_Part], building: Path, output: Path, place: str) -> Merged:
    count = parts[0].partition.count
    changes = {"partition": None, "output": output, "store": None}
    settings = parts[0].settings.model_copy(update=changes)
    recipe = make_recipe(settings, parts[0].folder.state / "recipe")
    own = for_unit(settings, recipe, parts[0].folder.path)
    with open_folder(
        building, settings_fingerprint=fingerprint(own), accept_change=False, version=__version__
    ) as folder:
        for kind in KINDS:
            sources = ((part, shard) for part in parts for shard in part.shards)
            of_kind = ((part, shard) for part, shard in sources if shard.kind == kind)
            for number, (part, shard) in enumerate(of_kind):
                new = structs.replace(shard, number=number, closed=True)
                _copy_shard(part.folder, shard, new, folder)
        for name in _KEPT:
            _copy(parts[0].folder.state / name, folder.state / name)
        _copy(parts[0].folder.path / "skipped.jsonl", folder.path / "skipped.jsonl")
        with closing(SupersededLog(folder.path)) as log:
            for part in parts:  # only each part knows which of its chunks are
                gone = read_superseded(part.folder.path)
                log.append((chunk, True) for chunk in sorted(gone) if part.partition.takes(chunk))
        states = [part.folder.state / "figures.json" for part in parts]
        merge_metrics(states, folder.state / "figures.json", folder.figures)
        atomic_write(folder.resolved, own.model_dump_json(indent=2).encode())
        note_merged(folder, [read_origin(part.folder) for part in parts])
        found = [read_input_counts(part.folder) for part in parts]
        is_whole = all(counts.is_whole for counts in found) and len(parts) == count
        read = max(found, key=lambda counts: (counts.is_whole, counts.read))
        expected = sum(counts.expected for counts in found)
        replace(read, expected=expected, is_whole=is_whole).write(folder)
        ledgers = [part.folder.ledger for part in parts]
        rebuilt = rebuild(
            folder, read_origin(folder).identities, version=folder.version, others=ledgers
        )
        read_run_origins(folder)
        timelines = [read_timeline(part.folder.timeline) for part in parts]
        write_timeline(folder.timeline, join_timelines(timelines))
        to_do = sum(part.counts.to_do for part in parts)
        with folder.read_ledger() as lookup:
            ending = Ending(folder, lookup, recipe, own)
            account = ending.finish(whole=True) if is_whole and not to_do else ending.begin()
    summary = (
        f"merged {len(parts):,} parts into {place}: {account.counts.pairs:,} pairs of"
        f" {account.counts.ended:,} chunks"
    )
    lines = [summary, *rebuilt.damaged]
    if rebuilt.doubles:
        lines.append(f"{rebuilt.doubles:,} lines that stood in two parts were taken once")
    if to_do:
        lines.append(f"{to_do:,} chunks are to do: 'pairmill run' with -o {place} asks for them")
    return Merged(account, lines)


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, if it exists."""
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copyfile(source, target)


def _copy_shard(source: RunFolder, shard: ShardRecord, new: ShardRecord, into: RunFolder) -> None:
    """Copy a shard up to its committed length, and verify the copy.

    Raises:
        FolderError: A published shard does not match its ledger.
    """
    place = source.published(shard.kind) if shard.closed else source.open_shards
    path = place / shard.name
    if not path.exists():
        path = source.open_shards / shard.name  # closed, but not published yet
    target = into.published(new.kind) / new.name
    content, left = hashlib.sha256(), shard.bytes
    with path.open("rb") as reading, target.open("wb") as writing:
        while block := reading.read(min(left, _READ_BYTES)):
            left -= len(block)
            content.update(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    if left or (shard.closed and content.hexdigest() != shard.sha256):
        raise FolderError(f"{path}: does not match its ledger; 'pairmill recover' repairs the part")
    if not shard.bytes:
        target.unlink()


_PLACE = "merging"


def merge_to_store(
    paths: Sequence[Path],
    url: str,
    *,
    unfinished: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Merged:
    """Make one run of the parts of a run, in an object store.

    It appears there complete or not at all. Nothing stays on this machine.

    Args:
        paths: See `pairmill.run.merge.merge`.
        url: Of the place to make.
        unfinished: See `pairmill.run.merge.merge`.
        tell: Receives a line about each wait.

    Raises:
        PairmillError: As `pairmill.run.merge.merge`, and where the store cannot be used.
    """
    url = store_url(url, "output")
    store = open_store(url, "output")
    check_free(store)
    place = default_work_dir(url, os.environ) / _PLACE
    output = place / WORK_NAME
    with spool_lock(output, store.where) as spool:
        shutil.rmtree(output, ignore_errors=True)  # of a merge that was killed
        merged = merge(paths, output, unfinished=unfinished, place=store.where)
        publish(store, output, spool, replaces=None, version=__version__, tell=tell)
        shutil.rmtree(place, ignore_errors=True)
    return merged
