"""Hierarchy of errors: each has an exit code; a failed call also has a kind.

PairmillError
├── UsageError           2   the command line does not make sense
├── ConfigError         78   the settings cannot work
├── InputError           1   the input cannot be read, or holds nothing to work on
├── FolderError          1   the run folder is not ours, damaged, or of another version
│   ├── LockedError      1   another process works in it
│   └── ChangedError     2   the settings differ from those that it was begun with
├── StorageError        75   the disk refused a write
├── HubError            75   a push to the hub failed, and may be tried again
├── ProviderError            a call failed; its kind says how, and `MEANINGS` the consequences
├── RejectedError            a question has no valid answer; its unit ends in rejected/
└── StoppedError        75   the run ended early, and the same command resumes it
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EXIT_CONFIG",
    "EXIT_DONE",
    "EXIT_FAILED",
    "EXIT_RESUMABLE",
    "EXIT_USAGE",
    "MEANINGS",
    "Blame",
    "ChangedError",
    "ConfigError",
    "FolderError",
    "HubError",
    "InputError",
    "Kind",
    "LockedError",
    "Meaning",
    "PairmillError",
    "PendingError",
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
    """Why a call failed. The consequences are in one table, `MEANINGS`."""

    RATE = "rate"  # too fast, or no capacity for us at the moment
    QUOTA = "quota"  # the account's money or allowance is gone
    AUTH = "auth"  # the key was refused
    CONFIG = "config"  # model or address unknown, a parameter refused
    OVERLOAD = "overload"  # 5xx, no connection, a model that is loading
    STATE = "state"  # the model is not loaded, or has crashed: needs an operator
    TIMEOUT = "timeout"  # no answer in time, here or at a proxy: perhaps billed
    LOST = "lost"  # the connection broke after the request was sent: perhaps billed
    REFUSED = "refused"  # a 4xx that names neither the chunk nor the settings
    CHUNK = "chunk"  # the server names the request itself: too long, filtered
    FOREIGN = "foreign"  # a 200 of another API, or a web page: a wrong address, or a proxy
    BADOUT = "badout"  # a 200 that holds no answer

    @property
    def meaning(self) -> Meaning:
        """Consequences of a failure of this kind."""
        return MEANINGS[self]


class Blame(StrEnum):
    """Whose fault a failure is, as far as one call can tell."""

    SERVER = "server"
    ACCOUNT = "account"
    SETTINGS = "settings"
    CHUNK = "chunk"
    UNKNOWN = "unknown"  # determined by the outcome of other chunks: see `llm.health`


@dataclass(frozen=True, slots=True)
class Meaning:
    """Consequences of a failed call.

    Attributes:
        blame: Whose fault it is.
        reason: Short name in tables.
        retries: True if the same request may be sent again.
        strikes: Number of different requests in a row without an answer after which the pool is
            dropped; 0: never for this.
        dropped: Why it is dropped, for people; ``{count}`` is the number of requests.
        exit_code: Exit code of a run whose last pool is dropped for this.
        is_down: True if it indicates that the whole endpoint is down.
        had_room: True if the server accepted the request: no sign of congestion.
        used_tokens: True if tokens may have been used.
        may_be_billed: True if the model had the request, and its end is unknown.
        ends_start: True if at a run's first call the set-up is at fault, and waiting cannot help.
        may_pass: True if a pool dropped for this is tried again later, if there are others.
    """

    blame: Blame
    reason: str
    retries: bool = False
    strikes: int = 0
    dropped: str = ""
    exit_code: int = EXIT_RESUMABLE
    is_down: bool = False
    had_room: bool = False
    used_tokens: bool = True
    may_be_billed: bool = False
    ends_start: bool = False
    may_pass: bool = False


_SEVERAL = 3  # a single one may be an accident: a bad replica, a gateway that lost its own key
_IN_A_ROW = 24  # different chunks refused without one answer: no longer the chunks' fault

MEANINGS: Mapping[Kind, Meaning] = MappingProxyType(
    {
        Kind.RATE: Meaning(Blame.SERVER, "rate", retries=True, used_tokens=False),
        Kind.QUOTA: Meaning(
            Blame.ACCOUNT,
            "quota",
            strikes=2,
            dropped="its quota or credit is used up",
            used_tokens=False,
        ),
        Kind.AUTH: Meaning(
            Blame.SETTINGS,
            "auth",
            strikes=_SEVERAL,
            dropped="its key was refused",
            exit_code=EXIT_CONFIG,
            used_tokens=False,
            ends_start=True,
        ),
        Kind.CONFIG: Meaning(
            Blame.SETTINGS,
            "settings",
            strikes=_SEVERAL,
            dropped="it does not know the model or a parameter",
            exit_code=EXIT_CONFIG,
            used_tokens=False,
            ends_start=True,
        ),
        Kind.OVERLOAD: Meaning(Blame.SERVER, "server_error", retries=True, is_down=True),
        Kind.STATE: Meaning(
            Blame.SERVER,
            "server_error",
            strikes=_IN_A_ROW,
            dropped="its model was not there for {count} different chunks in a row",
            may_pass=True,
        ),
        Kind.TIMEOUT: Meaning(Blame.UNKNOWN, "timeout", retries=True, may_be_billed=True),
        Kind.LOST: Meaning(
            Blame.UNKNOWN, "connection_lost", retries=True, is_down=True, may_be_billed=True
        ),
        Kind.REFUSED: Meaning(
            Blame.UNKNOWN,
            "refused_by_server",
            strikes=_IN_A_ROW,
            dropped="it refused {count} different chunks in a row",
            had_room=True,
            ends_start=True,
            may_pass=True,
        ),
        Kind.CHUNK: Meaning(
            Blame.CHUNK,
            "refused_by_server",
            strikes=_IN_A_ROW,
            dropped="it refused {count} different chunks in a row",
            had_room=True,
            ends_start=True,
            may_pass=True,
        ),
        Kind.FOREIGN: Meaning(
            Blame.SERVER,
            "server_error",
            retries=True,
            is_down=True,
            ends_start=True,
            used_tokens=False,
        ),
        Kind.BADOUT: Meaning(Blame.CHUNK, "no_answer", retries=True, had_room=True),
    }
)


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class PairmillError(Exception):
    """Something went wrong in pairmill."""

    exit_code: int = EXIT_FAILED


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

    Args:
        exit_code: 1 where somebody must mend something before the same command can go on.

    Attributes:
        transient: Waiting may help (disk full, quota, open files); nothing is in doubt, and the
            same write may be tried again. False if the disk can no longer be trusted.
    """

    exit_code = EXIT_RESUMABLE

    def __init__(
        self, message: str, *, transient: bool = False, exit_code: int = EXIT_RESUMABLE
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.exit_code = exit_code


class HubError(PairmillError):
    """A push to the hub failed; the same command tries again."""

    exit_code = EXIT_RESUMABLE


class StoppedError(PairmillError):
    """The run ended early; the same command resumes it.

    Args:
        exit_code: 78 if a setting must be fixed first.
    """

    exit_code = EXIT_RESUMABLE

    def __init__(self, message: str, exit_code: int = EXIT_RESUMABLE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class RejectedError(PairmillError):
    """A question has no valid answer.

    Attributes:
        reason: A short stable word for tables, such as ``invalid_json`` or ``refusal``.
        raw: Last text of the model, for the reader of ``rejected/``.
        kind: How the last call failed, if there was no answer at all.
        billed_sends: Sends of that request, in all starts, that may have been billed without an
            answer.
        model: Model that the request asked.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        raw: str = "",
        *,
        kind: Kind | None = None,
        billed_sends: int = 0,
        model: str = "",
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.raw = raw
        self.kind = kind
        self.billed_sends = billed_sends
        self.model = model


class PendingError(Exception):
    """An answer is not available yet, and will come hours later (a batch API, a person).

    Raised while answering an ``ask``. The unit leaves its worker and stays open; a later start runs
    its recipe again, and finds earlier answers in the ledger.
    """


class ProviderError(PairmillError):
    """A call failed. Carries plain facts only: never a request, a header or a library's repr.

    Attributes:
        kind: Kind of failure.
        status: The HTTP status, or None if there was no response.
        code: The provider's own code or type, if it sent one.
        reason: Short name for tables; by default that of the kind.
        retry_after_s: Seconds that the server asked to wait, if it did.
        maybe_paid: True if the request may have been processed and billed.
        headers: Rate-limit headers of the reply, lower-case, only for the gate.
        prompt_tokens: Prompt tokens of the failed call, if the server reports them.
        completion_tokens: Likewise.
        refusal: What a refusal said about the request's fields, for the wire; never shown.
        failed_at: When it failed, in seconds since the epoch; 0 if unknown.
        billed_sends: Sends of the request, in all starts, that may have been billed without an
            answer.
        model: Model that the request asked, as the settings name it.
        was_known: True if it was in the ledger, and nothing was sent this time.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        reason: str = "",
        retry_after_s: float | None = None,
        maybe_paid: bool = False,
        headers: Mapping[str, str] = _NO_HEADERS,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.exit_code = kind.meaning.exit_code
        self.status = status
        self.code = code
        self.reason = reason or kind.meaning.reason
        self.retry_after_s = retry_after_s
        self.maybe_paid = maybe_paid
        self.headers = headers
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        self.refusal: object = None
        self.failed_at = 0.0
        self.billed_sends = 0
        self.model = ""
        self.was_known = False

    @property
    def is_billed(self) -> bool:
        """True if the call may have been billed although no answer came of it."""
        return self.maybe_paid or self.counts_tokens

    @property
    def counts_tokens(self) -> bool:
        """True if the reply counts tokens, as a billed one does."""
        if self.completion_tokens > 0:
            return True
        return self.prompt_tokens > 0 and self.kind is not Kind.RATE


def first_error(error: BaseException) -> PairmillError | None:
    """Find the error to report to the user in an exception group; None if it holds none."""
    if isinstance(error, BaseExceptionGroup):
        found = (first_error(inner) for inner in error.exceptions)
        return next((inner for inner in found if inner is not None), None)
    return error if isinstance(error, PairmillError) else None
