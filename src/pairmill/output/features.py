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
    "fields": "Fields specific to the recipe, or null",
    "document_id": "The document that the pair was written from",
    "chunk_id": "Digest of the chunk's text",
    "source": "Where the document was read from",
    "title": "The document's title, or null",
    "url": "The document's address, or null",
    "license": "The document's licence as given by its source, or null",
    "recipe": "How the pair was made",
    "prompt_version": "Version of the recipe's prompt",
    "model": "The model's name as the server returned it",
    "kind": "Sort of instruction (how_to, why ...), or null",
    "evidence": "Words that the model quoted from the chunk as evidence, or null",
    "flags": "Quality findings that did not drop the pair",
    "scores": "A judge's ratings from 1 to 5 for each aspect, or null",
    "grounding": "Share of the answer's content words that occur in the chunk, 0 to 1: a guard"
    " against foreign text",
    "support": "How well the chunk supports the answer, by words that occur together, 0 to 1",
    "verification": "What a verifier found, in sentences of the answer: supported, contradicted,"
    " not in the chunk, unproven, cut out, and the quotations from the chunk; or null",
    "parent_id": "Id of the row that this one was evolved from, or null",
    "alternative": "A second answer to the same instruction, its origin and mean rating, or null",
    "attempts": "Answers paid for, for this pair's unit",
    "prompt_tokens": "The pair's share of its unit's prompt tokens, as the server counted them",
    "completion_tokens": "The pair's share of its unit's completion tokens",
    "created": "Time of the answer, ISO 8601 in UTC",
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
