"""What becomes of a pair that was written: kept, flagged, asked for again once, or dropped.

The checks and what each of them does about a find stand in ``pairmill.quality``; here their
verdicts are carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from msgspec.structs import replace

from pairmill.events import Topic
from pairmill.quality.filters import inspect, worst
from pairmill.quality.grounding import prepare_chunk, prepare_pair, score
from pairmill.quality.privacy import redact
from pairmill.quality.thresholds import DEFAULT, CheckPolicy, Thresholds
from pairmill.recipes.recipe import NO_TERMS
from pairmill.records import Rejection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pairmill.quality.filters import Finding, PromptTerms
    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk, Pair

__all__ = ["Checks", "inspect_pair", "raw_pair", "refine", "view_of", "view_of_pair"]

_PRIVATE = frozenset({"personal_data", "secret"})
_GRAVE = (CheckPolicy.REPAIR, CheckPolicy.DROP)


@dataclass(frozen=True, slots=True)
class Checks:
    """What is checked: policies and numbers, and what only the prompt says."""

    thresholds: Thresholds = DEFAULT
    terms: PromptTerms = NO_TERMS


async def refine(
    pairs: Sequence[Pair],
    chunk: Chunk,
    ask: Ask,
    checks: Checks,
    rewrite: Callable[[Pair, str, Chunk, Ask], Awaitable[Pair | None]] | None = None,
) -> list[Pair]:
    """Inspect the pairs of a chunk; return those to keep, each with its flags and its grounding.

    A pair whose worst finding says ``repair`` is asked for again once. If that brings no pair, or
    one with such a fault or a worse one, it is dropped. A pair that is kept with personal data in
    it is kept with placeholders in their places.

    Args:
        pairs: Valid pairs, in order; of two twins the first stays.
        chunk: What they were written about.
        ask: Where drops are recorded.
        checks: What is checked.
        rewrite: Asks for one pair again; without it ``repair`` means ``drop``.
    """
    if not pairs:
        return []
    view = view_of(chunk)
    views = [view_of_pair(pair, view) for pair in pairs]
    ask.around.watch(view, views)
    kept: list[Pair] = []
    elders: list[PreparedPair] = []
    for pair, pair_view in zip(pairs, views, strict=True):
        findings = _inspect(pair_view, view, elders, checks)
        gravest = worst(findings)
        if gravest is not None and gravest.policy is CheckPolicy.REPAIR and rewrite is not None:
            ask.tell(Topic.REPAIR_ASKED, reason=gravest.check)
            other = await rewrite(pair, gravest.detail, chunk, ask)
            if other is not None:
                pair, pair_view = other, view_of_pair(other, view)  # noqa: PLW2901
                findings = _inspect(pair_view, view, elders, checks)
                gravest = worst(findings)
        if gravest is not None and gravest.policy in _GRAVE:
            ask.drop(Rejection(gravest.check, gravest.detail, raw_pair(pair), whole_unit=False))
        elif not ask.around.admit(pair.instruction):
            told = "as many pairs as allowed have this instruction"
            ask.drop(Rejection("repeated", told, raw_pair(pair), whole_unit=False))
        else:
            kept.append(_flagged(pair, findings, score(pair_view, view)))
            elders.append(pair_view)
    return kept


def inspect_pair(pair: Pair, view: PreparedChunk, checks: Checks) -> tuple[Pair, Finding | None]:
    """The pair with flags and grounding, and what it would be dropped for, without any elders."""
    pair_view = view_of_pair(pair, view)
    findings = _inspect(pair_view, view, (), checks)
    gravest = worst(findings)
    if gravest is not None and gravest.policy in _GRAVE:
        return pair, gravest
    return _flagged(pair, findings, score(pair_view, view)), None


def view_of(chunk: Chunk) -> PreparedChunk:
    """A chunk as the checks read it."""
    context = [part for part in (chunk.title, chunk.author, *chunk.section) if part]
    return prepare_chunk(chunk.text, context=context, language=chunk.language)


def view_of_pair(pair: Pair, chunk: PreparedChunk) -> PreparedPair:
    """A pair as the checks read it."""
    return prepare_pair(
        pair.instruction, pair.answer, pair.evidence, kind=pair.kind, language=chunk.language
    )


def raw_pair(pair: Pair) -> str:
    """A pair as JSON, for the reader of ``rejected/``."""
    shown = {"instruction": pair.instruction, "answer": pair.answer, "evidence": pair.evidence}
    try:
        return orjson.dumps(shown).decode()
    except TypeError:  # a lone surrogate
        return str(shown)


def _inspect(
    pair: PreparedPair, chunk: PreparedChunk, elders: Sequence[PreparedPair], checks: Checks
) -> list[Finding]:
    return inspect(pair, chunk, elders, thresholds=checks.thresholds, terms=checks.terms)


def _flagged(pair: Pair, findings: Sequence[Finding], grounding: float) -> Pair:
    flags = tuple(finding.check for finding in findings)
    if not _PRIVATE.isdisjoint(flags):
        pair = replace(
            pair,
            instruction=redact(pair.instruction)[0],
            answer=redact(pair.answer)[0],
            evidence=redact(pair.evidence)[0],
        )
    return replace(pair, flags=(*pair.flags, *flags), grounding=grounding)
