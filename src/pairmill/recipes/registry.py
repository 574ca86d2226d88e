"""Makes the recipe that the settings ask for, with all its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.quality.thresholds import TABLES, VERSION
from pairmill.recipes.compose import compose
from pairmill.recipes.load import RECIPES, make_generator
from pairmill.recipes.prompt_sets import identities_of, of_folder
from pairmill.store.folder import RunFolder, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.recipes.recipe import Recipe

__all__ = ["RECIPES", "for_unit", "make_recipe", "recipe_of_folder"]

_DOCUMENT_CHARS = 24_000  # about 6,000 tokens, which small models can still read as a whole


def make_recipe(
    settings: Settings, copies: Path | None = None, *, checks_table: str = VERSION
) -> Recipe:
    """Make the recipe that the settings name.

    Args:
        settings: All of them.
        copies: Directory of the run folder's copy of its recipe file; that of ``settings.output``
            if None.
        checks_table: Version of the table of checks, for a folder that was begun with an older one.

    Raises:
        ConfigError: There is none, it has a mistake, or ``checks`` names an unknown check.
    """
    state = copies.parent if copies is not None else settings.output / ".run"
    settings = settings.model_copy(update={"prompts": of_folder(settings, state)})
    return compose(make_generator(settings, copies), settings, checks_table)


def recipe_of_folder(settings: Settings, copies: Path | None = None) -> tuple[Recipe, str]:
    """Return the recipe that a folder goes on with, and the version of its table of checks.

    A folder that was begun with an earlier table keeps it, so that an upgrade changes nothing in a
    dataset half-way; ``accept_change`` brings it to today's.

    Args:
        settings: The run's.
        copies: As for `make_recipe`.

    Raises:
        ConfigError: As by `make_recipe`.
    """
    recipe = make_recipe(settings, copies)
    known = identities_of(copies.parent if copies is not None else settings.output / ".run")
    if not known or recipe.identity in known or settings.accept_change:
        return recipe, VERSION
    for version in TABLES:
        earlier = make_recipe(settings, copies, checks_table=version)
        if earlier.identity in known:
            return earlier, version
    return recipe, VERSION


def for_unit(settings: Settings, recipe: Recipe, begun: Path | None = None) -> Settings:
    """Return the settings with the chunking that a recipe's unit asks for.

    Args:
        settings: The run's.
        recipe: Its recipe.
        begun: Run folder that may have been begun before; that of ``settings.output`` if None.

    Raises:
        FolderError: The settings that the folder was begun with are damaged.
    """
    unit = recipe.origin.unit if recipe.origin else None
    if unit is None or unit.of == "chunk":
        return settings
    if unit.of == "document":
        return _for_documents(settings, unit.max_chars or _DOCUMENT_CHARS, begun)
    return settings.model_copy(
        update={
            "chunks_per_unit": unit.size,
            "chunk_step": unit.step,
            "chunks_by": unit.by,
        }
    )


def _for_documents(settings: Settings, most: int, begun: Path | None) -> Settings:
    """Return settings by which a document is cut only if it is longer than ``most`` characters.

    Earlier versions also cut it at headings; a folder that was begun so goes on so, unless
    ``accept_change`` is set, since its units would be new ones.
    """
    known = read_settings(RunFolder(begun or settings.output)).get("chunk_min_chars", most)
    earlier = min(settings.chunk_min_chars, most)
    changed: dict[str, int | None] = {"chunk_target_chars": most, "chunk_max_chars": most}
    if known == earlier and not settings.accept_change:
        changed["chunk_min_chars"] = earlier
    else:
        changed |= {"chunk_min_chars": most, "tokenizer": None, "splitter": None}
    return settings.model_copy(update=changed)
