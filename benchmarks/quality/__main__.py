"""How well free scores tell true answers from wrong ones, and what the checks drop of both.

python -m benchmarks.quality [--bundled]
"""

from __future__ import annotations

import argparse
from bisect import bisect_left, bisect_right
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from benchmarks.machine import save, table
from benchmarks.quality.planted import KINDS, Sample, plant_all, read_passages

from pairmill.quality.filters import inspect
from pairmill.quality.grounding import prepare_pair, score
from pairmill.quality.support import support
from pairmill.quality.thresholds import CheckPolicy
from pairmill.recipes.checks import view_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairmill.records import Chunk

CUTS = (0.25, 0.35, 0.45, 0.6)
FLAGS = ("weakly_grounded", "weakly_supported", "unseen_number", "unseen_name")
ASKED = "What should somebody who is new to this know about it, and why does that matter?"


def auroc(good: Sequence[float], bad: Sequence[float]) -> float:
    """The chance that a good one scores above a bad one; a tie is half."""
    ranked = sorted(bad)
    wins = sum(bisect_left(ranked, one) + bisect_right(ranked, one) for one in good)
    return wins / (2 * len(good) * len(bad)) if good and bad else float("nan")


def measure(samples: Sequence[Sample]) -> dict[str, Any]:
    """AUROC of both scores by kind of error, and what the default policies do with each kind."""
    views = {sample.chunk.id: view_of(sample.chunk) for sample in samples}
    scores: dict[str, dict[str, list[float]]] = {"grounding": {}, "support": {}}
    actions: dict[str, Counter[str]] = {}
    for sample in samples:
        view = views[sample.chunk.id]
        pair = prepare_pair(ASKED, sample.answer, language=view.language)
        backed = support(pair, view)
        if backed is None:
            continue
        scores["grounding"].setdefault(sample.kind, []).append(score(pair, view))
        scores["support"].setdefault(sample.kind, []).append(backed)
        findings = inspect(pair, view, support=backed)
        tally = actions.setdefault(sample.kind, Counter())
        tally["answers"] += 1
        tally.update({finding.check for finding in findings})
        graver = {finding.policy for finding in findings}
        tally["dropped"] += CheckPolicy.DROP in graver
        tally["repaired"] += CheckPolicy.REPAIR in graver and CheckPolicy.DROP not in graver
    return {
        "auroc": {
            name: {kind: auroc(found[""], found.get(kind, [])) for kind in KINDS}
            for name, found in scores.items()
        },
        "actions": {kind or "true": dict(tally) for kind, tally in actions.items()},
        "cuts": {
            kind or "true": {
                f"{cut:.2f}": sum(value < cut for value in values) / len(values) for cut in CUTS
            }
            for kind, values in scores["support"].items()
        },
    }


def is_held_out(chunk: Chunk) -> bool:
    """Whether a document is of the half that the weights of support were not chosen on."""
    return int(sha256(chunk.document_id.encode()).hexdigest(), 16) % 2 == 1


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundled", action="store_true", help="only the bundled articles")
    passages = read_passages(installed=not parser.parse_args().bundled)
    samples = plant_all(passages)
    results = measure(samples)
    count = len({passage.document_id for passage in passages})
    results["passages"], results["documents"] = len(passages), count
    print(f"{len(passages)} passages of {count} documents\n")
    print("AUROC, true answers above wrong ones:\n")
    found = results["auroc"]
    means = {name: sum(each.values()) / len(each) for name, each in found.items()}
    table(
        ["planted", "answers", "grounding", "support"],
        [
            [
                kind,
                str(results["actions"].get(kind, {}).get("answers", 0)),
                *(f"{found[name][kind]:.3f}" for name in ("grounding", "support")),
            ]
            for kind in KINDS
        ]
        + [["mean", "", f"{means['grounding']:.3f}", f"{means['support']:.3f}"]],
    )
    half = [sample for sample in samples if is_held_out(sample.chunk)]
    results["held out"] = measure(half)["auroc"]["support"]
    print("\nThe same of support, documents that its weights were not chosen on:\n")
    table(["planted", "support"], [[kind, f"{value:.3f}"] for kind, value in
                                   results["held out"].items()])  # fmt: skip
    print("\nShare of the answers, by what the default policies do with them:\n")
    shown = ["dropped", "repaired", *FLAGS]
    table(
        ["answers", *shown],
        [
            [kind, *(f"{tally.get(name, 0) / tally['answers']:.1%}" for name in shown)]
            for kind, tally in results["actions"].items()
        ],
    )
    print("\nShare of the answers that `export --min-support` would leave out:\n")
    table(
        ["answers", *(f"{cut:.2f}" for cut in CUTS)],
        [
            [kind, *(f"{share:.1%}" for share in row.values())]
            for kind, row in results["cuts"].items()
        ],
    )
    save("quality", results)


if __name__ == "__main__":
    main()
