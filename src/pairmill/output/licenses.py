"""Licences of documents: one name for each of their spellings, and what the usual ones ask for.

Sources name a licence by its address, by its SPDX identifier or in words. The row keeps what the
source said; here it gets the name that is counted, shown and filtered by. Nothing here is legal
advice, and a name says nothing of who gave the licence, or whether they might.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from pairmill.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["UNKNOWN", "forbids_adaptation", "is_wanted", "license_name", "warnings"]

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
    parts = (_OPENED.sub("", plain(part, 300)).rstrip(") ") for part in said.split(" AND "))
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
