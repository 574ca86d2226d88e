"""A recipe out of its steps: generate, refine, then evolve, add second answers, judge.

A question never says anything of the steps behind it, so that a step that is switched on later
pays for itself alone: what was bought before is found in the ledger.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson

from pairmill.errors import RejectedError
from pairmill.quality.thresholds import POLICIES, TABLES, CheckPolicy, override
from pairmill.quality.thresholds import VERSION as VERSION_OF_CHECKS
from pairmill.recipes.evolve import Evolution
from pairmill.recipes.judge import make_judge
from pairmill.recipes.preference import Preference
from pairmill.recipes.recipe import Generator, Recipe
from pairmill.recipes.refine import Checks, refine
from pairmill.records import digest

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.quality.thresholds import Thresholds
    from pairmill.recipes.recipe import Ask
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
    evolution, preference = Evolution.of(settings, checks), Preference.of(settings)
    judge = make_judge(settings)
    steps = [step.identity if step is not None else "" for step in (evolution, preference, judge)]

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        written = await generator.write(chunk, ask)
        if settings.checks == "off":
            pairs = written
        else:
            pairs = await refine(written, chunk, ask, checks, generator.rewrite)
        if written and not pairs:
            raise RejectedError("no_pair_passed", f"none of {len(written)} pairs passed the checks")
        if evolution is not None:
            pairs = await evolution.evolve(pairs, chunk, ask)
        if preference is not None:
            pairs = await preference.add(pairs, chunk, ask)
        return await judge.rate(pairs, chunk, ask) if judge is not None else pairs

    return Recipe(
        name=generator.name,
        version=generator.version,
        prompt_version=generator.prompt_version,
        identity=digest(VERSION, generator.identity, _describe(checks.thresholds), *steps),
        write=write,
    )


def make_checks(generator: Generator, settings: Settings, table: str = VERSION_OF_CHECKS) -> Checks:
    """The table of checks for a generator, with what the settings change in it.

    Raises:
        ConfigError: A check or a number that there is not, or a value that it cannot have.
    """
    thresholds = TABLES[table]
    if generator.copies:
        thresholds = replace(
            thresholds, policies=MappingProxyType({**thresholds.policies, **_COPIES})
        )
    if settings.checks == "off":
        off = dict.fromkeys(POLICIES, CheckPolicy.KEEP)
        thresholds = replace(thresholds, policies=MappingProxyType(off))
    elif isinstance(settings.checks, dict):
        thresholds = override(settings.checks, thresholds)
    return Checks(thresholds, generator.terms)


def _describe(thresholds: Thresholds) -> str:
    """The whole table as text, to tell one from another."""
    fields = {
        name: getattr(thresholds, name)
        for name in thresholds.__dataclass_fields__
        if name != "policies"
    }
    policies = {name: policy.value for name, policy in thresholds.policies.items()}
    return orjson.dumps({**fields, "policies": policies}, option=orjson.OPT_SORT_KEYS).decode()
