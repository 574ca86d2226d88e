from __future__ import annotations

from pathlib import Path

import pytest

from pairmill.store.mounts import network_file_system

TABLE = r"""
/dev/vda / ext4 rw 0 0
server:/x /mnt/share nfs4 rw 0 0
/dev/vdb /mnt/share/disk ext4 rw 0 0
bucket /mnt/my\040bucket fuse.s3fs rw 0 0
/dev/sdb /mnt/stick fuseblk rw 0 0
"""


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
    assert network_file_system(Path(path), TABLE) == kind


def test_this_machine_has_an_answer(tmp_path: Path) -> None:
    assert network_file_system(tmp_path) is None
