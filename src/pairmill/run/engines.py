"""What carries a run out: this process, or a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from pairmill.config import Settings
    from pairmill.run.summary import Summary

__all__ = ["engine_of"]


def engine_of(settings: Settings) -> Callable[..., Awaitable[Summary]]:
    """Return the function that carries a run out, called as `pairmill.run.session.run` is."""
    found: Any
    if settings.engine == "ray":
        from pairmill.run.ray.engine import run as found  # noqa: PLC0415 (few need it)
    else:
        from pairmill.run.session import run as found  # noqa: PLC0415 (heavy)
    return found  # type: ignore[no-any-return]
