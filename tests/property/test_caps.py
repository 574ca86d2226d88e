"""Caps hold within their wallet, whatever replies count and however calls end."""

from __future__ import annotations

import asyncio
import json
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.corpus import article
from tests.support.questions import TEMPLATE
from tests.support.virtual_time import run

from pairmill.clock import FakeClock
from pairmill.errors import Kind, ProviderError, StoppedError
from pairmill.llm.budget import Budget, Caps, Spent
from pairmill.llm.limits.gate import Gate
from pairmill.llm.limits.headers import HeaderDialect
from pairmill.llm.pools import Pool, Pools
from pairmill.llm.prices import Price
from pairmill.llm.providers.provider import Mode, ProviderReply
from pairmill.llm.providers.replies import decode
from pairmill.llm.router import Route, Router
from pairmill.records import Prompt, Request, Sampling, Usage

if TYPE_CHECKING:
    from pairmill.llm.providers.provider import Provider

PRICE = Price(150_000, 75_000, 600_000)
SEEDS = 30
WORDS_PER_TOKEN = 0.89  # of English, by o200k
TEXTS = [article(number, size) for number, size in enumerate((3, 8, 20, 45))]
ODD: tuple[Any, ...] = (
    None, 0, 1, -1, -(2**63), 0.5, -0.0, True, False, "7", "many", "", [], [3], {},
)  # fmt: skip
SHARES = (0.0, 0.01, 0.3, 0.5, 0.8, 1.0)  # of the truth: what is above them cannot be seen
MORE = (1.0, 1.3, 40.0)
LIARS = (0.05, 0.15, 0.6)  # of the replies of one server


def tokens(text: str) -> int:
    return math.ceil(len(text.split()) / WORDS_PER_TOKEN)


@dataclass
class Life:
    """What a wallet was charged, beside what a client would think that believes every count."""

    dice: random.Random
    is_in_tokens: bool
    lies: float
    exaggerates: bool
    cap: int = 0
    wallet: int = 0
    believed: int = 0
    calls: int = 0
    wrong: list[str] = field(default_factory=list)

    def cost(self, prompt: int, done: int) -> int:
        return prompt + done if self.is_in_tokens else PRICE.cost(Usage(prompt, done))

    def bill(self, prompt: int, done: int, said: Any) -> None:
        self.calls += 1
        self.wallet += self.cost(prompt, done)
        told = said if isinstance(said, dict) else {}
        counts = (told.get("prompt_tokens"), told.get("completion_tokens"))
        plain = [max(0, it) if type(it) is int else 0 for it in counts]
        self.believed += self.cost(*plain)

    def usage(self, prompt: int, done: int) -> Any:
        """What a reply says that it took: the truth, a share of it, or nonsense in any place."""
        dice = self.dice
        if dice.random() >= self.lies:
            return {"prompt_tokens": prompt, "completion_tokens": done}
        if dice.random() < 0.2:
            return dice.choice([None, [], "usage", 7, {}])
        said: dict[str, Any] = {}
        for name, truth in (("prompt_tokens", prompt), ("completion_tokens", done)):
            if dice.random() < 0.85:
                share = dice.choice((*SHARES, *MORE) if self.exaggerates else SHARES)
                said[name] = dice.choice(self._odd()) if dice.random() < 0.3 else int(share * truth)
        if dice.random() < 0.5:
            said["total_tokens"] = dice.choice([*self._odd(), prompt, prompt + done])
        if self.is_in_tokens and dice.random() < 0.3:  # of dollars a cache takes off, it cannot be
            said["prompt_tokens_details"] = {"cached_tokens": dice.choice([*ODD, prompt])}
        if dice.random() < 0.3:
            said["completion_tokens_details"] = {"reasoning_tokens": dice.choice(ODD)}
        return said

    def _odd(self) -> tuple[Any, ...]:
        return (*ODD, 2**70, 1e308) if self.exaggerates else ODD


def request(life: Life) -> Request:
    sampling = Sampling(0.5, life.dice.choice([700, 1500]), life.dice.randrange(10**9))
    return Request(Prompt(TEMPLATE, life.dice.choice(TEXTS), sampling), "m")


def prompt_tokens(asked: Request) -> int:
    return sum(tokens(turn.content) for turn in TEMPLATE.messages) + tokens(asked.prompt.text)


async def call(life: Life, router: Router) -> None:
    """Make one call that ends in one of all ways; its bill comes when the request does."""
    dice, asked = life.dice, request(life)
    turn = await router.admit(asked, is_retry=dice.random() < 0.1)
    prompt, most = prompt_tokens(asked), asked.prompt.sampling.max_tokens
    fate = dice.random()
    if fate < 0.08:
        turn.give_back()
        return
    if fate < 0.14:
        await asyncio.sleep(dice.uniform(0, 0.1))
        turn.failed(ProviderError(Kind.REFUSED, "no", status=400))
        return
    if fate < 0.26:  # billed, and nobody sees by how much
        life.bill(prompt, dice.randint(0, most), None)
        await asyncio.sleep(dice.uniform(0, 5))
        if dice.random() < 0.5:
            turn.abandoned()
        else:
            turn.failed(ProviderError(Kind.LOST, "cut", code="connection", maybe_paid=True))
        return
    answer = "" if fate < 0.3 else dice.choice(TEXTS)
    done = tokens(answer) if answer else dice.randint(1, most)
    if done > most:
        answer, done = TEXTS[0], tokens(TEXTS[0])
    said = life.usage(prompt, done)
    if not answer and isinstance(said, dict):
        said.pop("completion_tokens", None)  # of thoughts alone nothing but the count can be seen
    life.bill(prompt, done, said)
    await asyncio.sleep(dice.uniform(0, 5))
    choice = {"message": {"content": answer}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice], "model": "m", "usage": said}).encode()
    try:
        completion = decode(200, {}, body, now=0.0)
    except ProviderError as error:
        turn.failed(error)
    else:
        turn.answered(ProviderReply(completion))


async def live(life: Life, spent: Spent, width: int, calls: int) -> Spent:
    """One start: until the cap, or so many calls; returns what the next one knows as spent."""
    clock = asyncio.get_running_loop().time
    caps = Caps(tokens=life.cap) if life.is_in_tokens else Caps(picodollars=life.cap)
    budget = Budget(caps, clock=clock, wall=clock, spent=spent, unproven_tokens=0)
    pool = Pool("a", "http://a.test/v1", "KEY", "m", price=PRICE)
    wire: Provider = None  # type: ignore[assignment]
    pools = Pools([pool], lambda pool: Gate(clock=clock, width=width, name=pool.name))
    route = Route(pool, wire, Mode.PROMPT, HeaderDialect.COMMON)
    router = Router("m", [route], pools, FakeClock(), budget)
    last = life.calls + calls

    async def work() -> None:
        while life.calls < last:
            try:
                await call(life, router)
            except StoppedError:
                return
            check()

    def check() -> None:
        if life.wallet > life.cap:
            life.wrong.append(f"{life.wallet} of {life.cap} after {life.calls} calls")

    workers = [asyncio.ensure_future(work()) for _ in range(width)]
    if life.dice.random() < 0.5:
        await asyncio.wait(workers)
    else:  # killed: what is in flight counts at its worst from now on
        await asyncio.wait(workers, timeout=life.dice.uniform(1, 60))
    kept = budget.at_risk
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)
    check()
    return Spent(kept.picodollars, kept.tokens)


def play(seed: int, *, is_in_tokens: bool) -> Life:
    dice = random.Random(seed)
    life = Life(dice, is_in_tokens, dice.choice(LIARS), exaggerates=dice.random() < 0.2)
    life.cap = dice.randint(20, 100) * life.cost(600, 300)

    async def main() -> None:
        spent = Spent()
        for _ in range(4):
            spent = await live(life, spent, dice.randint(1, 32), 150)

    run(main(), step_s=1e-6)
    return life


def is_in_danger(life: Life) -> bool:
    """Whether a client that believes every count would have seen much less than was billed."""
    return life.believed < 0.9 * life.wallet


@pytest.mark.parametrize("is_in_tokens", [True, False], ids=["tokens", "dollars"])
def test_no_cap_is_passed_whatever_replies_count(*, is_in_tokens: bool) -> None:
    lives = [play(seed, is_in_tokens=is_in_tokens) for seed in range(SEEDS)]
    wrong = [(life.cap, life.wrong[:2]) for life in lives if life.wrong]
    assert not wrong
    reached = [life for life in lives if life.wallet > 0.5 * life.cap]
    assert len(reached) > len(lives) // 3, "the caps were too far away to be in danger"
    assert sum(map(is_in_danger, lives)) > len(lives) // 3, "who believes all would see as much"
