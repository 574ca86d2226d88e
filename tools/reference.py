"""Write the generated parts of the docs: settings in docs/settings.md, events in docs/python.md.

    python tools/reference.py [--check]

A generated part stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from pairmill import events
from pairmill.config import fingerprint, load
from pairmill.reference import GROUPS, SETTINGS

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


PARTS = {
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
