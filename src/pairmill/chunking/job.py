"""What reading is told: the few settings that it needs, as plain values that can travel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["Job"]


@dataclass(frozen=True, slots=True)
class Job:
    """The settings of the same names; without pydantic, so that a process starts in no time."""

    inputs: tuple[str, ...]
    output: Path
    text_field: str | None
    chunk_min_chars: int
    chunk_target_chars: int
    chunk_max_chars: int
    max_line_bytes: int
    page_s: float
    limit: int | None
    limit_per_document: int | None
    chunks_per_unit: int = 1
    chunk_step: int = 1

    @classmethod
    def of(cls, settings: Settings) -> Job:
        """Take from a run's settings what reading needs."""
        return cls(
            inputs=settings.inputs,
            output=settings.output,
            text_field=settings.text_field,
            chunk_min_chars=settings.chunk_min_chars,
            chunk_target_chars=settings.chunk_target_chars,
            chunk_max_chars=settings.chunk_max_chars,
            max_line_bytes=settings.max_line_bytes,
            page_s=settings.page_s,
            limit=settings.limit,
            limit_per_document=settings.limit_per_document,
            chunks_per_unit=settings.chunks_per_unit,
            chunk_step=settings.chunk_step,
        )

    def pack(self) -> tuple[object, ...]:
        """Return it as plain values, for `unpack`."""
        return (
            self.inputs,
            str(self.output),
            self.text_field,
            self.chunk_min_chars,
            self.chunk_target_chars,
            self.chunk_max_chars,
            self.max_line_bytes,
            self.page_s,
            self.limit,
            self.limit_per_document,
            self.chunks_per_unit,
            self.chunk_step,
        )

    @classmethod
    def unpack(cls, values: tuple[object, ...]) -> Job:
        """Return the job that was packed."""
        inputs, output, *others = values
        return cls(inputs, Path(str(output)), *others)  # type: ignore[arg-type]
