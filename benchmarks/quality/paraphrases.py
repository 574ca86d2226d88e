"""How well `support` tells true answers from wrong ones where the wording is a model's own.

    python -m benchmarks.quality.paraphrases [mturk_cnndm.jsonl mturk_xsum.jsonl]

Errors are planted in the replies that a large model wrote for the recipes' examples and, with the
files of QAGS (Wang et al. 2020, github.com/W4ngatang/qags, ``data/``), in summaries of which people
said that each sentence is true; QAGS's own labels are measured too.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import save, table
from benchmarks.quality.__main__ import ASKED, auroc
from benchmarks.quality.planted import KINDS
from tools.recipe_examples import Recording, rows_of

from pairmill.output.source_texts import find_chunks
from pairmill.quality.grounding import prepare_pair
from pairmill.quality.support import support
from pairmill.quality.thresholds import DEFAULT
from pairmill.recipes.checks import view_of
from pairmill.recipes.load import library_names
from pairmill.simulator.content import split_sentences
from pairmill.store.folder import read_folder
from pairmill.testing import make_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.records import Chunk

LABELLED = "labelled false by people"
_LEAST_YES = 2  # of three who were asked
Answers = list[tuple["Chunk", list[str], bool]]


def recorded() -> Answers:
    """The large model's replies, which are true to their text."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for recipe in library_names():
            rows = rows_of(recipe, Recording.of(recipe), Path(scratch))
            wanted = {row["chunk_id"] for row in rows}
            chunks = find_chunks(read_folder(Path(scratch) / recipe), wanted, run_code=False)
            found += [
                (chunks[row["chunk_id"]], split_sentences(row["answer"]) or [row["answer"]], True)
                for row in rows
            ]
    return found


def labelled(path: Path) -> Answers:
    """The summaries of one of QAGS's files, and whether each is true."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        given = json.loads(line)
        told = given["summary_sentences"]
        votes = [sum(vote["response"] == "yes" for vote in one["responses"]) for one in told]
        is_true = min(votes) >= _LEAST_YES
        found.append((make_chunk(given["article"]), [one["sentence"] for one in told], is_true))
    return found


def scores_of(answers: Answers) -> Iterator[tuple[str, float]]:
    """Kind of error ("" for none) and support of each answer, and of each with an error in it."""
    true = [(chunk, said) for chunk, said, is_true in answers if is_true]
    for number, (chunk, said) in enumerate(true):
        draw = random.Random(str(number))
        after = (true[(number + step) % len(true)][0] for step in range(1, len(true)))
        other = next(each for each in after if each.document_id != chunk.document_id)
        yield from _score("", chunk, said)
        for kind, plant in KINDS.items():
            wrong = plant(said, chunk, true[number - 1][0], other, draw)
            if kind != "other passage's answer" and wrong and wrong != said:
                yield from _score(kind, chunk, wrong)
    for chunk, said, is_true in answers:
        if not is_true:
            yield from _score(LABELLED, chunk, said)


def _score(kind: str, chunk: Chunk, said: list[str]) -> Iterator[tuple[str, float]]:
    view = view_of(chunk)
    backed = support(prepare_pair(ASKED, " ".join(said), language=view.language), view)
    if backed is not None:
        yield kind, backed


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="QAGS's files")
    sets = {"recorded replies": recorded()}
    sets |= {path.stem: labelled(path) for path in parser.parse_args().files}
    found: dict[str, dict[str, list[float]]] = {}
    for name, answers in sets.items():
        for kind, score in scores_of(answers):
            found.setdefault(name, {}).setdefault(kind, []).append(score)
    kinds = [kind for kind in (*KINDS, LABELLED) if any(kind in by for by in found.values())]
    results = {
        name: {kind: auroc(by[""], by[kind]) for kind in kinds if kind in by}
        for name, by in found.items()
    }
    flagged = {
        name: {
            kind or "true": sum(score < DEFAULT.weakly_supported_below for score in scores)
            / len(scores)
            for kind, scores in by.items()
        }
        for name, by in found.items()
    }
    print("AUROC of support, true answers above wrong ones:\n")
    _show(kinds, results, "{:.3f}")
    print("\nShare flagged as weakly_supported:\n")
    _show(["true", *kinds], flagged, "{:.1%}")
    save("quality_paraphrases", {"auroc": results, "flagged": flagged})


def _show(kinds: list[str], results: dict[str, dict[str, float]], form: str) -> None:
    table(
        ["answers", *results],
        [
            [kind, *(form.format(by[kind]) if kind in by else "" for by in results.values())]
            for kind in kinds
        ],
    )


if __name__ == "__main__":
    main()
