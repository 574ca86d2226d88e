"""What calls were charged and what was dropped, summed up in two small tables of the ledger.

``charges`` has a line for each model and way in which a call ended: an answer, a reply that was
paid for and empty, or a call whose end is not known. ``dropped`` counts the lines of ``rejected/``.

What answers took stands in ``call_totals`` in any case; ``charges`` says what it cost. Both tables
came after format 2: an earlier pairmill passes them over, and in a ledger of one they are made when
it is first opened to be written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pairmill.records import Usage

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

__all__ = [
    "Bill",
    "CallCharge",
    "ChargeSums",
    "DropKey",
    "add_charges",
    "add_drops",
    "has_drops",
    "is_charge_row",
    "prepare",
    "read_bill",
    "read_drops",
    "set_drops",
]

_MOST = 2**53
_NAME_CHARS = 200
_MADE = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('charges', 'dropped')"
_COLUMNS = (
    "calls",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "picodollars",
    "doubt_tokens",
    "doubt_picodollars",
    "unpriced_calls",
    "unpriced_prompt",
    "unpriced_completion",
    "unpriced_cached",
)
_CREATE = (
    "CREATE TABLE charges (model TEXT NOT NULL, outcome TEXT NOT NULL,"
    + "".join(f" {name} INTEGER NOT NULL," for name in _COLUMNS)
    + " PRIMARY KEY (model, outcome)) WITHOUT ROWID",
    (
        "CREATE TABLE dropped (scope TEXT NOT NULL, reason TEXT NOT NULL, lines INTEGER NOT NULL,"
        " PRIMARY KEY (scope, reason)) WITHOUT ROWID"
    ),
)
_ADD_CHARGE = (
    f"INSERT INTO charges VALUES ({', '.join('?' * (2 + len(_COLUMNS)))})"  # noqa: S608 (constants)
    " ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in _COLUMNS)
)
_ADD_DROP = (
    "INSERT INTO dropped VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET lines = lines + excluded.lines"
)


class CallCharge(NamedTuple):
    """What one call was charged.

    Attributes:
        model: As the reply named it; as it was asked for where there was none.
        outcome: ``answer``; ``empty``: a reply that held none; ``probe``: a question about the
            endpoint; ``lost``: its end is not known.
        picodollars: What ``usage`` cost; None where no price was known.
        doubt_tokens: How many more it may have been.
        doubt_picodollars: What those would have cost.
    """

    model: str
    outcome: str
    usage: Usage
    picodollars: int | None
    doubt_tokens: int = 0
    doubt_picodollars: int = 0


class DropKey(NamedTuple):
    """Why a line stands in ``rejected/``.

    Attributes:
        scope: ``chunk``: the chunk was rejected; ``empty``: it held nothing to write about;
            ``pair``: one pair was dropped.
    """

    scope: str
    reason: str


class ChargeSums:
    """Charges that wait for the next commit, summed up by model and outcome."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._sums)

    def add(self, charge: CallCharge) -> None:
        """Add one call's."""
        usage, price = charge.usage, charge.picodollars
        prompt, answer, cached = (
            max(0, min(count, _MOST))
            for count in (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
        )
        new = price is None
        model = charge.model[:_NAME_CHARS].encode("utf-8", "replace").decode()
        total = self._sums.setdefault((model, charge.outcome), [0] * len(_COLUMNS))
        for at, value in enumerate(
            (
                1,
                prompt,
                answer,
                cached,
                min(price or 0, _MOST),
                charge.doubt_tokens,
                charge.doubt_picodollars,
                new,
                new * prompt,
                new * answer,
                new * cached,
            )
        ):
            total[at] += value

    def take(self) -> list[tuple[object, ...]]:
        """Hand over the rows, and begin anew."""
        rows: list[tuple[object, ...]] = [(*key, *sums) for key, sums in self._sums.items()]
        self._sums = {}
        return rows

    def put_back(self, rows: Iterable[tuple[object, ...]]) -> None:
        """Take rows back that could not be written."""
        for model, outcome, *sums in rows:
            total = self._sums.setdefault((str(model), str(outcome)), [0] * len(_COLUMNS))
            for at, value in enumerate(sums):
                total[at] += value  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Bill:
    """What all calls of all starts were charged.

    Attributes:
        answers: Calls that were answered, whose answers are kept.
        probes: Calls before a run, to find out what the endpoint can do.
        empty: Replies that were paid for and held no answer.
        lost: Calls whose end is not known.
        usage: Tokens of all of these but the lost ones.
        picodollars: What they cost, those aside whose price was not known.
        unpriced: Of these, model to tokens.
        doubt_tokens: How many more they may have been at worst, with those of lost calls.
        doubt_picodollars: What those would have cost.
    """

    answers: int
    probes: int
    empty: int
    lost: int
    usage: Usage
    picodollars: int
    unpriced: Mapping[str, Usage]
    doubt_tokens: int
    doubt_picodollars: int

    @property
    def calls(self) -> int:
        """Calls that were paid for."""
        return self.answers + self.probes + self.empty

    @property
    def most_tokens(self) -> int:
        """Tokens at worst."""
        return self.usage.prompt_tokens + self.usage.completion_tokens + self.doubt_tokens


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing, within a transaction of the caller's."""
    (count,) = connection.execute(_MADE).fetchone()
    if not count:
        for statement in _CREATE:
            connection.execute(statement)


def add_charges(connection: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    """Add what ``ChargeSums.take`` gave."""
    connection.executemany(_ADD_CHARGE, rows)


def is_charge_row(row: tuple[object, ...]) -> bool:
    """Whether a row that was read out of a damaged ledger can be one of ``charges``."""
    model, outcome, *sums = row
    counts = all(isinstance(value, int) and value >= 0 for value in sums)
    return isinstance(model, str) and isinstance(outcome, str) and counts


def add_drops(connection: sqlite3.Connection, drops: Iterable[DropKey]) -> None:
    """Count lines of ``rejected/``."""
    rows = [(scope, reason, lines) for (scope, reason), lines in Counter(drops).items()]
    connection.executemany(_ADD_DROP, rows)


def has_drops(connection: sqlite3.Connection) -> bool:
    """Whether ``dropped`` counts every line of ``rejected/``."""
    query = "SELECT count(*) FROM meta WHERE name = 'drops_counted'"
    return bool(connection.execute(query).fetchone()[0])


def set_drops(connection: sqlite3.Connection, drops: Mapping[DropKey, int]) -> None:
    """Fill ``dropped`` with what was counted in ``rejected/`` itself."""
    connection.execute("DELETE FROM dropped")
    rows = [(*key, lines) for key, lines in drops.items()]
    connection.executemany(_ADD_DROP, rows)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('drops_counted', '1')")


def read_drops(connection: sqlite3.Connection) -> Counter[DropKey] | None:
    """Lines of ``rejected/`` by why they stand there; None where that is not in the ledger."""
    if not connection.execute(_MADE).fetchone()[0] or not has_drops(connection):
        return None
    rows = connection.execute("SELECT scope, reason, lines FROM dropped").fetchall()
    return Counter({DropKey(scope, reason): lines for scope, reason, lines in rows})


def read_bill(connection: sqlite3.Connection) -> Bill:
    """Sum up what calls took and were charged.

    What answers took without being charged was bought by an earlier version, or had no price.
    """
    unpriced: dict[str, Usage] = {}
    usage, answers = Usage(), 0
    for model, calls, *tokens in connection.execute(
        "SELECT model, calls, prompt_tokens, completion_tokens, cached_tokens FROM call_totals"
    ):
        unpriced[model] = Usage(*tokens)
        usage, answers = usage + unpriced[model], answers + calls
    calls_of: Counter[str] = Counter()
    sums = [0] * len(_COLUMNS)
    for model, outcome, *row in _charges(connection):
        calls_of[outcome] += row[0]
        sums = [total + value for total, value in zip(sums, row, strict=True)]
        took, not_priced = Usage(*row[1:4]), Usage(*row[8:11])
        known = unpriced.get(model, Usage())
        if outcome == "answer":
            unpriced[model] = _less(known, _less(took, not_priced))
        else:
            usage, unpriced[model] = usage + took, known + not_priced
    return Bill(
        answers=answers,
        probes=calls_of["probe"],
        empty=calls_of["empty"],
        lost=calls_of["lost"],
        usage=usage,
        picodollars=sums[4],
        unpriced={model: left for model, left in sorted(unpriced.items()) if left != Usage()},
        doubt_tokens=sums[5],
        doubt_picodollars=sums[6],
    )


def _charges(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    if not connection.execute(_MADE).fetchone()[0]:
        return []
    return connection.execute("SELECT * FROM charges").fetchall()


def _less(usage: Usage, part: Usage) -> Usage:
    return Usage(
        max(0, usage.prompt_tokens - part.prompt_tokens),
        max(0, usage.completion_tokens - part.completion_tokens),
        max(0, usage.cached_tokens - part.cached_tokens),
    )
