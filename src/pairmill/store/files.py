"""File operations that durability depends on, behind an interface for fault injection.

Only writes go through ``Files``: a failed read loses nothing. On a network file system, locks and
syncs may be unreliable; `network_file_system` detects one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import Protocol

from pairmill.errors import EXIT_FAILED, EXIT_RESUMABLE, StorageError

__all__ = [
    "DISK",
    "Disk",
    "Files",
    "atomic_write",
    "network_file_system",
    "refusal",
    "write_all",
    "write_text",
]

_WRITE_BYTES = 2**20  # a kill can tear larger writes: 0 of 30 torn at 1 MiB, 25 of 25 at 64 MiB
_TRANSIENT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE})
_PLAIN = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EIO: "the disk reported an error",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files on this machine",
    errno.ENOENT: "the folder has vanished",
    errno.ESTALE: "the folder has vanished",
    errno.EFBIG: "the file is larger than this system allows",
    errno.EISDIR: "a folder stands where the file should be; move it away",
    errno.ENOTDIR: "a file stands where a folder should be; move it away",
    errno.ELOOP: "a symbolic link stands where the file should be; put a file in its place",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}
_LASTING = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors that the next start would meet again: a person must fix the cause first."""

_NETWORK_TYPES = re.compile(
    r"(nfs\d?|cifs|smb\d?|smbfs|afs|9p|ceph|lustre|gpfs|beegfs|ocfs2|glusterfs|fuse\..+)\Z"
)
_MOUNTS = Path("/proc/self/mounts")


class Files(Protocol):
    """Disk operations of the store. Each raises OSError if the disk refuses."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file, created with the permissions that the umask leaves; never a symlink."""
        ...

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some of the bytes and return how many."""
        ...

    def sync(self, fd: int) -> None:
        """Sync the file: its bytes and length then survive a power loss."""
        ...

    def truncate(self, fd: int, length: int) -> None:
        """Cut the file to a length in bytes."""
        ...

    def close(self, fd: int) -> None:
        """Close the descriptor."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file atomically."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        ...

    def sync_folder(self, path: Path) -> None:
        """Sync the folder: its names then survive a power loss."""
        ...


class Disk:
    """The real operations."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file, created with the permissions that the umask leaves; never a symlink."""
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some of the bytes and return how many."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Sync the file: its bytes and length then survive a power loss."""
        os.fsync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut the file to a length in bytes."""
        os.ftruncate(fd, length)

    def close(self, fd: int) -> None:
        """Close the descriptor."""
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file atomically."""
        os.rename(old, new)  # noqa: PTH104 (one system call, and no other)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        os.unlink(path)  # noqa: PTH108 (one system call, and no other)

    def sync_folder(self, path: Path) -> None:
        """Sync the folder: its names then survive a power loss."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


DISK = Disk()


def refusal(error: OSError, path: Path) -> StorageError:
    """Say in one plain line what the disk refused; never the library's own repr."""
    code = error.errno or 0
    reason = _PLAIN.get(code) or (os.strerror(code) if code else "the write failed")
    exit_code = EXIT_FAILED if code in _LASTING else EXIT_RESUMABLE
    return StorageError(f"{path}: {reason}", transient=code in _TRANSIENT, exit_code=exit_code)


def write_all(files: Files, fd: int, data: bytes) -> None:
    """Write every byte, in calls of at most 1 MiB, going on after a short write.

    Raises:
        OSError: The disk refused; any number of the bytes may have been written.
    """
    view = memoryview(data)
    while view:
        written = files.write(fd, view[:_WRITE_BYTES])
        if written <= 0:
            raise OSError(errno.EIO, "nothing was written")
        view = view[written:]


def atomic_write(path: Path, data: bytes, *, files: Files = DISK) -> None:
    """Replace a file's content so that at every moment the old or the new one is there whole.

    The bytes go to a temporary file beside it, are synced, and are renamed over it; then the
    folder is synced. One writer at a time: the run folder's lock sees to that.

    Raises:
        StorageError: The disk refused; the old content still is.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        fd = files.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(files, fd, data)
            files.sync(fd)
        finally:
            files.close(fd)
        files.rename(temporary, path)
        files.sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            files.unlink(temporary)
        raise refusal(error, path) from None


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Name the type of the network file system that ``path`` lies on, or None.

    ``mounts`` is a table in the form of Linux's ``/proc/self/mounts``, which is read where it is
    None. Where there is no such table the answer is None: nobody knows.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
        except OSError:
            return None
    real = Path(os.path.realpath(path))
    nearest, kind = -1, ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:  # noqa: PLR2004 (device, mount point, type)
            continue
        point = Path(_unescape(words[1]))
        # A later mount over the same point hides the earlier one.
        if real.is_relative_to(point) and len(point.parts) >= nearest:
            nearest, kind = len(point.parts), words[2]
    return kind if _NETWORK_TYPES.match(kind) else None


def _unescape(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in UTF-8, so that a reader sees the old file or the new one.

    Lone surrogates, which UTF-8 cannot hold, are written in their escaped form.

    Raises:
        StorageError: The disk refused.
    """
    atomic_write(path, text.encode("utf-8", "backslashreplace"))
