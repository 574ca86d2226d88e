"""Small recipe files for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.recipes.load import read_recipe_text

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.recipes.recipe_file import RecipeFile

MINE = """\
name: mine
version: 1
constants:
  audience: brewers
draw:
  asker: [a beginner, a sceptic]
steps:
  - name: write
    system: You write for {{ audience }}.
    user: |
      Up to {{ count }} pairs, asked by {{ asker }}.
      {{ passage }}
    answer:
      pairs:
        type: list
        max: 3
        fields:
          question: what is asked for
          reply: text
          difficulty: [easy, hard]
    max_tokens: 900
rows:
  for_each: pair in write.pairs
  instruction: "{{ pair.question }}"
  answer: "{{ pair.reply }}"
  fields: [difficulty]
"""


def parse(text: str = MINE, folder: Path | None = None) -> RecipeFile:
    """Read the text of a recipe file as ``mine.yaml``."""
    return read_recipe_text(text, "mine.yaml", folder)


def changed(*pairs: tuple[str, str]) -> str:
    """``MINE`` with some texts replaced, each of which stands in it."""
    text = MINE
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text
