"""Reliability of judge and verifier, and gain by evolution: from counts to verdicts.

Ratings are integers, or None if missing; an item that lacks one of its two ratings is left out,
never counted as a score.

The bounds, and where they come from: a kappa under 0.4 is at best fair, from 0.6 on substantial
(Landis and Koch 1977). A random judge "finds" most planted faults, since a high rating can only
fall; so the share of ratings that fall without a fault is subtracted (Youden's J, 1950). A rank
correlation of 0.3 with length is what method papers call a bias.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "STATUS_STYLES",
    "Agreement",
    "Check",
    "JudgeFigures",
    "RunFigures",
    "Status",
    "agree",
    "parse_figures",
    "spearman",
    "status_of",
    "verdicts",
    "weighted_kappa",
]


class Status(StrEnum):
    """Status of a figure; ``info``: it has no good or bad range, or too little data."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    INFO = "info"


STATUS_STYLES: Mapping[Status, str] = {
    Status.OK: "green",
    Status.WARN: "yellow",
    Status.FAIL: "bold red",
    Status.INFO: "dim",
}
"""Styles of a terminal."""


@dataclass(frozen=True, slots=True)
class Check:
    """Verdict of one check: its name, finding, status, and one line of advice."""

    name: str
    found: str
    status: Status
    hint: str = ""


def status_of(value: float, *, warn: float, fail: float) -> Status:
    """Return a value's status: a warning from ``warn`` on, a failure from ``fail`` on."""
    sign = 1 if fail >= warn else -1
    if sign * value >= sign * fail:
        return Status.FAIL
    return Status.WARN if sign * value >= sign * warn else Status.OK


@dataclass(frozen=True, slots=True)
class Agreement:
    """Comparison of two ratings.

    Attributes:
        compared: Items with both ratings; all figures are None if there are none.
        exact: Share with equal ratings.
        within_one: Share whose ratings differ by at most 1.
        kappa: Quadratic-weighted kappa: 1 is full agreement, 0 no more than chance; None if it is
            undefined (every rating is the same).
    """

    compared: int
    exact: float | None
    within_one: float | None
    kappa: float | None


def agree(first: Sequence[int | None], second: Sequence[int | None]) -> Agreement:
    """Compare two ratings of the same items, in the same order.

    Raises:
        ValueError: They differ in length.
    """
    pairs = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if one is not None and other is not None
    ]
    if not pairs:
        return Agreement(0, None, None, None)
    gaps = [abs(one - other) for one, other in pairs]
    total = len(pairs)
    return Agreement(
        compared=total,
        exact=sum(gap == 0 for gap in gaps) / total,
        within_one=sum(gap <= 1 for gap in gaps) / total,
        kappa=weighted_kappa([one for one, _ in pairs], [other for _, other in pairs]),
    )


def weighted_kappa(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Quadratic-weighted kappa (Cohen 1968), from -1 to 1; None if it is not defined."""
    total = len(first)
    observed = sum((one - other) ** 2 for one, other in zip(first, second, strict=True))
    ones, others = Counter(first), Counter(second)
    expected = sum(
        (one - other) ** 2 * ones[one] * others[other] for one in ones for other in others
    )
    return 1 - observed * total / expected if expected else None


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None if one side does not vary."""
    ones, others = _ranks(first), _ranks(second)
    middle = (len(ones) + 1) / 2
    shared = sum((one - middle) * (other - middle) for one, other in zip(ones, others, strict=True))
    spread = math.sqrt(
        sum((one - middle) ** 2 for one in ones) * sum((other - middle) ** 2 for other in others)
    )
    return shared / spread if spread else None


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for at in order[start:stop]:
            ranks[at] = (start + 1 + stop) / 2
        start = stop
    return ranks


LEAST_REPEATED = 30  # repeated ratings; with fewer, agreement may be chance
LEAST_PLANTED = 30
LEAST_RATED = 30
LEAST_PLACED = 300  # chance then moves the mean of a position by less than 0.2
LEAST_TRIED = 20
LEAST_VOICED = 10  # documents
_STILL_HEARD = 0.5  # share of the lead over chance that the texts themselves have
_LEAST_TOLD = 0.2  # lead over chance from which the texts have a style to keep
_JUDGE_MORE = "judge more chunks"
_MORE = f"{_JUDGE_MORE}, or raise judge_trust"
_VERIFY_MORE = "verify more chunks, or raise verify_trust"
_PLANTED = {
    "swapped": "answer swapped",
    "cut": "answer cut in half",
    "number": "number changed",
    "foreign": "foreign sentence added",
    "negated": "statement negated",
    "exchanged": "passage exchanged",
    "name": "name changed",
}
_COPIED = "copied"  # the control: not a fault


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A figure's name, its good range, advice, and bounds."""

    name: str
    good: str
    advice: str
    warn: float
    fail: float

    @property
    def aim(self) -> str:
        return f"good: {self.good}"

    def check(self, value: float, found: str) -> Check:
        status = status_of(value, warn=self.warn, fail=self.fail)
        hint = self.aim if status is Status.OK else f"{self.aim}; {self.advice}"
        return Check(self.name, found, status, hint)

    def too_few(self, found: str, remedy: str = "") -> Check:
        hint = f"{self.aim}; {remedy}" if remedy else self.aim
        return Check(self.name, f"{found}: too few to say", Status.INFO, hint)


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Repeated(_Figures):
    """Ratings of the same pairs, given twice."""

    compared: int
    exact: float | None
    within_one: float | None
    kappa: float | None


class Control(_Figures):
    """Planted faults of one kind; ``rated`` counts those whose rating could fall."""

    planted: int
    rated: int
    detected: int


class FalseAlarms(_Figures):
    """Ratings that fell the second time without a planted fault."""

    rated: int = 0
    fell: int = 0

    @property
    def share(self) -> float:
        """Share of those that had room to fall; 0 if unknown."""
        return self.fell / self.rated if self.rated else 0.0


class Aspect(_Figures):
    """The ratings of one aspect."""

    mean: float | None


class JudgeFigures(_Figures):
    """Figures of a judge."""

    rated: int
    unscored: int
    aspects: dict[str, Aspect]
    repeated: dict[str, Repeated]
    controls: dict[str, Control]
    false_alarms: FalseAlarms = FalseAlarms()
    mean_by_position: dict[str, float]
    score_against_length: float | None


class Operator(_Figures):
    """Results of one evolution operator; ``left_out`` maps reason to count."""

    tried: int
    kept: int
    left_out: dict[str, int] = Field(default_factory=dict)


class VerifierFigures(_Figures):
    """Figures of a verifier; ``outcomes`` and ``sentences`` map word to count."""

    pairs: int
    outcomes: dict[str, int]
    sentences: dict[str, int]
    controls: dict[str, Control]


class VoiceFigures(_Figures):
    """Number of documents attributed to their author; see ``quality/attribution.py``.

    Attributes:
        voice: The setting that the answers were asked for with.
        unmeasured: Why it could not be measured; "" if it was.
    """

    voice: str
    authors: int = 0
    documents: int = 0
    answers: int = 0
    sources: int = 0
    unmeasured: str = ""


class RunFigures(_Figures):
    """``figures.json`` of a run folder."""

    judge: JudgeFigures | None = None
    verify: VerifierFigures | None = None
    evolve: dict[str, Operator] | None = None
    voice: VoiceFigures | None = None


def parse_figures(data: bytes, voice: bytes = b"") -> RunFigures | None:
    """Read ``figures.json``, and ``voice.json`` of a run folder's state.

    None if both are empty, damaged, or of an unknown format.
    """
    try:
        found = RunFigures.model_validate_json(data) if data else RunFigures()
    except ValidationError:
        found = RunFigures()
    try:
        told = VoiceFigures.model_validate_json(voice) if voice else None
    except ValidationError:
        told = None
    found = found.model_copy(update={"voice": told})
    return found if found != RunFigures() else None


def verdicts(figures: RunFigures | None) -> tuple[Check, ...]:
    """Return the figures under their usual names, each with its verdict and advice."""
    if figures is None:
        return ()
    judge, evolve = figures.judge, figures.evolve
    operators = sorted(evolve.items()) if evolve else ()
    return (
        *(_judge(judge) if judge else ()),
        *(_verifier(figures.verify) if figures.verify else ()),
        *([_voice(figures.voice)] if figures.voice else ()),
        *(_operator(name, operator) for name, operator in operators),
    )


def _judge(judge: JudgeFigures) -> list[Check]:
    return [
        _unscored(judge),
        _agreement(judge),
        *(_control(kind, found, judge.false_alarms) for kind, found in judge.controls.items()),
        _length(judge),
        _position(judge),
    ]


def _unscored(judge: JudgeFigures) -> Check:
    total = judge.rated + judge.unscored
    share = judge.unscored / total if total else 0.0
    means = ", ".join(
        f"{_spaced(name)} {aspect.mean:.1f}"
        for name, aspect in judge.aspects.items()
        if aspect.mean is not None
    )
    found = f"{share:.1%} of {total:,}" + (f"; means: {means}" if means else "")
    advice = "take a judge that keeps to the schema"
    return _Gauge("Judge: pairs left unscored", "under 2 %", advice, 0.02, 0.1).check(share, found)


_AGREEMENT = _Gauge(
    "Judge: agreement with itself (quadratic-weighted kappa)",
    "0.6 and more; under 0.4 it is mostly noise",
    "take a stronger judge",
    0.6,
    0.4,
)


def _agreement(judge: JudgeFigures) -> Check:
    """Judge by the aspect that agrees least; one whose ratings do not vary has no kappa."""
    rated = {aspect: again for aspect, again in judge.repeated.items() if again.compared}
    compared = max((again.compared for again in rated.values()), default=0)
    if compared < LEAST_REPEATED:
        return _AGREEMENT.too_few(f"{compared} pairs rated twice", _MORE)
    told = "; ".join(
        f"{_spaced(aspect)} {_kappa(again.kappa)} ({again.exact or 0:.0%} exact, "
        f"{again.within_one or 0:.0%} within 1)"
        for aspect, again in rated.items()
    )
    known = [again.kappa for again in rated.values() if again.kappa is not None]
    if known:
        return _AGREEMENT.check(min(known), f"{told}; {compared} pairs")
    hint = "every pair got the same rating, both times: such ratings sort nothing"
    return Check(_AGREEMENT.name, f"{told}; {compared} pairs", Status.WARN, hint)


def _control(kind: str, control: Control, alarms: FalseAlarms) -> Check:
    gauge = _Gauge(
        f"Judge: planted faults found ({_PLANTED.get(kind, kind)})",
        "8 in 10 found, and few false alarms",
        "do not filter by these ratings",
        0.6,
        0.3,
    )
    found = f"{control.detected} of {control.rated}"
    if control.rated < LEAST_PLANTED:
        return gauge.too_few(found, _MORE)
    share = control.detected / control.rated
    found += f" ({share:.0%}; with nothing planted {alarms.share:.0%} fall as well)"
    return gauge.check(share - alarms.share, found)


def _length(judge: JudgeFigures) -> Check:
    rho = judge.score_against_length
    liked = "short" if rho is not None and rho < 0 else "long"
    gauge = _Gauge(
        "Judge: rating against length of the answer (Spearman)",
        "near 0",
        f"it likes {liked} answers: compare it with another judge",
        0.3,
        0.5,
    )
    if rho is None:
        return Check(
            gauge.name, "undefined: lengths or ratings do not vary", Status.INFO, gauge.aim
        )
    if judge.rated < LEAST_RATED:
        return gauge.too_few(f"{rho:+.2f}", _JUDGE_MORE)
    return gauge.check(abs(rho), f"{rho:+.2f}")


def _position(judge: JudgeFigures) -> Check:
    gauge = _Gauge(
        "Judge: mean rating by position in the question",
        "alike, since the order is drawn by hash",
        "take another judge",
        0.3,
        0.6,
    )
    means = judge.mean_by_position
    found = ", ".join(f"{place}: {value:.2f}" for place, value in sorted(means.items())) or "none"
    if len(means) < 2 or judge.rated < LEAST_PLACED:  # noqa: PLR2004 (nothing to compare)
        return gauge.too_few(found, _JUDGE_MORE)
    return gauge.check(max(means.values()) - min(means.values()), found)


def _verifier(found: VerifierFigures) -> list[Check]:
    faults = {kind: control for kind, control in found.controls.items() if kind != _COPIED}
    return [
        _verified(found),
        _unproven(found),
        *(_fault(kind, control) for kind, control in faults.items()),
        _doubts(found.controls.get(_COPIED, Control(planted=0, rated=0, detected=0))),
    ]


def _voice(found: VoiceFigures) -> Check:
    """Judge how much of the texts' distinguishing style the answers keep."""
    name = "Voice: answers told to be their author's, by character n-grams"
    if found.unmeasured:
        needs = "needs two authors with two documents each, and 150 words of answers to them"
        return Check(name, f"not measured: {found.unmeasured}", Status.INFO, needs)
    chance = 1 / found.authors
    answers, sources = found.answers / found.documents, found.sources / found.documents
    told = (
        f"{answers:.0%} of {found.documents:,} documents' answers, {sources:.0%} of the documents"
        f" themselves; {found.authors} authors, so {chance:.0%} by chance"
    )
    if sources - chance < _LEAST_TOLD or found.documents < LEAST_VOICED:
        return Check(name, told, Status.INFO, "too few texts, or authors too alike, to say")
    kept = (answers - chance) / (sources - chance)
    if found.voice != "author":
        status = Status.WARN if kept >= _STILL_HEARD else Status.OK
        aim = "good: near chance, since another voice than the author's was asked for"
        advice = "" if status is Status.OK else "; the writer copies the authors: read some answers"
        return Check(name, f"{told}; voice: {found.voice}", status, f"{aim}{advice}")
    gauge = _Gauge(
        name,
        "half and more of what tells the texts themselves apart",
        "the writer loses the authors' voice: a stronger one keeps more; see voice",
        0.5,
        0.2,
    )
    return gauge.check(kept, told)


def _verified(found: VerifierFigures) -> Check:
    """Judge how true the original answers were, according to the verifier."""
    said = {kind: found.sentences.get(kind, 0) for kind in ("contradicted", "not_in_text")}
    # other reasons are no evidence
    total = sum(said.values()) + found.sentences.get("supported", 0)
    share = sum(said.values()) / total if total else 0.0
    became = ", ".join(f"{outcome} {count:,}" for outcome, count in found.outcomes.items())
    told = (
        f"{share:.1%} of {total:,} sentences ({said['contradicted']:,} contradicted,"
        f" {said['not_in_text']:,} not in the text); pairs: {became}"
    )
    advice = "the writer adds to its texts: take a stronger one"
    gauge = _Gauge(
        "Verifier: sentences that the text does not support", "under 5 %", advice, 0.05, 0.2
    )
    return gauge.check(share, told) if total >= LEAST_RATED else gauge.too_few(told)


def _unproven(found: VerifierFigures) -> Check:
    total = sum(found.sentences.values())
    missing, unproven = (found.sentences.get(kind, 0) for kind in ("missing", "unproven"))
    share = (missing + unproven) / total if total else 0.0
    told = (
        f"{share:.1%} of {total:,} sentences ({missing:,} left out, {unproven:,} called supported"
        " by a quotation that is not in the text)"
    )
    advice = "take a verifier that keeps to the schema and copies its quotations"
    gauge = _Gauge("Verifier: sentences without a verdict", "under 2 %", advice, 0.02, 0.1)
    return gauge.check(share, told)


def _fault(kind: str, control: Control) -> Check:
    advice = "a supported sentence means little: take a stronger verifier"
    gauge = _Gauge(
        f"Verifier: planted errors found ({_PLANTED.get(kind, kind)})",
        "8 in 10 and more",
        advice,
        0.8,
        0.5,
    )
    told = f"{control.detected} of {control.rated}"
    if control.rated < LEAST_PLANTED:
        return gauge.too_few(told, _VERIFY_MORE)
    share = control.detected / control.rated
    return gauge.check(share, f"{told} ({share:.0%})")


def _doubts(control: Control) -> Check:
    advice = "it throws true sentences away: do not cut or drop by it"
    gauge = _Gauge(
        "Verifier: the text's own sentences that it doubts", "under 5 %", advice, 0.05, 0.2
    )
    told = f"{control.detected} of {control.rated}"
    if control.rated < LEAST_PLANTED:
        return gauge.too_few(told, _VERIFY_MORE)
    share = control.detected / control.rated
    return gauge.check(share, f"{told} ({share:.0%})")


def _operator(name: str, operator: Operator) -> Check:
    reasons = sorted(operator.left_out.items(), key=lambda item: (-item[1], item[0]))
    why = f"; the rest is paid for and left out, most often for {reasons[0][0]}" if reasons else ""
    gauge = _Gauge(
        f"Evolve: success of {_spaced(name)}",
        "half and more",
        "a stronger model evolves more, and some texts give no more",
        0.5,
        0.1,
    )
    share = operator.kept / operator.tried if operator.tried else 0.0
    found = f"{operator.kept:,} of {operator.tried:,} kept ({share:.0%}){why}"
    return gauge.too_few(found) if operator.tried < LEAST_TRIED else gauge.check(share, found)


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _kappa(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
