"""A judge: rates pairs on four aspects, from 1 to 5, against the text. It changes no pair.

The aspects are UltraFeedback's (Cui et al. 2023, arXiv:2310.01377), asked for together, pair by
pair, criticism before figures. Ratings are integers of a closed list, so there is nothing to parse
or scale; an absent rating is missing, and never counts as a high or a low one. The export decides
how they are combined and what is good enough.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec.structs import replace
from pydantic import BeforeValidator, Field

from pairmill.errors import RejectedError
from pairmill.events import PairJudged
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.controls import (
    EXCHANGED,
    FAULTS,
    Controls,
    FailureStreak,
    exchange,
    faulty_replies,
)
from pairmill.recipes.prompts import FIRST, PromptTemplate, as_lines, load_template, of_settings
from pairmill.recipes.writing import Short, passage_values
from pairmill.records import Sampling, digest
from pairmill.store.columns import SCORE_ASPECTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.config import Settings
    from pairmill.recipes.controls import PossibleControl
    from pairmill.recipes.recipe import Ask
    from pairmill.records import Chunk, Pair, Prompt

__all__ = ["ASPECTS", "Judge", "Rating", "Ratings", "make_judge"]

VERSION = "1"  # version of the ratings; planted faults change no row
ASPECTS = SCORE_ASPECTS
BATCH = 3  # pairs in one call; with more, order bias shows and an invalid reply costs more
TOKENS_PER_RATING = 260
TOKENS_PER_REPLY = 60


def _no_truth_value(value: object) -> object:
    return None if isinstance(value, bool) else value  # true is not a rating of 1


ListedScore = Annotated[Literal[1, 2, 3, 4, 5], BeforeValidator(_no_truth_value)]
# Bounds, not an enum: some servers do not accept enums of integers.
Score = Annotated[int, Field(ge=1, le=5, strict=True), BeforeValidator(_no_truth_value)]


class RatedPair(AnswerModel):
    """What all ratings of a pair have."""

    number: int
    critique: Short
    instruction_following: Any
    truthfulness: Any
    honesty: Any
    helpfulness: Any
    self_contained: bool

    def scores(self) -> dict[str, int | None]:
        """Return a map of aspect to rating."""
        return {aspect: getattr(self, aspect) for aspect in ASPECTS}

    @property
    def overall(self) -> float:
        """Mean of the rated aspects."""
        return mean(score for score in self.scores().values() if score is not None)


class Rating(RatedPair):
    """What the judge says of one pair."""

    instruction_following: Score
    truthfulness: Score
    honesty: Score | None
    helpfulness: Score


class ListedRating(RatedPair):
    """What a judge with the first set of prompts says of one pair."""

    instruction_following: ListedScore
    truthfulness: ListedScore
    honesty: ListedScore | None
    helpfulness: ListedScore


class Ratings(AnswerModel):
    """The whole reply."""

    items: ClassVar[str | None] = "ratings"
    items_are_pairs: ClassVar[bool] = False
    ratings: list[Rating]


class ListedRatings(AnswerModel):
    """The whole reply to the first set of prompts."""

    items: ClassVar[str | None] = "ratings"
    items_are_pairs: ClassVar[bool] = False
    schema_name: ClassVar[str | None] = "ratings"
    ratings: list[ListedRating]


@dataclass(frozen=True, slots=True)
class RatingItem:
    """A request and its reply, to be rated."""

    request: str
    reply: str


@dataclass(frozen=True, slots=True)
class Judge:
    """A configured judge.

    Attributes:
        model: Model that is asked; None for the run's.
        share: Share of the chunks whose pairs are rated.
        trust_share: Share of those that are rated twice, and share that get a planted fault; the
            first chunks of a start always get one, until there are enough of each kind.
        answer: The form of its reply.
        controls: Chooses where a fault is planted, and which.
        streak: Ends the asking if no answer is usable.
    """

    form: PromptTemplate
    model: str | None
    share: float
    trust_share: float
    seed: int
    controls: Controls
    answer: type[Ratings | ListedRatings] = Ratings
    streak: FailureStreak = field(
        default_factory=lambda: FailureStreak("judge", "unscored"), compare=False
    )

    @property
    def identity(self) -> str:
        """Digest of everything that affects the ratings."""
        shares = (repr(self.share), repr(self.trust_share), str(self.seed))
        return digest(VERSION, self.form.template.id, self.form.form, self.model or "", *shares)

    async def rate(self, pairs: Sequence[Pair], chunk: Chunk, ask: Ask) -> list[Pair]:
        """Return the same pairs with scores; flagged ``unscored`` if the judge gave none.

        Emits ``PairJudged`` for each rating: ``trial`` is "" for an ordinary one, ``again`` for a
        second one of the same pair, or the name of a planted fault (``planted_faults.FAULTS``).
        For the latter two ``first`` is the ordinary rating.
        """
        if not pairs or self._draw(chunk, "share") >= self.share:
            return list(pairs)
        items = [RatingItem(pair.instruction, pair.answer) for pair in pairs]
        others = [
            RatingItem(pair.instruction, pair.alternative.answer)
            for pair in pairs
            if pair.alternative
        ]
        control = self._control(items, chunk, ask)
        ratings = await self._rate_all([*items, *others], chunk, ask)
        is_rated = any(ratings[: len(pairs)])
        if is_rated and self._draw(chunk, "again") < self.trust_share:
            await self._rate_again(items, ratings, chunk, ask)
        if is_rated and control and self.controls.takes(control, self._draw(chunk, "plant")):
            await self._rate_planted(control, items, ratings, chunk, ask)
        rest = iter(ratings[len(pairs) :])
        return [
            _scored(pair, rating, next(rest) if pair.alternative else None)
            for pair, rating in zip(pairs, ratings, strict=False)
        ]

    async def _rate_all(
        self, items: Sequence[RatingItem], chunk: Chunk, ask: Ask
    ) -> list[RatedPair | None]:
        """Rate in an order determined by the chunk's hash, three at a time."""
        order = self._order(items, chunk)
        found: list[RatedPair | None] = [None] * len(items)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            ratings = await self._ask([items[at] for at in batch], chunk, ask, self.seed)
            can_rate = any(rating is not None for rating in ratings)
            for position, (at, given) in enumerate(zip(batch, ratings, strict=True), 1):
                rating = given
                if rating is None and can_rate:
                    (rating,) = await self._ask([items[at]], chunk, ask, self.seed)
                found[at] = rating
                _tell(ask, "", items[at], rating, position=position)
        return found

    async def _rate_again(
        self,
        items: Sequence[RatingItem],
        ratings: Sequence[RatedPair | None],
        chunk: Chunk,
        ask: Ask,
    ) -> None:
        """Rate up to three pairs a second time: in reverse order, with another seed."""
        turned = list(zip(items, ratings, strict=False))[:BATCH][::-1]
        again = await self._ask([shown for shown, _ in turned], chunk, ask, self.seed + 1)
        for (shown, first), second in zip(turned, again, strict=True):
            _tell(ask, "again", shown, second, first=first)

    def _control(
        self, items: Sequence[RatingItem], chunk: Chunk, ask: Ask
    ) -> PossibleControl | None:
        """Return the test that may follow the rating of a chunk's first pairs."""
        if self.trust_share <= 0.0:
            return None
        first = [items[at] for at in self._order(items, chunk)[:BATCH]]
        question = self._question(first, chunk, self.seed)
        return self.controls.of(ask, question, self.answer, model=self.model)

    async def _rate_planted(
        self,
        control: PossibleControl,
        items: Sequence[RatingItem],
        ratings: Sequence[RatedPair | None],
        chunk: Chunk,
        ask: Ask,
    ) -> None:
        """Rate the pairs again, one of them with a fault that the judge ought to find.

        The others and its position stay the same, so that only the fault (or the passage) differs.
        """
        order = self._order(items, chunk)[:BATCH]
        drawn = int(self._draw(chunk, "which") * 2**32)
        place = drawn % len(order)
        at = order[place]
        replies = [shown.reply for shown in items]
        draw = drawn // len(order)
        kind, reply = self.controls.choose(control, faulty_replies(replies, at, draw), draw, ask)
        faulty = RatingItem(items[at].request, reply)
        batch = [faulty if one == at else items[one] for one in order]
        if kind == EXCHANGED:
            chunk = replace(chunk, text=exchange(drawn))
        rating = (await self._ask(batch, chunk, ask, self.seed))[place]
        _tell(ask, kind, faulty, rating, first=ratings[at])

    async def _ask(
        self, items: Sequence[RatingItem], chunk: Chunk, ask: Ask, seed: int
    ) -> list[RatedPair | None]:
        """Ask for ratings; None for each pair that the reply leaves out, or all if it is invalid.

        An invalid reply is never repaired, since a model that does not see the pairs would make
        ratings up; the question is asked again instead.
        """
        if self.streak.is_over:
            return [None] * len(items)
        question = self._question(items, chunk, seed)
        found: dict[int, RatedPair] = {}
        try:
            given = await ask(question, self.answer, model=self.model, mend=False)
        except RejectedError:
            pass
        else:
            for rating in given.ratings:
                found.setdefault(rating.number, rating)
        ratings = [found.get(number) for number in range(1, len(items) + 1)]
        self.streak.note(ask, is_usable=any(rating is not None for rating in ratings))
        return ratings

    def _question(self, items: Sequence[RatingItem], chunk: Chunk, seed: int) -> Prompt:
        listed = [
            {"number": number, "request": shown.request, "reply": shown.reply}
            for number, shown in enumerate(items, 1)
        ]
        values = {
            "count": str(len(items)),
            "examples": as_lines(listed),
            **passage_values(chunk),
        }
        max_tokens = TOKENS_PER_REPLY + TOKENS_PER_RATING * len(items)
        return self.form.fill(values, Sampling(0.0, max_tokens, seed))

    def _order(self, items: Sequence[RatingItem], chunk: Chunk) -> list[int]:
        """Return the positions of the rated pairs in the order in which a judge sees them."""
        return sorted(range(len(items)), key=lambda at: digest(chunk.id, str(self.seed), str(at)))

    def _draw(self, chunk: Chunk, purpose: str) -> float:
        """Map chunk, seed and purpose to a number in [0, 1)."""
        state = hashlib.blake2b(f"{purpose} {self.seed} {chunk.id}".encode(), digest_size=4)
        return int.from_bytes(state.digest()) / 2**32


def make_judge(settings: Settings) -> Judge | None:
    """Make the judge that the settings ask for; None for ``judge: off``."""
    if settings.judge == "off":
        return None
    return Judge(
        form=load_template("judge", prompts=of_settings(settings)),
        answer=ListedRatings if of_settings(settings) == FIRST else Ratings,
        model=settings.judge_model,
        share=1.0 if settings.judge == "all" else settings.judge_share,
        trust_share=settings.judge_trust,
        seed=settings.seed,
        controls=Controls("judge", FAULTS, settings.judge_trust),
    )


def _scored(pair: Pair, rating: RatedPair | None, other: RatedPair | None) -> Pair:
    alternative = pair.alternative
    if alternative is not None and other is not None:
        alternative = replace(alternative, score=other.overall)
    if rating is None:
        return replace(pair, flags=(*pair.flags, "unscored"), alternative=alternative)
    flags = pair.flags if rating.self_contained else (*pair.flags, "judged_not_self_contained")
    return replace(pair, scores={**rating.scores()}, flags=flags, alternative=alternative)


def _tell(
    ask: Ask,
    trial: str,
    shown: RatingItem,
    rating: RatedPair | None,
    *,
    position: int = 0,
    first: RatedPair | None = None,
) -> None:
    ask.tell(
        PairJudged(
            trial=trial,
            position=position,
            words=len(shown.reply.split()),
            scores=rating.scores() if rating else None,
            first=first.scores() if first else None,
        )
    )
