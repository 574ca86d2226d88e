"""What the checks say of a chunk's pairs: plain functions of values, for this process or another.

Nothing here depends on which pairs are kept: where one is like an elder, it is said beside which.
So all pairs of a chunk are judged at once, and whoever keeps them decides what counts.
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

    from pairmill.quality.canary import ChunkComparer, Sighting
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
    """What is checked.

    Attributes:
        thresholds: Policies and numbers for pairs.
        terms: What only the prompt says.
        by_task: Policies and numbers for rows of another task.
        language: Code of the language that is written in, whatever the text's is.
        is_watched: The canary sees the pairs.
        is_foreign: The text is in another language than what is written.
    """

    thresholds: Thresholds = DEFAULT
    terms: PromptTerms = NO_TERMS
    by_task: Mapping[str, Thresholds] = field(default_factory=dict)
    language: str | None = None
    is_watched: bool = True
    is_foreign: bool = False

    def of(self, task: str) -> Thresholds:
        """Policies and numbers for rows of a task."""
        return self.by_task.get(task, self.thresholds)


class ChunkText(Struct, frozen=True, array_like=True):
    """A chunk as far as the checks read it; ``context`` are its title, author and headings."""

    id: str
    text: str
    context: list[str]
    language: str | None


class PairText(Struct, frozen=True, array_like=True):
    """A pair as far as the checks read it; ``hidden`` is what stands beside its turns."""

    instruction: str
    answer: str
    evidence: str = ""
    kind: str = ""
    task: Task = "pair"
    messages: tuple[Message, ...] = ()
    hidden: str = ""


class PairScores(Struct, frozen=True, array_like=True):
    """Means over a pair's exchanges; None where words of two languages cannot be compared."""

    grounding: float | None = None
    support: float | None = None


class Verdict(Struct, frozen=True, array_like=True):
    """What was found in a pair: in the order of the checks, beside each of its elders."""

    found: list[Finding]
    scores: PairScores

    def beside(self, stands: Sequence[bool]) -> list[Finding]:
        """What counts beside those elders that stand; each check once, and the first time."""
        by_name: dict[str, Finding] = {}
        for finding in self.found:
            if finding.beside is None or stands[finding.beside]:
                by_name.setdefault(finding.check, finding)
        return list(by_name.values())


@dataclass(slots=True)
class CheckJob:
    """A question to the checks.

    Attributes:
        source: The chunk.
        checks: What is checked.
        texts: Pairs about it, in order.
        first: Verdicts are wanted from here on; those before are elders.
        is_watched: The canary sees them, unless the checks say otherwise.
        view: The chunk as it was prepared for an earlier job in this process.
    """

    source: ChunkText
    checks: Checks
    texts: Sequence[PairText]
    first: int = 0
    is_watched: bool = True
    view: PreparedChunk | None = None


@dataclass(frozen=True, slots=True)
class CheckReply:
    """A verdict for each pair that was asked about, and what the canary is to see, if anything."""

    verdicts: list[Verdict]
    sighting: Sighting | None = None


def judge(job: CheckJob, comparer: ChunkComparer | None = None) -> CheckReply:
    """Judge the pairs of a job; without a comparer the canary sees nothing. Keeps the job's view.

    A pair that is written in a language of its own is not compared with a text in another one.
    """
    source = job.source
    if job.view is None:
        job.view = prepare_chunk(source.text, context=source.context, language=source.language)
    view, checks = expecting(job.view, job.checks)
    groups = [_views(text, view) for text in job.texts]
    sighting = None
    if comparer is not None and job.is_watched and checks.is_watched:
        sighting = comparer.look(view, [each for group in groups[job.first :] for each in group])
    elders = [group[0] for group in groups]
    verdicts = [
        _verdict(job.texts[at], groups[at], view, elders[:at], checks)
        for at in range(job.first, len(groups))
    ]
    return CheckReply(verdicts, sighting)


def judge_pair(
    text: PairText, view: PreparedChunk, checks: Checks, elders: Sequence[PreparedPair] = ()
) -> Verdict:
    """The verdict on one pair, of a chunk and by checks that expect its language."""
    return _verdict(text, _views(text, view), view, elders, checks)


def source_of(chunk: Chunk) -> ChunkText:
    """What the checks read of a chunk."""
    context = [part for part in (chunk.title, chunk.author, *chunk.section) if part]
    return ChunkText(chunk.id, chunk.text, context, chunk.language)


def text_of(pair: Pair) -> PairText:
    """What the checks read of a pair."""
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
    """A chunk as the checks read it."""
    source = source_of(chunk)
    return prepare_chunk(source.text, context=source.context, language=source.language)


def view_of_pair(pair: Pair | PairText, chunk: PreparedChunk) -> PreparedPair:
    """A pair as the checks read it."""
    return prepare_pair(
        pair.instruction, pair.answer, pair.evidence, kind=pair.kind, language=chunk.language
    )


def expecting(view: PreparedChunk, checks: Checks) -> tuple[PreparedChunk, Checks]:
    """The chunk and the checks for pairs that are written in a language of their own.

    Where the text is in another one, what compares words of both is not checked.
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
    """The scores of a pair's exchanges."""
    if checks.is_foreign:
        return PairScores()
    if len(views) == 1:
        return PairScores(score(views[0], chunk), support(views[0], chunk))
    told = [found for view in views if (found := support(view, chunk)) is not None]
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
    """What is found in any of a pair's exchanges, beside each of the elders."""
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
    """Each request of a pair with its reply, as the checks read them; plain text has no request."""
    if not text.messages:
        return (view_of_pair(text, chunk),)
    asked = [turn.content for turn in text.messages if turn.role == "user"]
    said = [turn.content for turn in text.messages if turn.role == "assistant"]
    return tuple(
        prepare_pair(one, other, text.evidence, kind=text.kind, language=chunk.language)
        for one, other in zip(asked, said, strict=False)
    )


def _hidden(text: str, found: Sequence[Finding], thresholds: Thresholds) -> list[Finding]:
    """Personal data and keys in what is beside the turns: the thought, and the recipe's fields."""
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
