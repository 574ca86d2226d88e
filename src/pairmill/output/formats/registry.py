"""All training formats by name."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from pairmill.errors import ConfigError, UsageError
from pairmill.output.formats.alpaca import ALPACA
from pairmill.output.formats.format import Format
from pairmill.output.formats.messages import MESSAGES, REASONING
from pairmill.output.formats.preference import PREFERENCE
from pairmill.output.formats.prompt_completion import PROMPT_COMPLETION
from pairmill.output.formats.question import QUESTION
from pairmill.output.formats.sharegpt import SHAREGPT
from pairmill.output.formats.text import TEXT
from pairmill.output.formats.triplets import TRIPLETS
from pairmill.plugins import load_named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pairmill.recipes.recipe import Recipe

__all__ = ["FORMATS", "choose_formats", "find_format", "hint_for"]

FORMATS: dict[str, Format] = {
    item.name: item
    for item in (
        MESSAGES,
        REASONING,
        ALPACA,
        SHAREGPT,
        PROMPT_COMPLETION,
        PREFERENCE,
        TEXT,
        QUESTION,
        TRIPLETS,
    )
}
"""Name to format, the usual one first."""

ENTRY_POINTS = "pairmill.formats"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")  # it becomes part of a folder's name


def find_format(name: str) -> Format:
    """Return the format of that name, or a user's own: ``module:name``, ``FILE.py:name``.

    Formats of installed packages have the names of their entry points (``pairmill.formats``).

    Raises:
        UsageError: There is none; names the nearest.
        ConfigError: The user's own cannot be loaded, or is no format.
    """
    found = FORMATS.get(name)
    if found:
        return found
    if ":" in name:
        return _checked(load_named(name).found, name)
    from importlib.metadata import entry_points  # noqa: PLC0415 (it costs a start 20 ms)

    for point in entry_points(group=ENTRY_POINTS, name=name):
        return _checked(load_named(point.value).found, name)
    near = difflib.get_close_matches(name, FORMATS, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(FORMATS)}"
    raise UsageError(f"unknown format '{name}'; {hint}")


def _checked(found: object, name: str) -> Format:
    """Return a loaded object if it is a format with a usable name.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(found, Format):
        raise ConfigError(f"{name}: needs a pairmill.output.formats.format.Format")
    if not _NAME.fullmatch(found.name):
        raise ConfigError(f"{name}: the format's name needs lower-case letters, digits, _ and -")
    return found


def hint_for(dropped: Iterable[str]) -> str:
    """Name the formats that hold rows dropped for their task, as the end of an error; or ""."""
    tasks = {reason.removeprefix("task_") for reason in dropped if reason.startswith("task_")}
    fitting = [name for name, item in FORMATS.items() if tasks & item.tasks and not item.needs]
    return f"; formats that hold such rows: {', '.join(fitting)}" if tasks else ""


def choose_formats(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the formats to recommend for a recipe's rows, best one first.

    A recipe in Python does not say what it writes; it gets the usual format.
    """
    rules = recipe.origin.rows if recipe.origin else ()
    chosen = [_choose(rule.task, {*rule.texts, *rule.fields}) for rule in rules]
    return tuple(dict.fromkeys(chosen)) or (next(iter(FORMATS)),)


def _choose(task: str, holds: Collection[str]) -> str:
    """Return the format that keeps most of rows of a task, which have these texts and fields."""

    def fit(item: Format) -> tuple[bool, bool, bool]:
        return item.needs in holds, item.shows in holds, item.made_for == task

    fitting = [
        item
        for item in FORMATS.values()
        if task in item.tasks and not item.paired and (item.needs is None or item.needs in holds)
    ]
    return max(fitting, key=fit).name
