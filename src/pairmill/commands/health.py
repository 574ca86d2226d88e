"""``pairmill health``: asks a run's status server whether the run lives, for containers."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from pairmill.errors import EXIT_FAILED, ConfigError, UsageError

__all__ = ["health"]

_FROM = "PAIRMILL__STATUS"
_TIMEOUT_S = 4.0
_LONGEST = 300
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 (not bound to: asked on this machine)


def health(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="[ADDRESS]", help=f"PORT or HOST:PORT, as of --status; default: ${_FROM}."
        ),
    ] = None,
    ready: Annotated[
        bool,
        typer.Option("--ready", help="Check for readiness to make calls, not only for liveness."),
    ] = False,
) -> None:
    """Ask a run's status server whether the run lives: exit code 0, or 1 if not.

    For health checks of containers and probes that run a command.
    """
    given = address or os.environ.get(_FROM, "").strip()
    if not given:
        raise UsageError(f"health: name the address of --status, or set {_FROM}")
    is_well, reason = _ask(given, "readyz" if ready else "livez")
    typer.echo(reason)
    if not is_well:
        raise typer.Exit(EXIT_FAILED)


def _ask(given: str, path: str) -> tuple[bool, str]:
    from http.client import HTTPConnection, HTTPException

    from pairmill.display import sanitize

    host, port = _place(given)
    connection = HTTPConnection(host, port, timeout=_TIMEOUT_S)  # no proxy, whatever is set
    try:
        connection.request("GET", f"/{path}", headers={"Host": f"localhost:{port}"})
        reply = connection.getresponse()
        told = reply.read(_LONGEST).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        return False, f"no answer from {host}:{port}: {sanitize(str(error), _LONGEST)}"
    finally:
        connection.close()
    return reply.status == 200, sanitize(told.strip(), _LONGEST)  # noqa: PLR2004


def _place(given: str) -> tuple[str, int]:
    host, _, port = given.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
        raise ConfigError(f"health: '{given}' is not of the form PORT or HOST:PORT")
    host = host.removeprefix("[").removesuffix("]")
    return ("127.0.0.1" if host in _EVERYWHERE else host), int(port)
