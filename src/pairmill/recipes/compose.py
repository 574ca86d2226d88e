"""A recipe out of its steps: generate, refine, then evolve, verify, add second answers, judge.

A question never says anything of the steps behind it, so that a step that is switched on later
pays for itself alone: what was bought before is found in the ledger.
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
from pairmill.recipes.doors import language_code, with_system
from pairmill.recipes.evolve import Evolution
from pairmill.recipes.judge import make_judge
from pairmill.recipes.preference import Preference
from pairmill.recipes.prompt_sets import of_settings
from pairmill.recipes.recipe import Generator, Recipe
from pairmill.recipes.refine import refine
from pairmill.recipes.verify import make_verifier
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.config import Settings
    from pairmill.quality.thresholds import Thresholds
    from pairmill.recipes.judge import Judge
    from pairmill.recipes.recipe import Ask
    from pairmill.recipes.verify import Verifier
    from pairmill.records import Chunk, Pair

__all__ = ["compose", "make_checks"]

VERSION = "1"

_COPIES = {
    # what is no fault where the answer is the text's own
    "near_copy": CheckPolicy.KEEP,
    "truncated": CheckPolicy.FLAG,
    "meta_text": CheckPolicy.FLAG,
    "answer_length": CheckPolicy.FLAG,
}

_ASKED = frozenset({"pair", "question"})
_KEEP = CheckPolicy.KEEP
_TASKS: Mapping[str, Mapping[str, CheckPolicy]] = {
    # what is no fault of a short answer that can be checked
    "question": dict.fromkeys(("answer_length", "yes_no", "truncated", "unseen_name"), _KEEP),
    # a later turn may be short, may be answered by yes, and may speak of what was said before
    "conversation": dict.fromkeys(
        ("answer_length", "yes_no", "instruction_length", "points_at_source", "evidence_missing"),
        _KEEP,
    ),
    # nobody asks for a text, and its length is the recipe's business
    "text": dict.fromkeys(
        ("instruction_length", "yes_no", "twin", "answer_length", "points_at_source"), _KEEP
    ),
}
"""Policies that differ from the table for rows of another task than ``pair``."""


def compose(generator: Generator, settings: Settings, table: str = VERSION_OF_CHECKS) -> Recipe:
    """Put the steps behind a generator.

    Args:
        generator: What writes the pairs.
        settings: Which steps follow.
        table: Version of the table of checks (`pairmill.quality.thresholds.TABLES`).

    Raises:
        ConfigError: ``checks`` names what there is not.
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
        # What has no single request and reply is left as it is.
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
    """What follows the checks, in this order; None for what is off."""

    evolution: Evolution | None
    verifier: Verifier | None
    preference: Preference | None
    judge: Judge | None

    def identities(self) -> list[str]:
        """One of each step; "" for what is off, and none for a step that came later."""
        known = (self.evolution, self.preference, self.judge)
        names = [step.identity if step is not None else "" for step in known]
        return [*names, self.verifier.identity] if self.verifier is not None else names

    async def follow(self, pairs: list[Pair], chunk: Chunk, ask: Ask) -> list[Pair]:
        """What becomes of pairs that have passed the checks."""
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
    """Raise RejectedError where there were pairs, and none is left."""
    if before and not kept:
        raise RejectedError("no_pair_passed", f"none of {len(before)} pairs passed the checks")


def _with_thought(pairs: list[Pair], thought: str) -> list[Pair]:
    """The pairs with what the model thought before its last answer, where they have no thought."""
    if not thought:
        return pairs
    return [pair if pair.reasoning else replace_pair(pair, reasoning=thought) for pair in pairs]


def make_checks(generator: Generator, settings: Settings, table: str = VERSION_OF_CHECKS) -> Checks:
    """The table of checks for a generator, with what the settings change in it.

    Raises:
        ConfigError: A check or a number that there is not, or a value that it cannot have.
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
    """The whole table as text, to tell one from another."""
    fields = {
        name: getattr(thresholds, name)
        for name in thresholds.__dataclass_fields__
        if name != "policies"
    }
    policies = {name: policy.value for name, policy in thresholds.policies.items()}
    if policies["weakly_supported"] == CheckPolicy.KEEP:
        # Tables before version 3 did not have it: what is off must not rename a folder's recipe.
        del policies["weakly_supported"], fields["weakly_supported_below"]
    return orjson.dumps({**fields, "policies": policies}, option=orjson.OPT_SORT_KEYS).decode()
