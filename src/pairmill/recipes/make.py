"""Makes the recipe that the settings ask for, with all its steps.

A question never depends on later steps, so that turning on a step later costs only its own calls:
earlier answers are found in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson
from msgspec.structs import replace as replace_pair

from pairmill.errors import RejectedError
from pairmill.quality.thresholds import POLICIES, TABLES, CheckPolicy, override
from pairmill.quality.thresholds import VERSION as VERSION_OF_CHECKS
from pairmill.recipes.checks import Checks
from pairmill.recipes.evolve import Evolution
from pairmill.recipes.judge import make_judge
from pairmill.recipes.load import RECIPES, make_generator
from pairmill.recipes.preference import Preference
from pairmill.recipes.prompts import (
    identities_of,
    language_code,
    of_folder,
    of_settings,
    with_system,
)
from pairmill.recipes.recipe import Generator, Recipe
from pairmill.recipes.refine import refine
from pairmill.recipes.verify import make_verifier
from pairmill.records import digest
from pairmill.store.folder import RunFolder, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.quality.thresholds import Thresholds
    from pairmill.recipes.judge import Judge
    from pairmill.recipes.recipe import Ask
    from pairmill.recipes.verify import Verifier
    from pairmill.records import Chunk, Pair

__all__ = ["RECIPES", "compose", "for_unit", "make_checks", "make_recipe", "recipe_of_folder"]

VERSION = "1"

_COPIES = {
    # not a fault if the answer is copied from the text by design
    "near_copy": CheckPolicy.KEEP,
    "truncated": CheckPolicy.FLAG,
    "meta_text": CheckPolicy.FLAG,
    "answer_length": CheckPolicy.FLAG,
}

_ASKED = frozenset({"pair", "question"})
_KEEP = CheckPolicy.KEEP
_TASKS: Mapping[str, Mapping[str, CheckPolicy]] = {
    # not a fault of a short, checkable answer
    "question": dict.fromkeys(("answer_length", "yes_no", "truncated", "unseen_name"), _KEEP),
    # a later turn may be short, answered by yes, or refer to an earlier turn
    "conversation": dict.fromkeys(
        ("answer_length", "yes_no", "instruction_length", "points_at_source", "evidence_missing"),
        _KEEP,
    ),
    # plain text has no request, and its length is up to the recipe
    "text": dict.fromkeys(
        ("instruction_length", "yes_no", "twin", "answer_length", "points_at_source"), _KEEP
    ),
}
"""Policies that differ from the table for tasks other than ``pair``."""


def compose(generator: Generator, settings: Settings, table: str = VERSION_OF_CHECKS) -> Recipe:
    """Add the steps to a generator.

    Args:
        generator: Writes the pairs.
        settings: Select the steps.
        table: Version of the table of checks (`pairmill.quality.thresholds.TABLES`).

    Raises:
        ConfigError: ``checks`` names an unknown check.
    """
    checks = make_checks(generator, settings, table)
    is_unchecked = settings.checks == "off" or generator.checks is None
    steps = _Steps(
        Evolution.of(settings, checks),
        make_verifier(settings, None if is_unchecked else checks, generator.rewrite),
        Preference.of(settings, checks),
        make_judge(settings),
    )
    named = steps.identities()
    if settings.system_prompt:
        named.append(digest("system", *_texts(settings.system_prompt)))

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        written = await generator.write(chunk, ask)
        if settings.keep_reasoning:
            written = _with_thought(written, getattr(ask, "reasoning", ""))
        if is_unchecked:
            pairs = written
        else:
            pairs = await refine(written, chunk, ask, checks, generator.rewrite)
        _require_any(pairs, written)
        # Rows without a single request and reply are left unchanged.
        others = [pair for pair in pairs if pair.task not in _ASKED]
        if len(others) < len(pairs):
            asked = [pair for pair in pairs if pair.task in _ASKED] if others else pairs
            followed = await steps.follow(asked, chunk, ask)
            pairs = [*followed, *others] if others else followed
            _require_any(pairs, asked)
        return with_system(pairs, chunk, settings) if settings.system_prompt else pairs

    return Recipe(
        name=generator.name,
        version=generator.version,
        prompt_version=generator.prompt_version,
        identity=digest(VERSION, generator.identity, _describe(checks.thresholds), *named),
        write=write,
        fields=generator.fields,
        origin=generator.origin,
        source=generator.source,
        claims=generator.claims,
        prompts=of_settings(settings),
        pools_manners=generator.pools_manners,
        is_watched=checks.is_watched and checks.language is None and not is_unchecked,
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """Steps after the checks, in this order; None if off."""

    evolution: Evolution | None
    verifier: Verifier | None
    preference: Preference | None
    judge: Judge | None

    def identities(self) -> list[str]:
        """Return each step's identity; "" if it is off, and no entry for a newer step."""
        known = (self.evolution, self.preference, self.judge)
        names = [step.identity if step is not None else "" for step in known]
        return [*names, self.verifier.identity] if self.verifier is not None else names

    async def follow(self, pairs: list[Pair], chunk: Chunk, ask: Ask) -> list[Pair]:
        """Return pairs that have passed the checks after all later steps."""
        if self.evolution is not None:
            pairs = await self.evolution.evolve(pairs, chunk, ask)
        if self.verifier is not None:
            pairs = await self.verifier.verify(pairs, chunk, ask)
        if self.preference is not None:
            pairs = await self.preference.add(pairs, chunk, ask)
            if self.verifier is not None:
                pairs = await self.verifier.verify_alternatives(pairs, chunk, ask)
        return await self.judge.rate(pairs, chunk, ask) if self.judge is not None else pairs


def _require_any(kept: list[Pair], before: list[Pair]) -> None:
    """Raise RejectedError if there were pairs and none is left."""
    if before and not kept:
        raise RejectedError("no_pair_passed", f"none of {len(before)} pairs passed the checks")


def _with_thought(pairs: list[Pair], thought: str) -> list[Pair]:
    """Attach the model's thoughts before its last answer to the pairs that have none."""
    if not thought:
        return pairs
    return [pair if pair.reasoning else replace_pair(pair, reasoning=thought) for pair in pairs]


def make_checks(generator: Generator, settings: Settings, table: str = VERSION_OF_CHECKS) -> Checks:
    """Build a generator's table of checks, with the settings' changes applied.

    Raises:
        ConfigError: A check or threshold is unknown, or its value is invalid.
    """
    base = _with(TABLES[table], _COPIES) if generator.copies else TABLES[table]
    tables = {task: _with(base, changed) for task, changed in _TASKS.items()}
    tables["pair"] = base
    for task, known in tables.items():
        found = override(generator.checks, known) if generator.checks else known
        if settings.checks == "off":
            found = _with(found, dict.fromkeys(POLICIES, CheckPolicy.KEEP))
        elif isinstance(settings.checks, dict):
            found = override(settings.checks, found)
        tables[task] = found
    is_grounded = (generator.checks or {}).get("ungrounded") != CheckPolicy.KEEP
    return Checks(
        tables["pair"], generator.terms, tables, language_code(settings), is_watched=is_grounded
    )


def _with(table: Thresholds, changed: Mapping[str, CheckPolicy]) -> Thresholds:
    return replace(table, policies=MappingProxyType({**table.policies, **changed}))


def _texts(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _describe(thresholds: Thresholds) -> str:
    """Serialize the whole table, to tell one table from another."""
    fields = {
        name: getattr(thresholds, name)
        for name in thresholds.__dataclass_fields__
        if name != "policies"
    }
    policies = {name: policy.value for name, policy in thresholds.policies.items()}
    if policies["weakly_supported"] == CheckPolicy.KEEP:
        # Tables before version 3 lack it: a check that is off must not change a folder's identity.
        del policies["weakly_supported"], fields["weakly_supported_below"]
    if not thresholds.grounding_min_words:
        del fields["grounding_min_words"]  # likewise, before version 4
    if fields["support_formula"] == 1:
        del fields["support_formula"]  # likewise, before version 5
    return orjson.dumps({**fields, "policies": policies}, option=orjson.OPT_SORT_KEYS).decode()


_DOCUMENT_CHARS = 24_000  # about 6,000 tokens, which small models can still read as a whole


def make_recipe(
    settings: Settings, copies: Path | None = None, *, checks_table: str = VERSION_OF_CHECKS
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
        return recipe, VERSION_OF_CHECKS
    for version in TABLES:
        earlier = make_recipe(settings, copies, checks_table=version)
        if earlier.identity in known:
            return earlier, version
    return recipe, VERSION_OF_CHECKS


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
