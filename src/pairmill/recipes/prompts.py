"""Prompts from versioned template files, and the fence that keeps a page's text from acting as one.

A template is a Markdown file: a ``version:`` line, then turns that each open with a line
``=== system``, ``=== user`` or ``=== assistant``. All turns but the last are constant for a whole
run. The last holds ``{{name}}`` placeholders, filled in one pass, so that inserted text is never
searched for placeholders.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from pairmill.plain import plain
from pairmill.recipes.prompt_sets import LATEST
from pairmill.recipes.voice import AUTHOR, voiced
from pairmill.records import Message, Prompt, Sampling, Template

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "CLOSE",
    "OPEN",
    "PromptTemplate",
    "as_lines",
    "defuse",
    "fence",
    "load_template",
    "one_line",
]

OPEN = "<<<PASSAGE"
CLOSE = "PASSAGE>>>"

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_TURN = re.compile(r"^=== (system|user|assistant)\n", re.MULTILINE)
_MARKS = re.compile(r"<{2,}(?=\s*PASSAGE)|(?<=PASSAGE)(\s*)>{2,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A loaded template: the constant turns, and the pattern of the last one."""

    template: Template
    form: str
    _parts: list[str] = field(init=False, repr=False, compare=False)  # text, name, text, ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parts", _PLACE.split(self.form))

    @property
    def version(self) -> str:
        """Version stated in the file."""
        return self.template.version

    def fill(self, values: Mapping[str, str], sampling: Sampling) -> Prompt:
        """Render a prompt. Values are data: they are inserted once and never parsed."""
        parts = self._parts.copy()
        parts[1::2] = [values[name] for name in parts[1::2]]
        return Prompt(self.template, "".join(parts), sampling)


def load_template(
    name: str,
    constants: Mapping[str, str] | None = None,
    guidance: str = "",
    voice: str = AUTHOR,
    prompts: str = LATEST,
) -> PromptTemplate:
    """Load ``templates/NAME.md``; ``constants`` fill placeholders in its constant turns.

    ``guidance`` is the user's text after them (see ``guidance.py``), ``voice`` the answers' voice,
    ``prompts`` the set; templates of an earlier set are in a folder of that name.

    Raises:
        KeyError: A placeholder in a constant turn has no value.
        ValueError: The file does not have the form above.
    """
    folder = resources.files("pairmill.recipes").joinpath("templates")
    earlier = folder.joinpath(prompts, f"{name}.md")
    file = earlier if prompts != LATEST and earlier.is_file() else folder.joinpath(f"{name}.md")
    text = file.read_text("utf-8")
    head, *turns = _TURN.split(text)
    version = re.search(r"^version: (\S+)$", head, re.MULTILINE)
    if version is None or turns[-2:-1] != ["user"]:
        message = f"template {name}: needs a version and a user turn at its end"
        raise ValueError(message)
    given = constants or {}
    messages = tuple(
        Message(role, _PLACE.sub(lambda match: given[match[1]], voiced(body.strip(), voice)))
        for role, body in zip(turns[0:-2:2], turns[1:-2:2], strict=True)
    )
    if guidance:
        *others, last = messages
        messages = (*others, Message(last.role, f"{last.content}\n\n{guidance}"))
    return PromptTemplate(Template(name, version[1], messages), turns[-1].strip())


def fence(text: str) -> str:
    """Put text between the fence marks, after breaking any such mark in it."""
    return f"{OPEN}\n{defuse(text)}\n{CLOSE}"


def as_lines(items: Iterable[Mapping[str, object]]) -> str:
    """Format models' texts as JSON lines: no text can end its line or open a fence."""
    lines = (json.dumps(item, ensure_ascii=False) for item in items)
    return "\n".join(defuse(line) for line in lines)


def defuse(text: str) -> str:
    """Break every fence mark in a text before it is inserted into a prompt."""
    # Without it nothing can match; the pattern takes 20 us for a chunk, this test 0.1.
    if ("<" in text and "<<" in text) or (">" in text and ">>" in text):
        text = _MARKS.sub(lambda match: (match[1] or "") + "|", text)
    return text


def one_line(text: str | None, most: int = 200) -> str:
    """Shorten a text to one plain line that cannot open or close a fence; "" for None."""
    return plain((text or "").replace("<", "").replace(">", ""), most)
