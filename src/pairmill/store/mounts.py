"""Whether a folder lies on a network file system, where locks and syncs may promise too much."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["network_file_system"]

_TYPES = re.compile(
    r"(nfs\d?|cifs|smb\d?|smbfs|afs|9p|ceph|lustre|gpfs|beegfs|ocfs2|glusterfs|fuse\..+)\Z"
)
_MOUNTS = Path("/proc/self/mounts")


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
    return kind if _TYPES.match(kind) else None


def _unescape(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), point)
