"""Entry point of a checking process: jobs in, verdicts out, until its parent ends.

`pairmill.run.checking` starts it. It holds no key, and caches only the stems of 64 chunks for the
canary, and chunks that may come again with a regenerated pair.
"""

from __future__ import annotations

import signal
import sys
from collections import OrderedDict
from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from pairmill.quality.canary import CanaryInput, ChunkComparer
from pairmill.quality.filters import PromptTerms
from pairmill.quality.thresholds import CheckPolicy, Thresholds
from pairmill.recipes.checks import CheckJob, Checks, ChunkText, PairText, Verdict, judge
from pairmill.run.tuning import calm_collector
from pairmill.sources.processes import BrokenFrameError, read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.quality.grounding import PreparedChunk
    from pairmill.recipes.checks import CheckReply

__all__ = ["JobBatch", "JobFrame", "ReplyBatch", "ReplyFrame", "checks_as_data", "main"]

_KEPT_CHUNKS = 256  # prepared chunks of about 50 kB each

Data = dict[str, Any]
Judge: TypeAlias = "Callable[[CheckJob, ChunkComparer | None], CheckReply]"


class JobFrame(Struct, frozen=True, array_like=True):
    """One job; ``number`` is returned with its verdicts, ``table`` selects the table of checks."""

    number: int
    table: int
    source: ChunkText
    texts: list[PairText]
    first: int
    is_watched: bool


class JobBatch(Struct, frozen=True, array_like=True):
    """Jobs, and those tables of checks that the process does not have yet."""

    seed: int
    tables: dict[int, Data]
    jobs: list[JobFrame]


class ReplyFrame(Struct, frozen=True, array_like=True):
    """Result of a job; ``fault`` describes an exception in a check, or is ""."""

    number: int
    verdicts: list[Verdict]
    canary_input: CanaryInput | None = None
    fault: str = ""


class ReplyBatch(Struct, frozen=True, array_like=True):
    """The replies to a batch, in order."""

    replies: list[ReplyFrame]


def checks_as_data(checks: Checks) -> Data:
    """Return the checks as plain values, for `JobBatch`."""
    return {
        "thresholds": _table_as_data(checks.thresholds),
        "terms": [list(checks.terms.joined), checks.terms.canary],
        "by_task": {task: _table_as_data(table) for task, table in checks.by_task.items()},
        "language": checks.language,
        "is_watched": checks.is_watched,
        "is_foreign": checks.is_foreign,
    }


def checks_of(data: Data) -> Checks:
    """Restore the checks from plain values."""
    joined, canary = data["terms"]
    return Checks(
        _table_of(data["thresholds"]),
        PromptTerms(tuple(joined), canary),
        {task: _table_of(table) for task, table in data["by_task"].items()},
        data["language"],
        is_watched=data["is_watched"],
        is_foreign=data["is_foreign"],
    )


def _table_as_data(table: Thresholds) -> Data:
    data = {it.name: getattr(table, it.name) for it in fields(table)}
    return {**data, "policies": {name: str(it) for name, it in table.policies.items()}}


def _table_of(data: Data) -> Thresholds:
    policies = {name: CheckPolicy(it) for name, it in data["policies"].items()}
    return Thresholds(**{**data, "policies": MappingProxyType(policies)})


class _Bench:
    """Judges jobs, with a cache for later ones."""

    def __init__(self, judge: Judge) -> None:
        self._judge_pairs = judge
        self._tables: dict[int, Checks] = {}
        self._views: OrderedDict[str, PreparedChunk] = OrderedDict()
        self._comparer: ChunkComparer | None = None

    def work(self, batch: JobBatch) -> ReplyBatch:
        """Judge a batch."""
        if self._comparer is None:
            self._comparer = ChunkComparer(batch.seed)
        self._tables |= {at: checks_of(data) for at, data in batch.tables.items()}
        return ReplyBatch([self._judge(job, self._comparer) for job in batch.jobs])

    def _judge(self, sent: JobFrame, comparer: ChunkComparer) -> ReplyFrame:
        view = self._views.pop(sent.source.id, None)
        job = CheckJob(
            sent.source, self._tables[sent.table], sent.texts, sent.first, sent.is_watched, view
        )
        try:
            reply = self._judge_pairs(job, comparer)
        except Exception as error:  # noqa: BLE001 (a fault of ours ends one unit, as in the run)
            return ReplyFrame(sent.number, [], None, f"{type(error).__name__}: {error}")
        if job.view is not None:
            self._keep(sent.source.id, job.view)
        return ReplyFrame(sent.number, reply.verdicts, reply.canary_input)

    def _keep(self, name: str, view: PreparedChunk) -> None:
        self._views[name] = view
        if len(self._views) > _KEPT_CHUNKS:
            self._views.popitem(last=False)


def main() -> int:
    """Judge batches until the parent closes the pipe; return the exit code."""
    # The parent handles signals: it still wants verdicts on answers that have arrived.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    inward, outward = map(int, sys.argv[1:])
    return serve(inward, outward)


def serve(inward: int, outward: int, judge: Judge = judge) -> int:
    """Judge batches read from one descriptor, and reply on the other, until end of file."""
    bench = _Bench(judge)
    with calm_collector():
        while True:
            try:
                batch = read_frame(inward, JobBatch)
                write_frame(outward, bench.work(batch))
            except (BrokenFrameError, BrokenPipeError):
                return 0  # the run ended or was killed
