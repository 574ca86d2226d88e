"""Origins of an export's rows: sites or files of their documents, and their languages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pairmill.output.licenses import UNKNOWN, license_name, warnings
from pairmill.output.markdown import code, escaped, table
from pairmill.quality.language import identify

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["Origins"]

_LOOKED_AT = 5_000  # rows whose language is told: 20 microseconds each
_LEAST_SHARE = 0.01  # of these, for a language to be named
_LISTED = 20
_PLACE = re.compile(r"(?::\d+)+$")  # line or item numbers behind a file's name
_MOST_LICENSES = 1_000
_MOST_SITES = 10_000  # beyond these, further ones count as others


class Origins:
    """Counts documents and pairs by site, and languages, of the rows in an export."""

    def __init__(self) -> None:
        self._pairs: Counter[str] = Counter()
        self._documents: defaultdict[str, set[str]] = defaultdict(set)
        self._languages: Counter[str] = Counter()
        self._looked_at = 0
        self._licenses: Counter[str] = Counter()
        self._licensed: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, row: Row) -> None:
        """Take in a row that is kept."""
        site = _site_of(row)
        if site not in self._pairs and len(self._pairs) >= _MOST_SITES:
            site = ""
        self._pairs[site] += 1
        self._documents[site].add(row["document_id"])
        license_id = license_name(row.get("license"))
        if license_id not in self._licenses and len(self._licenses) >= _MOST_LICENSES:
            license_id = "others"
        self._licenses[license_id] += 1
        self._licensed[license_id].add(row["document_id"])
        if self._looked_at < _LOOKED_AT:
            self._looked_at += 1
            language = identify(f"{row.get('instruction') or ''}\n{row['answer']}")
            if language:
                self._languages[language] += 1

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that a hundredth of the rows or more are in, the usual first."""
        least = _LEAST_SHARE * self._languages.total()
        return tuple(name for name, count in self._languages.most_common() if count >= least)

    def section(self) -> str:
        """Return the card's section about the sources; "" if no row was added."""
        if not self._pairs:
            return ""
        listed = sorted(self._pairs, key=lambda site: (not site, -self._pairs[site], site))
        shown, rest = listed[:_LISTED], listed[_LISTED:]
        rows = [(code(site) if site else "others", *self._figures([site])) for site in shown]
        if rest:
            rows.append((f"{len(rest):,} others", *self._figures(rest)))
        text = "## Sources\n\n" + table(("Site or file", "Documents", "Rows"), rows, right=(1, 2))
        return f"{text}\n\n{self._spoken()}\n\n{self._licences()}"

    @property
    def licenses(self) -> dict[str, int]:
        """Rows of each licence of their documents, the usual first."""
        return dict(self._licenses.most_common())

    def _licences(self) -> str:
        if set(self._licenses) == {UNKNOWN}:
            return _NO_LICENCES
        rows = [
            (code(name), f"{len(self._licensed[name]):,}", f"{count:,}")
            for name, count in self._licenses.most_common(_LISTED)
        ]
        told = table(("Licence as the source names it", "Documents", "Rows"), rows, right=(1, 2))
        return "\n\n".join(["### Licences", told, *map(escaped, warnings(self._licenses))])

    def _figures(self, sites: list[str]) -> tuple[str, str]:
        documents = sum(len(self._documents[site]) for site in sites)
        return f"{documents:,}", f"{sum(self._pairs[site] for site in sites):,}"

    def _spoken(self) -> str:
        total = self._languages.total()
        if not total:
            return "Languages: none could be told."
        told = [
            f"{name} ({self._languages[name] / total:.0%})" for name in self.languages[:_LISTED]
        ]
        return f"Languages, told from {self._looked_at:,} rows: {', '.join(told)}."


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
