"""Settings of the reader, as plain values that can be sent to a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from msgspec import Struct

from pairmill.chunking.clean import READING_VERSION
from pairmill.chunking.read_record import ResumePoint
from pairmill.partition import Partition, parse_partition

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["ReaderJob"]

_STATE = ".run"


class ReaderJob(Struct, frozen=True, kw_only=True):
    """Settings of the reader, by the same names; without pydantic, so that a process starts fast.

    Attributes:
        paths: Inputs, as bytes, since names of files need not be valid text.
        folder: The run folder.
        begun_with: The version of reading with which the run folder was begun; 0: it is new. See
            `pairmill.chunking.clean.READING_VERSION`. Documents that would be read differently are
            refused.
        part: Part whose chunks are wanted; None: all.
        reading: Version of reading to use.
        keeps_memory: Whether decisions are kept in the run folder, as a run does.
        follow: Whether the input keeps growing; see `pairmill.chunking.follow`.
        follow_idle_s: Seconds without new input after which it ends; None: never.
        follow_poll_s: Seconds between polls.
        record_key: Key of the record of what is read, see `pairmill.chunking.read_record`; empty:
            none is made.
        begins_at: Where reading begins, according to that record.
        hash_seed: Seed of the reading process's text hashes, if it records.
    """

    paths: tuple[bytes, ...]
    folder: bytes
    text_field: str | None
    sources: tuple[str, ...]
    chunk_min_chars: int
    chunk_target_chars: int
    chunk_max_chars: int
    max_line_bytes: int
    min_words: int
    languages: tuple[str, ...]
    privacy: str
    page_s: float
    page_processes: int
    limit: int | None
    limit_per_document: int | None
    chunks_per_unit: int = 1
    chunk_step: int = 1
    chunks_by: str = "neighbours"
    begun_with: int = 0
    part: Partition | None = None
    reading: int = READING_VERSION
    keeps_memory: bool = False
    follow: bool = False
    follow_idle_s: float | None = None
    follow_poll_s: float = 1.0
    shared_lines: bool = True
    duplicates: str = "exact"
    duplicate_similarity: float = 0.85
    splitter: str = ""
    tokenizer: str = ""
    license: str = ""
    chunk_min_tokens: int = 200
    chunk_target_tokens: int = 450
    chunk_max_tokens: int = 700
    record_key: str = ""
    begins_at: ResumePoint = ResumePoint()
    hash_seed: int = 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Inputs as given."""
        return tuple(map(os.fsdecode, self.paths))

    @property
    def output(self) -> Path:
        """Run folder."""
        return Path(os.fsdecode(self.folder))

    @property
    def memory(self) -> Path:
        """Run folder's memory of its input; see `pairmill.chunking.intake_file`."""
        return self.output / _STATE / "intake.db"

    @classmethod
    def of(
        cls,
        settings: Settings,
        begun_with: int = 0,
        *,
        keeps_memory: bool = False,
        follows: bool = False,
    ) -> ReaderJob:
        """Make a job from a run's settings; ``follows``: including that the input keeps growing."""
        return cls(
            paths=tuple(map(os.fsencode, settings.inputs)),
            folder=os.fsencode(settings.output),
            text_field=settings.text_field,
            sources=settings.sources,
            chunk_min_chars=settings.chunk_min_chars,
            chunk_target_chars=settings.chunk_target_chars,
            chunk_max_chars=settings.chunk_max_chars,
            max_line_bytes=settings.max_line_bytes,
            min_words=settings.min_words,
            languages=settings.languages,
            privacy=settings.privacy,
            page_s=settings.page_s,
            page_processes=settings.page_process_count,
            limit=settings.limit,
            limit_per_document=settings.limit_per_document,
            chunks_per_unit=settings.chunks_per_unit,
            chunk_step=settings.chunk_step,
            chunks_by=settings.chunks_by,
            begun_with=begun_with,
            part=parse_partition(settings.partition, {}) if settings.partition else None,
            reading=begun_with or _noted_reading(settings.output),
            keeps_memory=keeps_memory,
            follow=follows and settings.follow,
            follow_idle_s=settings.follow_idle_s,
            follow_poll_s=settings.follow_poll_s,
            shared_lines=settings.shared_lines == "remove",
            duplicates=settings.duplicates,
            duplicate_similarity=settings.duplicate_similarity,
            splitter=settings.splitter or "",
            tokenizer=str(settings.tokenizer or ""),
            license=settings.license or "",
            chunk_min_tokens=settings.chunk_min_tokens,
            chunk_target_tokens=settings.chunk_target_tokens,
            chunk_max_tokens=settings.chunk_max_tokens,
        )


def _noted_reading(output: Path) -> int:
    """Return the reader version that a run folder was begun with; the current one if none."""
    try:
        noted = orjson.loads((output / _STATE / "origin.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return READING_VERSION
    if not isinstance(noted, dict) or not noted.get("identities"):
        return READING_VERSION
    return noted["reading"] if isinstance(noted.get("reading"), int) else 1
