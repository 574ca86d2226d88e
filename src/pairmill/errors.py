"""One tree of errors: each knows its exit code; a failed call also knows its kind.

PairmillError
├── UsageError           2   the command line does not make sense
├── ConfigError         78   the settings cannot work
├── InputError           1   the input cannot be read, or holds nothing to work on
├── FolderError          1   the run folder is not ours, damaged, or of another version
│   ├── LockedError      1   another process works in it
│   └── ChangedError     2   the settings differ from those that it was begun with
├── StorageError        75   the disk refused a write
├── ProviderError            a call failed; its kind says how, and decides what happens next
├── RejectedError            a question has no valid answer; its unit ends in rejected/
└── StoppedError        75   the run ended early, and the same command goes on with it
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EXIT_CONFIG",
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_RESUMABLE",
    "EXIT_USAGE",
    "ChangedError",
    "ConfigError",
    "FolderError",
    "InputError",
    "Kind",
    "LockedError",
    "PairmillError",
    "ProviderError",
    "RejectedError",
    "StoppedError",
    "StorageError",
    "UsageError",
    "first_error",
]

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


class Kind(StrEnum):
    """Why a call failed. The kind alone decides who pays for it and what happens next."""

    RATE = "rate"  # too fast: pause the pool, ask again, free for the chunk
    QUOTA = "quota"  # money or allowance gone: this pool stops
    AUTH = "auth"  # key refused: this pool stops
    CONFIG = "config"  # model unknown, parameter refused: this pool stops
    OVERLOAD = "overload"  # 5xx, refused, reset, loading: wait, ask again, free for the chunk
    TIMEOUT = "timeout"  # no answer in time: ask again, perhaps paid for
    CHUNK = "chunk"  # this request can never work: too long, filtered
    BADOUT = "badout"  # a 200 that holds no answer


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class PairmillError(Exception):
    """Something went wrong in pairmill."""

    exit_code: ClassVar[int] = EXIT_FAILED


class UsageError(PairmillError):
    """The command line does not make sense."""

    exit_code = EXIT_USAGE


class ConfigError(PairmillError):
    """The settings cannot work."""

    exit_code = EXIT_CONFIG


class InputError(PairmillError):
    """The input cannot be read, or holds nothing to work on."""


class FolderError(PairmillError):
    """The run folder is not ours, is damaged, or was made by another version."""


class LockedError(FolderError):
    """Another process works in this run folder."""


class ChangedError(FolderError):
    """The settings differ from those that this run folder was begun with."""

    exit_code = EXIT_USAGE


class StorageError(PairmillError):
    """The disk refused a write.

    Attributes:
        transient: Waiting may help (disk full, quota, open files); nothing is in doubt, and the
            same write may be tried again. False where the disk can no longer be trusted.
    """

    exit_code = EXIT_RESUMABLE

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class StoppedError(PairmillError):
    """The run ended early; the same command goes on with it."""

    exit_code = EXIT_RESUMABLE


class RejectedError(PairmillError):
    """A question has no valid answer.

    Attributes:
        reason: A short stable word for tables, such as ``invalid_json`` or ``refusal``.
        raw: What the model wrote last, for the reader of ``rejected/``.
    """

    def __init__(self, reason: str, detail: str = "", raw: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.raw = raw


class ProviderError(PairmillError):
    """A call failed. Carries plain facts only: never a request, a header or a library's repr.

    Attributes:
        kind: What the failure means.
        status: The HTTP status, or None where none came.
        code: The provider's own code or type, if it sent one.
        retry_after_s: Seconds that the server asked us to wait, if it did.
        maybe_paid: The request may have been worked on and billed.
        headers: The rate-limit headers of the reply, lower-case, for the gate alone.
        prompt_tokens: What the server says the failed call cost, where it says so.
        completion_tokens: Likewise.
        refusal: What a refusal said of the request's fields, for the wire that asked; never shown.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        maybe_paid: bool = False,
        headers: Mapping[str, str] = _NO_HEADERS,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s
        self.maybe_paid = maybe_paid
        self.headers = headers
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        self.refusal: object = None


def first_error(error: BaseException) -> PairmillError | None:
    """Find the error to tell the user of in what a task group raised; None where it holds none."""
    if isinstance(error, BaseExceptionGroup):
        found = (first_error(inner) for inner in error.exceptions)
        return next((inner for inner in found if inner is not None), None)
    return error if isinstance(error, PairmillError) else None
