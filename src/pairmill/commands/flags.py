"""Flags that are settings: their help, default, choices and panel, and how they become settings."""

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
"""The panel of flags that are no settings."""

RunCode = Annotated[
    bool,
    typer.Option(
        "--run-code",
        help="Let Python code run that the folder names: its own recipe and sources.",
    ),
]
"""The flag of commands that only read a folder, which may be anybody's."""


def flag(name: str, *declarations: str, **more: Any) -> Any:
    """The typer option for a setting, described as everywhere else."""
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
    """Read ``name=value`` arguments as a settings file would say them.

    ``limits.rpm=60`` and ``rpm=60`` are the same; a value is YAML, so that lists, numbers and
    mappings can be given.

    Raises:
        UsageError: One has no ``=``, or its value is not YAML.
    """
    import yaml

    found: dict[str, Any] = {}
    for assignment in assignments:
        name, sign, value = assignment.partition("=")
        parts = name.strip().split(".")
        if not sign or not all(parts):
            raise UsageError(f"--set {assignment}: write name=value, such as limits.rpm=60")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"--set {assignment}: the value is not valid YAML") from None
        if taken := put_at(found, parts, parsed):
            raise UsageError(f"--set {assignment}: '{taken}' has a value already")
    return found


def read_settings(
    config: Path | None, assignments: Sequence[str] | None, flags: Mapping[str, Any]
) -> tuple[Settings, list[str]]:
    """Merge the settings file, ``--set`` and the flags, of which the later ones win.

    Returns them with advice on the file: no line, or one. It is for the beginning of what the
    command does: one that cannot begin says why, and nothing beside it.

    Raises:
        PairmillError: A name or a value cannot be used.
    """
    from pairmill.config import load, read_file
    from pairmill.reference import flatten

    given = flatten(parse_assignments(assignments or ()), "--set ")
    given |= {name: value for name, value in flags.items() if value is not None}
    values = read_file(config) if config else {}  # once: it may be a pipe
    return load(config, given, values), _advice_on(config, values)


def _advice_on(config: Path | None, values: Mapping[str, Any]) -> list[str]:
    """Name the settings that a file gives by their flat names, and where they stand now."""
    flat = {name: dotted(name) for name in values if dotted(name) != name}
    flat = {name: place for name, place in flat.items() if not isinstance(values[name], dict)}
    if not flat:
        return []
    named = [f"{name} is {place}" for name, place in flat.items()]
    more = f" and {len(named) - 2} more" if len(named) > 2 else ""  # noqa: PLR2004 (a short line)
    return [f"{config}: settings stand in groups now: {', '.join(named[:2])}{more}"]
