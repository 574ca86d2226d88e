"""Plain backtranslation: the text itself is the answer, and only its instruction is written.

As in LongForm (Köksal et al. 2023, arXiv:2304.08460) and the first half of Li et al. 2023. Choose
it for texts that are worth learning word for word; the answers are only as clean as the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AliasChoices, Field, StringConstraints

from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.plan import plan_identity, plan_pairs, traits_of
from pairmill.recipes.prompts import FIRST, guidance_text, load_template, of_settings
from pairmill.recipes.recipe import Ask, Generator
from pairmill.recipes.writing import CANARY, TERMS, Skip, drop_skipped, passage_values
from pairmill.records import Chunk, Pair, Sampling, digest

if TYPE_CHECKING:
    from pairmill.config import Settings

__all__ = ["WrittenInstruction", "verbatim"]

VERSION = "2"
MAX_TOKENS = 240
EVIDENCE_WORDS = 12


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
        sampling = Sampling(settings.temperature, MAX_TOKENS, settings.seed)
        written = await ask(form.fill(values, sampling), WrittenInstruction)
        if written.skip or not written.instruction:
            drop_skipped(written.skip, ask)
            return []
        evidence = " ".join(chunk.text.split()[:EVIDENCE_WORDS])
        return [Pair(written.instruction, chunk.text, 0, "verbatim", evidence)]

    own = (repr(settings.temperature), str(settings.seed))
    return Generator(
        name="backtranslate_verbatim",
        version=VERSION,
        prompt_version=form.version,
        identity=digest(
            "verbatim", VERSION, form.template.id, form.form, *own, *plan_identity(settings.plan)
        ),
        write=write,
        terms=TERMS,
        copies=True,
    )
