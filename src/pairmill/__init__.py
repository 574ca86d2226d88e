"""pairmill turns raw articles into an instruction-tuning dataset with language models.

from pairmill import generate

summary = generate("articles/", output="dataset", model="gpt-4o-mini")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.errors import PairmillError
    from pairmill.recipes.answers import AnswerModel
    from pairmill.recipes.python_recipe import ChunkQuestion
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk, Message, Pair
    from pairmill.run.generate import generate
    from pairmill.run.summary import Summary

__all__ = [
    "AnswerModel",
    "Ask",
    "Chunk",
    "ChunkQuestion",
    "Message",
    "Pair",
    "PairmillError",
    "Summary",
    "__version__",
    "generate",
]

__version__ = "0.1.0"

_HOMES = {
    "AnswerModel": "pairmill.recipes.answers",
    "Ask": "pairmill.recipes.recipe",
    "Chunk": "pairmill.records",
    "ChunkQuestion": "pairmill.recipes.python_recipe",
    "Message": "pairmill.records",
    "Pair": "pairmill.records",
    "PairmillError": "pairmill.errors",
    "Summary": "pairmill.run.summary",
    "generate": "pairmill.run.generate",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used, so that ``pairmill --help`` need not."""
    if name not in _HOMES:
        message = f"module 'pairmill' has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module  # noqa: PLC0415 (see above)

    return getattr(import_module(_HOMES[name]), name)
