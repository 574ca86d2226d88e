"""Finds recipes: built in, bundled files, installed packages, or the user's own."""

from __future__ import annotations

import difflib
import stat
from functools import lru_cache
from importlib import metadata, resources
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pairmill.config import is_recipe_file
from pairmill.errors import ConfigError
from pairmill.plugins import load_file, load_named
from pairmill.recipes.backtranslate import backtranslate, two_step, verbatim
from pairmill.recipes.extractive import extractive

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.config import Settings
    from pairmill.recipes.recipe import Generator
    from pairmill.recipes.recipe_file import RecipeFile

__all__ = [
    "COPY",
    "ENTRY_POINTS",
    "RECIPES",
    "library_names",
    "library_text",
    "make_generator",
    "read_recipe_file",
    "read_recipe_text",
    "recipe_names",
]

ENTRY_POINTS = "pairmill.recipes"
COPY = "recipe.yaml"
"""Name of a recipe file's copy in a run folder, below ``.run/recipe``."""

_MOST_BYTES = 20 * 2**20
"""Largest size of a recipe file, or of a file that it draws from."""

_MODES = {"one_step": backtranslate, "two_step": two_step, "verbatim": verbatim}

RECIPES: dict[str, Callable[[Settings], Generator]] = {
    "backtranslate": lambda settings: _MODES[settings.mode](settings),
    "extractive": extractive,
}
"""Built-in Python recipes; see ``docs/decisions/0028-what-stays-python.md``."""


def make_generator(settings: Settings, copies: Path | None = None) -> Generator:
    """Make the generator that the settings name.

    Args:
        settings: All of them.
        copies: Directory of the run folder's copy of its recipe file, used if the file is gone;
            that of ``settings.output`` if None.

    Raises:
        ConfigError: There is none, or there is a mistake in it.
    """
    name = settings.recipe_name
    if name in RECIPES:
        return RECIPES[name](settings)
    if is_recipe_file(name):
        return _of_file(name, settings, copies)
    if name in library_names():
        return _of_recipe_file(_of_library(name, settings, copies), settings)
    if ":" in name:
        return _of_object(*load_named(name), settings)
    return _of_package(name, settings, copies)


def _example_in(folder: Path) -> str:
    """Return the name of a recipe file in a folder; a plausible name if there is none."""
    try:
        found = sorted(path.name for path in folder.iterdir() if is_recipe_file(path.name))
    except OSError:
        found = []
    return found[0] if found else "mine.yaml"


def _of_library(name: str, settings: Settings, copies: Path | None) -> RecipeFile:
    """Load a bundled recipe, in the version that the run folder was begun with."""
    today = read_recipe_text(library_text(name), f"{name}.yaml")
    copy = _copy(settings, copies)
    if settings.accept_change or not copy.exists():
        return today
    try:
        kept = read_recipe_file(copy)
    except ConfigError:
        return today
    return kept if kept.name == name and kept.digest != today.digest else today


def _copy(settings: Settings, copies: Path | None) -> Path:
    return (copies or settings.output / ".run" / "recipe") / COPY


def _of_package(name: str, settings: Settings, copies: Path | None) -> Generator:
    """Load what an installed package offers by that name: a Python recipe, or a file's path."""
    found = _installed(name)
    if found is None and Path(name).is_dir():
        raise ConfigError(
            f"{name}: is a folder, and a recipe is a file: name one in it, such as"
            f" {Path(name) / _example_in(Path(name))}"
        )
    if found is None:
        known = recipe_names()
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"unknown recipe '{name}'; {hint}")
    if isinstance(found, str | Path):
        return _of_file(str(found), settings, copies)
    return _of_object(found, name, "", settings)


def recipe_names() -> list[str]:
    """Return all named recipes: built-in Python ones, bundled files, installed ones."""
    installed = (point.name for point in metadata.entry_points(group=ENTRY_POINTS))
    return list(dict.fromkeys([*RECIPES, *library_names(), *sorted(installed)]))


@lru_cache(maxsize=1)
def library_names() -> tuple[str, ...]:
    """Return the names of the bundled recipe files."""
    folder = resources.files("pairmill.recipes").joinpath("library")
    names = (PurePosixPath(item.name) for item in folder.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".yaml"))


def library_text(name: str) -> str:
    """Return the text of a bundled recipe file."""
    return resources.files("pairmill.recipes").joinpath(f"library/{name}.yaml").read_text("utf-8")


def read_recipe_file(path: Path) -> RecipeFile:
    """Read a recipe file, and the files that it draws from.

    Raises:
        ConfigError: It cannot be read, or there is a mistake in it.
    """
    try:
        data = _read(path)
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror}") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    return read_recipe_text(_with_newlines(text), str(path), path.parent)


def read_recipe_text(text: str, name: str, folder: Path | None = None) -> RecipeFile:
    """Read the text of a recipe file; ``folder`` holds the files that it names, if any.

    Raises:
        ConfigError: There is a mistake in it.
    """
    from pairmill.recipes.recipe_parser import parse_recipe  # noqa: PLC0415 (Jinja2 takes 30 ms)

    def read(inner: str) -> bytes:
        if folder is None:
            raise ConfigError("names a file, but the recipe is not a file")
        return _read(folder / inner)

    return parse_recipe(text, name, read)


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read(path: Path) -> bytes:
    """Read a regular file of limited size; pipes, devices and huge files are refused.

    Raises:
        OSError: It cannot be read.
        ConfigError: It is not a regular file, or too large.
    """
    about = path.stat()
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise ConfigError(f"{path}: a pipe or a device, where a file is needed")
    if about.st_size > _MOST_BYTES:
        raise ConfigError(f"{path}: larger than {_MOST_BYTES >> 20} MB")
    return path.read_bytes()


def _of_file(name: str, settings: Settings, copies: Path | None) -> Generator:
    file, _, attribute = name.partition(".py:")
    if attribute or name.endswith(".py"):
        path = Path(f"{file}.py" if attribute else name)
        if not path.exists():
            raise ConfigError(
                f"{path}: there is no such recipe file; a run folder keeps copies of YAML recipes"
                " only, since code from a data folder is never run"
            )
        found, name, source = load_file(path, attribute or "recipe")
        return _of_object(found, path.stem if name == "recipe" else name, source, settings)
    path = Path(name)
    if not path.exists():
        copy = _copy(settings, copies)
        if not copy.exists():
            raise ConfigError(f"{name}: there is no such recipe file")
        path = copy
    return _of_recipe_file(read_recipe_file(path), settings)


def _of_recipe_file(recipe: RecipeFile, settings: Settings) -> Generator:
    from pairmill.recipes.engine import file_generator  # noqa: PLC0415 (as above)

    return file_generator(recipe, settings)


def _of_object(found: Any, name: str, source: str, settings: Settings) -> Generator:
    from pairmill.recipes.python_recipe import python_generator  # noqa: PLC0415 (rarely wanted)

    return python_generator(found, name, source, settings)


def _installed(name: str) -> Any:
    """Return what an installed package offers by that name; None if none does."""
    for point in metadata.entry_points(group=ENTRY_POINTS, name=name):
        try:
            return point.load()
        except Exception as error:  # noqa: BLE001 (a user's module may raise anything)
            told = f"{type(error).__name__}: {error}"
            raise ConfigError(f"the recipe '{name}' of {point.value} fails: {told}") from None
    return None
