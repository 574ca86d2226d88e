"""Lines that many documents of one site share: menus, greetings, offers, footers.

A line is removed from a document if at least `_LEAST_DOCUMENTS` documents of its site contain it,
and at least a share `_LEAST_SHARE` of those that were read: at the top (below the title) and at the
end as long as such lines follow each other; in between only if it is about a whole sentence
(`_LEAST_CHARS`, `_LEAST_WORDS`). Never a line of code, nor a row of a table, nor a heading whose
text is kept; and nothing at all if more than half of the document would go: that is a copy, not a
page with a frame.

Once a run has decided a document, every later start treats it the same, whatever was read since, so
that its chunks stay those that were paid for.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, OrderedDict
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec

from pairmill.chunking.repeats import text_name
from pairmill.sources.fences import fenced_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pairmill.chunking.intake_file import IntakeFile
    from pairmill.records import Document

__all__ = ["KeyCounts", "SharedLines", "site_of"]

_encode = msgspec.msgpack.Encoder().encode

_ROOM = 3  # slots per key, so that a look-up succeeds at the first or second slot
_MOST_FILLED = 0.6
_ZEROS = array("q", [0]) * 2**10


class KeyCounts:
    """Counts 64-bit keys other than 0, in bounded memory.

    Beyond ``most`` keys it forgets the least frequent ones, down to half of that. The memory is
    allocated at the start: a table for keys seen once (open addressing with linear
    probing: Knuth, "The Art of Computer Programming", volume 3, 6.4, algorithm L), and a dictionary
    of the others.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 2 ** (_ROOM * most).bit_length()
        self._repeated: dict[int, int] = {}
        self._once = array("q", [0]) * self._size
        self._single = self._filled = 0

    def __len__(self) -> int:
        return len(self._repeated) + self._single

    def add(self, keys: Iterable[int]) -> None:
        """Count each key once more, and only then forget surplus keys."""
        repeated = self._repeated
        for key in keys:
            if key in repeated:
                repeated[key] += 1
                continue
            place = self._place_of(key)
            if self._once[place]:
                repeated[key] = 2
                self._single -= 1
                continue
            self._once[place] = key
            self._single += 1
            self._filled += 1
            if self._filled > _MOST_FILLED * len(self._once):  # a single text with that many lines
                self._widen()
        if len(self) > self._most:
            self._forget()

    def _place_of(self, key: int) -> int:
        once, mask = self._once, len(self._once) - 1
        place = key & mask
        while (held := once[place]) != key and held:
            place = (place + 1) & mask
        return place

    def state(self) -> tuple[bytes, bytes, bytes]:
        """Return the keys seen once, the others, and how often these were seen; see `restore`."""
        repeated = self._repeated
        once = array("q", [key for key in filter(None, self._once) if key not in repeated])
        return (
            once.tobytes(),
            array("q", repeated).tobytes(),
            array("q", repeated.values()).tobytes(),
        )

    def restore(self, state: Sequence[bytes]) -> None:
        """Continue from a state; this process must hash texts like the one that saved it."""
        once, keys, counts = (array("q", part) for part in state)
        self._clear()
        self._repeated = dict(zip(keys, counts, strict=True))
        self.add(once)

    def has(self, key: int, least: float) -> bool:
        """Return whether a key was seen at least ``times`` times, which must be more than 1."""
        return self._repeated.get(key, 1) >= least

    def _clear(self) -> None:
        """Clear the table in place: a new one would need its memory beside this one's."""
        del self._once[self._size :]
        for start in range(0, self._size, len(_ZEROS)):
            self._once[start : start + len(_ZEROS)] = _ZEROS[: self._size - start]
        self._single = self._filled = 0

    def _widen(self) -> None:
        held, self._once = self._once, array("q", [0]) * (2 * len(self._once))
        for key in filter(None, held):
            self._once[self._place_of(key)] = key

    def _forget(self) -> None:
        """Keep the most frequent keys, half of all."""
        self._clear()
        least = 3
        while len(self._repeated) > self._most // 2:
            self._repeated = {key: seen for key, seen in self._repeated.items() if seen >= least}
            least += 1


_LEAST_DOCUMENTS = 5
_LEAST_SHARE = 0.25
_LEAST_CHARS = 30
_LEAST_WORDS = 5
_LONGEST_LINE = 600  # a paragraph
_SHORT_CHARS = 50  # in a longer line numbers are part of its content
_MOST_SHARE_REMOVED = 0.5
_TOP, _BOTTOM = 15, 25  # lines that are examined, not counting blank ones
_MOST_COUNTED = 300_000  # distinct lines that are counted at a time
_MOST_LINES_HELD = 50_000  # shared lines of the most recent sites: some 10 MB
_MOST_SITES_HELD = 8_192
_ENDS = frozenset(".!?:;")
_EDGE, _INNER = "e", "i"
_DIGITS = re.compile(r"\d+")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{3,}|~{3,}|\*{3,})[ \t]*")
_HOST = re.compile(r"https?://([A-Za-z0-9.-]+)(?:/|\Z)")
_ROW = re.compile(r"[ \t]*\|")

_Lines = list[tuple[int, str]]  # number and text of lines that are neither blank nor code


class LineCounts(NamedTuple):
    """A document's contribution to the counts, so that it need not be read again.

    Attributes:
        site: The number of its site.
        keys: Keys of its lines, valid in this process only.
    """

    site: int
    keys: tuple[int, ...]


class _Site:
    """Known shared lines of a site.

    Attributes:
        lines: Shared line's name to its number in the order of discovery.
        learned: Likewise by key, for lines found in this start.
        has_all_keys: True if all of its lines are among those found in this start.
    """

    __slots__ = ("has_all_keys", "learned", "lines")

    def __init__(self, lines: dict[int, int]) -> None:
        self.lines = lines
        self.learned: dict[int, int] = {}
        self.has_all_keys = not lines


class _Sites:
    """Shared lines of each site, in the file; those of the most recent sites also in memory."""

    def __init__(self, file: IntakeFile) -> None:
        self._file = file
        ((self.count,),) = file.rows("SELECT COUNT(*) FROM @lines")
        self._held: OrderedDict[int, _Site] = OrderedDict()
        self._lines_held = 0

    def of(self, number: int) -> _Site:
        """Return the known shared lines of a site."""
        site = self._held.get(number)
        if site is not None:
            self._held.move_to_end(number)
            return site
        rows = []
        if self.count:
            rows = self._file.rows("SELECT line, number FROM @lines WHERE site = ?", number)
        site = self._held[number] = _Site(dict(rows))
        self._lines_held += len(rows)
        self._let_go()
        return site

    def add(self, number: int, site: _Site, name: int) -> None:
        """Add a shared line to a site."""
        self.count += 1
        site.lines[name] = self.count
        insert = "INSERT OR IGNORE INTO main.lines VALUES (?, ?, ?)"
        self._file.run(insert, number, name, self.count)
        self._lines_held += 1
        self._let_go()

    def _let_go(self) -> None:
        while len(self._held) > 1 and (
            len(self._held) > _MOST_SITES_HELD or self._lines_held > _MOST_LINES_HELD
        ):
            _, site = self._held.popitem(last=False)
            self._lines_held -= len(site.lines)


class SharedLines:
    """Counts the lines of documents by site, and removes shared ones."""

    def __init__(self, file: IntakeFile) -> None:
        """Continue with the decisions of earlier starts."""
        self._file = file
        self._counts = KeyCounts(_MOST_COUNTED)
        self._documents: Counter[int] = Counter()
        self._sites = _Sites(file)
        self._decided: dict[int, int] = {}  # pending writes

    def state(self) -> bytes:
        """Return the counts; see `restore`."""
        sites, counts = array("q", self._documents), array("q", self._documents.values())
        return _encode((self._counts.state(), sites.tobytes(), counts.tobytes()))

    def restore(self, state: bytes) -> None:
        """Continue from saved counts; this process must hash texts like the one that saved them."""
        counted, sites, counts = msgspec.msgpack.decode(
            state, type=tuple[tuple[bytes, bytes, bytes], bytes, bytes]
        )
        self._counts.restore(counted)
        self._documents = Counter(dict(zip(array("q", sites), array("q", counts), strict=True)))

    def count(self, document: Document) -> LineCounts:
        """Count a document's lines; return the value to pass to `strip` with it."""
        site = _site_number(site_of(document))
        self._documents[site] += 1
        edges, inner = _plain_texts(_plain_lines(document.text), document.text)
        keys = (*{_key(site, _EDGE, it) for it in edges}, *{_key(site, _INNER, it) for it in inner})
        self._counts.add(keys)
        if len(self._documents) > _MOST_COUNTED:
            self._documents = Counter(
                {it: seen for it, seen in self._documents.items() if seen > 1}
            )
        return LineCounts(site, keys)

    def strip(self, document: Document, digest: str, counted: LineCounts) -> tuple[str, list[str]]:
        """Return a document's text without shared lines, and the removed lines.

        Args:
            document: The document as counted.
            digest: Digest of its text.
            counted: Return value of `count`.
        """
        text, name = document.text, text_name(digest)
        number = counted.site
        site = self._sites.of(number)
        can_learn = self._documents[number] >= _LEAST_DOCUMENTS and self._has_new(counted, site)
        if not can_learn and not site.lines:  # as nearly all are
            self._decided.setdefault(name, self._sites.count)
            return text, []
        until = self._decision(name)
        lines = _plain_lines(text)
        if until is None and can_learn:
            self._learn(number, site, lines, text)
        if until is None:
            until = self._decided[name] = self._sites.count
        found = _lines_to_remove(number, site, lines, until, is_regular=_is_regular(text))
        if not found:
            return text, []
        all_lines = text.split("\n")
        gone = [all_lines[at] for at in sorted(found)]
        if sum(map(len, gone)) > _MOST_SHARE_REMOVED * len(text):
            return text, []
        return _without(all_lines, found), gone

    def flush(self) -> None:
        """Write the decisions; they are durable with the file's next commit."""
        rows = sorted(self._decided.items())
        self._file.run_many("INSERT OR IGNORE INTO main.cleaned VALUES (?, ?)", rows)
        self._decided.clear()

    def _decision(self, name: int) -> int | None:
        """Return the number of shared lines known when a text was decided; None if it is new."""
        if name in self._decided:
            return self._decided[name]
        decided = self._file.rows("SELECT number FROM @cleaned WHERE name = ?", name)
        return decided[0][0] if decided else None

    def _least(self, site: int) -> float:
        return max(_LEAST_DOCUMENTS, _LEAST_SHARE * self._documents[site])

    def _has_new(self, counted: LineCounts, site: _Site) -> bool:
        """Return whether a document has a shared line that this start has not found yet."""
        least, counts, learned = self._least(counted.site), self._counts, site.learned
        return any(counts.has(key, least) and key not in learned for key in counted.keys)

    def _learn(self, number: int, site: _Site, lines: _Lines, text: str) -> None:
        least = self._least(number)
        for place, texts in zip((_EDGE, _INNER), _plain_texts(lines, text), strict=True):
            keys = {_name(number, place, it): _key(number, place, it) for it in texts}
            for name, key in keys.items():
                if not self._counts.has(key, least):
                    continue
                if name not in site.lines:
                    self._sites.add(number, site, name)
                site.learned[key] = site.lines[name]


def _lines_to_remove(
    number: int, site: _Site, lines: _Lines, until: int, *, is_regular: bool
) -> set[int]:
    """Return the numbers of shared lines that were known when there were ``until`` of them."""

    def is_shared(place: str, text: str) -> bool:
        if site.has_all_keys:
            found = site.learned.get(_key(number, place, text))
        else:
            found = site.lines.get(_name(number, place, text))
        return found is not None and found <= until

    found: set[int] = set()
    top = 0
    while top < len(lines) and _HEADING.match(lines[top][1]):
        top += 1
    for row in (lines[top : top + _TOP], lines[: -_BOTTOM - 1 : -1]):
        for at, line in row:
            if not is_shared(_EDGE, _edge(_plain(line, is_regular=is_regular))):
                break
            found.add(at)
    found.update(
        at
        for at, line in lines
        if _is_sentence(line) and is_shared(_INNER, _plain(line, is_regular=is_regular))
    )
    return _without_bare_headings(lines, found)


def site_of(document: Document) -> str:
    """Return a document's site: its host, else its folder or file."""
    if document.url:
        if usual := _HOST.match(document.url):  # the same result as the library's slower parser
            return usual[1].casefold().removeprefix("www.")
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
    """Return the lines of a text that are neither blank nor code, with their numbers."""
    ranges = fenced_ranges(text)
    if not ranges:
        return [
            (number, line)
            for number, line in enumerate(text.split("\n"))
            if line.strip() and not line.startswith(("    ", "\t"))
        ]
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


def _plain_texts(lines: _Lines, text: str) -> tuple[list[str], list[str]]:
    """Return the keys of lines at the top and the end of a text, and of whole sentences."""
    is_regular = _is_regular(text)
    plain = [_plain(line, is_regular=is_regular) for _, line in lines]
    inner = [it for it, (_, line) in zip(plain, lines, strict=True) if _is_sentence(line)]
    return list(map(_edge, (*plain[:_TOP], *plain[-_BOTTOM:]))), inner


def _is_regular(text: str) -> bool:
    """Return whether words of a clean text are separated by one space or line end."""
    return text.isascii() and "  " not in text and "\t" not in text


def _plain(line: str, *, is_regular: bool) -> str:
    return line.strip(" ") if is_regular else " ".join(line.split())


def _edge(plain: str) -> str:
    """Return the key of a line at the top or the end; for a short one, numbers are ignored.

    In a sentence the numbers may be the content.
    """
    if len(plain) <= _SHORT_CHARS and plain[-1:] not in _ENDS:
        return _DIGITS.sub("0", plain)
    return plain


def _is_sentence(line: str) -> bool:
    return (
        _LEAST_CHARS <= len(line) <= _LONGEST_LINE
        and line.count(" ") >= _LEAST_WORDS - 1
        and (line[0] not in " \t#|" or not (_HEADING.match(line) or _ROW.match(line)))
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
    """Remove some lines from the text, and the adjacent blank lines that they leave."""
    left: list[str] = []
    was_removed = False
    for at, line in enumerate(lines):
        if at in found:
            was_removed = True
        elif line.strip() or not was_removed or (left and left[-1].strip()):
            left.append(line)
            was_removed = was_removed and not line.strip()
    return "\n".join(left).strip("\n")


def _key(site: int, place: str, plain: str) -> int:
    """Return the key under which a line is counted, valid in this process only."""
    return hash((site, place, plain)) or 1


def _name(site: int, place: str, plain: str) -> int:
    """Return the name under which a line is stored."""
    return _number(f"{site} {place} {plain}")


def _number(text: str) -> int:
    data = text.encode("utf-8", "replace")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


_site_number = lru_cache(maxsize=1024)(_number)
