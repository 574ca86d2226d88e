"""Judge the pairs of a chunk: pure functions that run in this process or in another one.

Verdicts do not depend on which pairs are kept: a twin finding names the earlier pair that it refers
to. All pairs of a chunk are therefore judged at once, and the caller decides which findings count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as replace_table
from typing import TYPE_CHECKING, get_args

from msgspec import Struct
from msgspec.structs import replace

from pairmill.quality.filters import NO_TERMS, Finding, inspect
from pairmill.quality.grounding import prepare_chunk, prepare_pair, score
from pairmill.quality.privacy import find_personal, find_secrets
from pairmill.quality.support import support
from pairmill.quality.thresholds import DEFAULT, CheckPolicy, Thresholds
from pairmill.records import Message, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.quality.canary import CanaryInput, ChunkComparer
    from pairmill.quality.filters import PromptTerms
    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.records import Chunk, Pair

__all__ = [
    "CheckJob",
    "CheckReply",
    "Checks",
    "ChunkText",
    "PairScores",
    "PairText",
    "Verdict",
    "expecting",
    "judge",
    "judge_pair",
    "source_of",
    "text_of",
    "view_of",
    "view_of_pair",
]

_FOREIGN = dict.fromkeys(
    ("ungrounded", "weakly_grounded", "weakly_supported", "unseen_name", "near_copy"),
    CheckPolicy.KEEP,
)


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


class ChunkText(Struct, frozen=True, array_like=True):
    """The parts of a chunk that the checks read; ``context`` is title, author and headings."""

    id: str
    text: str
    context: list[str]
    language: str | None


class PairText(Struct, frozen=True, array_like=True):
    """The parts of a pair that the checks read; ``hidden`` is its reasoning and extra fields."""

    instruction: str
    answer: str
    evidence: str = ""
    kind: str = ""
    task: Task = "pair"
    messages: tuple[Message, ...] = ()
    hidden: str = ""


class PairScores(Struct, frozen=True, array_like=True):
    """Average over a pair's exchanges; None if words of two languages cannot be compared."""

    grounding: float | None = None
    support: float | None = None


class Verdict(Struct, frozen=True, array_like=True):
    """Findings of one pair in the order of the checks, and its scores."""

    found: list[Finding]
    scores: PairScores

    def beside(self, stands: Sequence[bool]) -> list[Finding]:
        """Return the findings that apply if these earlier pairs are kept, each check once."""
        by_name: dict[str, Finding] = {}
        for finding in self.found:
            if finding.beside is None or stands[finding.beside]:
                by_name.setdefault(finding.check, finding)
        return list(by_name.values())


@dataclass(slots=True)
class CheckJob:
    """Pairs of one chunk to judge.

    Attributes:
        source: The chunk.
        checks: Configuration of the checks.
        texts: Pairs of the chunk, in order.
        first: Index of the first pair to judge; the pairs before it are already kept.
        is_watched: True if the canary sees the pairs (and ``checks`` allows it).
        view: The prepared chunk, if an earlier job in this process has prepared it.
    """

    source: ChunkText
    checks: Checks
    texts: Sequence[PairText]
    first: int = 0
    is_watched: bool = True
    view: PreparedChunk | None = None


@dataclass(frozen=True, slots=True)
class CheckReply:
    """A verdict for each judged pair, and the canary's sample if the canary sees them."""

    verdicts: list[Verdict]
    canary_input: CanaryInput | None = None


def judge(job: CheckJob, comparer: ChunkComparer | None = None) -> CheckReply:
    """Judge the pairs of a job, and store the prepared chunk in it.

    Args:
        job: The pairs. If they are written in another language than the text, they are not
            compared with it.
        comparer: Makes the canary's sample; None makes none.
    """
    source = job.source
    if job.view is None:
        job.view = prepare_chunk(source.text, context=source.context, language=source.language)
    view, checks = expecting(job.view, job.checks)
    groups = [_views(text, view) for text in job.texts]
    canary_input = None
    if comparer is not None and job.is_watched and checks.is_watched:
        canary_input = comparer.look(
            view, [each for group in groups[job.first :] for each in group]
        )
    elders = [group[0] for group in groups]
    verdicts = [
        _verdict(job.texts[at], groups[at], view, elders[:at], checks)
        for at in range(job.first, len(groups))
    ]
    return CheckReply(verdicts, canary_input)


def judge_pair(
    text: PairText, view: PreparedChunk, checks: Checks, elders: Sequence[PreparedPair] = ()
) -> Verdict:
    """Judge one pair; view and checks come from `expecting`."""
    return _verdict(text, _views(text, view), view, elders, checks)


def source_of(chunk: Chunk) -> ChunkText:
    """Return the parts of a chunk that the checks read."""
    context = [part for part in (chunk.title, chunk.author, *chunk.section) if part]
    return ChunkText(chunk.id, chunk.text, context, chunk.language)


def text_of(pair: Pair) -> PairText:
    """Return the parts of a pair that the checks read."""
    hidden = ""
    if pair.reasoning or pair.fields:
        hidden = "\n".join([pair.reasoning, *map(str, (pair.fields or {}).values())])
    return PairText(
        pair.instruction,
        pair.answer,
        pair.evidence,
        pair.kind,
        pair.task,
        pair.messages,
        hidden,
    )


def view_of(chunk: Chunk) -> PreparedChunk:
    """Prepare a chunk for the checks."""
    source = source_of(chunk)
    return prepare_chunk(source.text, context=source.context, language=source.language)


def view_of_pair(pair: Pair | PairText, chunk: PreparedChunk) -> PreparedPair:
    """Prepare a pair for the checks."""
    return prepare_pair(
        pair.instruction, pair.answer, pair.evidence, kind=pair.kind, language=chunk.language
    )


def expecting(view: PreparedChunk, checks: Checks) -> tuple[PreparedChunk, Checks]:
    """Adapt chunk and checks to the language that the pairs are written in.

    If the text is in another language, the checks that compare words of both are left out.
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
    return replace(view, language=checks.language), foreign


def _verdict(
    text: PairText,
    views: Sequence[PreparedPair],
    chunk: PreparedChunk,
    elders: Sequence[PreparedPair],
    checks: Checks,
) -> Verdict:
    scores = _scores(views, chunk, checks)
    return Verdict(_findings(text, views, chunk, elders, checks, scores), scores)


def _scores(views: Sequence[PreparedPair], chunk: PreparedChunk, checks: Checks) -> PairScores:
    """Average the scores of a pair's exchanges."""
    if checks.is_foreign:
        return PairScores()
    formula = checks.thresholds.support_formula
    if len(views) == 1:
        return PairScores(score(views[0], chunk), support(views[0], chunk, formula))
    told = [found for view in views if (found := support(view, chunk, formula)) is not None]
    return PairScores(
        sum(score(view, chunk) for view in views) / len(views),
        sum(told) / len(told) if told else None,
    )


def _findings(
    text: PairText,
    views: Sequence[PreparedPair],
    chunk: PreparedChunk,
    elders: Sequence[PreparedPair],
    checks: Checks,
    scores: PairScores,
) -> list[Finding]:
    """Collect the findings of all of a pair's exchanges."""
    thresholds = checks.of(text.task)
    found: list[Finding] = []
    for number, view in enumerate(views):
        for finding in inspect(
            view,
            chunk,
            [*elders, *views[:number]],
            thresholds=thresholds,
            terms=checks.terms,
            support=scores.support,
            grounding=scores.grounding if len(views) == 1 else None,
            every_twin=True,
        ):
            is_own = finding.beside is not None and finding.beside >= len(elders)
            found.append(replace(finding, beside=None) if is_own else finding)
    return [*found, *_hidden(text.hidden, found, thresholds)] if text.hidden else found


def _views(text: PairText, chunk: PreparedChunk) -> tuple[PreparedPair, ...]:
    """Prepare each request of a pair with its reply; plain text has no request."""
    if not text.messages:
        return (view_of_pair(text, chunk),)
    asked = [turn.content for turn in text.messages if turn.role == "user"]
    said = [turn.content for turn in text.messages if turn.role == "assistant"]
    return tuple(
        prepare_pair(one, other, text.evidence, kind=text.kind, language=chunk.language)
        for one, other in zip(asked, said, strict=False)
    )


def _hidden(text: str, found: Sequence[Finding], thresholds: Thresholds) -> list[Finding]:
    """Find personal data and keys outside the turns: in the thought and the recipe's fields."""
    shown = {
        "personal_data": ", ".join(sorted({match.kind for match in find_personal(text)})),
        "secret": "something shaped like a key" if find_secrets(text) else "",
    }
    names = {finding.check for finding in found}
    return [
        Finding(name, thresholds.policies[name], detail)
        for name, detail in shown.items()
        if detail and name not in names and thresholds.policies[name] is not CheckPolicy.KEEP
    ]
