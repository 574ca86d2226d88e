"""``pairmill init``: writes a settings file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["init"]

_OPENING = """\
# Settings of a pairmill run:
#
#     pairmill run --config {name}
#
# Commented lines show the defaults. docs/settings.md describes every setting; those marked *
# determine the pairs, so that changing one in an existing run needs --accept-change.

inputs: [articles]            # files or folders
output: dataset               # the run folder

model:
  name: gpt-4o-mini           # the key is read from OPENAI_API_KEY
"""
_WRITTEN = frozenset({"inputs", "output", "model"})
_COLUMN = 30


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path(
        "run.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented settings file."""
    from pairmill.errors import StorageError, UsageError

    if file.exists() and not force:
        raise UsageError(f"{file} exists already; --force replaces it")
    try:
        file.write_text(settings_file(file.name), "utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from None
    typer.echo(f"wrote {file}; next: pairmill run --config {file}", err=True)


def settings_file(name: str) -> str:
    """Render the file: groups, each with all its settings at their defaults, commented out."""
    from pairmill.reference import GROUPS, SETTINGS

    lines = [_OPENING.format(name=name).rstrip()]
    for group in GROUPS:
        if group not in {"", "model"}:
            lines += ["", f"# {group}:"]
        for setting, text in SETTINGS.items():
            if text.group != group or setting in _WRITTEN:
                continue
            choices = f" ({', '.join(text.choices)})" if text.choices else ""
            default = text.default.strip("`")
            said = f"#{'   ' if group else ' '}{text.key}: {default}"
            lines.append(f"{said:<{_COLUMN}}# {text.about}{choices}")
        if group == "":
            lines.append("")
    return "\n".join(lines) + "\n"
