"""Origins of documents: where they come from, and their licences.

A finished shard never changes, so what was counted is kept in the run folder, beside the names and
sizes of the shards it was counted in. If one of these is gone or another, all are counted afresh.

Sources name a licence by its address, by its SPDX identifier or in words. The row keeps what the
source said; here it gets the name that is counted, shown and filtered by. Nothing here is legal
advice, and a name says nothing of who gave the licence, or whether they might.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from pairmill.display import sanitize
from pairmill.output.markup import code, escaped, table
from pairmill.output.rows import complete_lines, published_shards
from pairmill.quality.language import identify
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pairmill.output.rows import Row
    from pairmill.store.folder import RunFolder

__all__ = [
    "UNKNOWN",
    "OriginCounts",
    "Origins",
    "forbids_adaptation",
    "is_wanted",
    "license_name",
    "read_run_origins",
    "warnings",
]

_LOOKED_AT = 5_000  # rows whose language is told: 20 microseconds each
_LEAST_SHARE = 0.01  # of these, for a language to be named
_LISTED = 20
_PLACE = re.compile(r"(?::\d+)+$")  # line or item numbers behind a file's name
_MOST_LICENSES = 1_000
_MOST_SITES = 10_000  # beyond these, further ones count as others


class OriginCounts(Struct, frozen=True):
    """What was counted: rows by site, licence and language.

    Attributes:
        heard: Rows whose language was looked at.
    """

    sites: dict[str, int] = {}
    licenses: dict[str, int] = {}
    languages: dict[str, int] = {}
    heard: int = 0


class Origins:
    """Counts rows, and the documents that they come from, by site, licence and language."""

    def __init__(self) -> None:
        self._sites: Counter[str] = Counter()
        self._licenses: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._heard = 0
        self._by_site: defaultdict[str, set[str]] = defaultdict(set)
        self._by_license: defaultdict[str, set[str]] = defaultdict(set)

    @classmethod
    def of(cls, counts: OriginCounts) -> Origins:
        """Continue earlier counts; the documents of their rows are not counted again."""
        found = cls()
        found._sites.update(counts.sites)
        found._licenses.update(counts.licenses)
        found._languages.update(counts.languages)
        found._heard = counts.heard
        return found

    @property
    def counts(self) -> OriginCounts:
        """Return what was counted so far, without the documents."""
        return OriginCounts(
            dict(self._sites), dict(self._licenses), dict(self._languages), self._heard
        )

    def add(self, row: Row, *, is_heard: bool | None = None) -> None:
        """Take in a row that is kept.

        Args:
            row: One of a run; without ``document_id`` no documents are counted.
            is_heard: Whether its language is looked at; None: as long as there are few.
        """
        site = _site_of(row)
        if site not in self._sites and len(self._sites) >= _MOST_SITES:
            site = ""
        self._sites[site] += 1
        license_id = license_name(row.get("license"))
        if license_id not in self._licenses and len(self._licenses) >= _MOST_LICENSES:
            license_id = "others"
        self._licenses[license_id] += 1
        if (document := row.get("document_id")) is not None:
            self._by_site[site].add(document)
            self._by_license[license_id].add(document)
        if self._heard < _LOOKED_AT if is_heard is None else is_heard:
            self._heard += 1
            language = identify(f"{row.get('instruction') or ''}\n{row.get('answer') or ''}")
            if language:
                self._languages[language] += 1

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that a hundredth of the rows or more are in, the usual first."""
        least = _LEAST_SHARE * self._languages.total()
        return tuple(name for name, count in self._languages.most_common() if count >= least)

    def section(self) -> str:
        """Return the card's section about the sources; "" if no row was added."""
        if not self._sites:
            return ""
        listed = sorted(self._sites, key=lambda site: (not site, -self._sites[site], site))
        shown, rest = listed[:_LISTED], listed[_LISTED:]
        rows = [(code(site) if site else "others", *self._figures([site])) for site in shown]
        if rest:
            rows.append((f"{len(rest):,} others", *self._figures(rest)))
        told = _table("Site or file", rows)
        return f"## Sources\n\n{told}\n\n{self._spoken()}\n\n{self._licences()}"

    @property
    def licenses(self) -> dict[str, int]:
        """Return licence to number of rows, the most frequent first."""
        return dict(self._licenses.most_common())

    def _licences(self) -> str:
        if set(self._licenses) == {UNKNOWN}:
            return _NO_LICENCES
        rows = [
            (code(name), *_with_documents(self._by_license, [name], count))
            for name, count in self._licenses.most_common(_LISTED)
        ]
        told = _table("Licence as the source names it", rows)
        return "\n\n".join(["### Licences", told, *map(escaped, warnings(self._licenses))])

    def _figures(self, sites: list[str]) -> tuple[str, ...]:
        return _with_documents(self._by_site, sites, sum(self._sites[site] for site in sites))

    def _spoken(self) -> str:
        total = self._languages.total()
        if not total:
            return "Languages: none could be told."
        told = [
            f"{name} ({self._languages[name] / total:.0%})" for name in self.languages[:_LISTED]
        ]
        return f"Languages, told from {self._heard:,} rows: {', '.join(told)}."


def _with_documents(
    documents: Mapping[str, set[str]], names: Iterable[str], rows: int
) -> tuple[str, ...]:
    """Return the cells of a line: documents, if they are counted, and rows."""
    if not documents:
        return (f"{rows:,}",)
    return f"{sum(len(documents.get(name, ())) for name in names):,}", f"{rows:,}"


def _table(what: str, rows: Sequence[tuple[str, ...]]) -> str:
    head = (what, "Documents", "Rows") if len(rows[0]) > 2 else (what, "Rows")  # noqa: PLR2004
    return table(head, rows, right=tuple(range(1, len(head))))


_NO_LICENCES = (
    "Licences of the documents are not recorded: check those of each source before you share"
    " this dataset."
)


def _site_of(row: Row) -> str:
    """Return the host of the document's address, else the file that it was read from."""
    url = row.get("url")
    if isinstance(url, str):
        try:
            host = urlsplit(url).hostname
        except ValueError:
            host = None
        if host:
            return host.removeprefix("www.")
    return _PLACE.sub("", str(row.get("source") or ""))


_FORMAT = 1
_FILE = "origins.json"
_FILES = "local files"  # together: their names are of this machine, or of whoever filled a folder
_FIRST, _EVERY = 64, 64  # rows of a shard whose language is told: the first ones, then each 64th


class _Kept(Struct):
    """What was counted, and in which shards: their names and bytes."""

    format: int = _FORMAT
    shards: dict[str, int] = {}
    counts: OriginCounts = OriginCounts()


class _Source(Struct):
    """The columns of a row that are looked at; the others are not even decoded."""

    url: Any = None
    license: Any = None


class _Spoken(Struct):
    instruction: Any = None
    answer: Any = None


def read_run_origins(folder: RunFolder, *, only_kept: bool = False) -> Origins | None:
    """Return sites, licences and languages of a run's published rows.

    Reads those shards that were not counted yet, and keeps the counts; where the folder cannot be
    written to, they are counted again the next time.

    Args:
        folder: The run folder.
        only_kept: Read no shard, and return what was counted before; None if that is nothing.

    Raises:
        FolderError: A shard cannot be read.
    """
    shards = published_shards(folder.path)
    sizes = {shard.name: _size(shard) for shard in shards}
    kept = _read(folder.state / _FILE)
    if any(sizes.get(name) != size for name, size in kept.shards.items()):
        kept = _Kept()
    origins = Origins.of(kept.counts)
    if only_kept:
        return origins if kept.shards else None
    new = [shard for shard in shards if shard.name not in kept.shards]
    for shard in new:
        _count(shard, origins)
    if new and folder.state.is_dir():
        kept = _Kept(_FORMAT, sizes, origins.counts)
        with suppress(OSError, msgspec.MsgspecError):
            atomic_write(folder.state / _FILE, msgspec.json.encode(kept))
    return origins


def _size(shard: Path) -> int:
    try:
        return shard.stat().st_size
    except OSError:
        return -1


def _read(path: Path) -> _Kept:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return _Kept()
    return found if found.format == _FORMAT else _Kept()


def _count(shard: Path, origins: Origins) -> None:
    sources, spoken = msgspec.json.Decoder(_Source), msgspec.json.Decoder(_Spoken)
    for number, line in enumerate(complete_lines(shard)):
        try:
            found = sources.decode(line.data)
            row: Row = {"url": found.url, "source": _FILES, "license": found.license}
            if number < _FIRST or not number % _EVERY:
                said = spoken.decode(line.data)
                row |= {"instruction": said.instruction, "answer": said.answer}
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # a damaged line is told by those that read it
        origins.add(row, is_heard="answer" in row)


UNKNOWN = "unknown"
_RESERVED = "All rights reserved"
_PUBLIC = "Public domain"
_LONGEST = 80
_CC_ADDRESS = re.compile(
    r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)(?:/(\d\.\d))?", re.IGNORECASE
)
_CC_NAME = re.compile(r"\bCC[ -]?(?:BY|SA|NC|ND|[ -])|\bcreative commons\b", re.IGNORECASE)
_CC_WORDS = (
    ("BY", re.compile(r"\battribution|\bBY\b", re.IGNORECASE)),
    ("NC", re.compile(r"non-?\s?commercial|\bNC\b", re.IGNORECASE)),
    ("SA", re.compile(r"share-?\s?alike|\bSA\b", re.IGNORECASE)),
    ("ND", re.compile(r"no-?\s?deriv|\bND\b", re.IGNORECASE)),
)
_VERSION = re.compile(r"(?<![\d.])([1-4]\.\d)(?![\d.])")
_SPDX = {
    name.casefold(): name
    for name in (
        "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "GPL-2.0", "GPL-3.0", "LGPL-3.0",
        "AGPL-3.0", "MPL-2.0", "ISC", "Unlicense", "0BSD", "ODbL-1.0", "ODC-By-1.0", "PDDL-1.0",
        "OGL-UK-3.0", "GFDL-1.3", "PSF-2.0", "CDLA-Permissive-2.0",
    )
}  # fmt: skip
_CC0 = re.compile(r"\bCC-?0\b|\bCC zero\b", re.IGNORECASE)
_IN_WORDS = (
    ("Apache-2.0", re.compile(r"\bapache\b.*2\.0", re.IGNORECASE)),
    ("MIT", re.compile(r"^(?:the )?mit licen[sc]e$", re.IGNORECASE)),
    (_PUBLIC, re.compile(r"\bpublic[ -]domain\b", re.IGNORECASE)),
    (_RESERVED, re.compile(r"all rights reserved|\u00a9|\(c\)|^copyright\b", re.IGNORECASE)),
)
_OPENED = re.compile(r"^\(+(?!c\))", re.IGNORECASE)
_TAIL = re.compile(r"(?:https?://)?(?:www\.)?(?:opensource\.org/licen[sc]es?|spdx\.org/licenses)/")


def license_name(said: object) -> str:
    """Return the name under which a licence is counted; ``unknown`` if a source names none.

    Several that hold together (``A AND B``) stay together, each under its name.
    """
    return _name_of(said) if isinstance(said, str) else UNKNOWN


@lru_cache(maxsize=1024)
def _name_of(said: str) -> str:
    parts = (_OPENED.sub("", sanitize(part, 300)).rstrip(") ") for part in said.split(" AND "))
    return " AND ".join(dict.fromkeys(_one(part) for part in parts if part)) or UNKNOWN


def forbids_adaptation(name: str) -> bool:
    """Return whether a licence forbids sharing adaptations, such as pairs made from a text."""
    return any(
        part == _RESERVED or (part.startswith("CC-") and "-ND" in part)
        for part in name.split(" AND ")
    )


def is_wanted(said: object, wanted: Iterable[str]) -> bool:
    """Return whether a row's licence is among the wanted ones; of several, all must be.

    Args:
        said: What the row has.
        wanted: Names or patterns with ``*``, such as ``CC-BY-4.0``, ``CC-BY-SA-*``, ``unknown``;
            other spellings of a name are taken as well.
    """
    patterns = {spelling for given in wanted for spelling in (given, license_name(given))}
    lowered = {pattern.casefold() for pattern in patterns}
    return all(
        any(fnmatchcase(part.casefold(), pattern) for pattern in lowered)
        for part in license_name(said).split(" AND ")
    )


def warnings(counts: Mapping[str, int]) -> list[str]:
    """Return warnings before the rows are shared, a sentence each; counts are of rows."""
    lines = []
    total = sum(counts.values())
    if unknown := counts.get(UNKNOWN, 0):
        whole = "no source names a licence" if unknown == total else f"for {unknown:,} rows"
        known = f"The licence is not known {whole}" if unknown < total else whole.capitalize()
        lines.append(f"{known}: check those of their sources before you share this dataset.")
    if forbidden := {name: n for name, n in counts.items() if forbids_adaptation(name)}:
        named = ", ".join(sorted(forbidden))
        lines.append(
            f"{sum(forbidden.values()):,} rows come from texts whose licence allows no adaptations"
            f" to be shared ({named}): --keep-license leaves them out."
        )
    if limited := {name: n for name, n in counts.items() if "-NC" in name}:
        lines.append(f"{sum(limited.values()):,} rows come from texts for non-commercial use only.")
    if alike := {name: n for name, n in counts.items() if "-SA" in name}:
        lines.append(
            f"{sum(alike.values()):,} rows come from texts whose adaptations have to be shared"
            " alike."
        )
    return lines


def _one(text: str) -> str:
    """Return the name of one licence, by its address or name, else the source's own words."""
    if found := _CC_ADDRESS.search(text):
        return _of_address(*found.groups())
    by_words = _of_words(text) if _CC_NAME.search(text) else ""
    bare = _TAIL.sub("", text).strip("/ ").casefold()
    spdx = _SPDX.get(bare.removesuffix("-only").removesuffix("-or-later"), "")
    plainly = next((name for name, words in _IN_WORDS if words.search(text)), "")
    return (
        ("CC0-1.0" if _CC0.search(text) else "") or by_words or spdx or plainly or text[:_LONGEST]
    )


def _of_address(place: str, kind: str, version: str | None) -> str:
    kind = kind.strip("-").upper()
    if place.lower() == "publicdomain":
        return "CC0-1.0" if kind == "ZERO" else _PUBLIC
    return "-".join(filter(None, ("CC", kind, version)))


def _of_words(text: str) -> str:
    terms = [term for term, words in _CC_WORDS if words.search(text)]
    if not terms:
        return ""
    version = _VERSION.search(text)
    return "-".join(["CC", *terms, *([version.group(1)] if version else [])])
