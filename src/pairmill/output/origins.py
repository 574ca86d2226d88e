"""Origins of rows: sites or files of their documents, licences, and languages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

from pairmill.output.licenses import UNKNOWN, license_name, warnings
from pairmill.output.markdown import code, escaped, table
from pairmill.quality.language import identify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pairmill.output.rows import Row

__all__ = ["OriginCounts", "Origins"]

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
        """Go on from what was counted before; of such rows, documents are not told."""
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
        """Rows of each licence of their documents, the usual first."""
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
