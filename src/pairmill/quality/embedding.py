"""Texts with a similar meaning: near duplicates by the cosine of their embeddings.

The embeddings are wordllama's (Miller 2024, MIT): one vector of 256 numbers a token, averaged; the
weights are in its package, and nothing is downloaded. They work best for English, and represent
which words occur, not their relations.

Vectors are rounded to whole numbers from -127 to 127. All their products and sums then fit into a
float's 24 bits, so that a cosine is exact, and does not depend on how a machine orders its sums.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pairmill.errors import ConfigError
from pairmill.quality.duplicates import Duplicate
from pairmill.quality.thresholds import LEAST_COSINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pairmill.quality.duplicates import Item

__all__ = ["Embed", "find_alike", "load_embedder"]

Embed: TypeAlias = "Callable[[Sequence[str]], Any]"
"""Texts to an array of one row of floats each, of any length; all zeros for an empty text."""

_NAME = "wordllama"
_SCALE = 127
_BLOCK = 1024  # items that are compared with all kept ones at a time
_LONGEST = 2_000  # characters that are looked at: a batch is padded to its longest text
_PANEL = 8192  # kept ones in one product: 32 MB of cosines


def load_embedder() -> Embed:
    """Load the embeddings of wordllama, from its own package and without a network.

    Raises:
        ConfigError: The extra is not installed, or its package came without the weights.
    """
    found = find_spec(_NAME)
    if found is None or not found.submodule_search_locations:
        raise ConfigError("comparing by embeddings needs the extra: pip install 'pairmill[embed]'")
    from wordllama import WordLlama  # noqa: PLC0415 (an extra, and numpy with it)

    # Without the folder it looks for the tokenizer in one of another name, and then on a hub.
    place = Path(found.submodule_search_locations[0])
    try:
        model = WordLlama.load(cache_dir=place, disable_download=True)
    except (OSError, ValueError):
        raise ConfigError(f"{_NAME} is installed without its weights; reinstall it") from None

    def embed(texts: Sequence[str]) -> Any:
        return model.embed([_whole(text[:_LONGEST]) for text in texts])

    return embed


def find_alike(
    items: Iterable[Item], embed: Embed, *, least: float = LEAST_COSINE
) -> dict[str, Duplicate]:
    """Decide which items mean what another means: id of each to drop, to what it repeats.

    Of two alike the higher score stays, then the smaller id; what is dropped is alike to something
    that stays. The same items in any order give the same answer. An empty text is like no other.
    Holds 256 bytes of each item; time grows with the square of their number.
    """
    import numpy as np  # noqa: PLC0415 (comes with the extra)

    ordered = sorted(items, key=lambda item: (-item.score, item.id))
    vectors = _rounded(embed([item.text for item in ordered])) if ordered else np.zeros((0, 1))
    lengths = np.sqrt(np.square(vectors.astype(np.float64)).sum(axis=1))
    found: dict[str, Duplicate] = {}
    kept: list[int] = []
    for start in range(0, len(ordered), _BLOCK):
        block = range(start, min(start + _BLOCK, len(ordered)))
        nearest = _nearest(vectors, lengths, block, kept)
        inside = _cosines(vectors, lengths, block, block)
        fresh = np.zeros(len(block), bool)  # those of the block that stay
        for row, at in enumerate(block):
            best, other = nearest[row]
            among = np.where(fresh, inside[row], -1.0)
            place = int(among.argmax())
            if among[place] > best:
                best, other = among[place], block[place]
            if other >= 0 and best >= least:
                found[ordered[at].id] = Duplicate(ordered[other].id, float(best))
            else:
                fresh[row] = True
                kept.append(at)
    return found


def _rounded(vectors: Any) -> Any:
    """To whole numbers, each row as long as a row can be; what is no number is 0."""
    import numpy as np  # noqa: PLC0415

    given = np.nan_to_num(np.asarray(vectors, np.float64))
    lengths = np.linalg.norm(given, axis=1, keepdims=True)
    return np.rint(_SCALE * given / np.where(lengths > 0, lengths, 1)).astype(np.int8)


def _nearest(
    vectors: Any, lengths: Any, block: range, kept: Sequence[int]
) -> list[tuple[float, int]]:
    """For each of a block the greatest cosine with a kept one, and which; -1 for none."""
    best = [(-1.0, -1)] * len(block)
    for start in range(0, len(kept), _PANEL):
        panel = kept[start : start + _PANEL]
        cosines = _cosines(vectors, lengths, block, panel)
        places = cosines.argmax(axis=1)
        for row, place in enumerate(places):
            if cosines[row, place] > best[row][0]:
                best[row] = (cosines[row, place], panel[place])
    return best


def _cosines(vectors: Any, lengths: Any, rows: Sequence[int], columns: Sequence[int]) -> Any:
    import numpy as np  # noqa: PLC0415

    left, right = vectors[list(rows)], vectors[list(columns)]
    dots = (left.astype(np.float32) @ right.astype(np.float32).T).astype(np.float64)
    sizes = np.outer(lengths[list(rows)], lengths[list(columns)])
    return np.divide(dots, sizes, out=np.full_like(dots, -1.0), where=sizes > 0)


def _whole(text: str) -> str:
    """Without lone surrogates, which the tokenizer does not take."""
    return text.encode("utf-8", "replace").decode("utf-8")
