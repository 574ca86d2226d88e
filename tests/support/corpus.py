"""A corpus for tests: articles of made-up but readable sentences, different in each chunk."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SUBJECTS = "harbour orchard railway lighthouse market glacier library bakery canal observatory"
_VERBS = "supplies repairs measures protects divides heats carries records cools connects"
_OBJECTS = "timber wheat copper letters engines winters bridges maps lanterns stones"
_PLACES = "Oslo Lima Turin Kyoto Accra Perth Quebec Riga Tunis Hobart"


def article(number: int, sentences: int = 24) -> str:
    """One article of about 80 characters a sentence; the same number gives the same text."""
    draw = random.Random(number)
    lines = [f"# Report {number}", ""]
    for index in range(sentences):
        subject, verb, thing, place = (
            draw.choice(words.split()) for words in (_SUBJECTS, _VERBS, _OBJECTS, _PLACES)
        )
        lines.append(
            f"In {place} the {subject} number {number * 100 + index} {verb} the {thing} "
            f"because {draw.randint(2, 900)} people rely on it."
        )
        if index % 6 == 5:
            lines.append("")
    return "\n".join(lines)


def write_corpus(folder: Path, count: int, sentences: int = 24) -> Path:
    """Write ``count`` articles as Markdown files; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"article-{number:03}.md").write_text(article(number, sentences), "utf-8")
    return folder
