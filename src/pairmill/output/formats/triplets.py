"""Query, positive and negatives, for training retrieval models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.output.formats.format import Format, Record, each

if TYPE_CHECKING:
    from pairmill.output.rows import Row

__all__ = ["TRIPLETS"]

_TRAINING = """\
from datasets import load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.losses import MultipleNegativesRankingLoss

rows = load_dataset("{place}", split="train")
rows = rows.filter(lambda row: row["negatives"]).map(
    lambda row: {{"anchor": row["query"], "negative": row["negatives"][0]}},
    remove_columns=["query", "negatives"],
).select_columns(["anchor", "positive", "negative"])
model = SentenceTransformer("YOUR_MODEL")
loss = MultipleNegativesRankingLoss(model)
SentenceTransformerTrainer(model, train_dataset=rows, loss=loss).train()
"""


def _shape(row: Row) -> Record:
    negatives = (row.get("fields") or {}).get("negatives") or []
    return {
        "query": row["instruction"],
        "positive": row["answer"],
        "negatives": [str(negative) for negative in negatives],
    }


TRIPLETS = Format(
    name="triplets",
    summary="query, positive and negatives: sentence-transformers, Tevatron; needs the field"
    " 'negatives'",
    schema={"query": "string", "positive": "string", "negatives": ("string",)},
    notes={
        "query": "What is searched for",
        "positive": "The text that answers it",
        "negatives": "Texts near to it that do not",
    },
    write=each(_shape),
    system="none",
    llama_factory={
        "formatting": "alpaca",
        "columns": {"prompt": "query", "response": "positive"},
    },
    axolotl={"type": {"field_instruction": "query", "field_output": "positive"}},
    trl=None,
    library=("sentence-transformers", _TRAINING),
    needs="negatives",
)
