"""Adds a second answer to each instruction, for preference training.

``samples``: sampled again from the same text; a judge decides which one is better.
``closed_book``: written by a model that did not see the text; the answer based on the text is the
better one by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.errors import RejectedError
from pairmill.quality.filters import inspect
from pairmill.quality.privacy import redact
from pairmill.quality.thresholds import CheckPolicy
from pairmill.recipes.checks import view_of, view_of_pair
from pairmill.recipes.prompts import PromptTemplate, guidance_text, load_template, of_settings
from pairmill.recipes.writing import CANARY, TERMS, Answers, by_number, question
from pairmill.records import Alternative, digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.config import Settings
    from pairmill.recipes.checks import Checks
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk, Pair

__all__ = ["Preference"]

VERSION = "1"
_UNUSABLE = frozenset(
    {"refusal", "meta_text", "truncated", "prompt_leak", "language", "secret", "points_at_source"}
)
_OF_THE_TEXT = frozenset(
    (
        *("ungrounded", "weakly_grounded", "weakly_supported", "unseen_number", "unseen_name"),
        *("evidence_missing", "near_copy"),
    )
)
"""Checks that apply only to answers that saw the text."""


@dataclass(frozen=True, slots=True)
class Preference:
    """A configured way to get second answers."""

    route: str
    checks: Checks
    form: PromptTemplate
    model: str | None
    temperature: float
    seed: int

    @classmethod
    def of(cls, settings: Settings, checks: Checks) -> Preference | None:
        """Return what the settings ask for; None for ``preference: off``."""
        if settings.preference == "off":
            return None
        closed = settings.preference == "closed_book"
        constants = {"style": "", "canary": CANARY}
        return cls(
            route=settings.preference,
            checks=checks,
            form=load_template(
                "closed_book" if closed else "answers",
                constants,
                guidance_text(settings),
                prompts=of_settings(settings),
            ),
            model=settings.preference_model,
            temperature=settings.temperature if closed else min(settings.temperature + 0.3, 2.0),
            seed=settings.seed + 1,
        )

    @property
    def identity(self) -> str:
        """Digest of everything that affects the second answers."""
        numbers = (repr(self.temperature), str(self.seed), self.model or "")
        return digest(VERSION, self.route, self.form.template.id, self.form.form, *numbers)

    async def add(self, pairs: Sequence[Pair], chunk: Chunk, ask: Ask) -> list[Pair]:
        """Add a second answer to each pair that gets a usable one.

        A pair that has evolved into another gets none. A second answer that refuses, is cut off, or
        repeats the first one is dropped.
        """
        parents = {pair.parent for pair in pairs if pair.parent is not None}
        wanted = [pair for pair in pairs if pair.index not in parents]
        if not wanted:
            return list(pairs)
        requests = [pair.instruction for pair in wanted]
        seen = None if self.route == "closed_book" else chunk
        prompt = question(self.form, requests, self.temperature, self.seed, seen)
        try:
            answers = by_number(await ask(prompt, Answers, model=self.model), len(wanted))
        except RejectedError:
            return list(pairs)
        found = {
            pair.index: self._usable(pair, answer, chunk)
            for pair, answer in zip(wanted, answers, strict=True)
            if answer is not None
        }
        return [replace(pair, alternative=found.get(pair.index)) for pair in pairs]

    def _usable(self, pair: Pair, answer: str, chunk: Chunk) -> Alternative | None:
        """Return the second answer if it differs and passes what an answer must pass; else None."""
        view = view_of(chunk)
        other = view_of_pair(replace(pair, answer=answer), view)
        findings = inspect(other, view, thresholds=self.checks.of(pair.task), terms=TERMS)
        faults = {
            finding.check
            for finding in findings
            if finding.policy is not CheckPolicy.FLAG or finding.check in _UNUSABLE
        }
        if self.route == "closed_book":
            faults -= _OF_THE_TEXT
        same = other.answer.words == view_of_pair(pair, view).answer.words
        if same or faults:
            return None
        return Alternative(redact(answer)[0], self.route)
