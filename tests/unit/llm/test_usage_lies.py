"""By how much a cap can be passed where a server counts wrongly, call after call.

The bounds stand in docs/reliability.md, and are read from there: each of its lines is a test.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.support.corpus import article
from tests.support.questions import TEMPLATE

from pairmill.clock import SystemClock
from pairmill.errors import StoppedError
from pairmill.llm.budget import Budget, Caps
from pairmill.llm.limits.gate import Gate
from pairmill.llm.limits.headers import HeaderDialect
from pairmill.llm.pools import Pool, Pools
from pairmill.llm.prices import Price
from pairmill.llm.providers.provider import Mode, ProviderReply
from pairmill.llm.providers.replies import decode
from pairmill.llm.router import Route, Router
from pairmill.records import Prompt, Request, Sampling, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.llm.providers.provider import Provider

DOCS = Path(__file__).parents[3] / "docs" / "reliability.md"
PRICE = Price(150_000, 15_000, 600_000)
MAX_TOKENS = 500
CALLS = 40  # that the cap has room for
CHINESE = "港口博物馆每年接待来自各地的游客并且修复古老的灯塔和木船。"
THAI = "พิพิธภัณฑ์ท่าเรือเปิดให้ผู้เยี่ยมชมจากทุกประเทศและซ่อมแซมประภาคารเก่า"

Said = dict[str, Any] | None


class Bill(NamedTuple):
    """What a call really took, in tokens: by o200k, whose averages these texts have."""

    prompt: int
    answer: int
    hidden: int = 0

    def usage(self, share: float = 1.0, **more: Any) -> Said:
        prompt, answer = round(self.prompt * share), round(self.answer * share)
        sums = {"prompt_tokens": prompt, "completion_tokens": answer}
        return {**sums, "total_tokens": prompt + answer, **more}


class Lie(NamedTuple):
    """How a server counts, and in what language it is asked."""

    said: Callable[[Bill, int], Said]
    text: str = article(3, 40)
    chars_per_token: float = 4.5
    hidden: int = 0


def _only(*names: str) -> Callable[[Bill, int], Said]:
    return lambda bill, _: {name: (bill.usage() or {})[name] for name in names}


def _share(share: float) -> Callable[[Bill, int], Said]:
    return lambda bill, _: bill.usage(share)


LIES = {
    "correctly": Lie(_share(1.0)),
    "no `usage`": Lie(lambda *_: None),
    "zeros": Lie(_share(0.0)),
    "1 and 0": Lie(lambda *_: {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}),
    "values that are not numbers": Lie(
        lambda *_: {"prompt_tokens": "few", "completion_tokens": [3]}
    ),
    "negative numbers": Lie(_share(-1.0)),
    "only the prompt": Lie(_only("prompt_tokens")),
    "only the answer": Lie(_only("completion_tokens")),
    "a tenth": Lie(_share(0.1)),
    "half": Lie(_share(0.5)),
    "half, in every second reply": Lie(lambda bill, turn: bill.usage(0.5 + 0.5 * (turn % 2))),
    "nine tenths": Lie(_share(0.9)),
    "half, in Chinese or Japanese": Lie(_share(0.5), CHINESE * 40, 1.3),
    "half, in Thai": Lie(_share(0.5), THAI * 20, 2.4),
    "everything as cached": Lie(
        lambda bill, _: bill.usage(prompt_tokens_details={"cached_tokens": bill.prompt})
    ),
    "thinking only in the total": Lie(
        lambda bill, _: bill.usage(total_tokens=sum(bill)), hidden=300
    ),
    "thinking not at all: 300 tokens, beside an answer of 280": Lie(_share(1.0), hidden=300),
}
TOLD = {
    "1 and 0", "only the prompt", "only the answer", "a tenth", "half",
    "half, in every second reply", "half, in Thai",
}  # fmt: skip


def _documented() -> dict[str, float]:
    """Lie to the factor by which the cap may be passed, as the table says."""
    text = DOCS.read_text("utf-8").partition("## Servers that count wrongly")[2]
    lines = re.findall(r"^\| ([^|]+) \| [^|]+ \| (no|[\d.]+ x) \|$", text, re.MULTILINE)
    return {name: 1.0 if bound == "no" else float(bound[:-2]) for name, bound in lines}


def test_the_table_names_each_lie() -> None:
    assert set(_documented()) == set(LIES)


@pytest.mark.parametrize("name", LIES)
async def test_no_count_lets_a_cap_be_passed_by_more_than_is_documented(name: str) -> None:
    """In dollars, over calls one after the other, until no call may go any more."""
    lie = LIES[name]
    answer = json.dumps({"pairs": [{"answer": lie.text[:1200]}]}, ensure_ascii=False)
    chars = sum(len(turn.content) for turn in TEMPLATE.messages) + len(lie.text)
    bill = Bill(
        round(chars / lie.chars_per_token), round(len(answer) / lie.chars_per_token), lie.hidden
    )
    cost = PRICE.cost(Usage(bill.prompt, bill.answer + bill.hidden))
    cap = CALLS * cost
    pool = Pool("a", "http://a.test/v1", "KEY", "m", price=PRICE)
    wire: Provider = None  # type: ignore[assignment]
    pools = Pools([pool], lambda pool: Gate(clock=time.monotonic, width=4, name=pool.name))
    budget = Budget(Caps(picodollars=cap), unproven_tokens=0)
    route = Route(pool, wire, Mode.PROMPT, HeaderDialect.COMMON)
    router = Router("m", [route], pools, SystemClock(), budget)
    told: list[str] = []
    router.on_understated = lambda pool, *_: told.append(pool)
    sampling = Sampling(0.5, bill.answer + MAX_TOKENS)
    wallet = calls = 0
    while calls < 20 * CALLS:
        request = Request(Prompt(TEMPLATE, lie.text, sampling), "m")
        try:
            turn = await router.admit(request, is_retry=False)
        except StoppedError:
            break
        choice = {"message": {"content": answer}, "finish_reason": "stop"}
        reply = {"choices": [choice], "model": "m", "usage": lie.said(bill, calls)}
        turn.answered(ProviderReply(decode(200, {}, json.dumps(reply).encode(), now=0.0)))
        wallet += cost
        calls += 1
    assert calls, "nothing could be asked"
    bound = _documented()[name]
    assert wallet <= bound * cap, f"{wallet / cap:.2f} of the cap"
    if bound > 1.0:
        assert wallet > 0.8 * bound * cap, "the bound in the table is too high"
    assert (told == ["a"]) == (name in TOLD)
