from __future__ import annotations

import itertools
import os
import random
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import ConfigError
from pairmill.quality import duplicates
from pairmill.quality.duplicates import Item, find_alike, find_duplicates, load_embedder

if TYPE_CHECKING:
    from pairmill.quality.duplicates import Embed

np = pytest.importorskip("numpy")
SAME = [
    "How do I reduce the memory usage of my Python program?",
    "How can I reduce the memory usage of a Python program?",
    "What is the way to reduce memory usage in my Python program?",
]
OTHERS = [
    "Which bread keeps longest in a humid kitchen?",
    "Explain how the harbour of Oslo was rebuilt after the fire.",
    "",
    "Why?",
]


@pytest.fixture(scope="module")
def embed() -> Embed:
    return load_embedder()


def items(*texts: str) -> list[Item]:
    return [Item(f"{number:02}", text) for number, text in enumerate(texts)]


def test_what_is_said_in_other_words_is_found_where_words_alone_find_nothing(embed: Embed) -> None:
    asked = items(*OTHERS, *SAME)
    assert find_duplicates(asked) == {}
    found = find_alike(asked, embed)
    assert set(found) == {"05", "06"}
    assert {duplicate.of for duplicate in found.values()} == {"04"}
    assert all(0.92 <= duplicate.similarity < 1 for duplicate in found.values())


def test_the_higher_score_stays(embed: Embed) -> None:
    asked = [Item("a", SAME[0], 2.0), Item("b", SAME[1], 4.0)]
    assert {name: twin.of for name, twin in find_alike(asked, embed).items()} == {"a": "b"}


def test_the_order_of_what_comes_in_does_not_matter(
    embed: Embed, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(1)
    words = ["copper", "kettle", "winter", "brewer"]
    asked = items(*(" ".join(draw.choices(words, k=5)) for _ in range(60)))
    expected = find_alike(asked, embed)
    assert 5 < len(expected) < 55
    for block, panel in itertools.product((1, 7, 64), (1, 5, 8192)):
        monkeypatch.setattr(duplicates, "_BLOCK", block)
        monkeypatch.setattr(duplicates, "_PANEL", panel)
        assert find_alike(draw.sample(asked, len(asked)), embed) == expected


def test_what_is_dropped_is_alike_to_something_that_stays_and_what_stays_is_not(
    embed: Embed,
) -> None:
    draw = random.Random(2)
    words = ["stone", "bridge", "river", "market", "glacier", "library"]
    asked = items(*(" ".join(draw.choices(words, k=4)) for _ in range(80)))
    found = find_alike(asked, embed)
    assert all(duplicate.of not in found for duplicate in found.values())
    assert find_alike([item for item in asked if item.id not in found], embed) == {}


def test_no_text_breaks_it(embed: Embed) -> None:
    odd = ["\ud800", "\x00", "\u202e", "\U0001f600" * 500, "word " * 5000, " ", ""]
    assert find_alike(items(*odd), embed) is not None
    assert find_alike([], embed) == {}


def test_vectors_that_are_no_numbers_are_alike_to_nothing() -> None:
    def broken(texts: Any) -> Any:
        return np.full((len(texts), 4), np.nan)

    assert find_alike(items("a", "b"), broken) == {}


def test_nothing_is_loaded_from_elsewhere() -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "from pairmill.quality.duplicates import load_embedder\n"
        "print(load_embedder()(['What is copper?']).shape)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == "(1, 256)", ran.stderr
    assert socket.socket.connect is not None


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_NAME", "wordllama_that_is_not_there")
    with pytest.raises(ConfigError, match=r"^comparing by embeddings .*'pairmill\[embed\]'$"):
        load_embedder()
