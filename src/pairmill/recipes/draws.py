"""Values drawn for each unit by its hash: the same ones at any time and on any machine.

``draw:`` names lists, weights, or files of texts. There is no generator state and no dependence on
order, so that a run that is stopped, resumed or reads its input in another order asks the very same
questions.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ConfigError
from pairmill.recipes.located_yaml import nearest
from pairmill.records import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pairmill.recipes.located_yaml import Entry

__all__ = ["Draw", "hash_share", "parse_draws"]

_OPTIONS = ("values", "file", "take")
_MOST_VALUES = 100_000


def hash_share(*parts: str) -> float:
    """Map the parts to a number in [0, 1) that depends on them alone."""
    value = hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8).digest()
    return (int.from_bytes(value, "big") >> 11) / 2**53


@dataclass(frozen=True, slots=True)
class Draw:
    """Weighted values to draw from.

    Attributes:
        take: Number of different values to draw, as a list; None: one, as a text.
        sums: Cumulative weights, for bisection.
    """

    name: str
    values: tuple[str, ...]
    weights: tuple[float, ...]
    take: int | None = None
    sums: tuple[float, ...] = ()

    def of(self, seed: int, unit: str) -> str | list[str]:
        """Draw a value for a unit: always the same for the same seed and unit."""
        if self.take is None:
            return self.values[self._place(hash_share("draw", str(seed), unit, self.name))]
        left = list(zip(self.values, self.weights, strict=True))
        found: list[str] = []
        for number in range(min(self.take, len(left))):
            share = hash_share("draw", str(seed), unit, self.name, str(number))
            rest = list(accumulate(weight for _, weight in left))
            place = min(bisect_right(rest, share * rest[-1]), len(left) - 1)
            found.append(left.pop(place)[0])
        return found

    def outcomes(self) -> list[str] | list[list[str]]:
        """Return all possible results: every value that has a weight, or each of the lists."""
        if self.take is not None:
            return [list(self.values[: self.take])]
        return [value for value, weight in zip(self.values, self.weights, strict=True) if weight]

    def described(self) -> str:
        """Return everything that determines the draw, as text."""
        listed = digest(*self.values, *map(repr, self.weights))
        return orjson.dumps([listed, len(self.values), self.take]).decode()

    def _place(self, share: float) -> int:
        return min(bisect_right(self.sums, share * self.sums[-1]), len(self.values) - 1)


def parse_draws(
    entry: Entry | None, read_file: Callable[[str], bytes]
) -> tuple[dict[str, Draw], dict[str, bytes]]:
    """Read ``draw:`` of a recipe file.

    Returns:
        The draws by name, and the files that they were read from.

    Raises:
        ConfigError: There is a mistake in it; the text has file and line.
    """
    draws: dict[str, Draw] = {}
    files: dict[str, bytes] = {}
    for name, value in (entry.mapping() if entry else {}).items():
        take = None
        source = value
        if value.is_mapping and set(value.mapping()) & {"values", "file"}:
            given = value.mapping(_OPTIONS)
            if ("values" in given) == ("file" in given):
                raise value.fault("needs either 'values' or 'file'")
            take = given["take"].integer(1, 50) if "take" in given else None
            source = given.get("values") or given["file"]
            if "file" in given:
                weighted = _from_file(given["file"], read_file, files)
                draws[name] = _draw(name, weighted, take, source)
                continue
        draws[name] = _draw(name, _from_entry(source), take, source)
    return draws, files


def _draw(name: str, weighted: Sequence[tuple[str, float]], take: int | None, entry: Entry) -> Draw:
    if not weighted:
        raise entry.fault("has nothing to draw from")
    if len(weighted) > _MOST_VALUES:
        raise entry.fault(f"more than {_MOST_VALUES:,} values")
    if take is not None and take > len(weighted):
        raise entry.fault(f"take {take} of {len(weighted)} values cannot be")
    values, weights = zip(*weighted, strict=True)
    sums = tuple(accumulate(weights))
    if sums[-1] <= 0:
        raise entry.fault("all weights are 0")
    return Draw(name, values, weights, take, sums)


def _from_entry(entry: Entry) -> list[tuple[str, float]]:
    if entry.is_list:
        return [(item.text(), 1.0) for item in entry.items()]
    if entry.is_mapping:
        given = entry.mapping()
        for name, value in given.items():
            # a misspelt option, not a weight: a weight is neither a list nor a file name
            if value.is_list or value.is_mapping or isinstance(value.value(), str):
                raise value.fault(
                    f"needs a weight; or is '{name}' an option? {nearest(name, _OPTIONS)}"
                )
        return [(text, weight.number(0, 1e9)) for text, weight in given.items()]
    raise entry.fault("needs a list, 'value: weight' lines, or 'file'")


def _from_file(
    entry: Entry, read_file: Callable[[str], bytes], files: dict[str, bytes]
) -> list[tuple[str, float]]:
    name = entry.text()
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name in {"recipe.yaml", "."}:
        raise entry.fault(f"{name}: needs a file beside or below the recipe's own")
    try:
        data = read_file(name)
        text = data.decode("utf-8")
    except ConfigError as error:
        raise entry.fault(str(error)) from None
    except OSError as error:
        raise entry.fault(f"cannot read {name}: {error.strerror or 'no reason'}") from None
    except UnicodeDecodeError:
        raise entry.fault(f"{name}: not UTF-8") from None
    files[name] = data
    return [(line, 1.0) for line in _lines(text, name, entry)]


def _lines(text: str, name: str, entry: Entry) -> list[str]:
    """Return a file's texts: its lines, or the items of a JSON list or of JSON lines."""
    if not name.endswith((".json", ".jsonl")):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        values: Any = (
            orjson.loads(text)
            if name.endswith(".json")
            else [orjson.loads(line) for line in text.splitlines() if line.strip()]
        )
    except orjson.JSONDecodeError:
        raise entry.fault(f"{name}: not valid JSON") from None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise entry.fault(f"{name}: needs a list of texts")
    return [value.strip() for value in values if value.strip()]
