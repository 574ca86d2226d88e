"""CPU time of each check, in microseconds a pair: python benchmarks/micro/bench_quality.py [--json]

A pair as a run makes it: a chunk of about 300 words, three pairs each, answers of about 105 words;
in Chinese a chunk of 640 characters, answers of 140. Process time, the best of seven repeats, so
that a busy machine counts little. The same text again and again is kinder to the processor than the
texts of a run: what stands in the last line of the first part is measured on many.
"""

# ruff: noqa: RUF001 (Chinese punctuation)
from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from timeit import Timer
from typing import TYPE_CHECKING

from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.quality.canary import ChunkComparer
from pairmill.quality.duplicates import Item, find_duplicates
from pairmill.quality.filters import CHECKS, Case, inspect, prompt_terms
from pairmill.quality.grounding import evidence_match, prepare_chunk, prepare_pair, score
from pairmill.quality.privacy import redact
from pairmill.quality.support import support
from pairmill.quality.text import key
from pairmill.quality.thresholds import DEFAULT
from pairmill.simulator.content import draft_pairs
from pairmill.simulator.rng import Rng

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAIRS_PER_CHUNK = 3
BUDGET_US = 100.0
TOTAL = "TOTAL while generating"
ARTICLES = Path(__file__).parents[2] / "examples" / "articles"
CHUNK = (
    "The copper kettle was first used by the brewers of the northern valley, because its broad "
    "base spread the heat evenly across the mash. In 1874 the town of Hallstein passed a law that "
    "every brewery with more than 12 workers keep a second kettle filled with clean water. Fires "
    "were common, and the wooden roofs stood so close that sparks jumped from one to the next. "
    "After the law, losses fell by a third within five years. "
) * 4  # fmt: skip
ANSWER = (
    "Brewers in the northern valley chose a copper kettle since its wide base spreads heat evenly "
    "through the mash. A law from 1874 in Hallstein later required breweries with more than 12 "
    "workers to hold a second one full of clean water, which mattered because fires often leapt "
    "between wooden roofs. Once the rule took effect the damage dropped by about a third over five "
    "years. For a beginner, the lesson is that material and shape decide how heat moves, and that "
    "a cheap reserve of water is the most useful safety measure a workshop can own. Take both into "
    "account when you plan."
)
SECOND = (
    "Any brewery that employed over 12 people had to own another kettle, always full of clean "
    "water, from 1874 on. The town council wrote this rule because buildings caught fire again "
    "and again, and nobody could carry water uphill in time. Larger houses brewed with more "
    "heat and more hands, hence they were the first to be held to it. Owners grumbled about the "
    "price of copper, yet within five years they lost a third less than before, so the expense "
    "soon paid for itself. Smaller workshops were left free to follow the example if they "
    "wished."
)
THIRD = (
    "Picture houses so near each other that their roofs nearly touch, all of them made of "
    "timber. When one begins to burn, glowing pieces rise with the hot air and land next door, "
    "where dry shingles catch at once. A breeze makes it worse, as each new flame sends up "
    "sparks of its own. That is how a single careless hearth could take a whole street in "
    "Hallstein. Keeping clean water close at hand broke this chain early: a bucket thrown in "
    "the first minutes did more than a crowd an hour later, and losses fell by a third."
)
ASKED = "Why did brewers in the northern valley prefer copper kettles, and what changed it?"
EVIDENCE = "its broad base spread the heat evenly"


def microseconds(run: Callable[[], object], number: int = 1000) -> float:
    return min(Timer(run, timer=time.process_time).repeat(7, number)) / number * 1e6


CHINESE = (
    "北方山谷的酿酒师最先使用铜壶，因为宽阔的壶底能把热量均匀地传到麦芽浆里。一八七四年，小镇通过了"
    "一项法律，要求工人超过十二名的酒坊另备一只装满清水的铜壶。当时火灾频繁，木屋顶彼此紧挨，火星"
    "很容易从一家跳到另一家。法律实行五年之后，损失减少了三分之一。"
)  # fmt: skip
CHINESE_ANSWER = (
    "山谷里的酿酒师选择铜壶，是由于壶底宽，热量传得均匀。后来法律规定，工人多的酒坊必须再备一只清水"
    "壶，因为木屋顶相连，火星容易蔓延。五年以后，火灾造成的损失少了三分之一。由此可见，材料和形状决定"
    "热量怎样流动，而一点便宜的储备水往往是作坊里最有用的安全措施，计划的时候两样都应该考虑到。"
)  # fmt: skip
CHINESE_SECOND = (
    "凡是雇了十二人以上的大作坊，都得再添一只铜制的容器，平时灌满干净的水，以备不时之需。镇上的人写下"
    "这条规矩，是因为房子总是着火，等人从河边提水上来早已太迟。规模大的作坊烧火多，人手也多，所以先受"
    "约束。东家起初嫌铜价太高，可是没过几年损失便明显下降，花出去的钱很快就省了回来。"
)  # fmt: skip
CHINESE_THIRD = (
    "想象一排排房屋靠得很近，屋顶几乎碰在一起，全是木头做的。只要有一处起火，发亮的碎屑就随着热气升起，"
    "落到邻居干燥的瓦片上，马上又烧起来。有风的时候更糟，每一团新的火焰又会送出自己的火星。就这样，一个"
    "不小心的炉灶便能毁掉整条街。身边备着清水，才能在最初几分钟里打断这条链子。"
)  # fmt: skip


@dataclass(frozen=True)
class Unit:
    """A chunk and what was written about it: instruction, answer, evidence."""

    text: str
    title: str
    language: str
    pairs: tuple[tuple[str, str, str], ...]


ENGLISH_UNIT = Unit(
    CHUNK,
    "Kettles",
    "en",
    (
        (ASKED, ANSWER, EVIDENCE),
        ("What did the law of Hallstein demand of larger breweries?", SECOND, EVIDENCE),
        ("Describe how sparks spread in a town of wooden roofs.", THIRD, EVIDENCE),
    ),
)
CHINESE_UNIT = Unit(
    "".join(f"第{at}节。{CHINESE}" for at in range(5)),
    "铜壶",
    "zh",
    (
        (
            "山谷里的酿酒师为什么喜欢用铜壶？",
            CHINESE_ANSWER,
            "宽阔的壶底能把热量均匀地传到麦芽浆里",
        ),
        ("小镇的法律对大酒坊提出了什么要求？", CHINESE_SECOND, "另备一只装满清水的铜壶"),
        ("请描述火星怎样在木屋顶之间蔓延。", CHINESE_THIRD, "木屋顶彼此紧挨"),
    ),
)
TERMS = prompt_terms(["sourdough starter", "rye loaf", "sicilian defence", "castling"], "k3j4")


def check(units: Sequence[Unit]) -> None:
    """All that a run does to the pairs of some chunks."""
    canary = ChunkComparer()
    for unit in units:
        chunk = prepare_chunk(unit.text, context=[unit.title], language=unit.language)
        pairs = [prepare_pair(*pair, language=chunk.language) for pair in unit.pairs]
        canary.look(chunk, pairs)
        for at, pair in enumerate(pairs):
            told = support(pair, chunk)
            inspect(pair, chunk, pairs[:at], terms=TERMS, support=told)


def bundled() -> list[Unit]:
    """The chunks of the bundled articles, with pairs as the simulated model writes them."""
    settings = load(given={"inputs": (str(ARTICLES),), "output": "none"})
    units = []
    for number, chunk in enumerate(read_chunks(settings, lambda _: None)):
        drafts = draft_pairs(chunk.text, PAIRS_PER_CHUNK, Rng(number))
        pairs = tuple((draft.instruction, draft.answer, draft.evidence) for draft in drafts)
        units.append(Unit(chunk.text, chunk.title, chunk.language or "en", pairs))
    return units


def a_pair(units: Sequence[Unit], number: int) -> float:
    pairs = sum(len(unit.pairs) for unit in units)
    return microseconds(lambda: check(units), number) / pairs


def measure() -> dict[str, float]:
    chunk = prepare_chunk(CHUNK, context=["Kettles"])
    pair, *others = [prepare_pair(*given) for given in ENGLISH_UNIT.pairs]
    case = Case(pair, chunk, others, DEFAULT, TERMS, score(pair, chunk))
    canary = ChunkComparer()

    def prepare() -> None:
        made = prepare_pair(ASKED, ANSWER, EVIDENCE)
        _ = made.answer.content, made.answer.numbers, made.instruction.numbers, made.asked

    found = {
        "prepare the chunk, a third": microseconds(
            lambda: prepare_chunk(CHUNK, context=["Kettles"])
        )
        / PAIRS_PER_CHUNK,
        "prepare the pair": microseconds(prepare),
        "score": microseconds(lambda: score(pair, chunk)),
        "support": microseconds(lambda: support(pair, chunk)),
        "canary, a third": microseconds(lambda: canary.look(chunk, [pair] * PAIRS_PER_CHUNK))
        / PAIRS_PER_CHUNK,
    }
    for name, look in CHECKS.items():
        found[f"check {name}"] = microseconds(lambda look=look: look(case))  # type: ignore[misc]
    found["inspect, all checks"] = microseconds(lambda: inspect(pair, chunk, others, terms=TERMS))
    found[TOTAL] = a_pair([ENGLISH_UNIT], 300)
    found["the same in Chinese"] = a_pair([CHINESE_UNIT], 300)
    found["the same over the bundled articles"] = a_pair(bundled(), 1)
    return found | elsewhere()


def elsewhere() -> dict[str, float]:
    """What runs only on demand, on a fault, or in the pass at the end."""
    chunk = prepare_chunk(CHUNK)
    items = [Item(f"{at:06}", f"{ASKED} {at // 2} {at % 7}") for at in range(5000)]
    started = time.process_time()
    find_duplicates(items)
    return {
        "extra: evidence by fuzzy match": microseconds(
            lambda: evidence_match("the wide base spread heat evenly", chunk)
        ),
        "extra: redact": microseconds(lambda: redact(ANSWER)),
        "extra: key of an instruction": microseconds(lambda: key(ASKED)),
        "extra: duplicates, final pass": (time.process_time() - started) / len(items) * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true", help="one JSON array, lower is better")
    found = measure()
    if parser.parse_args().json:
        rows = [{"name": name, "unit": "us/pair", "value": value} for name, value in found.items()]
        print(json.dumps(rows))
        return
    for name, value in found.items():
        print(f"{name:<36}{value:8.2f}")
    total = found[TOTAL]
    print(f"budget {BUDGET_US:.0f}: {'kept' if total <= BUDGET_US else 'EXCEEDED'}")


if __name__ == "__main__":
    main()
