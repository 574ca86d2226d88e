"""A small file system of its own, made without privileges: to be filled, and made read-only."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SmallDisk", "small_disk"]


@dataclass(frozen=True)
class SmallDisk:
    """A tmpfs in a mount namespace that one sleeping process holds."""

    holder: int
    inside: Path

    @property
    def path(self) -> Path:
        """Where its files are reached from here."""
        return Path(f"/proc/{self.holder}/root{self.inside}")

    @property
    def enter(self) -> tuple[str, ...]:
        """The beginning of a command that runs where the disk is mounted."""
        return ("nsenter", "-t", str(self.holder), "-U", "-m", "--preserve-credentials")

    def fill(self, *, leave_bytes: int = 0) -> None:
        """Take the room away, but for so many bytes; somebody else may be writing meanwhile."""
        with (self.path / "filler").open("wb", buffering=0) as filler:
            with suppress(OSError):
                while True:
                    filler.write(b"\0" * 4096)
            if leave_bytes:
                filler.truncate(filler.tell() - leave_bytes)

    def empty(self) -> None:
        """Give the room back."""
        (self.path / "filler").unlink()

    def run(self, command: str) -> str:
        """Run a shell command where the disk is mounted."""
        whole = [*self.enter, "sh", "-c", command]
        done = subprocess.run(whole, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout


@contextmanager
def small_disk(place: Path, *, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount one; skips the test where the kernel does not let us."""
    place.mkdir(parents=True)
    script = f"mount -t tmpfs -o size={mebibytes}m tmpfs {place} && echo ready && exec sleep 300"
    try:
        holder = subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != "ready\n":
            pytest.skip("no user namespaces here")
        yield SmallDisk(holder.pid, place)
    finally:
        holder.kill()
        holder.communicate()
