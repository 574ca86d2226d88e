"""Are the verdicts of the checks those of another version? Pairs in five languages, found by seed.

git worktree add --detach ../before COMMIT
python -m benchmarks.quality.verdicts ../before [--pairs 100000]
python -m benchmarks.quality.verdicts             the compiled loops beside the Python text

Both versions judge the same pairs in a process of its own; what they find, its wording and both
scores go into one digest a portion. Returns 1 where any differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from tests.unit.quality.languages import TEXTS

from pairmill.quality.filters import inspect, prompt_terms
from pairmill.quality.grounding import prepare_chunk, prepare_pair, score
from pairmill.quality.support import support
from pairmill.simulator.content import draft_pairs, split_sentences
from pairmill.simulator.rng import Rng

if TYPE_CHECKING:
    from collections.abc import Iterator

LANGUAGES = ("en", "de", "fr", "ru", "zh")
PAIRS_PER_CHUNK = 3
PORTION = 1_000  # chunks
HERE = Path(__file__).parents[2]
TERMS = prompt_terms(["sourdough starter", "rye loaf", "sicilian defence", "castling"], "k3j4")
ADDED = (
    " In 1874 there were 12,500 of them.", " So said Marlow Quintero of it.", " It was not so.",
    " Write to someone.else@mailbox.net.", " Call +49 30 1234567.", " AKIAIOSFODNN7EXAMPLE",
    " According to the passage, it is.", " sourdough starter", " and then", " ```code", " k3j4",
)  # fmt: skip


def chunks(count: int) -> Iterator[tuple[str, str, list[tuple[str, str, str]]]]:
    """Yield texts with their language and pairs: derived, faulty, copied, of another text."""
    pools = {
        code: sorted({s for part in texts for s in split_sentences(_flat(part))})
        for code, texts in TEXTS.items()
        if code in LANGUAGES
    }
    for number in range(count):
        draw = random.Random(number)
        code = LANGUAGES[number % len(LANGUAGES)]
        pool = [_numbered(sentence, draw) for sentence in draw.choices(pools[code], k=24)]
        text = " ".join(pool)
        pairs = [
            (it.instruction, it.answer, it.evidence)
            for it in draft_pairs(text, PAIRS_PER_CHUNK, Rng(number))
        ]
        yield text, code, [_spoilt(one, pools, pairs, code, draw) for one in pairs]


def _flat(part: str | tuple[str, ...]) -> str:
    return part if isinstance(part, str) else " ".join(part)


def _numbered(sentence: str, draw: random.Random) -> str:
    return sentence if draw.random() < 0.7 else f"{sentence} {draw.randint(2, 99_999):,}."


def _spoilt(
    pair: tuple[str, str, str],
    pools: dict[str, list[str]],
    others: list[tuple[str, str, str]],
    code: str,
    draw: random.Random,
) -> tuple[str, str, str]:
    """The pair with one fault, or as it is."""
    asked, said, evidence = pair
    words = said.split()
    draw.shuffle(words)
    foreign = " ".join(draw.choices(pools[draw.choice(LANGUAGES)], k=3))
    return draw.choice(
        [
            pair,
            pair,
            (asked, said + draw.choice(ADDED), evidence),
            (asked, " ".join(words), evidence),
            (draw.choice(pools[code]), said, evidence[::-1]),
            (asked, foreign, evidence),
            (draw.choice(others)[0], said[: draw.randint(1, len(said))], evidence),
            (asked + draw.choice(ADDED), draw.choice(others)[1], evidence),
        ]
    )


def emit(count: int) -> None:
    """Print one JSON line a portion: its digest and what was found how often."""
    state, found, cpu = hashlib.blake2b(digest_size=16), Counter[str](), 0.0
    for number, (text, code, drafts) in enumerate(chunks(count), 1):
        began = time.process_time()
        chunk = prepare_chunk(text, context=["Kettles"], language=code if number % 3 else None)
        pairs = [prepare_pair(*one, language=chunk.language) for one in drafts]
        for at, pair in enumerate(pairs):
            told = support(pair, chunk)
            findings = inspect(pair, chunk, pairs[:at], terms=TERMS, support=told)
            verdict = [[it.check, it.policy, it.detail] for it in findings]
            state.update(orjson.dumps([verdict, score(pair, chunk), told]))
            found.update(it.check for it in findings)
        cpu += time.process_time() - began
        if number % PORTION == 0 or number == count:
            print(orjson.dumps([state.hexdigest(), found, cpu]).decode(), flush=True)


def main() -> int:
    """Judge with both, and compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.verdicts")
    parser.add_argument("before", type=Path, nargs="?", help="a working tree of another version")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--emit", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.emit:
        emit(given.emit)
        return 0
    count = -(-given.pairs // PAIRS_PER_CHUNK)
    before = _ask(given.before, count) if given.before else _ask(HERE, count, speedups="off")
    told = {"before" if given.before else "reference": before, "now": _ask(HERE, count)}
    differing = sum(one[:2] != two[:2] for one, two in zip(*told.values(), strict=True))
    for name, portions in told.items():
        print(f"{name}: {portions[-1][2] / given.pairs * 1e6:.0f} us of CPU a pair")
    print(f"found: {dict(sorted(told['now'][-1][1].items()))}")
    print(f"{given.pairs:,} pairs: {differing} of {len(told['now'])} portions differ")
    return int(differing > 0)


def _ask(tree: Path, count: int, speedups: str = "on") -> list[list[Any]]:
    words = [sys.executable, "-m", "benchmarks.quality.verdicts", "--emit", str(count)]
    paths = os.pathsep.join([str(tree / "src"), str(HERE)])
    child = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": paths, "PAIRMILL_SPEEDUPS": speedups},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [orjson.loads(line) for line in child.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
