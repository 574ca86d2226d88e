"""Writes a folder's ``figures.json``: reliability of judge and verifier, gain by evolution.

Counted from events, stored in the run folder and continued by later starts. A start that is killed
loses what it counted since its last shard, so these figures are approximate.
"""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.events import PairEvolved, PairJudged, PairVerified, SentenceTried, ShardPublished
from pairmill.quality.trust import agree, spearman
from pairmill.recipes.judge import ASPECTS
from pairmill.store.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["RunMetrics", "merge_metrics", "summarize"]

_MANY_UNSCORED = 0.1  # from here on `status` and `report` say fail
MOST_SAMPLES = 2_000  # the first ratings, kept individually
_GATE = ("instruction_following", "truthfulness")
_VERDICTS = ("supported", "contradicted", "not_in_text", "unproven", "missing")
_LEAST_BEFORE = 3  # a lower rating has no room to fall


class RunMetrics:
    """Collects events of judging and evolving, and writes the figures."""

    def __init__(self, figures: Path, state: Path) -> None:
        """Continue the counts in ``state``; write them back, and the figures to ``figures``."""
        self._figures = figures
        self._state = state
        self._counts = _read(state)
        self._changed = False
        self._rated = self._unscored = 0  # in this start
        self._verified = self._unverified = 0  # likewise

    def listen(self, event: PairJudged | PairEvolved | ShardPublished) -> None:
        """Count an event; save when a shard is published."""
        if isinstance(event, PairJudged):
            _count_rating(self._counts, event)
            if not event.trial:
                self._rated += event.scores is not None
                self._unscored += event.scores is None
        elif isinstance(event, PairEvolved):
            _add(self._counts["evolve"].setdefault(event.operator, {}), event.outcome)
        if isinstance(event, ShardPublished):
            self.save()
        else:
            self._changed = True

    def listen_to_verifier(self, event: PairVerified | SentenceTried) -> None:
        """Count a verifier's verdict on a pair, or on a test sentence."""
        counts = self._counts["verify"]
        if isinstance(event, SentenceTried):
            found = counts["controls"].setdefault(event.kind, {})
            _add(found, "planted")
            if event.doubted is not None:
                _add(found, "rated")
                found["detected"] = found.get("detected", 0) + event.doubted
        else:
            _add(counts["outcomes"], event.outcome)
            for verdict in _VERDICTS:
                said = getattr(event, verdict)
                counts["sentences"][verdict] = counts["sentences"].get(verdict, 0) + said
            self._verified += event.outcome != "unverified"
            self._unverified += event.outcome == "unverified"
        self._changed = True

    def verifier_warning(self, *, verify: str, wrote: bool) -> str:
        """Describe problems with this start's verdicts in one line; "" if there are none.

        Args:
            verify: The setting.
            wrote: Whether this start wrote pairs.
        """
        asked = self._verified + self._unverified
        if verify == "off" or (not asked and (self._counts["verify"]["outcomes"] or not wrote)):
            return ""
        if not asked:
            return "no pair is verified: verify: sample took none of these chunks (verify_share)"
        if self._unverified < _MANY_UNSCORED * asked:
            return ""
        return (
            f"the verifier left {self._unverified:,} of {asked:,} pairs without a verdict that"
            " counts: they are flagged unverified; `pairmill explain PAIR_ID` shows what it"
            " answered"
        )

    def warning(self, *, judge: str, wrote: bool) -> str:
        """Describe problems with this start's ratings in one line; "" if there are none.

        Args:
            judge: The setting.
            wrote: Whether this start wrote pairs.
        """
        asked = self._rated + self._unscored
        if judge == "off" or (not asked and (self._counts["rated"] or not wrote)):
            return ""
        if not asked:
            return "no pair is rated: judge: sample took none of these chunks (judge_share)"
        if not self._rated:
            return (
                f"the judge rated none of the {asked:,} pairs: they are flagged unscored;"
                " `pairmill explain PAIR_ID` shows what it answered"
            )
        if self._unscored >= _MANY_UNSCORED * asked:
            return f"the judge left {self._unscored:,} of {asked:,} pairs unscored"
        return ""

    def save(self) -> None:
        """Write both files if anything was counted.

        Raises:
            StorageError: The disk refused.
        """
        if self._changed:
            atomic_write(self._state, orjson.dumps(self._counts))
            shown = orjson.dumps(summarize(self._counts), option=orjson.OPT_INDENT_2)
            atomic_write(self._figures, shown + b"\n")
            self._changed = False


def merge_metrics(parts: Sequence[Path], into: Path, figures: Path) -> None:
    """Add up the counts of several folders' ``.run/figures.json``.

    Args:
        parts: Their paths; a missing file counts as empty.
        into: Path of the sum.
        figures: Path of the figures for people. Neither is written if nothing was counted.

    Raises:
        StorageError: The disk refused.
    """
    total = _read(into)
    for path in parts:
        total = _sum(total, _read(path))
    if any(total.values()) and total != _read(into):
        atomic_write(into, orjson.dumps(total))
        shown = orjson.dumps(summarize(total), option=orjson.OPT_INDENT_2)
        atomic_write(figures, shown + b"\n")


def _sum(one: Any, other: Any) -> Any:
    """Add numbers, join lists, and merge mappings recursively."""
    if isinstance(one, dict):
        names = dict.fromkeys((*one, *other))
        return {
            name: _sum(one[name], other[name])
            if name in one and name in other
            else one.get(name, other.get(name))
            for name in names
        }
    if not isinstance(one, list):
        return one + other
    if one and other and all(isinstance(each, int | float) for each in (*one, *other)):
        return [first + second for first, second in zip(one, other, strict=True)]
    return (one + other)[:MOST_SAMPLES]


def summarize(counts: dict[str, Any]) -> dict[str, Any]:
    """Return the figures: judge (aspects, agreement, controls, bias) and evolve (each operator)."""
    return {
        "judge": _judge(counts),
        "evolve": _evolve(counts["evolve"]),
        "verify": _verify(counts["verify"]),
    }


def _verify(counts: dict[str, Any]) -> dict[str, Any] | None:
    if not counts["outcomes"]:
        return None
    return {
        "pairs": sum(counts["outcomes"].values()),
        "outcomes": dict(sorted(counts["outcomes"].items())),
        "sentences": {verdict: counts["sentences"].get(verdict, 0) for verdict in _VERDICTS},
        "controls": {kind: _control(found) for kind, found in sorted(counts["controls"].items())},
    }


def _judge(counts: dict[str, Any]) -> dict[str, Any] | None:
    if not counts["rated"] and not counts["unscored"]:
        return None
    samples = counts["samples"]
    return {
        "rated": counts["rated"],
        "unscored": counts["unscored"],
        "aspects": {aspect: _aspect(counts["aspects"][aspect]) for aspect in ASPECTS},
        "repeated": {aspect: _agreement(counts["repeats"], aspect) for aspect in ASPECTS},
        "controls": {kind: _control(found) for kind, found in sorted(counts["controls"].items())},
        "false_alarms": _false_alarms(counts["repeats"]),
        "mean_by_position": {
            position: round(total / number, 3)
            for position, (number, total) in sorted(counts["positions"].items())
        },
        "score_against_length": _rounded(
            spearman([words for words, _ in samples], [score for _, score in samples])
        ),
    }


def _aspect(histogram: dict[str, int]) -> dict[str, Any]:
    given = [(int(score), count) for score, count in histogram.items() if score != "null"]
    total = sum(count for _, count in given)
    return {
        "mean": _rounded(sum(s * n for s, n in given) / total if total else None),
        "histogram": {str(score): histogram.get(str(score), 0) for score in range(1, 6)},
        "null": histogram.get("null", 0),
    }


def _agreement(repeats: list[list[list[int | None]]], aspect: str) -> dict[str, Any]:
    at = ASPECTS.index(aspect)
    found = agree([first[at] for first, _ in repeats], [again[at] for _, again in repeats])
    return {
        "compared": found.compared,
        "exact": _rounded(found.exact),
        "within_one": _rounded(found.within_one),
        "kappa": _rounded(found.kappa),
    }


def _control(found: dict[str, int]) -> dict[str, Any]:
    rated, detected = found.get("rated", 0), found.get("detected", 0)
    share = detected / rated if rated else None
    return {
        "planted": found.get("planted", 0),
        "rated": rated,
        "detected": detected,
        "share": _rounded(share),
    }


def _false_alarms(repeats: list[list[list[int | None]]]) -> dict[str, Any]:
    """Count how often a rating falls without a planted fault."""
    gates = [
        tuple(_gate(dict(zip(ASPECTS, given, strict=True))) for given in two) for two in repeats
    ]
    with_room = [(first, again) for first, again in gates if first >= _LEAST_BEFORE]
    fell = sum(again < first for first, again in with_room)
    share = fell / len(with_room) if with_room else None
    return {"rated": len(with_room), "fell": fell, "share": _rounded(share)}


def _evolve(counts: dict[str, dict[str, int]]) -> dict[str, Any] | None:
    if not counts:
        return None
    return {
        operator: {
            "tried": sum(outcomes.values()),
            "kept": outcomes.get("kept", 0),
            "left_out": {why: n for why, n in sorted(outcomes.items()) if why != "kept"},
        }
        for operator, outcomes in sorted(counts.items())
    }


def _count_rating(counts: dict[str, Any], event: PairJudged) -> None:
    trial, scores, first = event.trial, event.scores, event.first
    if trial == "again":
        if scores and first and len(counts["repeats"]) < MOST_SAMPLES:
            counts["repeats"].append([_listed(first), _listed(scores)])
    elif trial:
        _count_control(counts["controls"].setdefault(trial, {}), scores, first)
    elif scores is None:
        counts["unscored"] += 1
    else:
        _count_ordinary(counts, event, scores)


def _count_ordinary(
    counts: dict[str, Any], event: PairJudged, scores: Mapping[str, int | None]
) -> None:
    counts["rated"] += 1
    for aspect in ASPECTS:
        _add(counts["aspects"][aspect], "null" if scores[aspect] is None else str(scores[aspect]))
    overall = mean(score for score in scores.values() if score is not None)
    place = counts["positions"].setdefault(str(event.position), [0, 0.0])
    place[0] += 1
    place[1] += overall
    if len(counts["samples"]) < MOST_SAMPLES:
        counts["samples"].append([event.words, overall])


def _count_control(
    found: dict[str, int],
    scores: Mapping[str, int | None] | None,
    first: Mapping[str, int | None] | None,
) -> None:
    """Count a planted fault as found if truthfulness or instruction following is rated lower."""
    _add(found, "planted")
    if scores is None or first is None or _gate(first) < _LEAST_BEFORE:
        return
    _add(found, "rated")
    if _gate(scores) < _gate(first):
        _add(found, "detected")


def _gate(scores: Mapping[str, int | None]) -> int:
    return min(scores[aspect] or 0 for aspect in _GATE)


def _listed(scores: Mapping[str, int | None]) -> list[int | None]:
    return [scores[aspect] for aspect in ASPECTS]


def _add(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _read(path: Path) -> dict[str, Any]:
    """Return the counts of earlier starts; unreadable ones count as none."""
    fresh: dict[str, Any] = {
        "rated": 0,
        "unscored": 0,
        "aspects": {aspect: {} for aspect in ASPECTS},
        "repeats": [],
        "controls": {},
        "positions": {},
        "samples": [],
        "evolve": {},
        "verify": {"outcomes": {}, "sentences": {}, "controls": {}},
    }
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return fresh
    # An earlier version counted less, a later one more.
    is_ours = isinstance(found, dict) and {*fresh} - {"verify"} <= found.keys()
    return {name: found.get(name, count) for name, count in fresh.items()} if is_ours else fresh
