"""Surveys an input and the finished part of a run folder, without asking a model.

The recipe really runs; its questions get schema-conforming answers, made from the prompt's own
passage as by the simulated endpoint. So a chain of questions is followed to its end. For
``--dry-run`` it also lists the processes that a run would start.
"""

from __future__ import annotations

import heapq
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import anyio
import typer

from pairmill.chunking.reader import read_chunks
from pairmill.config import Settings, fingerprint, is_local_model
from pairmill.errors import InputError, PairmillError, RejectedError, UsageError
from pairmill.llm.token_estimate import prompt_chars
from pairmill.recipes.controls import MOST_EARLY
from pairmill.recipes.make import for_unit, make_recipe, recipe_of_folder
from pairmill.recipes.probe_question import first_question
from pairmill.records import Chunk, digest
from pairmill.service.console import tell
from pairmill.sources.files import STANDARD_INPUT
from pairmill.sources.notes import InputFate
from pairmill.store.entries import Measured, UnitKey
from pairmill.store.folder import read_folder
from pairmill.store.side_files import read_last_settings
from pairmill.testing import ScriptedAsk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pairmill.recipes.recipe import Recipe
    from pairmill.records import Prompt
    from pairmill.sources.notes import Note
    from pairmill.store.ledger import LedgerReader

__all__ = [
    "Rehearsal",
    "Survey",
    "planned_processes",
    "print_plan",
    "rehearse",
    "rehearse_unit",
    "survey",
]


class Rehearsal(NamedTuple):
    """What a recipe does with a chunk: the prompts that it sends, the rows that it writes."""

    prompts: list[Prompt]
    rows: int


async def rehearse_unit(recipe: Recipe, chunk: Chunk) -> Rehearsal:
    """Run a recipe on a chunk as if every answer were valid at once."""
    ask = ScriptedAsk()
    rows = 0
    with suppress(RejectedError):  # the questions asked so far are what such a chunk costs
        rows = len(await recipe.write(chunk, ask))
    return Rehearsal(ask.prompts, rows)


async def rehearse(recipe: Recipe, chunk: Chunk) -> list[Prompt]:
    """Return the prompts that the recipe sends for a chunk if every answer is valid at once."""
    return (await rehearse_unit(recipe, chunk)).prompts


_SAMPLED = 200
_EXAMPLES = 3
_GROUP = 512
_MOST_NAMES = 2_000_000  # kept to count duplicates once; beyond this, new chunks are not compared


@dataclass(frozen=True, slots=True)
class Survey:
    """Result of a survey.

    Attributes:
        documents: Documents read.
        skipped: Pieces of input and documents that cannot be used.
        reasons: Map of reason to number of these.
        examples: The first few for each reason.
        chunks: Distinct chunks.
        finished: Chunks among these that the run folder has finished.
        calls: Calls per unit, on average, by rehearsal.
        prompt_chars: Characters of a unit's prompts together, likewise.
        max_tokens: ``max_tokens`` of a unit's calls together, likewise.
        measured: Figures of the run folder's own units, if run with the same settings.
        rows: Rows per unit, on average, by rehearsal; None if the recipe's own plan determines it.
        varies: True if the number of calls depends on what the model writes.
        repeated: Chunks that repeat others, and are not among ``chunks``.
    """

    documents: int
    skipped: int
    reasons: Mapping[str, int]
    examples: Mapping[str, tuple[str, ...]]
    chunks: int
    finished: int
    calls: float
    prompt_chars: float
    max_tokens: float
    measured: Measured
    rows: float | None = None
    varies: bool = False
    repeated: int = 0

    @property
    def fresh(self) -> int:
        """Number of chunks still to be asked about."""
        return self.chunks - self.finished


async def survey(settings: Settings) -> Survey:
    """Read all input, and the run folder if there is one.

    Raises:
        InputError: An input cannot be read.
        FolderError: The run folder's ledger is damaged.
        ConfigError: There is no such recipe.
    """
    recipe, _ = recipe_of_folder(settings)
    settings = for_unit(settings, recipe)
    fates = dict.fromkeys(InputFate, 0)
    reasons: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    repeated = 0

    def count(note: Note) -> None:
        nonlocal repeated
        repeated += note.chunks
        fates[note.fate] += 1
        if note.fate in (InputFate.SKIPPED, InputFate.DROPPED):
            reasons[note.reason] += 1
            named = examples.setdefault(note.reason, [])
            if len(named) < _EXAMPLES:
                named.append(f"{note.source}: {note.detail}" if note.detail else note.source)

    chunks = islice(read_chunks(settings, count), settings.limit)
    drawn = _Draw(_SAMPLED)
    lookup, measured = _open_ledger(settings)
    try:
        seen, finished = _count_chunks(chunks, recipe, lookup, drawn)
    finally:
        if lookup:
            lookup.close()
    rehearsed = [await rehearse_unit(recipe, chunk) for chunk in drawn.chunks]
    prompts = [one.prompts for one in rehearsed]
    untried, share = await _without_trials(settings, drawn, seen - finished)

    def mean(measure: Callable[[Sequence[Prompt]], int]) -> float:
        """Average over units; only some test judge and verifier, a rehearsed one always does."""
        return share * _mean(prompts, measure) + (1 - share) * _mean(untried, measure)

    own = recipe.origin is not None or recipe.source
    return Survey(
        documents=fates[InputFate.READ],
        skipped=sum(reasons.values()),
        reasons=dict(reasons.most_common()),
        examples={reason: tuple(named) for reason, named in examples.items()},
        chunks=seen,
        finished=finished,
        calls=mean(len),
        prompt_chars=mean(lambda of_unit: sum(map(prompt_chars, of_unit))),
        max_tokens=mean(lambda of_unit: sum(p.sampling.max_tokens for p in of_unit)),
        measured=measured,
        rows=sum(one.rows for one in rehearsed) / len(rehearsed) if own and rehearsed else None,
        repeated=repeated,
        varies=recipe.origin is not None and any(step.for_each for step in recipe.origin.steps),
    )


async def _without_trials(
    settings: Settings, drawn: _Draw, fresh: int
) -> tuple[list[list[Prompt]], float]:
    """Return the prompts of units that do not test judge or verifier, and the share that do."""
    if settings.judge == settings.verify == "off" or not fresh:
        return [], 1.0
    recipe = make_recipe(settings.model_copy(update={"judge_trust": 0.0, "verify_trust": 0.0}))
    prompts = [(await rehearse_unit(recipe, chunk)).prompts for chunk in drawn.chunks]
    steps = (
        (settings.judge, settings.judge_share, settings.judge_trust),
        (settings.verify, settings.verify_share, settings.verify_trust),
    )
    shares = [
        trust + MOST_EARLY / (fresh * (1.0 if which == "all" else share))
        for which, share, trust in steps
        if which != "off" and trust
    ]
    return prompts, min(1.0, max(shares, default=0.0))


class _Draw:
    """Sample of the chunks with the smallest ids: ids are hashes, so it is as good as random."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, str, Chunk]] = []  # negated: the largest is on top

    def offer(self, chunk: Chunk) -> None:
        """Offer a chunk, which must not have been offered before."""
        entry = (-int(chunk.id, 16), chunk.id, chunk)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            heapq.heapreplace(self._heap, entry)

    @property
    def chunks(self) -> Iterable[Chunk]:
        """Sampled chunks."""
        return (chunk for _, _, chunk in self._heap)


def _open_ledger(settings: Settings) -> tuple[LedgerReader | None, Measured]:
    """Open the run folder's ledger; with what its units took if made with these settings."""
    try:
        folder = read_folder(settings.output)
    except PairmillError:
        return None, Measured()
    if not folder.has_ledger:
        return None, Measured()
    lookup = folder.read_ledger()
    last = read_last_settings(folder)
    alike = last is not None and fingerprint(last) == fingerprint(settings)
    return lookup, lookup.measured() if alike else Measured()


def _count_chunks(
    chunks: Iterator[Chunk], recipe: Recipe, lookup: LedgerReader | None, drawn: _Draw
) -> tuple[int, int]:
    """Count the distinct chunks and the finished ones, and draw samples from the others."""
    names: set[bytes] = set()
    seen = finished = 0
    while group := list(islice(chunks, _GROUP)):
        new: dict[str, Chunk] = {}
        for chunk in group:
            name = bytes.fromhex(chunk.id)[:8]
            if name not in names:
                new[digest(chunk.id, recipe.identity)] = chunk
                if len(names) < _MOST_NAMES:
                    names.add(name)
        seen += len(new)
        done = _finished(new, lookup)
        finished += len(done)
        for unit, chunk in new.items():
            if unit not in done:
                drawn.offer(chunk)
    return seen, finished


def _finished(units: dict[str, Chunk], lookup: LedgerReader | None) -> set[str]:
    if lookup is None:
        return set()
    return lookup.known([UnitKey(unit, chunk.id) for unit, chunk in units.items()]).finished


def _mean(prompts: Sequence[Sequence[Prompt]], size: Callable[[Sequence[Prompt]], float]) -> float:
    return sum(map(size, prompts)) / len(prompts) if prompts else 0.0


def print_plan(settings: Settings) -> None:
    """Print the plan of a run: counts on standard error, the first prompt on standard output.

    Raises:
        PairmillError: The recipe or the inputs cannot be used, or contain no article.
    """
    if STANDARD_INPUT in settings.inputs:
        raise UsageError("--dry-run reads the input twice: name files or folders instead of -")
    anyio.run(_print_plan, settings)


async def _print_plan(settings: Settings) -> None:
    recipe = make_recipe(settings)
    found = await survey(settings)
    for reason, count in found.reasons.items():
        tell(f"  skipped    {count:,} x {reason}")
    tell(
        f"{found.documents:,} documents, {found.chunks:,} chunks, {found.finished:,} of them done;"
        f" {found.fresh * found.calls:,.0f} calls of recipe {recipe.name}"
        f" {recipe.prompt_version} to {settings.model}",
    )
    for line in planned_processes(settings):
        tell(f"  process    {line}")
    chunks = read_chunks(for_unit(settings, recipe), lambda _note: None)
    for chunk in islice(chunks, 1):
        question = await first_question(recipe, chunk)
        if question is None:
            tell("the recipe asks nothing about the first chunk")
            return
        prompt, _ = question
        for message in prompt.template.messages:
            typer.echo(f"--- {message.role}\n{message.content}\n")
        typer.echo(f"--- user\n{prompt.text}")
        return
    raise InputError(f"{', '.join(settings.inputs)}: holds no article")


_BUSY = "once 100 chunks a second are finished"


def planned_processes(settings: Settings) -> list[str]:
    """Return a line for each kind of process that a run starts besides itself, with the reason."""
    return [
        "1 to read: opens, cleans and splits documents",
        _pages(settings),
        _checks(settings),
        *_models(settings),
    ]


def _pages(settings: Settings) -> str:
    count = settings.page_process_count
    why = "one a core" if settings.page_processes == "auto" else "page_processes"
    return f"up to {count} for pages, PDF and Office files, once such a document comes ({why})"


def _checks(settings: Settings) -> str:
    count = settings.check_process_count
    if settings.checks == "off":
        return "none to check pairs (checks: off)"
    if settings.check_processes != "auto":
        what = f"{count} to check pairs, from the first pair on" if count else _INLINE
        return f"{what} (check_processes)"
    if not count:
        return f"{_INLINE} (there is one core for all)"
    why = "the run keeps one core for itself" if count == 1 else "a run keeps no more busy"
    return f"up to {count} to check pairs, {_BUSY} ({why})"


_INLINE = "none to check pairs, which the run does itself"


def _models(settings: Settings) -> list[str]:
    """Name the servers of models that run on this machine."""
    names = {settings.model, *(pool.model for pool in settings.pools if pool.model)}
    return [
        f"1 for the model {name}, on this machine" for name in sorted(names) if is_local_model(name)
    ]
