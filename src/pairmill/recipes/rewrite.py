"""Asks for one pair again: the usual system prompt, the chunk, and the pair's fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.errors import RejectedError
from pairmill.recipes.plan import plan_pairs
from pairmill.recipes.prompt_sets import of_settings
from pairmill.recipes.prompts import PromptTemplate, load_template, one_line
from pairmill.recipes.writing import (
    TOKENS_PER_PAIR,
    TOKENS_PER_REPLY,
    WrittenAnswer,
    passage_values,
    to_pair,
)
from pairmill.records import Sampling

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.recipes.recipe import Ask
    from pairmill.recipes.style import Forms, StyleCards
    from pairmill.records import Chunk, Pair

__all__ = ["Rewriter"]

_INSTRUCTION_CHARS = 400


class Rewriter:
    """Replaces single pairs, with the same prompt prefix as their chunks."""

    def __init__(self, settings: Settings, forms: Forms, cards: StyleCards) -> None:
        self._settings = settings
        self._forms = forms
        self._cards = cards
        self._prompts = of_settings(settings)
        self.form = load_template("replace", prompts=self._prompts).form

    async def rewrite(self, pair: Pair, reason: str, chunk: Chunk, ask: Ask) -> Pair | None:
        """Ask once for a pair to replace this one; None if there is none."""
        settings = self._settings
        prefix = self._forms.with_card(await self._cards.of(chunk, ask))
        planned = plan_pairs(
            chunk, pair.index + 1, settings.seed, settings.plan, prompts=self._prompts
        )
        plan = planned.after(pair.index)
        values = {
            "plan": plan.lines(),
            "reason": one_line(reason),
            "instruction": one_line(pair.instruction, _INSTRUCTION_CHARS),
            **passage_values(chunk),
        }
        sampling = Sampling(settings.temperature, TOKENS_PER_REPLY + TOKENS_PER_PAIR, settings.seed)
        prompt = PromptTemplate(prefix.template, self.form).fill(values, sampling)
        prompt = replace(prompt, stage="replace")
        try:
            written = await ask(prompt, WrittenAnswer)
        except RejectedError:
            return None
        return to_pair(written.pairs[0], pair.index) if written.pairs else None
