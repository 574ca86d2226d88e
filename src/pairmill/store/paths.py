"""Paths inside a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FolderPaths", "ledger_file"]


def ledger_file(state: Path) -> Path:
    """Return the SQLite ledger of a run folder, below its ``.run/``."""
    return state / "ledger.db"


@dataclass(frozen=True, slots=True)
class FolderPaths:
    """A run folder's path, and the paths of its files and folders."""

    path: Path

    @property
    def data(self) -> Path:
        """Published shards of pairs."""
        return self.path / "data"

    @property
    def rejected(self) -> Path:
        """Published shards of rejects."""
        return self.path / "rejected"

    @property
    def state(self) -> Path:
        """Folder of pairmill's own files."""
        return self.path / ".run"

    def published(self, kind: str) -> Path:
        """Return where shards of a kind (``train``, ``rejected``) are published."""
        return self.data if kind == "train" else self.rejected

    @property
    def open_shards(self) -> Path:
        """Shards that are still being written."""
        return self.state / "open"

    @property
    def ledger(self) -> Path:
        """SQLite database of answers and finished units, if the ledger is one."""
        return ledger_file(self.state)

    @property
    def generation(self) -> Path:
        """File with the number of the ledger's transactions; see ``chain.py``."""
        return self.state / "generation"

    @property
    def settings(self) -> Path:
        """File with the settings that determine the pairs, as of the last start."""
        return self.state / "settings.json"

    @property
    def timeline(self) -> Path:
        """File with the run's history over time, for people."""
        return self.state / "timeline.json"

    @property
    def exports(self) -> Path:
        """File with the exports from this folder, one per line, for people."""
        return self.state / "exports.jsonl"

    @property
    def resolved(self) -> Path:
        """File with all settings of the last start."""
        return self.state / "config.json"

    @property
    def origin(self) -> Path:
        """File with the working directory and recipes of its starts."""
        return self.state / "origin.json"

    @property
    def figures(self) -> Path:
        """File with the figures of judge and evolution; exists only if one of them was on."""
        return self.path / "figures.json"

    @property
    def voice(self) -> Path:
        """File with the result of author attribution, from ``report``."""
        return self.state / "voice.json"

    def read_voice(self) -> bytes:
        """Return the bytes of ``voice``; b"" if it was not measured."""
        try:
            return self.voice.read_bytes()
        except OSError:
            return b""

    def read_figures(self) -> bytes:
        """Return the bytes of the figures; empty if there are none, or they cannot be read."""
        try:
            return self.figures.read_bytes()
        except OSError:
            return b""

    @property
    def lock(self) -> Path:
        """Lock file, held by the process that works here; its text names the process."""
        return self.state / "lock"

    @property
    def card(self) -> Path:
        """Dataset card."""
        return self.path / "README.md"

    @property
    def manifest(self) -> Path:
        """Checksums and counts of published shards."""
        return self.path / "manifest.json"
