"""Explains how a pair was made: its text, every question and answer, findings with figures.

Nothing is asked. The recipe is run again on the pair's chunk and is given the answers that the
ledger holds, so that prompts, repairs and drops are those of the run itself.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import orjson
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from pairmill.display import sanitize, wrap_line
from pairmill.errors import InputError, PairmillError, RejectedError
from pairmill.events import Bus
from pairmill.llm.price_files import load_prices
from pairmill.llm.prices import PICO
from pairmill.output.rows import complete_lines, exchanges_of, open_shards, parse, published_shards
from pairmill.output.show import print_texts
from pairmill.output.source_texts import find_chunks, has_code
from pairmill.quality.filters import inspect
from pairmill.quality.grounding import evidence_match, fragments, prepare_pair, score
from pairmill.quality.support import support
from pairmill.quality.text import count_words
from pairmill.quality.thresholds import DEFAULT, Thresholds, override
from pairmill.recipes.checks import view_of
from pairmill.recipes.make import recipe_of_folder
from pairmill.recipes.recipe import NullContext
from pairmill.recipes.repair import Asker, Questions
from pairmill.records import Rejection, digest
from pairmill.store.claim_store import CLAIMS, held_by
from pairmill.store.entries import UnitKey
from pairmill.store.folder import read_folder
from pairmill.store.side_files import read_last_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pairmill.config import Settings
    from pairmill.output.rows import Row
    from pairmill.quality.grounding import PreparedChunk, PreparedPair
    from pairmill.records import Chunk, Completion, Request
    from pairmill.store.folder import RunFolder

__all__ = [
    "Explanation",
    "MeasuredPair",
    "explain",
    "explain_row",
    "explanation_to_json",
    "prepare_row",
    "print_explanation",
    "settings_of",
    "thresholds_of",
]

_NO_UNIT = "0" * 32  # a unit that never ended, so that its chunk's answers are looked up
_NO_CALLS = "the answers are not in the ledger"


class _MissingAnswerError(PairmillError):
    """A question without an answer in the ledger."""


@dataclass(frozen=True, slots=True)
class MeasuredPair:
    """A figure that a check compares: its check, value, threshold, and comparison."""

    check: str
    value: float
    limit: str
    finding: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything known about a row.

    Attributes:
        row: As it is in ``data/`` or ``rejected/``.
        shard: Where.
        is_rejected: It is in ``rejected/``.
        chunk: What it was written from; None if the inputs are gone.
        exchanges: Every question of its chunk with its answer, in order.
        unmatched: Answers of the chunk that match no current question.
        note: Why questions are missing; "" if none are.
        dropped: Dropped parts of the chunk's answers.
        measures: Numbers beside thresholds.
        usd: Cost of the chunk's answers; None if a price is unknown.
    """

    row: Row
    shard: Path
    is_rejected: bool
    chunk: Chunk | None
    exchanges: Sequence[tuple[Request, Completion]] = ()
    unmatched: Sequence[Completion] = ()
    note: str = ""
    dropped: Sequence[Rejection] = ()
    measures: Sequence[MeasuredPair] = ()
    usd: float | None = None


@dataclass(slots=True)
class _Replay:
    """Answers requests from the ledger, and records the questions."""

    answers: dict[str, Completion]
    exchanges: list[tuple[Request, Completion]] = field(default_factory=list)

    async def __call__(self, request: Request) -> Completion:
        found = self.answers.pop(request.id, None)
        if found is None:
            raise _MissingAnswerError("asked a question whose answer was never bought")
        self.exchanges.append((request, found))
        return found

    def holds(self, request: Request) -> bool:
        """Return whether there is an answer to this request that was not asked for yet."""
        return request.id in self.answers


@dataclass(frozen=True, slots=True)
class _RunContext(NullContext):
    """Recalls what the run kept between units, such as authors' style cards; keeps nothing."""

    path: Path | None = None

    def recall(self, name: str) -> str | None:
        """Return the value stored under the name."""
        if name in self.kept or self.path is None or not self.path.is_file():
            return self.kept.get(name)
        address = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True)) as database:
                row = database.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        except sqlite3.Error:
            return None
        return str(row[0]) if row else None


class _KnownClaims(NamedTuple):
    """What a unit was the first of the corpus to have, as decided in the run."""

    path: Path
    scope: str
    unit: str

    async def claim(self, names: Sequence[str]) -> list[bool]:
        """Return whether each name is the unit's."""
        return held_by(self.path, self.scope, self.unit, names)


def explain(name: str, path: Path, *, run_code: bool = False) -> Explanation:
    """Find a row by its id or an unambiguous prefix, and explain how it was made.

    Args:
        name: The row's id, in ``data/`` or in ``rejected/``.
        path: The run folder.
        run_code: Whether Python code named by the folder (its recipe, sources) may run.

    Raises:
        InputError: No row has this id, or several do.
        FolderError: It is not a run folder, or it is damaged.
    """
    folder = read_folder(path)
    row, shard, is_rejected = _find_row(folder.path, name)
    chunk_id = str(row.get("chunk_id"))
    chunk = find_chunks(folder, {chunk_id}, run_code=run_code).get(chunk_id)
    return explain_row(folder, row, shard, chunk, is_rejected=is_rejected, run_code=run_code)


def explain_row(
    folder: RunFolder,
    row: Row,
    shard: Path,
    chunk: Chunk | None,
    *,
    is_rejected: bool,
    run_code: bool = False,
) -> Explanation:
    """Explain how a given row was made.

    Args:
        folder: The run folder.
        row: As it is in ``data/`` or ``rejected/``.
        shard: Where.
        chunk: What it was written from; None if that is not at hand.
        is_rejected: It is in ``rejected/``.
        run_code: Whether a recipe in Python, which the folder names, may run.

    Raises:
        FolderError: The ledger is damaged.
    """
    chunk_id = str(row.get("chunk_id"))
    answers = _answers_of(folder, chunk_id)
    settings = settings_of(folder)
    replay = _Replay(dict(answers))
    dropped: list[Rejection] = []
    note = "" if chunk else _why_no_chunk(settings, run_code=run_code)
    if not answers:
        note = note or _NO_CALLS
    elif settings and has_code(settings) and not run_code:
        note = note or (
            f"its questions are not shown: its recipe is Python code ({settings.recipe_name}),"
            " which is not run; --run-code runs it"
        )
    elif chunk and settings:
        note = anyio.run(_ask_again, settings, folder, chunk, replay, dropped)
    usd = None
    if answers and settings:
        usd = _cost(answers.values(), settings)
    return Explanation(
        row,
        shard,
        is_rejected,
        chunk,
        replay.exchanges,
        list(replay.answers.values()),
        note,
        dropped,
        [] if is_rejected or chunk is None else _measure(row, chunk, settings),
        usd,
    )


def _why_no_chunk(settings: Settings | None, *, run_code: bool) -> str:
    if settings and (settings.sources or settings.splitter) and not run_code:
        return (
            "its text and its questions are not shown: the run read its texts with Python code of"
            " its own, which is not run; --run-code runs it"
        )
    return "the run's inputs are not there any more, so its questions are unknown"


async def _ask_again(
    settings: Settings,
    folder: RunFolder,
    chunk: Chunk,
    replay: _Replay,
    dropped: list[Rejection],
) -> str:
    """Run the recipe on the chunk with the answers that are there; a note where that ends early."""
    try:
        recipe, _ = recipe_of_folder(settings, folder.state / "recipe")
        questions = Questions(
            Bus(),
            model=settings.model,
            max_attempts=settings.max_attempts,
            around=_RunContext(path=folder.state / "memory.db"),
        )
        unit = digest(chunk.id, recipe.identity)
        claims = _KnownClaims(folder.state / CLAIMS, recipe.identity, unit)
        asker = Asker(questions, replay, claims, replay.holds)
        try:
            await recipe.write(chunk, asker)
        except RejectedError as error:
            asker.drop(Rejection(error.reason, error.detail, error.raw))
        finally:
            dropped += asker.dropped
    except _MissingAnswerError:
        return (
            "some questions cannot be made again as they were (the settings, the recipe or a style"
            " card have changed); answers without a question are listed by themselves"
        )
    except PairmillError as error:
        return f"the recipe cannot be run again: {error}"
    return ""


def _find_row(folder: Path, name: str) -> tuple[Row, Path, bool]:
    found: dict[str, tuple[Row, Path, bool]] = {}
    wanted = name.encode()
    for shard, is_rejected in _shards(folder):
        for line in complete_lines(shard):
            if wanted not in line.data:
                continue
            row = parse(line, shard)
            if str(row.get("id")).startswith(name):
                found.setdefault(str(row["id"]), (row, shard, is_rejected))
    if name in found:
        return found[name]
    if not found:
        raise InputError(f"{folder}: no pair '{name}', neither in data/ nor in rejected/")
    if len(found) > 1:
        few = ", ".join(list(found)[:4])
        raise InputError(f"{folder}: '{name}' begins several ids: {few}")
    return next(iter(found.values()))


def _shards(folder: Path) -> Iterator[tuple[Path, bool]]:
    for kind in ("train", "rejected"):
        for shard in (*open_shards(folder, kind), *published_shards(folder, kind)):
            yield shard, kind == "rejected"


def _answers_of(folder: RunFolder, chunk_id: str) -> dict[str, Completion]:
    if not folder.has_ledger:
        return {}
    with folder.read_ledger() as lookup:
        try:
            known = lookup.known([UnitKey(_NO_UNIT, chunk_id)])
        except ValueError:  # no id of ours
            return {}
    return dict(known.answers.get(chunk_id, {}))


def settings_of(folder: RunFolder) -> Settings | None:
    """Return the settings of a run's last start; None if they cannot be read."""
    return read_last_settings(folder)


def _cost(answers: Iterable[Completion], settings: Settings) -> float | None:
    try:
        prices = load_prices(settings.prices)
    except PairmillError:
        return None
    total = 0
    for answer in answers:
        cost = prices.cost_of({answer.model: answer.usage})
        if cost is None:
            return None
        total += cost
    return total / PICO


def prepare_row(row: Row, chunk: Chunk) -> tuple[PreparedChunk, list[PreparedPair]]:
    """Prepare the text that a row was written from, and its exchanges, as a run checks them."""
    text = view_of(chunk)
    evidence, kind = str(row.get("evidence") or ""), str(row.get("kind") or "")
    pairs = [
        prepare_pair(asked, said, evidence, kind=kind, language=text.language)
        for asked, said in exchanges_of(row)
    ]
    return text, pairs


def _measure(row: Row, chunk: Chunk, settings: Settings | None) -> list[MeasuredPair]:
    """Return a row's figures with their thresholds, then its findings."""
    limits = thresholds_of(settings)
    text, pairs = prepare_row(row, chunk)
    measures: list[MeasuredPair] = []
    for pair in pairs:
        runs = fragments(pair.answer.words, text)
        covered = (
            f"drop below {limits.ungrounded_below:g}, flag below {limits.weakly_grounded_below:g}"
        )
        asked_words = f"{limits.instruction_min_words} to {limits.instruction_max_words}"
        said_words = f"{limits.answer_min_words} to {limits.answer_max_words}"
        numbers = [
            ("grounding", score(pair, text), covered),
            ("copied run, words", runs.longest, f"from {limits.copy_run_words}"),
            ("copied density", round(runs.density, 1), f"above {limits.copy_density:g}"),
            ("instruction, words", count_words(pair.instruction), asked_words),
            ("answer, words", count_words(pair.answer), said_words),
        ]
        backed = support(pair, text, limits.support_formula)
        if backed is not None:
            weak = f"flag below {limits.weakly_supported_below:g}"
            numbers.insert(1, ("support", backed, weak))
        if pair.evidence:
            found = evidence_match(pair.evidence, text, least=0.0)
            numbers.append(("evidence match", round(found, 1), f"below {limits.evidence_least:g}"))
        measures += [MeasuredPair(check, float(value), limit) for check, value, limit in numbers]
        for finding in inspect(pair, text, thresholds=limits, support=backed):
            measures.append(
                MeasuredPair(finding.check, 1.0, "", finding.detail, str(finding.policy.value))
            )
    return measures


def thresholds_of(settings: Settings | None) -> Thresholds:
    """Return the thresholds of a run's pairs; the defaults if the run does not state them."""
    checks = settings.checks if settings else None
    try:
        return override(checks) if isinstance(checks, dict) else DEFAULT
    except PairmillError:
        return DEFAULT


WIDTH = 100
_LONGEST = 20_000


def explanation_to_json(found: Explanation) -> dict[str, Any]:
    """Return the explanation as plain values under stable names."""
    chunk = found.chunk
    return {
        "row": found.row,
        "shard": str(found.shard),
        "rejected": found.is_rejected,
        "chunk": None
        if chunk is None
        else {"id": chunk.id, "text": chunk.text, "start": chunk.start, "end": chunk.end,
              "source": chunk.source, "section": list(chunk.section), "title": chunk.title},
        "exchanges": [
            {"messages": _messages(request), "model": request.model} | _answer(answer)
            for request, answer in found.exchanges
        ],
        "other_answers": [_answer(answer) for answer in found.unmatched],
        "note": found.note,
        "dropped": [
            {"reason": entry.reason, "detail": entry.detail, "raw": entry.raw}
            for entry in found.dropped
        ],
        "measures": [
            {"check": entry.check, "value": entry.value, "limit": entry.limit}
            for entry in found.measures
            if not entry.policy
        ],
        "findings": [
            {"check": entry.check, "policy": entry.policy, "detail": entry.finding}
            for entry in found.measures
            if entry.policy
        ],
        "usd": found.usd,
    }  # fmt: skip


def print_explanation(
    found: Explanation, *, as_json: bool = False, console: Console | None = None
) -> None:
    """Print it; ``console`` is for tests."""
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        data = orjson.dumps(explanation_to_json(found), option=options, default=str)
        sys.stdout.write(data.decode())
        return
    out = console or Console(highlight=False)
    out = out if out.is_terminal else Console(highlight=False, width=WIDTH, file=out.file)
    _print_origin(found, out)
    for number, (request, answer) in enumerate(found.exchanges, 1):
        _head(f"question {number}, to {request.model}", out)
        for turn in _messages(request):
            _block(f"[{turn['role']}]\n{turn['content']}", out)
        _head(_label(f"raw answer {number}", answer), out)
        _block(answer.text, out)
    for answer in found.unmatched:
        _head(_label("raw answer, without its question", answer), out)
        _block(answer.text, out)
    if found.note:
        _line(f"note: {sanitize(found.note, 400)}", out, style="yellow")
    for entry in found.dropped:
        _head(f"dropped: {entry.reason}", out)
        _block(f"{entry.detail}\n{entry.raw or ''}".strip(), out)
    _print_verdict(found, out)


def _print_origin(found: Explanation, out: Console) -> None:
    row, chunk = found.row, found.chunk
    place = "rejected" if found.is_rejected else "kept"
    _head(f"{sanitize(row.get('id'), 80)}: {place}, in {found.shard.name}", out)
    for label in ("reason", "detail", "title", "source", "url", "document_id", "chunk_id"):
        if row.get(label):
            _line(f"{label:<12} {sanitize(row[label], 400)}", out, 13)
    if chunk:
        section = " > ".join(sanitize(part, 80) for part in chunk.section)
        where = f", under {section}" if section else ""
        _head(f"chunk: characters {chunk.start:,} to {chunk.end:,}{where}", out)
        _block(chunk.text, out)


def _print_verdict(found: Explanation, out: Console) -> None:
    row = found.row
    if not found.is_rejected:
        _head("the pair", out)
        print_texts(row, out)
    if found.measures:
        _head("measured", out)
    for entry in found.measures:
        if not entry.policy:
            out.print(Text(f"{entry.check:<20} {entry.value:>8g}   {entry.limit}"))
        else:
            line = f"{entry.policy:<6} {entry.check}: {sanitize(entry.finding, 300)}"
            _line(line, out, style="yellow")
    flags, scores = row.get("flags"), row.get("scores")
    if flags:
        out.print(Text(f"flags        {', '.join(sanitize(flag) for flag in flags)}"))
    if isinstance(scores, dict):
        given = ", ".join(f"{sanitize(name)} {value}" for name, value in scores.items())
        out.print(Text(f"scores       {given}"))
    prompt, completion = row.get("prompt_tokens") or 0, row.get("completion_tokens") or 0
    cost = "price not known" if found.usd is None else f"${found.usd:.6f} for the whole chunk"
    out.print(
        Text(f"cost         {prompt:,} + {completion:,} tokens, its share of the chunk's; {cost}")
    )


def _messages(request: Request) -> list[dict[str, str]]:
    turns = [
        {"role": turn.role, "content": turn.content} for turn in request.prompt.template.messages
    ]
    return [*turns, {"role": "user", "content": request.prompt.text}]


def _answer(answer: Completion) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "reasoning": answer.reasoning,
        "finish_reason": answer.finish_reason,
        "answered_by": answer.model,
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
        "created": answer.created,
    }


def _label(name: str, answer: Completion) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(answer.created))
    used = answer.usage
    return (
        f"{name}: {sanitize(answer.model, 60)}, {sanitize(answer.finish_reason, 20)},"
        f" {used.prompt_tokens:,} + {used.completion_tokens:,} tokens, {at}"
    )


def _head(text: str, out: Console) -> None:
    out.print(Rule(Text(sanitize(text, 200), style="bold"), align="left"))


def _line(text: str, out: Console, indent: int = 2, style: str = "") -> None:
    """Print a line, wrapped at blanks if the terminal is too narrow."""
    width = out.width if out.is_terminal else len(text)
    out.print(Text(wrap_line(text, width, indent), style=style), soft_wrap=True)


def _block(text: str, out: Console) -> None:
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    for line in cut.split("\n"):
        _line(f"  {sanitize(line, _LONGEST + 2)}", out, 0)
