"""Which processes a run starts, and why: for ``--dry-run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.config import is_local_model

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["planned_processes"]

_BUSY = "once 100 chunks a second are finished"


def planned_processes(settings: Settings) -> list[str]:
    """Return a line for each kind of process that a run starts besides itself, with the reason."""
    return [
        "1 to read: opens, cleans and splits documents",
        _pages(settings),
        _checks(settings),
        *_models(settings),
    ]


def _pages(settings: Settings) -> str:
    count = settings.page_process_count
    why = "one a core" if settings.page_processes == "auto" else "page_processes"
    return f"up to {count} for pages, PDF and Office files, once such a document comes ({why})"


def _checks(settings: Settings) -> str:
    count = settings.check_process_count
    if settings.checks == "off":
        return "none to check pairs (checks: off)"
    if settings.check_processes != "auto":
        what = f"{count} to check pairs, from the first pair on" if count else _INLINE
        return f"{what} (check_processes)"
    if not count:
        return f"{_INLINE} (there is one core for all)"
    why = "the run keeps one core for itself" if count == 1 else "a run keeps no more busy"
    return f"up to {count} to check pairs, {_BUSY} ({why})"


_INLINE = "none to check pairs, which the run does itself"


def _models(settings: Settings) -> list[str]:
    """Name the servers of models that run on this machine."""
    names = {settings.model, *(pool.model for pool in settings.pools if pool.model)}
    return [
        f"1 for the model {name}, on this machine" for name in sorted(names) if is_local_model(name)
    ]
