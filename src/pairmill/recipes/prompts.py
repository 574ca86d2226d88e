"""Prompts from versioned template files, and the fence that keeps a page's text from acting as one.

The settings ``guidance`` and ``language`` are added to the constant part of every writing prompt;
without them it is unchanged.

A set is a version of all bundled templates, with the plan and answer schemas that belong to them. A
folder keeps its set for good, since changed prompts are new questions, each of which would be paid
for; ``prompts: "2"`` with ``accept_change`` switches on purpose.

The voice ``author`` changes no prompt, so folders begun before the setting existed are unaffected.

A template is a Markdown file: a ``version:`` line, then turns that each open with a line ``===
system``, ``=== user`` or ``=== assistant``. All turns but the last are constant for a whole run.
The last holds ``{{name}}`` placeholders, filled in one pass, so that inserted text is never
searched for placeholders.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

import orjson
from msgspec.structs import replace

from pairmill.display import sanitize
from pairmill.recipes.draws import hash_share
from pairmill.records import Message, Prompt, Sampling, Template
from pairmill.store.chain import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.records import Chunk, Pair

__all__ = [
    "AUTHOR",
    "CLOSE",
    "FIRST",
    "LATEST",
    "OPEN",
    "PromptTemplate",
    "as_lines",
    "break_fences",
    "fence",
    "guidance_text",
    "identities_of",
    "language_code",
    "load_template",
    "of_folder",
    "of_settings",
    "one_line",
    "style_mode",
    "voiced",
    "with_system",
]

_NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


def guidance_text(settings: Settings) -> str:
    """Return what ``guidance`` and ``language`` add to a prompt's constant part; or ""."""
    parts = []
    if settings.guidance:
        parts.append(f"Also keep to this: {settings.guidance}")
    if settings.language:
        name = _NAMES.get(settings.language.partition("-")[0].lower(), settings.language)
        parts.append(
            f"Write everything that is read by people in {name}, whatever the language of the"
            " passage is. This takes the place of any other rule about language; only words copied"
            " as evidence stay as they are."
        )
    return "\n\n".join(parts)


def language_code(settings: Settings) -> str | None:
    """Return the code of the language to write in; None if none is set or it is unknown."""
    given = (settings.language or "").lower()
    if given.partition("-")[0] in _NAMES:
        return given.partition("-")[0]
    return next((code for code, name in _NAMES.items() if name.lower() == given), None)


def with_system(pairs: Sequence[Pair], chunk: Chunk, settings: Settings) -> list[Pair]:
    """Add the settings' system message to the pairs; of several, one is drawn by hash.

    A system message written by a recipe is kept.
    """
    given = settings.system_prompt
    if not given:
        return list(pairs)
    choices = (given,) if isinstance(given, str) else given
    return [
        pair
        if pair.system
        else replace(pair, system=_drawn(choices, f"{settings.seed}", chunk.id, str(pair.index)))
        for pair in pairs
    ]


def _drawn(choices: Sequence[str], *name: str) -> str:
    return choices[int(hash_share("system", *name) * len(choices))]


FIRST, LATEST = "1", "2"


def of_settings(settings: Settings) -> str:
    """Return the prompt set that the settings name; the current one if they name none."""
    return LATEST if settings.prompts == "auto" else settings.prompts


def of_folder(settings: Settings, state: Path) -> str:
    """Return the prompt set that a run asks with.

    Args:
        settings: The run's; a set named there is used.
        state: The folder's ``.run``, which may be missing.
    """
    if settings.prompts != "auto":
        return settings.prompts
    found = _origin(state)
    if not found.get("identities"):
        return LATEST
    named = str(found.get("prompts", FIRST))  # the first version did not record it
    return named if named in {FIRST, LATEST} else LATEST


def identities_of(state: Path) -> tuple[str, ...]:
    """Return the identities of the recipes that a folder was run with, oldest first.

    Args:
        state: The folder's ``.run``, which may be missing.
    """
    known = _origin(state).get("identities")
    return tuple(name for name in known if isinstance(name, str)) if isinstance(known, list) else ()


def _origin(state: Path) -> dict[str, object]:
    """Return what a folder notes about its starts; {} if that is missing or unreadable."""
    try:
        found = orjson.loads((state / "origin.json").read_bytes())
    except FileNotFoundError:
        found = read_manifest(state.parent / "manifest.json").get("origin")
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


AUTHOR = "author"

_AUTHORS = (
    "keeps the author's voice: person, formality, rhythm, choice of words",
    "told in the author's own manner",
    "in the author's voice",
    "as the author would write it",
)
"""Phrases of the templates about the author's voice, in the order of ``_OTHERS``."""

_NEUTRAL = (
    'is neutral: plain, factual sentences without "I", "we" or an opinion; what the author did,'
    " felt or thinks is left out, or told as a general point"
)
_ASSISTANT = (
    'speaks as a helpful assistant to the one who asked, as "you" where it fits; what the author'
    " did, felt or owns is never told as its own"
)
_OTHERS = {
    "neutral": (
        _NEUTRAL,
        "told in plain, neutral words",
        "in a plain, neutral voice",
        "in plain, neutral words",
    ),
    "assistant": (
        _ASSISTANT,
        "told as a helpful assistant would tell it",
        "in the voice of a helpful assistant, never in the author's",
        "as a helpful assistant would write it",
    ),
}


def voiced(text: str, voice: str) -> str:
    """Return a prompt's text with the answers asked for in a voice."""
    if voice == AUTHOR:
        return text
    for theirs, ours in zip(_AUTHORS, _OTHERS[voice], strict=True):
        text = text.replace(theirs, ours)
    return text


def style_mode(settings: Settings) -> str:
    """Return the mode of the style cards; ``off`` unless the answers have the author's voice."""
    return settings.style_card if settings.voice == AUTHOR else "off"


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
    return f"{OPEN}\n{break_fences(text)}\n{CLOSE}"


def as_lines(items: Iterable[Mapping[str, object]]) -> str:
    """Format models' texts as JSON lines: no text can end its line or open a fence."""
    lines = (json.dumps(item, ensure_ascii=False) for item in items)
    return "\n".join(break_fences(line) for line in lines)


def break_fences(text: str) -> str:
    """Break every fence mark in a text before it is inserted into a prompt."""
    # Without it nothing can match; the pattern takes 20 us for a chunk, this test 0.1.
    if ("<" in text and "<<" in text) or (">" in text and ">>" in text):
        text = _MARKS.sub(lambda match: (match[1] or "") + "|", text)
    return text


def one_line(text: str | None, most: int = 200) -> str:
    """Shorten a text to one plain line that cannot open or close a fence; "" for None."""
    return sanitize((text or "").replace("<", "").replace(">", ""), most)
