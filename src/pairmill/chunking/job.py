"""What reading is told: the few settings that it needs, as plain values that can travel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pairmill.partition import Partition, parse_partition

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["Job"]


class Job(Struct, frozen=True, kw_only=True):
    """The settings of the same names; without pydantic, so that a process starts in no time.

    Attributes:
        paths: The inputs; as bytes, since names of files may hold what is no text.
        folder: The run folder.
        begun_with: The version of reading with which the run folder was begun; 0: it is new. See
            `pairmill.chunking.clean.READING_VERSION`.
        part: Whose chunks are wanted; None: all are.
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

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs as they were given."""
        return tuple(map(os.fsdecode, self.paths))

    @property
    def output(self) -> Path:
        """The run folder."""
        return Path(os.fsdecode(self.folder))

    @classmethod
    def of(cls, settings: Settings, begun_with: int = 0) -> Job:
        """Take from a run's settings what reading needs."""
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
        )
