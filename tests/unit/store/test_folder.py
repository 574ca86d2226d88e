from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import ChangedError, FolderError, LockedError, StorageError
from pairmill.records import Completion, Usage, digest
from pairmill.store import folder as module
from pairmill.store.entries import Batch, PaidAnswer
from pairmill.store.folder import RunFolder, open_folder, read_folder
from pairmill.store.journal import Journal

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def open_it(
    path: Path, *, accept_change: bool = False, **settings: object
) -> AbstractContextManager[RunFolder]:
    return open_folder(
        path, settings_fingerprint=settings, accept_change=accept_change, version="1"
    )


def test_a_new_folder_has_its_places_and_a_private_state(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_it(tmp_path / "a" / "b", model="m") as folder:
            assert folder.data.is_dir()
            assert folder.rejected.is_dir()
            assert folder.open_shards.is_dir()
            assert folder.state.stat().st_mode & 0o777 == 0o700
            assert folder.lock.read_text().startswith(f"{os.getpid()} ")
            assert folder.notices == ()
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "name", [".gitkeep", "lost+found", ".Trash-1000", ".nfs00a1", ".snapshot", "$RECYCLE.BIN"]
)
def test_harmless_entries_do_not_make_a_folder_foreign(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with open_it(tmp_path):
        pass


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with (
        pytest.raises(FolderError, match="not empty, and not a pairmill folder"),
        open_it(tmp_path),
    ):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_somebody_elses_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(FolderError, match="not a pairmill folder"), open_it(tmp_path):
        pass


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    for path in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(FolderError, match="not a folder"), open_it(path):
            pass


def test_a_first_start_that_was_killed_early_is_begun_again(tmp_path: Path) -> None:
    with open_it(tmp_path) as folder:
        folder.settings.unlink()
    with open_it(tmp_path) as folder:
        assert folder.settings.exists()


def test_the_second_is_refused_and_told_who_is_first(tmp_path: Path) -> None:
    with (
        open_it(tmp_path),
        pytest.raises(LockedError, match=f"process {os.getpid()} .*works in this folder"),
        open_it(tmp_path),
    ):
        pass
    with open_it(tmp_path):
        pass  # free again


def test_a_lock_without_a_name_is_respected(tmp_path: Path) -> None:
    with open_it(tmp_path) as folder:
        folder.lock.write_bytes(b"\x1b[31m evil text")
        with pytest.raises(LockedError, match="another process works"), open_it(tmp_path):
            pass


def test_the_lock_of_a_dead_process_is_taken(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib\n"
        "from pairmill.store.folder import open_folder\n"
        "o = open_folder(pathlib.Path(sys.argv[1]), settings_fingerprint={},"
        " accept_change=False, version='1')\n"
        "o.__enter__()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9
    with open_it(tmp_path) as folder:
        assert folder.lock.read_text().startswith(f"{os.getpid()} ")


def test_a_lock_that_is_a_symlink_is_refused(tmp_path: Path) -> None:
    with open_it(tmp_path / "out") as folder:
        pass
    folder.lock.unlink()
    folder.lock.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FolderError), open_it(tmp_path / "out"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_changed_settings_are_listed_and_can_be_accepted(tmp_path: Path) -> None:
    with open_it(tmp_path, model="a", seed=1, kept=(1, 2), gone=3) as folder:
        (folder.data / "train-00000.jsonl").touch()
    with pytest.raises(ChangedError) as caught, open_it(tmp_path, model="b", seed=2, kept=(1, 2)):
        pass
    assert 'model: "a" -> "b"; seed: 1 -> 2' in str(caught.value)
    assert "--accept-change" in str(caught.value)
    with open_it(tmp_path, accept_change=True, model="b", seed=2) as folder:
        assert folder.notices == ('settings changed, as accepted: model: "a" -> "b"; seed: 1 -> 2',)
    with open_it(tmp_path, model="b", seed=2) as folder:
        assert folder.notices == ()


def test_a_start_that_asked_nothing_and_wrote_nothing_binds_nothing(tmp_path: Path) -> None:
    with open_it(tmp_path, model="a") as folder, Journal.open(folder, clock=lambda: 0.0):
        pass
    with open_it(tmp_path, model="b") as folder:
        assert folder.is_blank
        assert folder.notices == ()
        with Journal.open(folder, clock=lambda: 0.0) as journal:
            completion = Completion("text", "stop", "m", Usage(1, 1), 1.0)
            ids = (digest("call"), digest("unit"), digest("chunk"))
            journal.commit(Batch([PaidAnswer(*ids, completion)]))
    with pytest.raises(ChangedError, match='model: "b" -> "a"'), open_it(tmp_path, model="a"):
        pass


def test_a_folder_that_lost_its_state_is_still_ours(tmp_path: Path) -> None:
    with open_it(tmp_path / "a", model="a") as folder:
        row = b'{"id":"1","chunk_id":"2","recipe":"r","prompt_version":"1"}\n'
        (folder.data / "train-00000.jsonl").write_bytes(row)
    shutil.rmtree(folder.state)
    assert read_folder(folder.path).path == folder.path
    with open_it(folder.path) as again:
        assert again.is_bare
        assert not again.settings.exists(), "it is bound by whoever rebuilds the ledger"
    with open_it(folder.path) as again:
        assert again.is_bare


def test_a_setting_that_an_older_version_did_not_know_is_no_change(tmp_path: Path) -> None:
    with open_it(tmp_path, model="a"):
        pass
    with open_it(tmp_path, model="a", invented_later=True):
        pass


@pytest.mark.parametrize(
    ("text", "says"), [("{", "damaged"), ("[]", "damaged"), ('{"format":2,"settings":{}}', "newer")]
)
def test_settings_that_cannot_be_read_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with open_it(tmp_path) as folder:
        pass
    folder.settings.write_text(text)
    with pytest.raises(FolderError, match=says), open_it(tmp_path):
        pass


def test_a_network_file_system_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "network_file_system", lambda path: "nfs4")
    with open_it(tmp_path) as folder:
        assert "network file system (nfs4)" in folder.notices[0]


def test_a_folder_that_cannot_be_made_is_refused_in_one_line() -> None:
    with pytest.raises((FolderError, StorageError)) as caught, open_it(Path("/proc/pairmill")):
        pass
    assert "\n" not in str(caught.value)


def test_reading_needs_no_lock(tmp_path: Path) -> None:
    with open_it(tmp_path):
        assert read_folder(tmp_path).writable is False


def test_reading_says_when_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="no such folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(FolderError, match="no pairmill run here"):
        read_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []
