"""Lines that many documents of one site share: menus, greetings, offers, footers.

A line is taken out of a document where at least `_LEAST_DOCUMENTS` documents of its site hold it,
and at least a share `_LEAST_SHARE` of those that were read: at the top (below the title) and at the
end as long as one such line follows another, whatever it is; between the two only if it is a whole
sentence or so (`_LEAST_CHARS`, `_LEAST_WORDS`). Never a line of code, nor a row of a table, nor a
heading whose text stays; and nothing at all of a document of which more than half would go: that is
a copy, not a page with a frame.

A document that a run has once decided on is cut the same in every later start, whatever was read
since, so that its chunks stay what was paid for.
"""

from __future__ import annotations

import re
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pairmill.chunking.repeats import text_name
from pairmill.records import digest
from pairmill.sources.fences import fenced_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.chunking.intake_file import IntakeFile
    from pairmill.records import Document

__all__ = ["SharedLines", "site_of"]

_LEAST_DOCUMENTS = 5
_LEAST_SHARE = 0.25
_LEAST_CHARS = 30
_LEAST_WORDS = 5
_LONGEST_LINE = 600  # a paragraph
_SHORT_CHARS = 50  # in a longer line numbers are what it says
_MOST_SHARE_REMOVED = 0.5
_TOP, _BOTTOM = 15, 25  # lines that are looked at, blank ones not counted
_MOST_COUNTED = 300_000  # different lines that are counted at a time
_ENDS = frozenset(".!?:;")
_DIGITS = re.compile(r"\d+")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{3,}|~{3,}|\*{3,})[ \t]*")
_ROW = re.compile(r"[ \t]*\|")

_Lines = list[tuple[int, str]]  # number and text of lines that are neither blank nor code


class SharedLines:
    """Counts the lines of documents by site, and takes out those that are shared."""

    def __init__(self, file: IntakeFile) -> None:
        """Go on with what earlier starts have decided."""
        self._file = file
        self._counts: dict[int, int] = {}
        self._documents: Counter[int] = Counter()
        self._shared: dict[int, int] = {}  # a line of a site: which one it is that was found
        self._sites: set[int] = set()
        for site, line, number in file.rows("SELECT site, line, number FROM @lines"):
            self._shared[line] = number
            self._sites.add(site)

    def count(self, document: Document) -> None:
        """Take a document's lines into account."""
        site = _number(site_of(document))
        self._documents[site] += 1
        counts = self._counts
        for key in _keys(site, _plain_lines(document.text)):
            counts[key] = counts.get(key, 0) + 1
        if len(counts) > _MOST_COUNTED:
            self._forget()
        if len(self._documents) > _MOST_COUNTED:
            self._documents = Counter(
                {it: seen for it, seen in self._documents.items() if seen > 1}
            )

    def strip(self, document: Document) -> tuple[str, list[str]]:
        """Return a document's text without shared lines, and the lines that were taken out."""
        text = document.text
        name = text_name(digest(text))
        decided = self._file.rows("SELECT number FROM @cleaned WHERE name = ?", name)
        site = _number(site_of(document))
        is_site = self._documents[site] >= _LEAST_DOCUMENTS
        found: set[int] = set()
        if is_site or site in self._sites:
            lines = _plain_lines(text)
            if not decided and is_site:
                self._learn(site, lines)
            until = decided[0][0] if decided else len(self._shared)
            found = self._lines_to_remove(site, lines, until)
        if not decided:
            self._file.run("INSERT INTO main.cleaned VALUES (?, ?)", name, len(self._shared))
        if not found:
            return text, []
        all_lines = text.split("\n")
        gone = [all_lines[at] for at in sorted(found)]
        if sum(map(len, gone)) > _MOST_SHARE_REMOVED * len(text):
            return text, []
        return _without(all_lines, found), gone

    def _learn(self, site: int, lines: _Lines) -> None:
        least = max(_LEAST_DOCUMENTS, _LEAST_SHARE * self._documents[site])
        for key in _keys(site, lines):
            if self._counts.get(key, 0) >= least and key not in self._shared:
                self._shared[key] = number = len(self._shared) + 1
                self._sites.add(site)
                self._file.run(
                    "INSERT OR IGNORE INTO main.lines VALUES (?, ?, ?)", site, key, number
                )

    def _lines_to_remove(self, site: int, lines: _Lines, until: int) -> set[int]:
        def is_shared(key: int) -> bool:
            return self._shared.get(key, until + 1) <= until

        found: set[int] = set()
        top = 0
        while top < len(lines) and _HEADING.match(lines[top][1]):
            top += 1
        for row in (lines[top : top + _TOP], lines[: -_BOTTOM - 1 : -1]):
            for at, line in row:
                if not is_shared(_edge(site, line)):
                    break
                found.add(at)
        found.update(
            at for at, line in lines if _is_sentence(line) and is_shared(_inner(site, line))
        )
        return _without_bare_headings(lines, found)

    def _forget(self) -> None:
        """Keep the lines that were seen most, down to half of what is held."""
        least = 2
        while len(self._counts) > _MOST_COUNTED // 2:
            self._counts = {key: seen for key, seen in self._counts.items() if seen >= least}
            least += 1


def site_of(document: Document) -> str:
    """Name the site that a document is of: its host, else the folder or file that it stands in."""
    if document.url:
        try:
            host = urlsplit(document.url).netloc
        except ValueError:
            host = ""
        if host:
            return host.casefold().removeprefix("www.")
    file, _, record = document.source.rpartition("#")
    if file and record:
        return file
    file, _, record = document.source.rpartition(":")
    if file and record.isdigit():
        return file
    return document.source.rpartition("/")[0]


def _plain_lines(text: str) -> _Lines:
    """The lines of a text that are neither blank nor code, with their numbers."""
    ranges = fenced_ranges(text)
    lines: _Lines = []
    offset = 0
    fence = 0
    for number, line in enumerate(text.split("\n")):
        while fence < len(ranges) and ranges[fence][1] <= offset:
            fence += 1
        is_code = fence < len(ranges) and ranges[fence][0] <= offset + len(line)
        if not is_code and line.strip() and not line.startswith(("    ", "\t")):
            lines.append((number, line))
        offset += len(line) + 1
    return lines


def _keys(site: int, lines: _Lines) -> Iterator[int]:
    """What a document's lines are counted by, each once."""
    edges = {_edge(site, line) for _, line in (*lines[:_TOP], *lines[-_BOTTOM:])}
    yield from edges
    yield from {_inner(site, line) for _, line in lines if _is_sentence(line)}


def _edge(site: int, line: str) -> int:
    """A line at the top or the end; if it is short, whatever numbers stand in it.

    Of a sentence the numbers may be all that it says.
    """
    plain = " ".join(line.split())
    if len(plain) <= _SHORT_CHARS and plain[-1:] not in _ENDS:
        plain = _DIGITS.sub("0", plain)
    return _number(f"{site} e {plain}")


def _inner(site: int, line: str) -> int:
    return _number(f"{site} i {' '.join(line.split())}")


def _is_sentence(line: str) -> bool:
    return (
        _LEAST_CHARS <= len(line) <= _LONGEST_LINE
        and line.count(" ") >= _LEAST_WORDS - 1
        and not _HEADING.match(line)
        and not _ROW.match(line)
    )


def _without_bare_headings(lines: _Lines, found: set[int]) -> set[int]:
    """Leave a heading in place if the text under it stays, and an underline with its line."""
    kept = set(found)
    next_goes, own_goes, has_text = True, True, False
    for at, line in reversed(lines):
        if _HEADING.match(line):
            if at in kept and not (own_goes if has_text else next_goes):
                kept.discard(at)
            next_goes, own_goes, has_text = at in kept, True, False
            continue
        if _UNDERLINE.fullmatch(line) and at - 1 not in kept:
            kept.discard(at)
        has_text = True
        own_goes = own_goes and at in kept
    return kept


def _without(lines: list[str], found: set[int]) -> str:
    """The text without some lines, and without the blank ones that they leave side by side."""
    left: list[str] = []
    was_removed = False
    for at, line in enumerate(lines):
        if at in found:
            was_removed = True
        elif line.strip() or not was_removed or (left and left[-1].strip()):
            left.append(line)
            was_removed = was_removed and not line.strip()
    return "\n".join(left).strip("\n")


def _number(text: str) -> int:
    data = text.encode("utf-8", "replace")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)
