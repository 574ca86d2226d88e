"""The default recipe: one call per chunk, in which the model writes up to N pairs.

Instruction backtranslation (Li et al. 2023, arXiv:2308.06259) finds the instruction whose answer is
a given text; with the answer rewritten from the text by a model that sees it (Nguyen et al. 2024,
"Better Alignment with Instruction Back-and-Forth Translation"), it beats both the raw text and an
answer from memory.

Two variants (the setting ``mode``): `two_step` asks first for the requests, then for all answers,
for models that cannot hold whole pairs in one JSON object, and for longer answers; it reads the
passage twice. `verbatim` takes the text itself for the answer, and only its instruction is written,
as in LongForm (Köksal et al. 2023, arXiv:2304.08460): for texts that are worth learning word for
word; the answers are only as clean as the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AliasChoices, Field, StringConstraints

from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.plan import Plan, count_pairs, plan_identity, plan_pairs, traits_of
from pairmill.recipes.prompts import FIRST, guidance_text, load_template, of_settings, style_mode
from pairmill.recipes.recipe import Ask, Generator
from pairmill.recipes.refine import raw_pair
from pairmill.recipes.style import Forms, StyleCards
from pairmill.recipes.writing import (
    CANARY,
    TERMS,
    TOKENS_PER_PAIR,
    TOKENS_PER_REPLY,
    Answers,
    Instructed,
    Rewriter,
    Short,
    Skip,
    WrittenAnswer,
    WrittenPair,
    by_number,
    drop_skipped,
    load_backtranslate,
    passage_values,
    to_pair,
)
from pairmill.recipes.writing import question as answer_question
from pairmill.records import Chunk, Pair, Prompt, Rejection, Sampling, digest

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.recipes.prompts import PromptTemplate

__all__ = [
    "Requests",
    "WrittenAnswer",
    "WrittenInstruction",
    "WrittenPair",
    "backtranslate",
    "two_step",
    "verbatim",
]

VERSION = "3"


def backtranslate(settings: Settings) -> Generator:
    """Make the generator. It rejects a chunk only if no valid reply can be obtained."""
    guidance = guidance_text(settings)
    prompts = of_settings(settings)
    forms = Forms(lambda style: load_backtranslate(style, guidance, settings.voice, prompts))
    cards = StyleCards(style_mode(settings), prompts)
    plain = forms.with_card("")
    rewriter = Rewriter(settings, forms, cards)

    def question(form: PromptTemplate, chunk: Chunk, plan: Plan) -> Prompt:
        return _planned(form, chunk, plan, settings, TOKENS_PER_PAIR)

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        count = count_pairs(chunk.text, settings.pairs_per_chunk)
        plan = plan_pairs(chunk, count, settings.seed, settings.plan, prompts=prompts)
        form = forms.with_card(await cards.of(chunk, ask))
        written = await ask(
            question(form, chunk, plan),
            WrittenAnswer,
            again=lambda kept: question(form, chunk, plan.after(kept)),
        )
        if not written.pairs:
            drop_skipped(written.skip, ask)
        for surplus in written.pairs[count:]:
            told = f"more than the {count} pairs asked for"
            ask.drop(
                Rejection("surplus", told, raw_pair(to_pair(surplus, count)), whole_unit=False)
            )
        return [to_pair(pair, index) for index, pair in enumerate(written.pairs[:count])]

    own = (str(settings.pairs_per_chunk), repr(settings.temperature), str(settings.seed))
    texts = (plain.template.id, plain.form, rewriter.form, cards.identity)
    return Generator(
        name="backtranslate",
        version=VERSION,
        prompt_version=plain.version,
        identity=digest("backtranslate", VERSION, *texts, *own, *plan_identity(settings.plan)),
        write=write,
        rewrite=rewriter.rewrite,
        terms=TERMS,
        pools_manners=cards.is_pooled,
    )


def _planned(
    form: PromptTemplate, chunk: Chunk, plan: Plan, settings: Settings, tokens_each: int
) -> Prompt:
    """Ask for what is planned about a chunk, with room for ``tokens_each`` tokens of each."""
    count = len(plan.types)
    values = {"count": str(count), "plan": plan.lines(), **passage_values(chunk)}
    max_tokens = TOKENS_PER_REPLY + tokens_each * count
    return form.fill(values, Sampling(settings.temperature, max_tokens, settings.seed))


TWO_STEP_VERSION = "2"
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
        return _planned(asking, chunk, plan, settings, TOKENS_PER_REQUEST)

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
        version=TWO_STEP_VERSION,
        prompt_version=f"{asking.version}+{plain.version}",
        identity=digest(
            "two_step",
            TWO_STEP_VERSION,
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


VERBATIM_VERSION = "2"
_VERBATIM_TOKENS = 240
_EVIDENCE_WORDS = 12


class WrittenInstruction(AnswerModel):
    """The reply: one instruction, or the reason why there is none."""

    skip: Skip = None
    instruction: Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)] = (
        Field("", validation_alias=AliasChoices("instruction", "question", "prompt", "request"))
    )


def verbatim(settings: Settings) -> Generator:
    """Make the generator: one pair per chunk."""
    prompts = of_settings(settings)
    form = load_template("verbatim", {"canary": CANARY}, guidance_text(settings), prompts=prompts)

    async def write(chunk: Chunk, ask: Ask) -> list[Pair]:
        plan = plan_pairs(chunk, 1, settings.seed, settings.plan, prompts=prompts)
        lines = plan.lines() if prompts == FIRST else plan.lines_for_copy(traits_of(chunk.text))
        values = {"plan": lines, **passage_values(chunk)}
        sampling = Sampling(settings.temperature, _VERBATIM_TOKENS, settings.seed)
        written = await ask(form.fill(values, sampling), WrittenInstruction)
        if written.skip or not written.instruction:
            drop_skipped(written.skip, ask)
            return []
        evidence = " ".join(chunk.text.split()[:_EVIDENCE_WORDS])
        return [Pair(written.instruction, chunk.text, 0, "verbatim", evidence)]

    own = (repr(settings.temperature), str(settings.seed))
    return Generator(
        name="backtranslate_verbatim",
        version=VERBATIM_VERSION,
        prompt_version=form.version,
        identity=digest(
            "verbatim",
            VERBATIM_VERSION,
            form.template.id,
            form.form,
            *own,
            *plan_identity(settings.plan),
        ),
        write=write,
        terms=TERMS,
        copies=True,
    )
