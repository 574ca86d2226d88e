"""Backtranslation in two calls per chunk: first the requests, then all the answers.

For models that cannot hold whole pairs in one JSON object, and for longer answers; it reads the
passage twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.plan import Plan, count_pairs, plan_identity, plan_pairs
from pairmill.recipes.prompts import guidance_text, load_template, of_settings, style_mode
from pairmill.recipes.recipe import Ask, Generator
from pairmill.recipes.style import Forms, StyleCards
from pairmill.recipes.writing import (
    CANARY,
    TERMS,
    TOKENS_PER_REPLY,
    Answers,
    Instructed,
    Rewriter,
    Short,
    Skip,
    by_number,
    drop_skipped,
    load_backtranslate,
    passage_values,
)
from pairmill.recipes.writing import question as answer_question
from pairmill.records import Chunk, Pair, Prompt, Rejection, Sampling, digest

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["Requests", "two_step"]

VERSION = "2"
TOKENS_PER_REQUEST = 160


class WrittenRequest(AnswerModel):
    """One request, and what an answer to it will rest on."""

    type: Short = ""
    evidence: Short = ""
    instruction: Instructed


class Requests(AnswerModel):
    """The first reply: requests, or the reason why there are none."""

    items: ClassVar[str | None] = "requests"
    skip: Skip = None
    requests: list[WrittenRequest]


def two_step(settings: Settings) -> Generator:
    """Make the generator. It rejects a chunk if either reply cannot be obtained."""
    guidance = guidance_text(settings)
    prompts = of_settings(settings)
    asking = load_template("instructions", {"canary": CANARY}, guidance, prompts=prompts)
    answering = Forms(
        lambda style: load_template(
            "answers", {"style": style, "canary": CANARY}, guidance, settings.voice, prompts
        )
    )
    pairs_forms = Forms(lambda style: load_backtranslate(style, guidance, settings.voice, prompts))
    cards = StyleCards(style_mode(settings), prompts)
    rewriter = Rewriter(settings, pairs_forms, cards)

    def question(chunk: Chunk, plan: Plan) -> Prompt:
        count = len(plan.types)
        values = {"count": str(count), "plan": plan.lines(), **passage_values(chunk)}
        max_tokens = TOKENS_PER_REPLY + TOKENS_PER_REQUEST * count
        return asking.fill(values, Sampling(settings.temperature, max_tokens, settings.seed))

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        count = count_pairs(chunk.text, settings.pairs_per_chunk)
        plan = plan_pairs(chunk, count, settings.seed, settings.plan, prompts=prompts)
        found = await ask(
            question(chunk, plan), Requests, again=lambda kept: question(chunk, plan.after(kept))
        )
        requests = found.requests[:count]
        if not requests:
            drop_skipped(found.skip, ask)
            return []
        form = answering.with_card(await cards.of(chunk, ask))
        texts = [request.instruction for request in requests]
        prompt = answer_question(form, texts, settings.temperature, settings.seed, chunk)
        answers = by_number(await ask(prompt, Answers), len(requests))
        return _join(requests, answers, ask)

    plain = answering.with_card("")
    own = (str(settings.pairs_per_chunk), repr(settings.temperature), str(settings.seed))
    templates = (asking, plain, pairs_forms.with_card(""))
    texts = [part for form in templates for part in (form.template.id, form.form)]
    return Generator(
        name="backtranslate_two_step",
        version=VERSION,
        prompt_version=f"{asking.version}+{plain.version}",
        identity=digest(
            "two_step",
            VERSION,
            *texts,
            rewriter.form,
            cards.identity,
            *own,
            *plan_identity(settings.plan),
        ),
        write=write,
        rewrite=rewriter.rewrite,
        terms=TERMS,
        pools_manners=cards.is_pooled,
    )


def _join(requests: list[WrittenRequest], answers: list[str | None], ask: Ask) -> list[Pair]:
    pairs: list[Pair] = []
    for index, (request, answer) in enumerate(zip(requests, answers, strict=True)):
        if answer is None:
            told = "the model left this request out"
            ask.drop(Rejection("unanswered", told, request.instruction, whole_unit=False))
            continue
        pairs.append(Pair(request.instruction, answer, index, request.type, request.evidence))
    return pairs
