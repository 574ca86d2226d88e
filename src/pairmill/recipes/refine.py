"""Carries out the checks' policies: a pair is kept, flagged, asked for again once, or dropped.

The checks and their policies are in ``pairmill.quality``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import replace

from pairmill.events import RepairAsked, RepairEnded
from pairmill.quality.filters import Finding, worst
from pairmill.quality.privacy import redact
from pairmill.quality.thresholds import CheckPolicy
from pairmill.recipes.checks import CheckJob, expecting, judge_pair, source_of, text_of
from pairmill.records import Message, Rejection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.recipes.checks import Checks, PairScores
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk, Pair

__all__ = ["inspect_pair", "raw_pair", "refine"]

_PRIVATE = frozenset({"personal_data", "secret"})
_GRAVE = (CheckPolicy.REPAIR, CheckPolicy.DROP)


async def refine(
    pairs: Sequence[Pair],
    chunk: Chunk,
    ask: Ask,
    checks: Checks,
    rewrite: Callable[[Pair, str, Chunk, Ask], Awaitable[Pair | None]] | None = None,
) -> list[Pair]:
    """Inspect the pairs of a chunk; return those to keep, each with its flags and scores.

    A pair whose most severe finding has the policy ``repair`` is asked for again once. If that
    gives no pair, or one with an equal or worse fault, it is dropped. Personal data in a kept pair
    is replaced by placeholders.

    Args:
        pairs: Valid pairs, in order; of two near-identical ones the first is kept.
        chunk: What they were written about.
        ask: Where drops are recorded.
        checks: What is checked.
        rewrite: Asks for one pair again; without it ``repair`` means ``drop``.
    """
    if not pairs:
        return []
    job = CheckJob(source_of(chunk), checks, list(map(text_of, pairs)))
    verdicts = deque(await ask.around.check(job))
    todo, stands = deque(pairs), list[bool]()  # which of the job's pairs are elders by now
    kept: list[Pair] = []
    while todo:
        pair, verdict = todo.popleft(), verdicts.popleft()
        findings = verdict.beside(stands)
        gravest = worst(findings)
        if gravest is not None and gravest.policy is CheckPolicy.REPAIR and rewrite is not None:
            ask.tell(RepairAsked(reason=gravest.check))
            other = await rewrite(pair, gravest.detail, chunk, ask)
            if other is not None:
                pair, job = other, _with_other(other, job, stands)
                verdicts, stands = deque(await ask.around.check(job)), [True] * job.first
                verdict = verdicts.popleft()
                findings = verdict.beside(stands)
                gravest = worst(findings)
            is_mended = other is not None and (gravest is None or gravest.policy not in _GRAVE)
            ask.tell(RepairEnded("mended" if is_mended else "failed"))
        is_kept = False
        if gravest is not None and gravest.policy in _GRAVE:
            ask.drop(_dropped(pair, verdict.scores, gravest.check, gravest.detail))
        elif not ask.around.admit(pair.instruction or pair.answer):
            told = "as many pairs as allowed have this instruction"
            ask.drop(_dropped(pair, verdict.scores, "repeated", told))
        else:
            kept.append(_flagged(pair, findings, verdict.scores))
            is_kept = pair.task != "text"
        stands.append(is_kept)
    return kept


def _with_other(other: Pair, job: CheckJob, stands: Sequence[bool]) -> CheckJob:
    """Make the job for a rewritten pair and those after it, beside the kept ones."""
    elders = [text for text, it_stands in zip(job.texts, stands, strict=False) if it_stands]
    rest = job.texts[len(stands) + 1 :]
    texts = [*elders, text_of(other), *rest]
    return CheckJob(job.source, job.checks, texts, len(elders), is_watched=False, view=job.view)


def inspect_pair(
    pair: Pair, view: PreparedChunk, checks: Checks, elders: Sequence[PreparedPair] = ()
) -> tuple[Pair, Finding | None]:
    """Return the pair with flags and scores, and why it would be dropped, if at all."""
    verdict = judge_pair(text_of(pair), *expecting(view, checks), elders)
    findings = verdict.beside([True] * len(elders))
    gravest = worst(findings)
    if gravest is not None and gravest.policy in _GRAVE:
        return pair, gravest
    return _flagged(pair, findings, verdict.scores), None


def raw_pair(pair: Pair) -> str:
    """Serialize a pair as JSON, so that it can be read, and restored, from ``rejected/``."""
    shown: dict[str, Any] = {
        "instruction": pair.instruction,
        "answer": pair.answer,
        "evidence": pair.evidence,
    }
    if pair.messages:
        shown["messages"] = [[turn.role, turn.content] for turn in pair.messages]
    if pair.task != "pair":
        shown["task"] = pair.task
    for name in ("kind", "system", "reasoning", "fields"):
        if value := getattr(pair, name):
            shown[name] = value
    try:
        return orjson.dumps(shown).decode()
    except TypeError:  # a lone surrogate
        return str(shown)


def _flagged(pair: Pair, findings: Sequence[Finding], scores: PairScores) -> Pair:
    flags = tuple(finding.check for finding in findings)
    if not _PRIVATE.isdisjoint(flags):
        pair = replace(
            pair,
            instruction=redact(pair.instruction)[0],
            answer=redact(pair.answer)[0],
            evidence=redact(pair.evidence)[0],
            messages=tuple(Message(turn.role, redact(turn.content)[0]) for turn in pair.messages),
            reasoning=redact(pair.reasoning)[0],
            fields=_redacted(pair.fields) if pair.fields else None,
        )
    return replace(
        pair,
        flags=(*pair.flags, *flags),
        grounding=scores.grounding,
        support=scores.support,
    )


def _dropped(pair: Pair, scores: PairScores, reason: str, detail: str) -> Rejection:
    """Return a pair's entry in ``rejected/``, from which a person may restore it."""
    return Rejection(
        reason,
        detail,
        raw_pair(pair),
        whole_unit=False,
        grounding=scores.grounding,
        support=scores.support,
    )


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)[0]
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {name: _redacted(item) for name, item in value.items()}
    return value
