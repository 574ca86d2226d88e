"""Settings of a simulated endpoint: frozen values, from Python or from a mapping."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pairmill.errors import ConfigError
from pairmill.simulator.rules import Rule  # noqa: TC001 (pydantic reads the annotations)
from pairmill.simulator.thinking import Thinking  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DIALECTS",
    "RETRY_AFTER_FORMS",
    "Dialect",
    "Faults",
    "Latency",
    "RetryAfter",
    "ScheduledStep",
    "SimulatedPrices",
    "SimulatedQuota",
    "SimulatorSettings",
    "TlsFiles",
    "from_mapping",
    "to_mapping",
]

Dialect = Literal[
    "openai",
    "azure",
    "anthropic",
    "groq",
    "mistral",
    "together",
    "openrouter",
    "gemini",
    "none",
]
RetryAfter = Literal[
    "dialect",  # as the dialect's provider
    "seconds",
    "float",
    "ms",  # only the retry-after-ms header
    "date",
    "missing",
    "negative",
    "inf",
    "past",  # a date in the past
    "garbage",
    "day",  # 86,400 seconds
]
DIALECTS: tuple[Dialect, ...] = Dialect.__args__  # type: ignore[attr-defined]
RETRY_AFTER_FORMS: tuple[RetryAfter, ...] = RetryAfter.__args__  # type: ignore[attr-defined]

_STRICT: ConfigDict = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Latency:
    """Duration of an accepted call.

    Attributes:
        shape: ``zero``; ``fixed`` (``seconds``); ``lognormal`` (median ``seconds``, ``sigma``);
            ``tokens`` (``seconds`` to the first token, then ``per_token_s`` for each).
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    shape: Literal["zero", "fixed", "lognormal", "tokens"] = "zero"
    seconds: float = 0.0
    sigma: float = 0.5
    per_token_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SimulatedQuota:
    """A limit that is enforced. ``rpm`` and ``tpm`` are true rates per 60 s of the server's clock.

    Attributes:
        flavour: ``refill``: a bucket that refills all the time, full at the start; ``second``: the
            minute's quota is dealt out in equal quanta of a second (longer where less than one
            request falls on a second); ``fixed``: aligned windows; ``sliding``: no window of
            ``minute_s`` may hold more than its share.
        charge: ``reserve``: prompt and max_tokens, kept; ``reconcile``: the same, corrected to the
            usage when the answer is sent; ``actual``: the prompt at first, the answer's tokens
            when it is sent.
        minute_s: Length of the window (and the burst of ``refill``), so that a test need not wait
            a minute: with 6 a window admits a tenth of ``rpm``, ten times a minute.
        burst_s: Capacity of ``refill`` in seconds of rate; ``minute_s`` where None.
        rpd: Requests per day, a fixed window of 86,400 s.
        per: Whether all callers share the quota, or each key or model has its own.
        charge_refused: A refused request counts against ``rpm``.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    rpm: float | None = None
    tpm: float | None = None
    rpd: int | None = None
    flavour: Literal["refill", "second", "fixed", "sliding"] = "refill"
    charge: Literal["reserve", "reconcile", "actual"] = "reconcile"
    minute_s: float = 60.0
    burst_s: float | None = None
    per: Literal["server", "key", "model"] = "server"
    charge_refused: bool = False


@dataclass(frozen=True, slots=True)
class SimulatedPrices:
    """Dollars per million tokens; up to six decimal places are exact."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    input_usd: Decimal = field(default_factory=lambda: Decimal("0.15"))
    output_usd: Decimal = field(default_factory=lambda: Decimal("0.60"))


@dataclass(frozen=True, slots=True)
class Faults:
    """Random faults, the same ones for the same seed and requests.

    Attributes:
        rates: Name of a fault (``pairmill.simulator.FAULTS``) to its share of calls; sum at most 1.
        attempts: Only the first so many attempts of each request may be struck; all where None.
        quota_gone_from, key_revoked_from, model_gone_from: From this call on (the first is 1)
            every call is refused with insufficient quota, 401, or 404.
        loading_s: 503 "Loading model" for so long after the start.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    rates: dict[str, float] = field(default_factory=dict, hash=False)
    attempts: int | None = None
    quota_gone_from: int | None = None
    key_revoked_from: int | None = None
    model_gone_from: int | None = None
    loading_s: float = 0.0
    hang_s: float = 3600.0
    drip_bytes: int = 16
    drip_interval_s: float = 0.05
    huge_chars: int = 500_000


@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """One scripted reply. The first step that matches a call and has turns left answers it.

    Attributes:
        fault: Name of a fault, or None for a good answer or one of the fields below.
        status, body, headers: A whole HTTP reply, instead of a fault; a ``body`` that is no
            string is sent as JSON.
        content: A good envelope around this text.
        match: Only calls whose last user message holds this text.
        times: Turns that the step has; any number where None.
        from_call: Only calls from this one on (the first since the last reset is 1).
        delay_s: Added before the reply.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    fault: str | None = None
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict, hash=False)
    content: str | None = None
    finish_reason: str | None = None
    retry_after: RetryAfter | None = None
    retry_after_s: float = 1.0
    match: str | None = None
    times: int | None = 1
    from_call: int = 1
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate chain and its key, both as paths of PEM files."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """A simulated endpoint. With the defaults it answers at once, with pairs from each chunk.

    Attributes:
        port: 0 lets the system choose; the address is always 127.0.0.1.
        content: ``derived``: pairs from the chunk's text; ``canned``: the same pairs for all, for
            benchmarks.
        ignore_chunk: A model that does not look at its chunk: pairs about something else.
        models: Names that are served; empty: any.
        api_keys: Keys that are accepted; empty: any, and none.
        response_format: The strongest mode that is supported; a stronger one is refused with 400.
            ``ignored``: accepted, and answered as if it were not there (prose before the JSON).
        max_waiting: With ``slots``: calls that may wait for one; more are refused with 503.
        metrics: Which gauges ``GET /metrics`` shows; ``none`` answers 404.
        context_tokens: Longest prompt plus max_tokens; beyond, 400 ``context_length_exceeded``.
        track_requests: Count attempts per request; costs about 150 bytes for each.
        keep_requests: Bodies of so many of the last requests are kept for ``GET /_sim/requests``.
        scenario: Name of a scenario (``scenario_names()``), or path of a scenario file. What it
            says holds wherever these settings are at their defaults; its rules come after
            ``rules``.
        rules: Which calls get something else than a good answer.
        thinking: The model thinks before it answers.
        tls: Serve HTTPS with these files.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    port: int = 0
    seed: int = 0
    content: Literal["derived", "canned"] = "derived"
    ignore_chunk: bool = False
    pairs_per_chunk: int = 3
    models: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    response_format: Literal["json_schema", "json_object", "none", "ignored"] = "json_schema"
    dialect: Dialect = "openai"
    retry_after: RetryAfter = "dialect"
    latency: Latency = field(default_factory=Latency)
    slots: int | None = None
    max_waiting: int | None = None
    quota: SimulatedQuota | None = None
    prices: SimulatedPrices = field(default_factory=SimulatedPrices)
    faults: Faults = field(default_factory=Faults)
    script: tuple[ScheduledStep, ...] = ()
    metrics: Literal["both", "vllm", "llamacpp", "none"] = "both"
    context_tokens: int | None = None
    max_request_bytes: int = 16 * 2**20
    track_requests: bool = True
    keep_requests: int = 0
    scenario: str | None = None
    rules: tuple[Rule, ...] = ()
    thinking: Thinking | None = None
    tls: TlsFiles | None = None

    def __post_init__(self) -> None:
        _check(0 <= self.port < 2**16, "port", "is a number from 0 to 65535")
        _check(self.pairs_per_chunk >= 0, "pairs_per_chunk", "is 0 or more")
        _check(self.slots is None or self.slots > 0, "slots", "is 1 or more")
        _check(self.max_request_bytes > 0, "max_request_bytes", "is 1 or more")
        shares = self.faults.rates.values()
        _check(
            all(share >= 0 for share in shares) and sum(shares) <= 1 + 1e-9,
            "faults.rates",
            "are shares that add up to 1 at most",
        )
        if self.quota is not None:
            rates = (self.quota.rpm, self.quota.tpm, self.quota.rpd)
            _check(all(rate is None or rate > 0 for rate in rates), "quota", "is above 0")
            _check(self.quota.minute_s > 0, "quota.minute_s", "is above 0")


def from_mapping(values: Mapping[str, Any]) -> SimulatorSettings:
    """Make settings from plain values, as in a YAML or JSON file.

    Raises:
        ConfigError: A name is unknown or a value cannot be used; the text says which.
    """
    try:
        return _adapter().validate_python(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"simulator: {place}: {first['msg']}") from None


def to_mapping(settings: SimulatorSettings) -> dict[str, Any]:
    """Return plain values that ``from_mapping`` turns into the same settings again."""
    return dataclasses.asdict(settings)


@functools.cache
def _adapter() -> TypeAdapter[SimulatorSettings]:
    return TypeAdapter(SimulatorSettings)


def _check(good: bool, name: str, rule: str) -> None:
    if not good:
        raise ConfigError(f"simulator: {name} {rule}")
