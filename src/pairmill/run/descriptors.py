"""Limits of open files: raises the soft limit, and caps the calls in flight."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import TYPE_CHECKING

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["check_open_files", "fit_to_open_files", "fitting_concurrency", "raise_limit"]

_MOST = 65_536
_USUAL_MOST = 256  # calls in flight by default
_LEAST = 32  # with one call in flight
_OWN = 40  # ledger, shards, lock, event loop, inputs, standard streams: 25, plus a reserve


def raise_limit() -> int:
    """Raise the soft limit of open files to its maximum, and return it.

    The usual soft limit of 1,024, or 256 on macOS, is for old programs that use ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else soft


def check_open_files() -> None:
    """Raise the limit of open files to its maximum.

    Raises:
        ConfigError: It is too low for any run.
    """
    limit = raise_limit()
    if limit < _LEAST:
        raise ConfigError(
            f"only {limit} files may be open (ulimit -n); a run needs at least {_LEAST}"
        )


def fitting_concurrency(wanted: int, limit: int) -> int:
    """Return the calls in flight that a limit of open files allows, at most ``wanted``.

    Each call in flight holds a connection. With none left, not even a shard could be opened.
    """
    return max(1, min(wanted, limit - _OWN))


def fit_to_open_files(settings: Settings) -> tuple[Settings, list[str]]:
    """Limit concurrency to the possible number of connections; also return a notice about it."""
    limit = raise_limit()
    wanted = settings.concurrency or _USUAL_MOST
    fitting = fitting_concurrency(wanted, limit)
    if fitting == wanted:
        return settings, []
    text = f"only {limit} files may be open (ulimit -n): at most {fitting} calls in flight"
    return settings.model_copy(update={"concurrency": fitting}), [text]
