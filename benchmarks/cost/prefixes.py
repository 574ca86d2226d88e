"""How much of each prompt a provider can take from its cache, because an earlier call began alike.

    python -m benchmarks.cost.prefixes

Every template puts its instructions first, then the passage, and what differs between calls about
one chunk last. This measures, over the bundled articles, the longest beginning that each prompt
shares with an earlier one of the same template: about any chunk (the instructions), and about the
same chunk (instructions and passage). Tokens are counted as four characters; OpenAI caches
prefixes from 1,024 tokens on. No model is asked.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio
from benchmarks.machine import save, table

from pairmill.chunking.reader import read_chunks
from pairmill.config import load
from pairmill.recipes.make import make_recipe
from pairmill.service.survey import rehearse_unit

if TYPE_CHECKING:
    from pairmill.records import Prompt

ARTICLES = Path(__file__).parents[2] / "examples" / "articles"
CHARS, LEAST = 4, 1024  # characters of a token; tokens of a prefix that is cached
CHUNKS = 40


class Shared(NamedTuple):
    """Tokens of one prompt, and how many of them begin an earlier one."""

    whole: int
    of_any: int
    of_chunk: int | None  # None: the first of its template about its chunk


def text_of(prompt: Prompt) -> str:
    """All messages of a prompt, in their order."""
    return "\n".join([*(each.content for each in prompt.template.messages), prompt.text])


async def measure() -> dict[str, list[Shared]]:
    """For each template, what its prompts share; judge and verifier are tried on every chunk."""
    with tempfile.TemporaryDirectory() as place:
        settings = load(
            given={
                "inputs": (str(ARTICLES),), "output": Path(place) / "out", "evolve": "on",
                "judge": "all", "judge_trust": 1.0, "verify": "all", "verify_trust": 1.0,
                "limit": CHUNKS,
            }
        )  # fmt: skip
        recipe = make_recipe(settings)
        found: defaultdict[str, list[Shared]] = defaultdict(list)
        before: dict[str, str] = {}
        for chunk in list(read_chunks(settings, lambda _: None))[:CHUNKS]:
            here: defaultdict[str, list[str]] = defaultdict(list)
            for prompt in (await rehearse_unit(recipe, chunk)).prompts:
                name, text = prompt.template.name, text_of(prompt)
                of_chunk = max((_alike(text, other) for other in here[name]), default=None)
                found[name].append(
                    Shared(len(text) // CHARS, _alike(text, before.get(name, "")), of_chunk)
                )
                here[name].append(text)
            before.update((name, texts[0]) for name, texts in here.items() if texts)
    return dict(found)


def _alike(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other))) // CHARS


def main() -> None:
    """Measure, print, keep."""
    found = anyio.run(measure)
    rows = []
    for name, prompts in found.items():
        again = [each for each in prompts if each.of_chunk is not None]
        rows.append(
            [
                name,
                f"{_mean([each.whole for each in prompts]):,.0f}",
                f"{_mean([each.of_any for each in prompts[1:]]):,.0f}",
                f"{len(again)} of {len(prompts)}",
                f"{_mean([each.of_chunk or 0 for each in again]):,.0f}" if again else "-",
                f"{_mean([(each.of_chunk or 0) >= LEAST for each in again]):.0%}" if again else "-",
            ]
        )
    table(
        ["template", "tokens", "shared with any", "calls about the same chunk again",
         "shared with these", "of these from 1,024 on"],
        rows,
    )  # fmt: skip
    save("cost-prefixes", {name: [each._asdict() for each in all_] for name, all_ in found.items()})


def _mean(values: list[int] | list[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


if __name__ == "__main__":
    main()
