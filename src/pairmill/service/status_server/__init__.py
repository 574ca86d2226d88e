"""Serves what a run does while it runs: probes, metrics, JSON and a live page.

Its libraries are the extra ``status``; they are loaded only where a status server is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.service.status_server.server import StatusServer

__all__ = ["open_status_server"]


def open_status_server(settings: Settings, version: str) -> StatusServer | None:
    """Take the port that ``status`` names; None if it names none.

    Raises:
        ConfigError: The address cannot be used, or the extra is not installed.
    """
    if settings.status is None:
        return None
    try:
        from pairmill.service.status_server.server import StatusServer  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ConfigError(
            f"status: needs {error.name}; install the extra: pip install 'pairmill[status]'"
        ) from None
    return StatusServer(
        settings.status, settings.status_hosts, settings.status_linger_s, version=version
    )
