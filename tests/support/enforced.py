"""The gate against the simulated endpoint's own quotas, without a wire, on a clock that jumps.

Quota classes, headers and refusals are those of ``pairmill.simulator``; the answers' lengths, and
how long they take, are drawn from a seed. Twelve minutes of traffic take a second or less.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.support import virtual_time

from pairmill.errors import Kind
from pairmill.llm.limits.gate import Charge, Gate, Limits
from pairmill.llm.limits.headers import read_hint, retry_after_s
from pairmill.llm.limits.quota import Cost
from pairmill.llm.token_estimate import Forecast
from pairmill.records import Usage
from pairmill.simulator.dialects import limit_headers, rate_limit_body, retry_after_headers
from pairmill.simulator.quotas import Enforcer, QuotaRefusal
from pairmill.simulator.settings import SimulatedQuota

if TYPE_CHECKING:
    from pairmill.llm.limits.gate import Lease
    from pairmill.llm.limits.headers import LimitHint

__all__ = ["CASES", "Case", "Score", "play"]

RPM, LOOSE_RPM = 300.0, 6_000.0
TPM, LOOSE_TPM = 480_000.0, 1e8
WARM_S, END_S = 120.0, 720.0
MAX_TOKENS = 1_000
_EPOCH_S = 1.7e9
_HINT_EVERY_S = 0.5  # as the exchange reads them


class Case(NamedTuple):
    """A quota: its flavour, and what binds: requests, or tokens as they are charged."""

    flavour: str
    binds: str

    @property
    def quota(self) -> SimulatedQuota:
        by_requests = self.binds == "requests"
        return SimulatedQuota(
            rpm=RPM if by_requests else LOOSE_RPM,
            tpm=LOOSE_TPM if by_requests else TPM,
            flavour=self.flavour,  # type: ignore[arg-type]
            charge="reconcile" if by_requests else self.binds,  # type: ignore[arg-type]
        )

    def limits(self, knows: str) -> Limits:
        """What the user says: all of it (``known``), or nothing."""
        if knows != "known":
            return Limits()
        if self.binds == "requests":
            return Limits(requests_per_min=RPM, tokens_per_min=LOOSE_TPM)
        charge = CHARGES[self.binds]
        return Limits(requests_per_min=LOOSE_RPM, tokens_per_min=TPM, charge=charge)


CHARGES = {"actual": Charge.ACTUAL, "reconcile": None, "reserve": Charge.RESERVED}
CASES = [Case(flavour, "requests") for flavour in ("refill", "second", "fixed", "sliding")] + [
    Case(flavour, charge)
    for flavour in ("refill", "fixed", "sliding")
    for charge in ("actual", "reconcile", "reserve")
]


@dataclass
class Score:
    """What the client made of a quota from the third minute on.

    Attributes:
        used: Share of the quota: tokens answered, or with ``reserve`` those charged.
        reachable: The share that no client can pass who does not know where a window begins: what
            a server holds back for answers under way it cannot give to others. With tokens used
            ``a`` and held beyond that ``u`` a call, for ``w`` seconds: 60a / (60a + wu).
        minutes: The same, minute by minute from the start, with the refusals of each.
    """

    used: float = 0.0
    refused: int = 0
    done: int = 0
    reachable: float = 1.0
    minutes: list[tuple[float, int]] = field(default_factory=list)

    @property
    def refused_per_done(self) -> float:
        return self.refused / max(1, self.done)


class _Server:
    """Admits or refuses at once, by the simulator's own accounting; answers after a while."""

    def __init__(self, case: Case, dialect: str, seed: int, jitter_s: float, slow: float) -> None:
        self.case = case
        self.loop = asyncio.get_running_loop()
        self.enforcer = Enforcer(case.quota, self.loop.time())
        self.dialect = dialect
        self.dice = random.Random(seed)
        self.jitter_s = jitter_s
        self.slow = slow
        self.hinted_at = -1.0
        self.rows: list[tuple[float, float]] = []  # when, and what was used; less than 0: refused
        self.held = 0.0  # token seconds of max_tokens that were not used, while under way

    def hint(self, *, always: bool = False) -> LimitHint | None:
        now = self.loop.time()
        if self.dialect == "none" or (not always and now - self.hinted_at < _HINT_EVERY_S):
            return None
        self.hinted_at = now
        return read_hint(dict(self.headers(0)), now_wall=_EPOCH_S + now)

    def headers(self, cost: int) -> list[tuple[str, str]]:
        now = self.loop.time()
        levels = self.enforcer.levels(now)
        return limit_headers(self.dialect, levels, cost, _EPOCH_S + now)  # type: ignore[arg-type]

    async def call(self, lease: Lease, prompt: int, output: int) -> bool:
        await asyncio.sleep(0.02 + self.dice.random() * self.jitter_s)
        now = self.loop.time()
        charge = self.enforcer.admit(prompt, MAX_TOKENS, now)
        if isinstance(charge, QuotaRefusal):
            self.rows.append((now, -1.0))
            await asyncio.sleep(0.02)
            wait_s = self.refuse(lease, charge)
            await asyncio.sleep(wait_s * (1.0 + 0.1 * self.dice.random()))
            return False
        await asyncio.sleep(self.slow * self.dice.lognormvariate(0.0, 0.3))
        hint = self.hint()
        self.enforcer.settle(charge, prompt + output, self.loop.time())
        self.count(prompt, output, self.loop.time() - now)
        await asyncio.sleep(0.02)
        lease.release(usage=Usage(prompt, output), hint=hint)
        return True

    def count(self, prompt: int, output: int, seconds: float) -> None:
        now = self.loop.time()
        amount = prompt + (MAX_TOKENS if self.case.binds == "reserve" else output)
        self.rows.append((now, 1.0 if self.case.binds == "requests" else float(amount)))
        if self.case.binds == "reconcile":
            self.held += (MAX_TOKENS - output) * seconds * (now >= WARM_S)

    def refuse(self, lease: Lease, refusal: QuotaRefusal) -> float:
        """Refuse the call; what it has to wait alone."""
        wall = _EPOCH_S + self.loop.time()
        dialect = self.dialect
        said, _ = retry_after_headers("dialect", dialect, refusal.wait_s, wall)  # type: ignore[arg-type]
        headers = dict(said + self.headers(refusal.requested))
        body = rate_limit_body(dialect, refusal, "model", wall)  # type: ignore[arg-type]
        wait = retry_after_s(headers, body, now_wall=wall)
        hint = self.hint(always=True)
        seconds = wait.seconds if wait else None
        is_held = lease.release(Kind.RATE, hint=hint, retry_after_s=seconds)
        return 0.0 if is_held else seconds or self.dice.random()

    def score(self) -> Score:
        per_min = RPM if self.case.binds == "requests" else TPM
        found = Score(minutes=[(0.0, 0)] * int(END_S // 60))
        for at, amount in self.rows:
            minute = int(at // 60)
            if minute >= len(found.minutes):
                continue
            used, refused = found.minutes[minute]
            gained = max(0.0, amount) / per_min
            found.minutes[minute] = (used + gained, refused + (amount < 0))
            if at >= WARM_S:
                found.used += gained / ((END_S - WARM_S) / 60)
                found.refused += amount < 0
                found.done += amount > 0
        if self.case.binds == "reconcile" and self.case.flavour != "refill":
            spent = found.used * (END_S - WARM_S) / 60 * TPM
            found.reachable = spent / (spent + self.held / 60)
        return found


def play(
    case: Case, knows: str, *, seed: int = 1, jitter_s: float = 0.002, slow_s: float = 4.0,
    limits: Limits | None = None, workers: int = 200, believes: Charge | None = None,
) -> Score:  # fmt: skip
    """Twelve minutes of one client.

    Args:
        case: The quota.
        knows: ``known``, the limits as given; ``headers``; ``blind``.
        seed: Of lengths and latencies.
        jitter_s: The way to the server takes up to so much longer for one call than for another.
        slow_s: Median of the seconds that an answer takes.
        limits: What the user says instead of what ``knows`` stands for.
        workers: Calls that are asked for at once.
        believes: What the gate is brought to believe, wrongly perhaps, by a refusal at 70 s.
    """

    async def main() -> Score:
        loop = asyncio.get_running_loop()
        dialect = "openai" if knows == "headers" else "none"
        server = _Server(case, dialect, seed, jitter_s, slow_s)
        given = limits or case.limits(knows)
        gate = Gate(given, clock=loop.time)
        dice = random.Random(f"jobs {seed}")
        known = Forecast()

        async def worker() -> None:
            while True:
                prompt = dice.randrange(600, 950)
                output = min(MAX_TOKENS, max(20, round(dice.lognormvariate(6.0, 0.35))))
                chars = round(prompt * dice.gauss(4.2, 0.2))
                is_retry = False
                while True:
                    expected = known.output_tokens or MAX_TOKENS
                    cost = Cost(chars / known.chars_per_token, expected, MAX_TOKENS)
                    lease = await gate.admit(cost, retry=is_retry)
                    if await server.call(lease, prompt, output):
                        known.learn(chars, Usage(prompt, output))
                        break
                    is_retry = True

        tasks = [loop.create_task(worker()) for _ in range(workers)]
        if believes is not None:
            is_much = believes is Charge.RESERVED
            loop.call_later(70.0, lambda: gate._quota._watch.on_refused(70.0, is_much=is_much))
        await asyncio.sleep(END_S)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return server.score()

    return virtual_time.run(main())
