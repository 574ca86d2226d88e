"""Carries out the checks' policies: a pair is kept, flagged, asked for again once, or dropped.

The checks and their policies are in ``pairmill.quality``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as replace_table
from typing import TYPE_CHECKING, Any, get_args

import orjson
from msgspec.structs import replace

from pairmill.events import RepairAsked
from pairmill.quality.filters import Finding, inspect, worst
from pairmill.quality.grounding import prepare_chunk, prepare_pair, score
from pairmill.quality.privacy import find_personal, find_secrets, redact
from pairmill.quality.support import support
from pairmill.quality.thresholds import DEFAULT, CheckPolicy, Thresholds
from pairmill.recipes.recipe import NO_TERMS
from pairmill.records import Message, Rejection, Task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pairmill.quality.filters import PromptTerms
    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk, Pair

__all__ = [
    "Checks",
    "inspect_pair",
    "raw_pair",
    "refine",
    "view_of",
    "view_of_pair",
    "views_of_pair",
]

_PRIVATE = frozenset({"personal_data", "secret"})
_FOREIGN = dict.fromkeys(
    ("ungrounded", "weakly_grounded", "weakly_supported", "unseen_name", "near_copy"),
    CheckPolicy.KEEP,
)
_GRAVE = (CheckPolicy.REPAIR, CheckPolicy.DROP)


@dataclass(frozen=True, slots=True)
class Checks:
    """Configuration of the checks.

    Attributes:
        thresholds: Policies and numbers for pairs.
        terms: Phrases that only the prompt contains.
        by_task: Policies and numbers for rows of other tasks.
        language: Code of the language to write in, whatever the text's is.
        is_watched: True if the canary sees the pairs.
        is_foreign: True if the pairs are in another language than the text.
    """

    thresholds: Thresholds = DEFAULT
    terms: PromptTerms = NO_TERMS
    by_task: Mapping[str, Thresholds] = field(default_factory=dict)
    language: str | None = None
    is_watched: bool = True
    is_foreign: bool = False

    def of(self, task: str) -> Thresholds:
        """Return policies and numbers for rows of a task."""
        return self.by_task.get(task, self.thresholds)


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
    view, checks = _expecting(view_of(chunk), checks)
    views = [views_of_pair(pair, view) for pair in pairs]
    if checks.is_watched:
        ask.around.watch(view, [each for group in views for each in group])
    kept: list[Pair] = []
    elders: list[PreparedPair] = []
    for pair, pair_view in zip(pairs, views, strict=True):
        scores = _scores(pair_view, view, checks)
        findings = _inspect(pair, pair_view, view, elders, checks, scores)
        gravest = worst(findings)
        if gravest is not None and gravest.policy is CheckPolicy.REPAIR and rewrite is not None:
            ask.tell(RepairAsked(reason=gravest.check))
            other = await rewrite(pair, gravest.detail, chunk, ask)
            if other is not None:
                pair, pair_view = other, views_of_pair(other, view)  # noqa: PLW2901
                scores = _scores(pair_view, view, checks)
                findings = _inspect(pair, pair_view, view, elders, checks, scores)
                gravest = worst(findings)
        if gravest is not None and gravest.policy in _GRAVE:
            ask.drop(Rejection(gravest.check, gravest.detail, raw_pair(pair), whole_unit=False))
        elif not ask.around.admit(pair.instruction or pair.answer):
            told = "as many pairs as allowed have this instruction"
            ask.drop(Rejection("repeated", told, raw_pair(pair), whole_unit=False))
        else:
            kept.append(_flagged(pair, findings, scores))
            if pair.task != "text":
                elders.append(pair_view[0])
    return kept


def inspect_pair(
    pair: Pair, view: PreparedChunk, checks: Checks, elders: Sequence[PreparedPair] = ()
) -> tuple[Pair, Finding | None]:
    """Return the pair with flags and scores, and why it would be dropped, if at all."""
    view, checks = _expecting(view, checks)
    pair_view = views_of_pair(pair, view)
    scores = _scores(pair_view, view, checks)
    findings = _inspect(pair, pair_view, view, elders, checks, scores)
    gravest = worst(findings)
    if gravest is not None and gravest.policy in _GRAVE:
        return pair, gravest
    return _flagged(pair, findings, scores), None


def view_of(chunk: Chunk) -> PreparedChunk:
    """Prepare a chunk for the checks."""
    context = [part for part in (chunk.title, chunk.author, *chunk.section) if part]
    return prepare_chunk(chunk.text, context=context, language=chunk.language)


def view_of_pair(pair: Pair, chunk: PreparedChunk) -> PreparedPair:
    """Prepare a pair for the checks."""
    return prepare_pair(
        pair.instruction, pair.answer, pair.evidence, kind=pair.kind, language=chunk.language
    )


def views_of_pair(pair: Pair, chunk: PreparedChunk) -> tuple[PreparedPair, ...]:
    """Yield each request of a pair with its reply, for the checks; plain text has no request."""
    if not pair.messages:
        return (view_of_pair(pair, chunk),)
    asked = [turn.content for turn in pair.messages if turn.role == "user"]
    said = [turn.content for turn in pair.messages if turn.role == "assistant"]
    return tuple(
        prepare_pair(one, other, pair.evidence, kind=pair.kind, language=chunk.language)
        for one, other in zip(asked, said, strict=False)
    )


def raw_pair(pair: Pair) -> str:
    """Serialize a pair as JSON, for the reader of ``rejected/``."""
    shown: dict[str, Any] = {
        "instruction": pair.instruction,
        "answer": pair.answer,
        "evidence": pair.evidence,
    }
    if pair.messages:
        shown["messages"] = [[turn.role, turn.content] for turn in pair.messages]
    try:
        return orjson.dumps(shown).decode()
    except TypeError:  # a lone surrogate
        return str(shown)


def _inspect(
    pair: Pair,
    views: Sequence[PreparedPair],
    chunk: PreparedChunk,
    elders: Sequence[PreparedPair],
    checks: Checks,
    scores: _Scores,
) -> list[Finding]:
    """Collect the findings of all of a pair's exchanges; of each check only the most severe."""
    thresholds = checks.of(pair.task)
    if len(views) == 1:
        found = inspect(
            views[0],
            chunk,
            elders,
            thresholds=thresholds,
            terms=checks.terms,
            support=scores.support,
        )
    else:
        by_name: dict[str, Finding] = {}
        for number, view in enumerate(views):
            earlier = [*elders, *views[:number]]
            for finding in inspect(
                view,
                chunk,
                earlier,
                thresholds=thresholds,
                terms=checks.terms,
                support=scores.support,
            ):
                by_name.setdefault(finding.check, finding)
        found = list(by_name.values())
    if pair.reasoning or pair.fields:
        found = [*found, *_hidden(pair, {finding.check for finding in found}, thresholds)]
    return found


def _hidden(pair: Pair, found: set[str], thresholds: Thresholds) -> list[Finding]:
    """Find personal data and keys outside the turns: in the thought and the recipe's fields."""
    text = "\n".join([pair.reasoning, *map(str, (pair.fields or {}).values())])
    shown = {
        "personal_data": ", ".join(sorted({match.kind for match in find_personal(text)})),
        "secret": "something shaped like a key" if find_secrets(text) else "",
    }
    return [
        Finding(name, thresholds.policies[name], detail)
        for name, detail in shown.items()
        if detail and name not in found and thresholds.policies[name] is not CheckPolicy.KEEP
    ]


@dataclass(frozen=True, slots=True)
class _Scores:
    """Average over a pair's exchanges; None if words of two languages cannot be compared."""

    grounding: float | None = None
    support: float | None = None


def _scores(views: Sequence[PreparedPair], chunk: PreparedChunk, checks: Checks) -> _Scores:
    if checks.is_foreign:
        return _Scores()
    if len(views) == 1:
        return _Scores(score(views[0], chunk), support(views[0], chunk))
    told = [found for view in views if (found := support(view, chunk)) is not None]
    return _Scores(
        sum(score(view, chunk) for view in views) / len(views),
        sum(told) / len(told) if told else None,
    )


def _expecting(view: PreparedChunk, checks: Checks) -> tuple[PreparedChunk, Checks]:
    """Adapt chunk and checks to pairs that are written in a language that the settings name.

    If the text is in another one, checks that compare words of both are off.
    """
    if checks.language is None or checks.language == view.language:
        return view, checks
    tables = {
        task: replace_table(checks.of(task), policies={**checks.of(task).policies, **_FOREIGN})
        for task in get_args(Task)
    }
    foreign = replace_table(
        checks, thresholds=tables["pair"], by_task=tables, is_watched=False, is_foreign=True
    )
    return replace_table(view, language=checks.language), foreign


def _flagged(pair: Pair, findings: Sequence[Finding], scores: _Scores) -> Pair:
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


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)[0]
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {name: _redacted(item) for name, item in value.items()}
    return value
