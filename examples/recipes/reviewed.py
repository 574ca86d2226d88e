"""A recipe whose answers come later: a person approves each question before it is answered.

    pairmill run articles/ -o dataset --recipe examples/recipes/reviewed.py

The first start asks the model for one question a chunk, writes it to ``QUESTIONS/<chunk>.txt``, and
ends with 75. Edit or delete what you do not like (an empty file means no pair), save the others as
``<chunk>.ok.txt``, and start again: the questions come from the ledger, unpaid, and only the
answers are asked for. A batch API works the same way: submit, raise, collect.
"""

import os
from pathlib import Path

from pairmill import AnswerModel, Ask, Chunk, ChunkQuestion, Pair, PendingError

QUESTIONS = Path(os.environ.get("QUESTIONS", "questions"))


class Question(AnswerModel):
    """What is asked for first."""

    question: str


class Answer(AnswerModel):
    """What is asked for once the question is approved."""

    answer: str


ASK = ChunkQuestion("Write one question that this text answers.\n\n{{ passage }}")
REPLY = ChunkQuestion("Answer from this text alone: {{ question }}\n\n{{ passage }}")


def approved(chunk: Chunk, proposed: str) -> str:
    """Return a chunk's question as it was approved.

    Raises:
        PendingError: It is not approved yet; it is written where a person can read it.
    """
    file = QUESTIONS / f"{chunk.id}.ok.txt"
    if not file.exists():
        QUESTIONS.mkdir(exist_ok=True)
        (QUESTIONS / f"{chunk.id}.txt").write_text(proposed, "utf-8")
        raise PendingError
    return file.read_text("utf-8").strip()


async def recipe(chunk: Chunk, ask: Ask) -> list[Pair]:
    """Return the pair of one chunk, whose unit stays open until its question is approved."""
    question = approved(chunk, (await ask(ASK.about(chunk), Question)).question)
    if not question:
        return []
    written = await ask(REPLY.about(chunk, question=question), Answer)
    return [Pair(question, written.answer, 0)]
