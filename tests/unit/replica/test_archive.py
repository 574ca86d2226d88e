"""Archives may come from anybody: nothing in them leads out of the folder."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import FolderError
from pairmill.replica.archive import content_hash, pack, unpack

if TYPE_CHECKING:
    from pathlib import Path


def strange(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.type = kind
        entry.linkname = "/etc/passwd"
        archive.addfile(entry, io.BytesIO())
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../out", tarfile.REGTYPE),
        ("/etc/out", tarfile.REGTYPE),
        ("a/../../out", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("hard", tarfile.LNKTYPE),
        ("pipe", tarfile.FIFOTYPE),
        ("folder", tarfile.DIRTYPE),
    ],
)
def test_what_leads_out_is_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    with pytest.raises(FolderError, match="leads out of it"):
        unpack([strange(name, kind)], tmp_path / "in", "mem://x")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"no archive", gzip.compress(b"x" * 600), strange("a")[:-30]],
    ids=["empty", "text", "no tar", "torn"],
)
def test_what_is_no_archive_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(FolderError, match="an archive is damaged"):
        unpack([data], tmp_path, "mem://x")


def test_a_file_that_grows_goes_in_up_to_its_length(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    pieces: list[bytes] = []
    members = [("b/c", tmp_path / "a", 4)]
    pack(members, pieces.append)
    assert unpack(pieces, tmp_path / "out", "mem://x") == ["b/c"]
    assert (tmp_path / "out" / "b" / "c").read_bytes() == b"0123"
    before = content_hash(members)
    (tmp_path / "a").write_bytes(b"01234")
    assert content_hash(members) == before
    (tmp_path / "a").write_bytes(b"01235")
    assert content_hash(members) == before
    (tmp_path / "a").write_bytes(b"11235")
    assert content_hash(members) != before
