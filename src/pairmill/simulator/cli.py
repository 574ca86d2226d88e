"""Command line of the simulated endpoint, and its main loop as a process."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from pairmill.errors import EXIT_CONFIG, EXIT_DONE, EXIT_FAILED, ConfigError
from pairmill.simulator.ceiling import print_ceiling
from pairmill.simulator.settings import SimulatorSettings, from_mapping, to_mapping
from pairmill.simulator.simulator import new_loop, serve
from pairmill.yaml_files import load_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_settings", "run_cli", "run_endpoint"]


def read_settings(file: Path) -> SimulatorSettings:
    """Read settings from a YAML or JSON file.

    Raises:
        ConfigError: It cannot be read, or holds an invalid value.
    """
    try:
        values = load_yaml(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"cannot read the simulator's settings from {file}") from None
    except ValueError:
        raise ConfigError(f"{file}: not valid YAML") from None
    if not isinstance(values or {}, dict):
        raise ConfigError(f"{file}: expected 'name: value' lines at the top level")
    return from_mapping(values or {})


def run_endpoint(settings: SimulatorSettings, *, until_stdin_closes: bool = False) -> int:
    """Print ``{"url": ...}`` as one line, serve until SIGINT or SIGTERM, and return an exit code.

    Raises:
        ConfigError: The settings cannot work.
    """
    gc.freeze()  # otherwise each full garbage collection would delay the calls in flight
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            runner.run(_serve_until_told(settings, until_stdin_closes=until_stdin_closes))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "no reason given"
            sys.stderr.write(f"simulator: cannot listen on port {settings.port}: {reason}\n")
            return EXIT_FAILED
    return EXIT_DONE


def run_cli(args: Sequence[str]) -> int:
    """Run ``python -m pairmill.simulator`` with its arguments; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pairmill.simulator",
        description="An OpenAI-compatible endpoint on 127.0.0.1 that simulates a model.",
    )
    parser.add_argument("--settings", metavar="FILE", help="YAML or JSON; - reads a line of JSON")
    parser.add_argument("--port", type=int, help="0 lets the system choose")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--scenario", metavar="NAME", help="a scenario's name, or a .yaml file")
    parser.add_argument("--content", choices=["derived", "canned"])
    parser.add_argument("--until-stdin-closes", action="store_true")
    parser.add_argument(
        "--ceiling", action="store_true", help="measure the endpoint's own ceiling and exit"
    )
    given = parser.parse_args(args)
    overrides = {
        name: value
        for name in ("port", "seed", "content", "scenario")
        if (value := getattr(given, name)) is not None
    }
    try:
        settings = _settings_from(given.settings)
        settings = from_mapping({**to_mapping(settings), **overrides})
        if given.ceiling:
            print_ceiling(settings)
            return EXIT_DONE
        return run_endpoint(settings, until_stdin_closes=given.until_stdin_closes)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG


def _settings_from(name: str | None) -> SimulatorSettings:
    if name is None:
        return SimulatorSettings()
    if name != "-":
        return read_settings(Path(name))
    try:
        values = orjson.loads(_read_line())
    except orjson.JSONDecodeError:
        raise ConfigError("simulator: the first line of standard input is not JSON") from None
    return from_mapping(values)


def _read_line() -> bytes:
    """Read one line of standard input, unbuffered: the rest is for the watcher of its end."""
    line = bytearray()
    while (part := os.read(0, 1)) not in {b"", b"\n"}:
        line += part
    return bytes(line)


async def _serve_until_told(settings: SimulatorSettings, *, until_stdin_closes: bool) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)

    def watch() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            told.set()

    if until_stdin_closes:
        loop.add_reader(0, watch)

    def announce(url: str) -> None:
        sys.stdout.write(orjson.dumps({"url": url, "pid": os.getpid()}).decode() + "\n")
        sys.stdout.flush()

    await serve(settings, ready=announce, until=told)
