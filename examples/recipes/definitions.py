"""A recipe of your own in Python: one definition per chunk.

    pairmill run articles/ -o dataset --recipe examples/recipes/definitions.py

The fields of ``Definition`` are what the model is asked for.
"""

from pairmill import AnswerModel, Ask, Chunk, ChunkQuestion, Pair


class Definition(AnswerModel):
    """What the model must answer; its fields become the JSON schema of the request."""

    term: str
    meaning: str


QUESTION = ChunkQuestion(
    "Choose the most important term of this text and define it in one or two sentences, as the text"
    " does.\n\n{{ passage }}"
)


async def recipe(chunk: Chunk, ask: Ask) -> list[Pair]:
    """Return the pairs of one chunk; an invalid answer is repaired, or asked for again."""
    found = await ask(QUESTION.about(chunk), Definition)
    return [Pair(f"What does '{found.term}' mean?", found.meaning, 0)]
