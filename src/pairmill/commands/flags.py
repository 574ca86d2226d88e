"""Flags that are settings: their help, default, choices and panel, and their parsing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairmill.errors import UsageError
from pairmill.reference import GROUPS, SETTINGS, dotted, put_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pairmill.config import Settings

__all__ = ["OTHERS", "RunCode", "flag", "parse_assignments", "read_settings"]

OTHERS = "Other"
"""Panel of flags that are not settings."""

RunCode = Annotated[
    bool,
    typer.Option(
        "--run-code",
        help="Allow Python code that the run folder names: its recipe and sources.",
    ),
]
"""The flag of commands that only read a folder, which may be anybody's."""


def flag(name: str, *declarations: str, **more: Any) -> Any:
    """Make the typer option for a setting, with the same description as everywhere else."""
    text = SETTINGS[name]
    default = text.default.strip("`")
    given = {
        "help": f"{text.about}.",
        "show_default": False if default in {"", "none", "no"} else default,
        "rich_help_panel": GROUPS[text.group],
        **({"metavar": "|".join(text.choices)} if text.choices else {}),
        **more,
    }
    return typer.Option(*declarations, **given)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse ``name=value`` arguments like a settings file.

    ``limits.rpm=60`` and ``rpm=60`` are the same; values are YAML, so that lists, numbers and
    mappings can be given.

    Raises:
        UsageError: One has no ``=``, or its value is not YAML.
    """
    from pairmill.yaml_files import load_yaml

    found: dict[str, Any] = {}
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        parts = name.strip().split(".")
        if not sign or not all(parts):
            raise UsageError(f"--set {assignment}: write name=value, such as limits.rpm=60")
        try:
            parsed = load_yaml(value)
        except ValueError:
            raise UsageError(f"--set {assignment}: the value is not valid YAML") from None
        if taken := put_at(found, parts, parsed):
            raise UsageError(f"--set {assignment}: '{taken}' has a value already")
    return found


def read_settings(
    config: Path | None, assignments: Sequence[str] | None, flags: Mapping[str, Any]
) -> tuple[Settings, list[str]]:
    """Merge the settings file, ``--set`` and the flags, in increasing precedence.

    Returns them with advice on the file: no line, or one. It is shown when the work begins; a
    command that cannot begin only says why.

    Raises:
        PairmillError: A name or a value cannot be used.
    """
    from pairmill.config import load
    from pairmill.reference import flatten
    from pairmill.yaml_files import read_settings_file

    given = flatten(parse_assignments(assignments or ()), "--set ")
    given |= {name: value for name, value in flags.items() if value is not None}
    values = read_settings_file(config) if config else {}  # only once, since it may be a pipe
    return load(config, given, values), _advice_on(config, values)


def _advice_on(config: Path | None, values: Mapping[str, Any]) -> list[str]:
    """List settings that a file gives by their flat names, with their places in groups."""
    flat = {name: dotted(name) for name in values if dotted(name) != name}
    flat = {name: place for name, place in flat.items() if not isinstance(values[name], dict)}
    if not flat:
        return []
    named = [f"{name} is {place}" for name, place in flat.items()]
    more = f" and {len(named) - 2} more" if len(named) > 2 else ""  # noqa: PLR2004 (a short line)
    return [f"{config}: settings are in groups now: {', '.join(named[:2])}{more}"]
