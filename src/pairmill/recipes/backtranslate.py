"""The default recipe: one call per chunk, in which the model writes up to N pairs.

Instruction backtranslation (Li et al. 2023, arXiv:2308.06259) finds the instruction whose answer is
a given text; with the answer rewritten from the text by a model that sees it (Nguyen et al. 2024,
"Better Alignment with Instruction Back-and-Forth Translation"), it beats both the raw text and an
answer from memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.recipes.plan import Plan, count_pairs, plan_identity, plan_pairs
from pairmill.recipes.prompts import guidance_text, of_settings, style_mode
from pairmill.recipes.recipe import Ask, Generator
from pairmill.recipes.refine import raw_pair
from pairmill.recipes.style import Forms, StyleCards
from pairmill.recipes.writing import (
    TERMS,
    TOKENS_PER_PAIR,
    TOKENS_PER_REPLY,
    Rewriter,
    WrittenAnswer,
    WrittenPair,
    drop_skipped,
    load_backtranslate,
    passage_values,
    to_pair,
)
from pairmill.records import Chunk, Pair, Prompt, Rejection, Sampling, digest

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.recipes.prompts import PromptTemplate

__all__ = ["WrittenAnswer", "WrittenPair", "backtranslate"]

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
        count = len(plan.types)
        values = {"count": str(count), "plan": plan.lines(), **passage_values(chunk)}
        max_tokens = TOKENS_PER_REPLY + TOKENS_PER_PAIR * count
        return form.fill(values, Sampling(settings.temperature, max_tokens, settings.seed))

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
