"""Write the generated parts of the docs: settings.md, cli.md, and the events in python.md.

    python tools/reference.py [--check]

A generated part stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pairmill import events
from pairmill.cli import app
from pairmill.config import fingerprint, load
from pairmill.reference import GROUPS, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[1] / "docs"


def settings_tables() -> str:
    """One table a group, in the order of a settings file."""
    marked = set(fingerprint(load(given={})))
    parts = []
    for group, title in GROUPS.items():
        place = f"`{group}:`" if group else "the top level of the file"
        parts += [f"### {title}", "", f"In {place}.", ""]
        parts += ["| setting | default | means |", "|---|---|---|"]
        for name, text in SETTINGS.items():
            if text.group != group:
                continue
            flat = "" if text.key == name else f" (flat: `{name}`)"
            star = " *" if name in marked else ""
            choices = ", ".join(f"`{word}`" for word in text.choices)
            said = "; ".join(part for part in (text.about, choices, text.more) if part)
            default = text.default or "-"
            plain = " " in default or default.startswith("`") or default in _IN_WORDS
            shown = default if plain else f"`{default}`"
            parts.append(f"| `{text.key}`{star}{flat} | {shown} | {said} |")
        parts.append("")
    return "\n".join(parts).rstrip()


_IN_WORDS = {"-", "none", "no", "all", "found", "learned"}


def event_table() -> str:
    """One row an event, in the order of the module."""
    rows = ["| Event | When | Fields |", "|---|---|---|"]
    for kind in vars(events).values():
        if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event:
            said = (inspect.getdoc(kind) or "").splitlines()[0]
            names = ", ".join(f"`{name}`" for name in kind.__struct_fields__)
            rows.append(f"| `{kind.__name__}` | {said} | {names} |")
    return "\n".join(rows)


def command_flags() -> str:
    """One section a command, with its arguments and flags as ``--help`` has them."""
    parts: list[str] = []
    for name, command in sorted(_commands(typer.main.get_command(app), "pairmill")):
        about = inspect.cleandoc(command.help or "").partition("\f")[0].split("\n\n")
        parts += [f"## {name}", "", *(" ".join(each.split()) + "\n" for each in about)]
        rows = [row for parameter in command.params if (row := _flag_row(parameter))]
        if rows:
            parts += ["| flag | default | means |", "|---|---|---|", *rows, ""]
    return "\n".join(parts).rstrip()


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """All commands below one that are no group and not hidden."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word, inner in below.items():
        if not inner.hidden:
            yield from _commands(inner, f"{name} {word}")


def _flag_row(parameter: Any) -> str:
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return ""
    is_argument = parameter.param_type_name == "argument"
    names = [parameter.metavar or parameter.name.upper()] if is_argument else list(parameter.opts)
    metavar = "" if is_argument or parameter.is_flag else f" {parameter.metavar or 'VALUE'}"
    shown = ", ".join(f"`{name}{metavar}`" for name in names).replace("|", "\\|")
    default = parameter.default
    told = parameter.show_default if isinstance(parameter.show_default, str) else None
    plain = isinstance(default, str | int | float) and default not in {"", False, None}
    value = told or (f"`{default}`" if plain else "-")
    about = " ".join((getattr(parameter, "help", None) or "").split()).replace("|", "\\|")
    return f"| {shown} | {value} | {about or '-'} |"


PARTS = {
    "cli.md": {"commands": command_flags},
    "settings.md": {"settings": settings_tables},
    "python.md": {"events": event_table},
}


def page(name: str) -> tuple[str, str]:
    """The page as it is, and as it should be."""
    old = new = (DOCS / name).read_text("utf-8")
    for part, make in PARTS[name].items():
        begin, end = f"<!-- begin: {part} -->\n", f"\n<!-- end: {part} -->"
        head, _, rest = new.partition(begin)
        new = f"{head}{begin}{make()}{end}{rest.partition(end)[2]}"
    return old, new


def main(arguments: list[str]) -> int:
    """Write the pages; with --check only say which differ, and return 1 if one does."""
    differing = 0
    for name in PARTS:
        old, new = page(name)
        if old == new:
            continue
        differing += 1
        if "--check" in arguments:
            print(f"docs/{name} is not what `make docs` writes")  # noqa: T201
        else:
            (DOCS / name).write_text(new, "utf-8")
    return int("--check" in arguments and differing > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
