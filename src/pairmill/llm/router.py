"""All ways to reach a model, as one: pools with their clients, gates, prices, and one budget.

A call is first covered by the budget, then waits at the pool that can take it soonest, and then
learns where that is: wire, mode, and the model's name there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pairmill.errors import Kind
from pairmill.llm.budget import (
    Budget,
    CallOutcome,
    Caps,
    charge_answer,
    charge_lost,
    is_answer,
    is_understated,
    worst_tokens,
)
from pairmill.llm.limits.headers import read_hint
from pairmill.llm.token_estimate import (
    Estimator,
    fewest_tokens,
    prompt_chars,
    worst_constant_tokens,
)
from pairmill.records import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pairmill.clock import Clock
    from pairmill.errors import ProviderError
    from pairmill.llm.admission import Turn
    from pairmill.llm.budget import PricedUsage, Reservation
    from pairmill.llm.limits.headers import HeaderDialect, LimitHint
    from pairmill.llm.pools import Pool, PoolLease, Pools
    from pairmill.llm.prices import Price
    from pairmill.llm.providers.provider import Mode, Provider, ProviderReply
    from pairmill.llm.token_estimate import Forecast
    from pairmill.records import Request

__all__ = ["Route", "Router"]

_HINT_EVERY_S = 0.5  # headers repeat themselves; reading them costs 20 microseconds
_ODD_COUNTS = 3  # replies of one pool that count too few tokens, until it is said
_MOST_CONSTANTS = 256
_BYTES_PER_TOKEN = 3  # fewer than tokenizers take on average, in any script: more tokens
_CACHE_BLOCK = 128  # tokens to which caches round


@dataclass(slots=True)
class Route:
    """One pool, with its client and gate."""

    pool: Pool
    provider: Provider
    mode: Mode
    dialect: HeaderDialect
    hinted_at: float = float("-inf")


class Router:
    """See the module; an ``Admission``.

    Args:
        model: The name that requests carry when any pool but an escalation may answer them.
        routes: One for each pool.
        pools: Their gates.
        clock: For the moment of headers.
        budget: Covers each call where anything is capped; None: a budget without caps.
        price_of: Prices of models that no pool names, such as a judge's: they are asked of the
            usual pools, by their own name and at their own price.

    Attributes:
        unready: Pools that are not asked yet.
        on_understated: Is told the name of a pool, once, whose replies count fewer tokens than
            their texts can have; with what was counted of which prompt, tokens and characters.
    """

    def __init__(
        self,
        model: str,
        routes: Sequence[Route],
        pools: Pools,
        clock: Clock,
        budget: Budget | None = None,
        price_of: Callable[[str], Price | None] | None = None,
    ) -> None:
        self.pools = pools
        self._estimator = Estimator()
        self.clock = clock
        self.budget = budget or Budget(Caps())
        self._is_capped = self.budget.is_capped
        self._model = model
        self._routes = {route.pool.name: route for route in routes}
        self.unready: frozenset[str] = frozenset()
        usual = [route for route in routes if not route.pool.is_escalation]
        self._usual = frozenset(route.pool.name for route in usual)
        self._by_model = _by_model(routes)
        self._price_of = price_of
        self._prices: dict[str, Price | None] = {}
        self._constants: dict[tuple[str, str], tuple[int, int]] = {}
        self._odd_counts: Counter[str] = Counter()
        self.on_understated: Callable[[str, int, int], None] | None = None

    async def admit(
        self, request: Request, *, is_retry: bool, avoid: frozenset[str] = frozenset()
    ) -> Turn:
        """See ``Admission``."""
        model = request.model
        among = self._usual if model == self._model else self._route(model)
        if self.unready:
            among -= self.unready
        return await self.admit_at(among, request, is_retry=is_retry, avoid=avoid)

    async def admit_at(
        self,
        among: frozenset[str],
        request: Request,
        *,
        is_retry: bool,
        avoid: frozenset[str] = frozenset(),
        is_probe: bool = False,
    ) -> Turn:
        """As ``admit``, at one of the pools of these names; a probe is no usual call."""
        prompt, model = request.prompt, request.model
        reservation = None
        if self._is_capped:
            reservation = await self.budget.reserve(request, self._price(model, among))
        chars = prompt_chars(prompt)
        forecast = self._estimator.forecast(prompt.template, model)
        cost = forecast.cost(chars, prompt.sampling.max_tokens)
        try:
            lease = self.pools.admit_now(cost, among, avoid)
            if lease is None:
                lease = await self.pools.admit(cost, retry=is_retry, among=among, avoid=avoid)
        except BaseException:
            if reservation is not None:
                self.budget.settle(reservation, CallOutcome.FREE)
            raise
        if reservation is not None:
            self.budget.send(reservation)
        route = self._routes[lease.pool.name]
        if model == self._model and route.pool.model != model:
            request = replace(request, model=route.pool.model)
        return _Turn(
            route.provider,
            route.mode,
            request,
            self,
            route,
            lease,
            reservation,
            forecast,
            chars,
            is_probe,
            is_retry,
        )

    def has_other(self, request: Request, tried: frozenset[str]) -> bool:
        """See ``Admission``."""
        return self.pools.has_other(self._route(request.model) - self.unready, tried)

    def hint(self, route: Route, headers: Mapping[str, str], *, now: bool) -> LimitHint | None:
        """Return the limits in headers; None if there are none, or they were just read."""
        moment = self.clock.monotonic()
        if not headers or (not now and moment - route.hinted_at < _HINT_EVERY_S):
            return None
        route.hinted_at = moment
        return read_hint(headers, now_wall=self.clock.time(), dialect=route.dialect)

    def constant_tokens(self, request: Request) -> tuple[int, int]:
        """Return the least and the most tokens of the constant part of all requests of a kind.

        The latter is for caches of prompts, and holds by average, not in the worst case.
        """
        template, schema = request.prompt.template, request.schema
        key = (template.id, schema.id if schema else "")
        found = self._constants.get(key)
        if found is None:
            if len(self._constants) >= _MOST_CONSTANTS:
                self._constants.clear()
            least = sum(fewest_tokens(turn.content) for turn in template.messages)
            most = worst_constant_tokens(template, str(schema.schema) if schema else "")
            found = least, most // _BYTES_PER_TOKEN + _CACHE_BLOCK
            self._constants[key] = found
        return found

    def note_count(self, pool: str, tokens: int, chars: int) -> None:
        """Take note of a reply that counts fewer tokens than its texts can have."""
        self._odd_counts[pool] += 1
        if self._odd_counts[pool] == _ODD_COUNTS and self.on_understated is not None:
            self.on_understated(pool, tokens, chars)

    def reprice(self, name: str, price: Price | None) -> None:
        """Count calls to a pool at another price from now on."""
        route = self._routes[name]
        route.pool = dataclass_replace(route.pool, price=price)
        self._prices.clear()

    def _route(self, model: str) -> frozenset[str]:
        """Return the names of the pools that may answer requests for a model."""
        return self._usual if model == self._model else self._by_model.get(model, self._usual)

    def price(self, model: str, pool: Pool) -> Price | None:
        """Return the price of a model that was asked for by this name, at this pool."""
        if model != pool.model and self._is_foreign(model):
            return self._price(model, self._usual)
        return pool.price

    def _is_foreign(self, model: str) -> bool:
        """Return whether no pool names the model; the usual ones are asked for it anyway."""
        known = model == self._model or model in self._by_model
        return self._price_of is not None and not known

    def _price(self, model: str, among: frozenset[str]) -> Price | None:
        """Return the highest price among the pools that may answer, to cover any of them."""
        if model not in self._prices:
            if self._price_of is not None and self._is_foreign(model):
                self._prices[model] = self._price_of(model)
            else:
                prices = [self._routes[name].pool.price for name in among]
                known = [price for price in prices if price is not None]
                dearest = max(known, key=lambda price: price.worst(1, 1), default=None)
                self._prices[model] = dearest
        return self._prices[model]


class _Turn(Struct, eq=False):
    """A lease at one route, with its reservation of the budget."""

    provider: Provider
    mode: Mode
    request: Request
    _exchange: Router
    _station: Route
    _lease: PoolLease
    _reservation: Reservation | None
    _forecast: Forecast
    _chars: int
    _is_probe: bool = False
    _is_retry: bool = False
    charge: PricedUsage | None = None

    def answered(self, reply: ProviderReply) -> PricedUsage:
        exchange, said = self._exchange, reply.completion.usage
        charge = self._pay(said, reply.completion.text)
        usage = charge.usage
        if usage is said:
            self._forecast.learn(self._chars, usage)
        hint = exchange.hint(self._station, reply.headers, now=False) if reply.headers else None
        self._lease.release(usage=usage if said.completion_tokens else said, hint=hint)
        return charge

    @property
    def pool(self) -> str:
        return self._station.pool.name

    def failed(self, error: ProviderError) -> bool:
        hint = self._exchange.hint(self._station, error.headers, now=error.kind is Kind.RATE)
        if is_answer(error):
            self._pay(Usage(error.prompt_tokens, error.completion_tokens), "")
        elif error.is_billed:
            self._lose()
        else:
            self._settle(CallOutcome.FREE)
        return self._lease.fail(error, self.request.id, hint=hint)

    @property
    def is_held(self) -> bool:
        return self._lease.is_held

    def abandoned(self) -> None:
        self._lease.abandon()
        self._lose()

    def give_back(self) -> None:
        self._lease.give_back()
        self._settle(CallOutcome.FREE)

    def _pay(self, said: Usage, answer: str) -> PricedUsage:
        exchange, text = self._exchange, self.request.prompt.text
        constant, cacheable = exchange.constant_tokens(self.request)
        least = (
            constant + fewest_tokens(text, said.prompt_tokens - constant),
            fewest_tokens(answer, said.completion_tokens),
        )
        self.charge = charge = charge_answer(
            said,
            exchange.price(self.request.model, self._station.pool),
            chars=(self._chars, len(answer)),
            least=least,
            chars_per_token=self._forecast.chars_per_token,
            worst=self._worst,
            at=exchange.clock.time(),
            most_cached=None if self._is_retry else cacheable,
        )
        if charge.usage is not said and is_understated(said, least):
            counted = said.prompt_tokens + said.completion_tokens
            exchange.note_count(self.pool, counted, self._chars + len(answer))
        self._settle(CallOutcome.ANSWERED, charge)
        return charge

    def _lose(self) -> None:
        exchange = self._exchange
        price = exchange.price(self.request.model, self._station.pool)
        self.charge = charge_lost(price, self._worst(), exchange.clock.time())
        self._settle(CallOutcome.MAYBE_PAID)

    def _worst(self) -> tuple[int, int]:
        held = self._reservation
        return (held.prompt_tokens, held.asked_tokens) if held else worst_tokens(self.request)

    def _settle(self, outcome: CallOutcome, charge: PricedUsage | None = None) -> None:
        if self._reservation is not None:
            budget, is_probe = self._exchange.budget, self._is_probe
            budget.settle(self._reservation, outcome, charge, is_probe=is_probe)


def _by_model(routes: Sequence[Route]) -> dict[str, frozenset[str]]:
    names: dict[str, set[str]] = {}
    for route in routes:
        names.setdefault(route.pool.model, set()).add(route.pool.name)
    return {model: frozenset(pools) for model, pools in names.items()}
