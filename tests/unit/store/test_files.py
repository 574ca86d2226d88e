from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pairmill.errors import EXIT_FAILED, EXIT_RESUMABLE, StorageError
from pairmill.store.files import (
    DISK,
    Disk,
    atomic_write,
    network_file_system,
    refusal,
    write_all,
)

MOUNTS = r"""
/dev/vda / ext4 rw 0 0
server:/x /mnt/share nfs4 rw 0 0
/dev/vdb /mnt/share/disk ext4 rw 0 0
bucket /mnt/my\040bucket fuse.s3fs rw 0 0
/dev/sdb /mnt/stick fuseblk rw 0 0
"""


class ShortDisk(Disk):
    """Writes at most seven bytes a call."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return super().write(fd, data[:7])


class DeafDisk(Disk):
    """Writes nothing and does not say why."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return 0


class NamelessDisk(Disk):
    """Refuses to rename."""

    def rename(self, old: Path, new: Path) -> None:
        raise OSError(errno.EDQUOT, "secret text of the system")


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    atomic_write(tmp_path / "file", b"0123456789" * 3, files=ShortDisk())
    assert (tmp_path / "file").read_bytes() == b"0123456789" * 3


def test_a_write_of_nothing_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    fd = DISK.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="nothing was written"):
        write_all(DeafDisk(), fd, b"x")
    DISK.close(fd)


def test_a_failed_replacement_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")
    with pytest.raises(StorageError) as caught:
        atomic_write(path, b"new", files=NamelessDisk())
    assert str(caught.value) == f"{path}: the disk quota is used up"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_no_symlink_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"keep")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic link"):
        DISK.open(tmp_path / "link", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)


@pytest.mark.parametrize(
    ("code", "transient"), [(errno.ENOSPC, True), (errno.EMFILE, True), (errno.EIO, False)]
)
def test_only_a_lack_of_room_is_worth_waiting_for(
    tmp_path: Path, code: int, transient: bool
) -> None:
    assert refusal(OSError(code, ""), tmp_path).transient is transient


@pytest.mark.parametrize("code", [errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG])
def test_what_the_next_start_would_meet_again_is_no_resumable_end(
    tmp_path: Path, code: int
) -> None:
    assert refusal(OSError(code, ""), tmp_path).exit_code == EXIT_FAILED
    assert refusal(OSError(errno.EIO, ""), tmp_path).exit_code == EXIT_RESUMABLE


def test_a_folder_where_a_file_should_be_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(StorageError, match="a folder stands where the file should be; move it"):
        atomic_write(tmp_path / "file", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_an_unknown_refusal_is_named_as_the_system_names_it(tmp_path: Path) -> None:
    assert (
        str(refusal(OSError(errno.ENOLCK, ""), tmp_path))
        == f"{tmp_path}: {os.strerror(errno.ENOLCK)}"
    )
    assert str(refusal(OSError(), tmp_path)) == f"{tmp_path}: the write failed"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/out", None),
        ("/mnt/share/out", "nfs4"),
        ("/mnt/shared", None),
        ("/mnt/share/disk/out", None),
        ("/mnt/my bucket/out", "fuse.s3fs"),
        ("/mnt/stick/out", None),
    ],
)
def test_the_nearest_mount_decides(path: str, kind: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == kind


def test_this_machine_has_an_answer(tmp_path: Path) -> None:
    assert network_file_system(tmp_path) is None
