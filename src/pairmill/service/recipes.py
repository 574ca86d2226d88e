"""What ``pairmill recipes`` shows: recipe files, and a trial of one on a few units."""

from __future__ import annotations

import inspect
import os
import re
import textwrap
from importlib import resources
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from pairmill.config import is_recipe_file, load
from pairmill.display import sanitize
from pairmill.errors import ConfigError, UsageError
from pairmill.recipes.load import (
    RECIPES,
    library_names,
    library_text,
    make_generator,
    read_recipe_text,
    recipe_names,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.recipes.recipe_file import RecipeFile, RecipeStep
    from pairmill.records import Chunk, Completion, Pair, Rejection, Request, Usage

__all__ = [
    "TriedUnit",
    "check_lines",
    "described",
    "list_lines",
    "print_unit",
    "source_of",
    "write_new",
]

_ABOUT = {
    "backtranslate": "Pairs with answers rewritten from the chunk, as 'mode' says; the default",
    "extractive": "Sentences of the chunk as answers, with a question each; for very small models",
}
_TEMPLATES = {
    "backtranslate": ("backtranslate", "instructions", "answers", "verbatim"),
    "extractive": ("extractive",),
}
_LEAST_WIDTH = 30
_MOST_CONSTANT = 200  # characters of constant text after the first value that get no hint


def described() -> dict[str, str]:
    """Return each recipe's name, with its description and its maximum calls per unit."""
    found = {}
    for name in recipe_names():
        if name in library_names():
            recipe = read_recipe_text(library_text(name), f"{name}.yaml")
            found[name] = f"{recipe.about} ({_calls(recipe.calls)})"
        else:
            found[name] = _ABOUT.get(name, "from an installed package")
    return found


def list_lines(width: int = 80) -> list[str]:
    """List each recipe's name and description, wrapped to a width."""
    found = described()
    indent = max(map(len, found)) + 2
    lines = []
    for name, told in found.items():
        parts = textwrap.wrap(told, max(width - indent, _LEAST_WIDTH))
        lines.append(f"{name:<{indent}}{parts[0]}")
        lines += [" " * indent + part for part in parts[1:]]
    return lines


def source_of(name: str) -> str:
    """Return a recipe file's text, or a Python recipe's prompts or code.

    Raises:
        ConfigError: There is none of that name, or it cannot be read.
    """
    if name in _TEMPLATES:
        folder = resources.files("pairmill.recipes").joinpath("templates")
        texts = [folder.joinpath(f"{item}.md").read_text("utf-8") for item in _TEMPLATES[name]]
        return "\n".join(
            f"# {item}\n{text.strip()}\n"
            for item, text in zip(_TEMPLATES[name], texts, strict=True)
        )
    if name in library_names():
        return library_text(name).rstrip("\n")
    generator = make_generator(load(given={"recipe": name}))
    if generator.origin is not None:
        return generator.origin.files["recipe.yaml"].decode().rstrip("\n")
    try:
        return inspect.getsource(inspect.unwrap(generator.write))
    except (OSError, TypeError):
        raise ConfigError(f"the text of '{name}' cannot be found") from None


def write_new(file: Path, like: str | None) -> None:
    """Write a recipe file: a commented skeleton, or a copy of one from the library.

    Raises:
        ConfigError: The file's name or ``like`` cannot be used.
        UsageError: The file exists, or cannot be written.
    """
    if not is_recipe_file(file.name) or file.suffix == ".py":
        raise ConfigError(f"{file}: needs a name that ends in .yaml")
    name = re.sub(r"[^a-z0-9_-]+", "-", file.stem.lower()).strip("-_")
    name = name if name[:1].isalpha() else f"my-{name}".rstrip("-")
    if like is None:
        text = resources.files("pairmill.recipes").joinpath("skeleton.yaml").read_text("utf-8")
    elif like in library_names():
        text = library_text(like)
    else:
        known = ", ".join(library_names())
        raise ConfigError(f"'{like}' is not a bundled recipe file; known: {known}")
    text = re.sub(r"^name: .*$", f"name: {name}", text, count=1, flags=re.MULTILINE)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file}: exists already; give another name") from None
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from None


def check_lines(settings: Settings) -> list[str]:
    """Describe what a recipe without mistakes will do; one line per subject.

    Raises:
        ConfigError: It has a mistake; the text has file and line.
    """
    # the current version, whatever copy the settings' folder keeps
    generator = make_generator(settings.model_copy(update={"accept_change": True}))
    recipe = generator.origin
    if recipe is None:
        kind = "built in" if settings.recipe_name in RECIPES else "in Python"
        return [f"{generator.name} {generator.version}: {kind}; nothing more is known about it"]
    unit = recipe.unit
    told = {
        "chunk": "a chunk",
        "document": "a document",
        "chunks": f"{unit.size} neighbouring chunks, starting every {unit.step}",
    }[unit.of]
    if unit.by == "subject":
        told = f"2 to {unit.size} chunks of one subject, each from another document"
    lines = [
        f"{recipe.file}: recipe '{recipe.name}', version {recipe.version}: no mistake found",
        f"unit: {told}; {_calls(recipe.calls)} per unit, without repairs",
        *(_step_line(step) for step in recipe.steps),
        f"rows: {', '.join(dict.fromkeys(rule.task for rule in recipe.rows))}",
    ]
    if recipe.fields:
        lines.append(f"fields: {', '.join(recipe.fields)}")
    return [*lines, *_hints(recipe)]


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"at most {count} calls"


def _step_line(step: RecipeStep) -> str:
    parts = [f"at most {step.max_tokens:,} tokens", f"model: {step.model}"]
    if step.for_each is not None:
        parts.append(f"for each {step.for_each.name} of at most {step.for_each.most}")
    if step.votes is not None:
        parts.append(f"asked {step.votes.times} times, kept if {step.votes.least} agree")
    if step.when is not None:
        parts.append(f"when {step.when.source.strip()}")
    return f"step {step.name}: {'; '.join(parts)}"


def _hints(recipe: RecipeFile) -> list[str]:
    """Return hints about what would work better."""
    hints = []
    for step in recipe.steps:
        _, mark, rest = step.user.source.partition("{{")
        constant = len(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", mark + rest, flags=re.DOTALL))
        if constant > _MOST_CONSTANT:
            hints.append(
                f"hint: step {step.name}: {constant:,} characters of constant text come after the"
                " first value, where providers cannot cache them: move them to 'system'"
            )
        if not step.places_passage and len(recipe.steps) == 1:
            hints.append(f"hint: step {step.name} does not see the passage")
    if not recipe.about:
        hints.append("hint: 'about' is empty; say in a line what the recipe is for")
    return hints


_WIDTH = 120  # width without a terminal
_SHOWN_CHARS = 3_000


class TriedUnit(Struct, frozen=True):
    """Result of trying a recipe on one unit.

    Attributes:
        exchanges: All questions that were asked for it, each with its answer, in order.
    """

    chunk: Chunk
    exchanges: Sequence[tuple[Request, Completion]]
    pairs: Sequence[Pair]
    dropped: Sequence[Rejection]
    usage: Usage


def print_unit(unit: TriedUnit, console: Console | None = None) -> None:
    """Print a unit to standard output."""
    out = console or Console(highlight=False)
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out = Console(highlight=False, width=_WIDTH, file=out.file)
    chunk = unit.chunk
    name = " · ".join(sanitize(part, 80) for part in (chunk.title, chunk.source) if part)
    out.print(Rule(Text(name, style="bold"), align="left"))
    for number, (request, completion) in enumerate(unit.exchanges, 1):
        system = "\n\n".join(turn.content for turn in request.prompt.template.messages)
        label = f"prompt {number}, to {sanitize(request.model, 60)}"
        _print_beside(
            (label, f"[system]\n{system}\n\n[user]\n{request.prompt.text}"),
            (f"raw answer ({sanitize(completion.finish_reason, 20)})", completion.text),
            out,
        )
    for pair in unit.pairs:
        _print_beside((f"row {pair.index} ({pair.task})", _texts(pair)), _findings(pair), out)
    for rejection in unit.dropped:
        told = f"{sanitize(rejection.reason, 60)}: {sanitize(rejection.detail, 400)}"
        _print_beside(("dropped", rejection.raw or "-"), ("why", told), out)
    used = unit.usage
    out.print(
        Text(
            f"{_counted(len(unit.pairs), 'row')}, {_counted(len(unit.exchanges), 'answer')},"
            f" {used.prompt_tokens:,} + {used.completion_tokens:,} tokens\n",
            style="dim",
        )
    )


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _texts(pair: Pair) -> str:
    parts = [("system", pair.system)]
    if pair.messages:
        parts += [(turn.role, turn.content) for turn in pair.messages]
    else:
        parts += [("instruction", pair.instruction), ("reasoning", pair.reasoning)]
        parts.append(("answer", pair.answer))
    parts += [(name, str(value)) for name, value in (pair.fields or {}).items()]
    return "\n".join(f"{name}: {text}" for name, text in parts if text)


def _findings(pair: Pair) -> tuple[str, str]:
    scores = {"grounding": pair.grounding, "support": pair.support}
    lines = [
        f"{name}: {'not checked' if score is None else f'{score:.2f}'}"
        for name, score in scores.items()
    ]
    return "findings", "\n".join([*lines, f"flags: {', '.join(pair.flags) or 'none'}"])


def _print_beside(left: tuple[str, str], right: tuple[str, str], out: Console) -> None:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(ratio=1, overflow="fold")
    table.add_row(Text(left[0], style="bold cyan"), Text(right[0], style="bold cyan"))
    table.add_row(_safe(left[1]), _safe(right[1]))
    out.print(table)
    out.print()


def _safe(text: str) -> Text:
    """Sanitize and shorten text of a page or a model for a terminal."""
    cut = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} …"
    return Text("\n".join(sanitize(line, _SHOWN_CHARS + 2) for line in cut.split("\n")))
