"""Recipe for very small models: the answer is an extract, only its instruction is generated.

A model of 0.1 billion parameters cannot write a truthful answer, nor nested JSON. It can write a
question about two sentences if it gets several attempts. So the chunk is cut into spans, several
questions are sampled for each, and the one that shares most content words with its span is kept, if
it shares enough. This is plain backtranslation, with the text itself as the answer.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec.structs import replace
from pydantic import Field, StringConstraints

from pairmill.chunking.blocks import sentence_ends
from pairmill.errors import RejectedError
from pairmill.quality.grounding import coverage
from pairmill.quality.text import prepare
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.prompts import fence, load_template
from pairmill.recipes.recipe import Ask, Generator
from pairmill.records import Pair, Prompt, Rejection, Sampling, digest

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.records import Chunk

__all__ = ["SpanQuestion", "extractive", "spans_of"]

VERSION = "2"
SAMPLES = 4  # of one sample none of 12 questions passed; of the best of four 10 of 12 did
GOOD_ENOUGH = 0.8  # stop sampling once a question shares this much
THRESHOLD = 0.5  # below it a question is too vague to belong to its span
MIN_WORDS = 2  # content words; "What do you mean?" belongs to any text
SHORT_COUNTS = 0.7  # score of a question with exactly so many: kept if none is better
MAX_TOKENS = 60
SPAN_CHARS = (140, 420)  # two or three sentences
MIN_SPACES = 25  # a span of 26 words is long enough to be an answer

_PROSE = re.compile(r"[A-Za-z]")
_MOST_CHARS = 120  # of a question's body: room for 20 words
_PATTERN = (
    r"^(What|How|Why|When|Where|Which|Who|Explain|Describe)"
    rf"[ a-zA-Z0-9,'-]{{12,{_MOST_CHARS}}}[?.]$"
)


class SpanQuestion(AnswerModel):
    """The reply: one instruction. The pattern keeps a small model on its rails."""

    schema_name: ClassVar[str | None] = "question"  # as it was when the first answers were bought

    instruction: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=8, max_length=300)
    ] = Field(json_schema_extra={"pattern": _PATTERN})


def extractive(settings: Settings) -> Generator:
    """Make the generator: some spans of a chunk, each with the best of four questions."""
    form = load_template("extractive")
    pairs_per_chunk, temperature, seed = (
        settings.pairs_per_chunk,
        settings.temperature,
        settings.seed,
    )

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        pairs: list[Pair] = []
        for index, span in enumerate(spans_of(chunk.text, pairs_per_chunk)):
            prompt = form.fill({"passage": fence(span)}, Sampling(temperature, MAX_TOKENS, seed))
            instruction, score = await _best_question(prompt, span, ask)
            if score < THRESHOLD:
                detail = f"best of {SAMPLES} shares {score:.2f} of its content words with its span"
                ask.drop(Rejection("vague_question", detail, instruction, whole_unit=False))
                continue
            pairs.append(
                Pair(
                    instruction=instruction,
                    answer=span,
                    index=index,
                    kind="extract",
                    evidence=" ".join(span.split()[:12]),
                    grounding=1.0,
                )
            )
        if not pairs:
            raise RejectedError("no_usable_pair", "no question fits its span")
        return pairs

    own = (str(pairs_per_chunk), repr(temperature), str(seed))
    return Generator(
        name="extractive",
        version=VERSION,
        prompt_version=form.version,
        identity=digest("extractive", VERSION, form.template.id, form.form, *own),
        write=write,
        copies=True,
    )


async def _best_question(prompt: Prompt, span: str, ask: Ask) -> tuple[str, float]:
    """Sample up to SAMPLES questions and return the one closest to the span."""
    best, best_score = "", -1.0
    wanted = prepare(span).content
    for sample in range(SAMPLES):
        seed = (prompt.sampling.seed or 0) * SAMPLES + sample
        drawn = replace(prompt, sampling=replace(prompt.sampling, seed=seed))
        try:
            question = (await ask(drawn, SpanQuestion)).instruction
        except RejectedError as error:
            ask.drop(Rejection(error.reason, error.detail, error.raw, whole_unit=False))
            continue
        score = _score(question, wanted)
        if score > best_score:
            best, best_score = question, score
        if score >= GOOD_ENOUGH:
            break
    return best, max(best_score, 0.0)


def _score(question: str, wanted: frozenset[str]) -> float:
    """Score how close a question is to its span: 0 to 1, less where it says hardly anything."""
    content = prepare(question).content
    if _is_torn(question) or len(content) < MIN_WORDS:
        return 0.0
    share = coverage(content, wanted)
    return share if len(content) > MIN_WORDS else share * SHORT_COUNTS


def _is_torn(question: str) -> bool:
    """Return whether the pattern's length limit, not the model, ended it in mid-word."""
    return len(question) > _MOST_CHARS or question[-2:-1] in {" ", ",", "-"}


def spans_of(text: str, count: int) -> list[str]:
    """Return up to ``count`` runs of sentences, of 140 to 420 characters, spread over the text.

    Code, headings, lists and tables make poor answers for a small model, and are skipped.
    """
    low, high = SPAN_CHARS
    spans: list[str] = []
    current = ""
    for sentence in [*_prose_sentences(text), ""]:
        joined = f"{current} {sentence}" if current else sentence
        if not sentence or len(joined) > high:
            if len(current) >= low:
                spans.append(current)
            current = sentence if len(sentence) <= high else ""
        else:
            current = joined
        if len(current) >= low and current.count(" ") >= MIN_SPACES:
            spans.append(current)
            current = ""
    if len(spans) <= count:
        return spans
    step = len(spans) / count
    return [spans[int(index * step)] for index in range(count)]


def _prose_sentences(text: str) -> list[str]:
    """Return the paragraphs' sentences in order; "" where something was skipped."""
    found: list[str] = []
    in_code = False
    for block in re.split(r"\n\s*\n", text):
        fences = block.count("```")
        skip = in_code or fences > 0 or block.lstrip()[:1] in "#|>-*+=~" or block[:4] == "    "
        in_code ^= fences % 2 == 1
        if skip or not _PROSE.search(block):
            found.append("")
            continue
        line = " ".join(block.split())
        found.extend(_sentences(line))
    return found


def _sentences(line: str) -> list[str]:
    bounds = [0, *sentence_ends(line, 0, len(line)), len(line)]
    parts = (line[start:end].strip() for start, end in pairwise(bounds))
    return [part for part in parts if part]
