"""A verifier: asks whether the text supports each sentence of an answer, and acts on the result.

After the sentence-wise checks of FActScore (Min et al. 2023, arXiv:2305.14251) and MiniCheck (Tang
et al. 2024, arXiv:2404.10774), with any model behind the endpoint as the checker. A verdict of
"supported" needs a quotation that is really in the text: if the verifier made it up, the verdict
does not count. Its reliability is measured with planted errors, and with sentences copied from the
text.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from msgspec.structs import replace

from pairmill.errors import RejectedError
from pairmill.events import PairVerified, SentenceTried
from pairmill.quality.grounding import evidence_match
from pairmill.quality.privacy import redact
from pairmill.quality.text import words
from pairmill.recipes.answers import AnswerModel
from pairmill.recipes.checks import view_of
from pairmill.recipes.controls import (
    EXCHANGED,
    SENTENCE_FAULTS,
    Controls,
    FailureStreak,
    exchange,
    faulty_sentences,
)
from pairmill.recipes.draws import hash_share
from pairmill.recipes.prompts import PromptTemplate, as_lines, load_template
from pairmill.recipes.refine import inspect_pair, raw_pair
from pairmill.recipes.sentences import leave_out, split_answer
from pairmill.recipes.writing import Short, passage_values
from pairmill.records import Rejection, Sampling, Verification, digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pairmill.config import Settings
    from pairmill.quality.grounding import PreparedChunk
    from pairmill.recipes.checks import Checks
    from pairmill.recipes.controls import PossibleControl
    from pairmill.recipes.recipe import Ask
    from pairmill.recipes.sentences import Span
    from pairmill.records import Chunk, Pair, Prompt

    Rewrite = Callable[[Pair, str, Chunk, Ask], Awaitable[Pair | None]]

__all__ = ["SentenceVerdict", "Verdicts", "Verifier", "make_verifier"]

VERSION = "1"
MOST_SENTENCES = 24  # in one call; verdicts on longer lists get careless
TOKENS_PER_SENTENCE = 80
TOKENS_PER_REPLY = 60
COPIED = "copied"
"""The negative control: a sentence copied from the text."""

SUPPORTED, CONTRADICTED, NOT_IN_TEXT = "supported", "contradicted", "not_in_text"
UNPROVEN = "unproven"  # no valid verdict
_UNTRUE = frozenset({CONTRADICTED, NOT_IN_TEXT})
_LEAST_QUOTED = 3  # words of a quotation
_LEAST_MATCH = 90.0  # of 100, as for a pair's evidence
_LEAST_LEFT = 0.5  # minimum share of an answer's words left after cutting sentences
_QUESTIONS = ("?", "？", "؟")  # noqa: RUF001 (real marks)
_GAPS = ("[...]", "[…]", "...", "…")
_LEANING = (
    "this that these those it they he she such its their his her so then therefore thus hence "
    "however moreover instead besides"
)
_HANGING = frozenset(_LEANING.split())
"""English words that depend on the sentence before."""


class SentenceVerdict(AnswerModel):
    """What the verifier says of one sentence. The quotation comes first, so that it looks first."""

    number: int
    quote: Short = ""
    verdict: Literal["supported", "contradicted", "not_in_text"]


class Verdicts(AnswerModel):
    """The whole reply."""

    items: ClassVar[str | None] = "verdicts"
    items_are_pairs: ClassVar[bool] = False
    verdicts: list[SentenceVerdict]


@dataclass(frozen=True, slots=True)
class _Piece:
    """One sentence of an answer, and its verdict."""

    text: str
    is_asked: bool = True
    verdict: str = UNPROVEN
    quote: str = ""
    is_missing: bool = True  # the reply did not mention it


@dataclass(frozen=True, slots=True)
class _Reply:
    """A request with the sentences of its reply."""

    request: str
    pieces: tuple[_Piece, ...]

    @property
    def asked(self) -> int:
        return sum(piece.is_asked for piece in self.pieces)

    def of(self, *verdicts: str) -> list[int]:
        """Return the positions of the sentences with such a verdict."""
        return [
            at
            for at, piece in enumerate(self.pieces)
            if piece.is_asked and piece.verdict in verdicts
        ]

    def changed(self, texts: dict[int, str]) -> _Reply:
        """Return the reply with the sentences in some places replaced."""
        return _Reply(
            self.request,
            tuple(
                _Piece(texts.get(at, piece.text), piece.is_asked)
                for at, piece in enumerate(self.pieces)
            ),
        )


@dataclass(frozen=True, slots=True)
class Verifier:
    """A configured verifier.

    Attributes:
        model: Model that is asked; None for the run's.
        share: Share of the chunks whose pairs are verified.
        trust_share: Share of those on which the verifier is tested; the first chunks of a start
            always are, until there are enough of each kind.
        policy: What to do with a pair that has a sentence the text does not support.
        checks: Checks that a changed answer must pass; None: nothing is checked.
        rewrite: Asks for one pair again; None if the recipe cannot.
        controls: Chooses where an error is planted, and which.
        streak: Ends the asking if no answer is usable.
    """

    form: PromptTemplate
    model: str | None
    share: float
    trust_share: float
    policy: str
    seed: int
    checks: Checks | None
    controls: Controls
    rewrite: Rewrite | None = None
    streak: FailureStreak = field(
        default_factory=lambda: FailureStreak("verifier", "unverified"), compare=False
    )

    @property
    def identity(self) -> str:
        """Digest of everything that affects verdicts and their consequences."""
        numbers = (repr(self.share), repr(self.trust_share), str(self.seed), self.policy)
        return digest(VERSION, self.form.template.id, self.form.form, self.model or "", *numbers)

    def takes(self, chunk: Chunk) -> bool:
        """Return whether a chunk's pairs are verified."""
        return self._draw(chunk, "share") < self.share

    async def verify(self, pairs: Sequence[Pair], chunk: Chunk, ask: Ask) -> list[Pair]:
        """Return the pairs with their verdicts, less what the policy removes.

        Emits ``PairVerified`` for each, and ``SentenceTried`` for each planted sentence. A pair
        with a sentence that got no valid verdict is flagged ``unverified``, and counts neither as
        true nor as false.
        """
        if not pairs or not self.takes(chunk):
            return list(pairs)
        view = view_of(chunk)
        replies = [_reply_of(pair) for pair in pairs]
        first = _batches(replies)[0]
        control = self._control(first, chunk, ask)
        judged = await self._judge(replies, chunk, view, ask)
        if control and self.controls.takes(control, self._draw(chunk, "plant")):
            await self._try_out(control, first, judged, chunk, view, ask)
        kept: list[Pair] = []
        for pair, reply in zip(pairs, judged, strict=True):
            verified = await self._settle(pair, reply, chunk, view, ask)
            if verified is not None:
                kept.append(verified)
        return kept

    async def verify_alternatives(
        self, pairs: Sequence[Pair], chunk: Chunk, ask: Ask
    ) -> list[Pair]:
        """Drop second answers from the same text that are not supported; return all pairs.

        Answers written without the text are not checked.
        """
        if not self.takes(chunk):
            return list(pairs)
        view = view_of(chunk)
        second = {
            pair.index: _reply_of(pair, pair.alternative.answer)
            for pair in pairs
            if pair.alternative is not None and pair.alternative.route == "samples"
        }
        judged = await self._judge(list(second.values()), chunk, view, ask)
        untrue = {index for index, reply in zip(second, judged, strict=True) if reply.of(*_UNTRUE)}
        return [replace(pair, alternative=None) if pair.index in untrue else pair for pair in pairs]

    async def _judge(
        self, replies: Sequence[_Reply], chunk: Chunk, view: PreparedChunk, ask: Ask
    ) -> list[_Reply]:
        """Return the replies with a verdict on each sentence, unless none came for it."""
        found: list[_Reply] = []
        for batch in _batches(replies):
            judged = await self._ask(batch, chunk, view, ask, self.seed)
            is_heard = any(not piece.is_missing for reply in judged for piece in reply.pieces)
            for asked, reply in zip(batch, judged, strict=True):
                silent = all(piece.is_missing for piece in reply.pieces)
                if is_heard and silent and asked.asked and len(batch) > 1:
                    (found_one,) = await self._ask([asked], chunk, view, ask, self.seed)
                    found.append(found_one)
                else:
                    found.append(reply)
        return found

    async def _ask(
        self,
        replies: Sequence[_Reply],
        chunk: Chunk,
        view: PreparedChunk,
        ask: Ask,
        seed: int,
    ) -> list[_Reply]:
        """Ask once; anything missing or invalid in the reply counts as missing.

        An invalid reply is asked for again and never repaired, since a model that repairs it does
        not see the text.
        """
        if self.streak.is_over or not any(reply.asked for reply in replies):
            return list(replies)
        try:
            given = await ask(
                self._question(replies, chunk, seed), Verdicts, model=self.model, mend=False
            )
        except RejectedError:
            self.streak.note(ask, is_usable=False)
            return list(replies)
        said: dict[int, SentenceVerdict] = {}
        for verdict in given.verdicts:
            said.setdefault(verdict.number, verdict)
        number = 0
        judged = []
        for reply in replies:
            pieces = []
            for piece in reply.pieces:
                number += piece.is_asked
                given_here = said.get(number) if piece.is_asked else None
                pieces.append(_with_verdict(piece, given_here, view))
            judged.append(_Reply(reply.request, tuple(pieces)))
        is_usable = any(piece.verdict != UNPROVEN for reply in judged for piece in reply.pieces)
        self.streak.note(ask, is_usable=is_usable)
        return judged

    def _question(self, replies: Sequence[_Reply], chunk: Chunk, seed: int) -> Prompt:
        number = 0
        lines: list[dict[str, object]] = []
        for reply in replies:
            sentences: list[dict[str, object]] = []
            for piece in reply.pieces:
                number += piece.is_asked
                shown: dict[str, object] = {"number": number} if piece.is_asked else {}
                sentences.append({**shown, "sentence": piece.text})
            lines.append({"request": reply.request, "sentences": sentences})
        values = {
            "count": str(number),
            "examples": as_lines(lines),
            **passage_values(chunk),
        }
        max_tokens = TOKENS_PER_REPLY + TOKENS_PER_SENTENCE * number
        return self.form.fill(values, Sampling(0.0, max_tokens, seed))

    async def _settle(
        self, pair: Pair, reply: _Reply, chunk: Chunk, view: PreparedChunk, ask: Ask
    ) -> Pair | None:
        """Carry out the policy; return None if the pair is dropped."""
        bad = reply.of(*_UNTRUE)
        if not bad or self.policy == "flag":
            _tell(ask, reply, _outcome(reply))
            return _marked(pair, reply)
        if self.policy == "cut":
            shorter = self._cut(pair, reply, view)
            if shorter is not None:
                _tell(ask, reply, "cut")
                return shorter
        told = f"the passage does not say: {reply.pieces[bad[0]].text}"
        if self.policy in {"cut", "repair"} and self.rewrite is not None and pair.parent is None:
            mended = await self._rewritten(pair, told, chunk, view, ask)
            if mended is not None:
                _tell(ask, reply, "repaired")
                return mended
        _tell(ask, reply, "dropped")
        ask.drop(
            Rejection(
                "unsupported",
                told,
                raw_pair(pair),
                whole_unit=False,
                grounding=pair.grounding,
                support=pair.support,
            )
        )
        return None

    def _cut(self, pair: Pair, reply: _Reply, view: PreparedChunk) -> Pair | None:
        """Remove a pair's unsupported sentences; None if the rest does not stand by itself."""
        gone = set(reply.of(*_UNTRUE))
        spans = split_answer(pair.answer)
        hangs = any(
            at - 1 in gone and at not in gone and _hangs(piece.text)
            for at, piece in enumerate(reply.pieces)
        )
        answer = leave_out(pair.answer, spans, gone)
        if hangs or len(words(answer)) < _LEAST_LEFT * len(words(pair.answer)):
            return None
        shorter = replace(pair, answer=answer)
        passed, fault = self._inspected(shorter, view)
        if fault or passed is None:
            return None
        left = _Reply(
            reply.request,
            tuple(piece for at, piece in enumerate(reply.pieces) if at not in gone),
        )
        return _marked(passed, left, cut=len(gone))

    async def _rewritten(
        self, pair: Pair, told: str, chunk: Chunk, view: PreparedChunk, ask: Ask
    ) -> Pair | None:
        """Return a supported pair to replace this one; None if there is none."""
        assert self.rewrite is not None  # noqa: S101 (asked by the caller)
        other = await self.rewrite(pair, told, chunk, ask)
        if other is None:
            return None
        passed, fault = self._inspected(other, view)
        if fault or passed is None:
            return None
        (reply,) = await self._judge([_reply_of(passed)], chunk, view, ask)
        return None if reply.of(*_UNTRUE) else _marked(passed, reply)

    def _inspected(self, pair: Pair, view: PreparedChunk) -> tuple[Pair | None, str]:
        """Run today's checks on the pair; or return None and why it would be dropped."""
        if self.checks is None:
            return pair, ""
        passed, fault = inspect_pair(replace(pair, flags=()), view, self.checks)
        return (None, fault.check) if fault else (passed, "")

    def _control(self, batch: Sequence[_Reply], chunk: Chunk, ask: Ask) -> PossibleControl | None:
        """Return the test that may follow the verdicts on a chunk's first pairs."""
        if self.trust_share <= 0.0:
            return None
        question = self._question(batch, chunk, self.seed)
        return self.controls.of(ask, question, Verdicts, model=self.model)

    async def _try_out(
        self,
        control: PossibleControl,
        batch: Sequence[_Reply],
        judged: Sequence[_Reply],
        chunk: Chunk,
        view: PreparedChunk,
        ask: Ask,
    ) -> None:
        """Ask again with a planted error in one sentence, and a copied one beside it.

        The sentence was supported before, and the others stay the same, so that only the error (or
        the passage) differs.
        """
        places = [
            (number, at)
            for number in range(len(batch))
            for at in judged[number].of(SUPPORTED)
            if judged[number].pieces[at].is_asked
        ]
        if not places:
            return
        drawn = int(self._draw(chunk, "which") * 2**32)
        number, at = places[drawn % len(places)]
        sentence = batch[number].pieces[at].text
        is_english = chunk.language in {"en", None}
        draw = drawn // len(places)
        possible = faulty_sentences(sentence, draw, is_english=is_english)
        kind, faulty = self.controls.choose(control, possible, draw, ask)
        changed = {at: faulty}
        copy_at = None
        if kind != EXCHANGED:
            copied = _copied(chunk.text, drawn)
            others = [spot for spot, piece in enumerate(batch[number].pieces)
                      if piece.is_asked and spot != at]  # fmt: skip
            if copied and others:
                copy_at = others[drawn % len(others)]
                changed[copy_at] = copied
        else:
            chunk = replace(chunk, text=exchange(drawn))
            view = view_of(chunk)
        tried = [
            reply.changed(changed) if spot == number else reply for spot, reply in enumerate(batch)
        ]
        pieces = (await self._ask(tried, chunk, view, ask, self.seed))[number].pieces
        ask.tell(SentenceTried(kind=kind, doubted=_doubted(pieces[at])))
        if copy_at is not None:
            ask.tell(SentenceTried(kind=COPIED, doubted=_doubted(pieces[copy_at])))

    def _draw(self, chunk: Chunk, purpose: str) -> float:
        return hash_share("verify", purpose, str(self.seed), chunk.id)


def make_verifier(
    settings: Settings, checks: Checks | None, rewrite: Rewrite | None
) -> Verifier | None:
    """Make the verifier that the settings ask for; None for ``verify: off``."""
    if settings.verify == "off":
        return None
    return Verifier(
        form=load_template("verify"),
        model=settings.verify_model,
        share=1.0 if settings.verify == "all" else settings.verify_share,
        trust_share=settings.verify_trust,
        policy=settings.unsupported,
        seed=settings.seed,
        checks=checks,
        controls=Controls("verifier", SENTENCE_FAULTS, settings.verify_trust),
        rewrite=rewrite,
    )


def _reply_of(pair: Pair, answer: str | None = None) -> _Reply:
    text = pair.answer if answer is None else answer
    pieces = []
    for start, end in split_answer(text):
        is_heading = text[text.rfind("\n", 0, start) + 1 : start].lstrip().startswith("#")
        sentence = text[start:end]
        is_asked = not is_heading and not sentence.endswith(_QUESTIONS)
        pieces.append(_Piece(sentence, is_asked))
    return _Reply(pair.instruction, tuple(pieces))


def _batches(replies: Sequence[_Reply]) -> list[list[_Reply]]:
    """Yield batches of replies with up to 24 sentences together, at least one reply each."""
    batches: list[list[_Reply]] = []
    size = 0
    for reply in replies:
        if not batches or size + reply.asked > MOST_SENTENCES:
            batches.append([])
            size = 0
        batches[-1].append(reply)
        size += reply.asked
    return batches


def _with_verdict(piece: _Piece, given: SentenceVerdict | None, view: PreparedChunk) -> _Piece:
    """Attach a verdict to the sentence, as far as its quotation bears it out."""
    if given is None:
        return piece
    is_quoted = _stands_in(given.quote, piece.text, view)
    verdict: str = given.verdict
    if not is_quoted:
        # Both mean that the text does not support it; only "contradicted" needs proof.
        verdict = UNPROVEN if verdict == SUPPORTED else NOT_IN_TEXT
    quote = given.quote if is_quoted else ""
    return _Piece(piece.text, verdict=verdict, quote=quote, is_missing=False)


def _stands_in(quote: str, sentence: str, view: PreparedChunk) -> bool:
    """Return whether a quotation is long enough and every part of it is in the text."""
    for gap in _GAPS:
        quote = quote.replace(gap, "\0")
    parts = [part for part in quote.split("\0") if words(part)]
    if sum(len(words(part)) for part in parts) < min(_LEAST_QUOTED, len(words(sentence))):
        return False
    return bool(parts) and all(
        evidence_match(part, view, least=_LEAST_MATCH) >= _LEAST_MATCH for part in parts
    )


def _marked(pair: Pair, reply: _Reply, *, cut: int = 0) -> Pair:
    """Add its figures to the pair, and a flag for each thing that speaks against it."""
    asked = [piece for piece in reply.pieces if piece.is_asked]
    tally = Counter(piece.verdict for piece in asked)
    flags = [*pair.flags]
    if tally[CONTRADICTED] or tally[NOT_IN_TEXT]:
        flags.append("unsupported")
    if tally[UNPROVEN]:
        flags.append("unverified")
    found = Verification(
        supported=tally[SUPPORTED],
        contradicted=tally[CONTRADICTED],
        not_in_text=tally[NOT_IN_TEXT],
        unproven=tally[UNPROVEN],
        cut=cut,
        quotes=tuple(redact(piece.quote)[0] for piece in asked),
    )
    return replace(pair, flags=tuple(flags), verification=found)


def _outcome(reply: _Reply) -> str:
    if reply.of(*_UNTRUE):
        return "flagged"
    return "unverified" if reply.of(UNPROVEN) else "kept"


def _tell(ask: Ask, reply: _Reply, outcome: str) -> None:
    tally = Counter(piece.verdict for piece in reply.pieces if piece.is_asked)
    missing = sum(piece.is_missing for piece in reply.pieces if piece.is_asked)
    ask.tell(
        PairVerified(
            outcome=outcome,
            supported=tally[SUPPORTED],
            contradicted=tally[CONTRADICTED],
            not_in_text=tally[NOT_IN_TEXT],
            unproven=tally[UNPROVEN] - missing,
            missing=missing,
        )
    )


def _doubted(piece: _Piece) -> bool | None:
    """True if a sentence was called unsupported, False if not; None without a verdict."""
    return None if piece.is_missing else piece.verdict in _UNTRUE


def _copied(text: str, draw: int) -> str:
    """Return a sentence of the text; "" if there is none."""
    spans: list[Span] = split_answer(text)
    usable = [
        text[start:end]
        for start, end in spans
        if 6 <= len(text[start:end].split()) <= 60 and not text[start:end].endswith(_QUESTIONS)  # noqa: PLR2004 (a usual sentence)
    ]
    return " ".join(usable[draw % len(usable)].split()) if usable else ""


def _hangs(sentence: str) -> bool:
    said = words(sentence)
    return bool(said) and said[0] in _HANGING
