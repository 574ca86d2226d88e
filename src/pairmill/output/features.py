"""Types of columns, as a dataset card declares them, and descriptions of a row's fields.

A type is written as plain data: a name such as ``string`` for a scalar, a one-tuple for a
list, a mapping for a struct. ``declare`` turns it into the words of a dataset card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pairmill.store.rows import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ROW_NOTES", "Feature", "Schema", "declare", "type_name"]

Schema: TypeAlias = "Mapping[str, Feature]"

ROW_NOTES: Mapping[str, str] = {
    "id": "Digest of unit and position; the same pair has the same id in every run",
    "task": "pair, conversation, text (for continued pretraining) or question (a short answer)",
    "instruction": "What a person asks; of a conversation, first; null for plain text",
    "answer": "What the assistant should reply; of a conversation, first; or the plain text",
    "messages": "All turns of a conversation without its system message, else null",
    "system": "The system message to train with, or null",
    "reasoning": "The thought that leads to the answer, or null",
    "fields": "What else the recipe says of the row, or null",
    "document_id": "The document that the pair was written from",
    "chunk_id": "Digest of the chunk's text",
    "source": "Where the document was read",
    "title": "The document's title, or null",
    "url": "The document's address, or null",
    "license": "The document's licence as its source names it, or null where it names none",
    "recipe": "How the pair was made",
    "prompt_version": "Version of the recipe's prompt",
    "model": "The model's name as the server returned it",
    "kind": "Sort of instruction (how_to, why ...), or null",
    "evidence": "Words that the model copied from the chunk to show where it looked, or null",
    "flags": "Quality findings that did not drop the pair",
    "scores": "A judge's ratings from 1 to 5 for each aspect, or null where none was asked",
    "grounding": "Share of the answer's content words that stand in the chunk, 0 to 1: a guard"
    " against foreign text",
    "support": "How well the chunk backs the answer up, by words that stand together, 0 to 1",
    "verification": "What a verifier found, in sentences of the answer: supported, contradicted,"
    " not in the chunk, unproven, cut out, and the words of the chunk that it quoted; or null",
    "parent_id": "Id of the row that this one was evolved from, if it was",
    "alternative": "Another answer to the same instruction, how it came, its mean rating",
    "attempts": "Answers bought for this pair's unit",
    "prompt_tokens": "The pair's share of its unit's prompt tokens, as the server counted them",
    "completion_tokens": "The pair's share of its unit's completion tokens",
    "created": "When the answer came, ISO 8601 in UTC",
}
"""What each field of ``pairmill.store.rows.ROW_FEATURES`` means, for the card."""


def declare(schema: Schema) -> list[dict[str, Any]]:
    """Return the schema as the ``dataset_info.features`` list of a Hugging Face dataset card."""
    return [{"name": name, **_declaration(feature)} for name, feature in schema.items()]


def type_name(feature: Feature) -> str:
    """Describe a type in a few words: ``string``, ``list of string``, ``struct``."""
    if isinstance(feature, str):
        return feature
    if isinstance(feature, tuple):
        return f"list of {type_name(feature[0])}"
    return "struct"


def _declaration(feature: Feature) -> dict[str, Any]:
    if isinstance(feature, str):
        return {"dtype": feature}
    if not isinstance(feature, tuple):
        return {"struct": declare(feature)}
    inner = feature[0]
    if isinstance(inner, str):
        return {"list": inner}
    return {"list": _declaration(inner) if isinstance(inner, tuple) else declare(inner)}
