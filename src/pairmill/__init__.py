"""pairmill turns raw articles into an instruction-tuning dataset with language models.

from pairmill import generate

summary = generate("articles/", output="dataset", model="gpt-4o-mini")
print(summary.pairs, summary.usd, summary.data)

See docs/python.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairmill.api import estimate, export, push, qc, report
    from pairmill.config import Settings
    from pairmill.errors import PairmillError, PendingError, RejectedError
    from pairmill.events import Bus, Event
    from pairmill.recipes.answers import AnswerModel
    from pairmill.recipes.python_recipe import ChunkQuestion
    from pairmill.recipes.recipe import Ask, Generator, Recipe
    from pairmill.records import Chunk, Document, Message, Pair, Rejection
    from pairmill.run.generate import generate
    from pairmill.run.summary import Summary
    from pairmill.service.companions import RunView

__all__ = [
    "AnswerModel",
    "Ask",
    "Bus",
    "Chunk",
    "ChunkQuestion",
    "Document",
    "Event",
    "Generator",
    "Message",
    "Pair",
    "PairmillError",
    "PendingError",
    "Recipe",
    "RejectedError",
    "Rejection",
    "RunView",
    "Settings",
    "Summary",
    "__version__",
    "estimate",
    "export",
    "generate",
    "push",
    "qc",
    "report",
]

__version__ = "0.1.0"

_HOMES = {
    "AnswerModel": "pairmill.recipes.answers",
    "Ask": "pairmill.recipes.recipe",
    "Bus": "pairmill.events",
    "Chunk": "pairmill.records",
    "ChunkQuestion": "pairmill.recipes.python_recipe",
    "Document": "pairmill.records",
    "Event": "pairmill.events",
    "Generator": "pairmill.recipes.recipe",
    "Message": "pairmill.records",
    "Pair": "pairmill.records",
    "PairmillError": "pairmill.errors",
    "PendingError": "pairmill.errors",
    "Recipe": "pairmill.recipes.recipe",
    "RejectedError": "pairmill.errors",
    "Rejection": "pairmill.records",
    "RunView": "pairmill.service.companions",
    "Settings": "pairmill.config",
    "Summary": "pairmill.run.summary",
    "estimate": "pairmill.api",
    "export": "pairmill.api",
    "generate": "pairmill.run.generate",
    "push": "pairmill.api",
    "qc": "pairmill.api",
    "report": "pairmill.api",
}


def __getattr__(name: str) -> object:
    """Load a public name on first use, to keep ``pairmill --help`` fast."""
    if name not in _HOMES:
        message = f"module 'pairmill' has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module  # noqa: PLC0415 (see above)

    return getattr(import_module(_HOMES[name]), name)
