"""Rules of a scenario: which calls get which reply instead of a good answer. Values and matching.

A rule is data, from Python or from a scenario file. The first rule that has turns left and whose
conditions all hold decides a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict

from pairmill.errors import ConfigError
from pairmill.simulator.faults import CONNECTION_FAULTS, check_fault
from pairmill.simulator.rng import Rng

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pairmill.simulator.wire import ChatRequest

__all__ = ["CallFacts", "Reply", "Rule", "RuleBook", "When", "lookup"]

_STRICT: ConfigDict = ConfigDict(extra="forbid")
_CHAT_PATHS = "*/chat/completions"
_MISSING = object()

Connection = Literal[
    "close",
    "close_after",
    "close_mid_body",
    "drip",
    "garbage",
    "hang",
    "hang_mid_body",
    "reset",
    "reset_mid_body",
]


@dataclass(frozen=True, slots=True)
class When:
    """Conditions on a call; one that is left out always holds.

    Attributes:
        path: A glob over the request's path, without its query. By default chat completions.
        passage: Whether the last user message holds a fenced passage; False: probes and the like.
        match: Text that the last user message contains.
        chunk: Numbers of passages in order of their first arrival, from 1.
        chunk_share: Share of all passages, always the same ones for a seed.
        after: So many calls with a passage have been answered well before.
        attempt_from, attempt_to: Which attempts at the same question, from 1.
        since_s, until_s: Seconds since the start or the last reset.
        period_s, on_s: Waves: the first ``on_s`` of each ``period_s`` seconds.
        model, key: The model that is asked for; the key that is sent.
        parameter: Dotted path of a field of the request's body (``response_format.type``) that is
            there; ``value``, ``not_value``, ``above`` and ``below`` say more of its value.
        schema_keyword: A keyword that occurs anywhere in the JSON schema of the request.
        role: A message has this role.
        alternating: Whether user and assistant turns alternate, with no other role among them.
        thinks: Whether the model would think (see ``Thinking``).
        prompt_above: The prompt has more tokens than this.
        every: Each n-th of the calls for which all other conditions hold.
        share: Share of these calls, by chance: the same ones for a seed, question and attempt.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    path: str = _CHAT_PATHS
    passage: bool | None = None
    match: str | None = None
    chunk: tuple[int, ...] | int | None = None
    chunk_share: float | None = None
    after: int = 0
    attempt_from: int | None = None
    attempt_to: int | None = None
    since_s: float | None = None
    until_s: float | None = None
    period_s: float | None = None
    on_s: float = 1.0
    model: str | None = None
    key: str | None = None
    parameter: str | None = None
    value: Any = None
    not_value: Any = None
    above: float | None = None
    below: float | None = None
    schema_keyword: str | None = None
    role: str | None = None
    alternating: bool | None = None
    thinks: bool | None = None
    prompt_above: int | None = None
    every: int | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a rule. Without any field: a good answer.

    In ``body``, ``content``, ``set`` and ``headers``, ``${name}`` stands for a fact of the call:
    ``answer`` (the text of a good answer), ``answer_json`` (the same as a JSON string), ``draft``
    (that of another one, recognisable by "Draft:"), ``thought``, ``model``, ``key``,
    ``max_tokens``, ``prompt_tokens``, ``completion_tokens``, ``value`` (of the rule's parameter),
    ``call`` and ``chunk``. A string that is nothing but such a place takes the value itself, so
    that numbers stay numbers.

    Attributes:
        fault: A fault by name (``pairmill.simulator.FAULTS``); goes alone, or with ``delay_s``.
        status: The HTTP status.
        headers: Headers, beside those for the body.
        body: The whole body: a string as it is, anything else as JSON. None: a good answer's
            envelope at 200, the usual words for the status at any other.
        content: The text of the answer, in a good envelope; counted, and cut by max_tokens.
        set: Dotted paths in the envelope (``choices.0.message.content``) to their new values.
        drop: Dotted paths in the envelope to leave out.
        min_tokens: The answer is padded to so many tokens, whatever max_tokens says.
        usage_share: Tokens in ``usage`` as a share of the billed tokens.
        content_type: Other than ``application/json`` (or ``text/html`` for a string).
        before, after: Text around the body.
        stream: The answer comes as server-sent events, whatever was asked for.
        connection: What becomes of the connection; see docs/simulator.md.
        delay_s: Added before the reply.
        billed: Whether the work was done and is charged; by default where the status is 200.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    fault: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict, hash=False)
    body: Any = None
    content: str | None = None
    set: dict[str, Any] = field(default_factory=dict, hash=False)
    drop: tuple[str, ...] = ()
    min_tokens: int | None = None
    usage_share: float | None = None
    content_type: str | None = None
    before: str = ""
    after: str = ""
    stream: bool = False
    connection: Connection | None = None
    delay_s: float = 0.0
    billed: bool | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        when: Conditions that must all hold.
        unless: The rule is passed over where these all hold.
        times: Turns that it has; any number where None.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    reply: Reply = field(default_factory=Reply)
    when: When = field(default_factory=When)
    unless: When | None = None
    times: int | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What conditions look at. ``request`` is None if the path is none of chat completions."""

    path: str
    key: str
    number: int
    now: float
    request: ChatRequest | None = None
    attempt: int = 1
    has_passage: bool = False
    chunk: int = 0
    chunk_digest: int = 0
    good: int = 0
    thinks: bool = False


class RuleBook:
    """Rules with their turns and counts.

    Raises:
        ConfigError: A rule names no fault.
    """

    def __init__(self, rules: Iterable[Rule], seed: int) -> None:
        self._rules = tuple(rules)
        self._left = [rule.times for rule in self._rules]
        self._met = [0] * len(self._rules)
        self._seed = seed
        for rule in self._rules:
            name = rule.reply.fault
            if name is not None:
                check_fault(name)
                if name in CONNECTION_FAULTS:
                    raise ConfigError(f"simulator: {name!r} is told by 'connection', not 'fault'")

    def __bool__(self) -> bool:
        return bool(self._rules)

    def take(self, facts: CallFacts) -> Rule | None:
        """Return the rule that decides this call, and use up one of its turns."""
        for index, rule in enumerate(self._rules):
            left = self._left[index]
            if left == 0 or not _holds(rule.when, facts, self._seed):
                continue
            if rule.unless is not None and _holds(rule.unless, facts, self._seed):
                continue
            if not self._by_count_and_chance(index, rule.when, facts):
                continue
            if left is not None:
                self._left[index] = left - 1
            return rule
        return None

    def _by_count_and_chance(self, index: int, when: When, facts: CallFacts) -> bool:
        if when.every is not None:
            self._met[index] += 1
            if self._met[index] % when.every:
                return False
        if when.share is None:
            return True
        name = facts.number if facts.request is None else facts.request.digest
        mixed = name ^ (facts.attempt * 0x5851F42D4C957F2D) ^ ((index + 1) * 0xD1342543DE82EF95)
        return Rng(mixed).share() < when.share


def lookup(data: Any, path: str) -> Any:
    """Return the value at a dotted path, or a sentinel that equals nothing if there is none."""
    for part in path.split("."):
        if isinstance(data, dict) and part in data:
            data = data[part]
        elif isinstance(data, list) and part.isdigit() and int(part) < len(data):
            data = data[int(part)]
        else:
            return _MISSING
    return data


def _holds(when: When, facts: CallFacts, seed: int) -> bool:
    """Return whether all conditions other than count and chance hold."""
    return (
        fnmatchcase(facts.path, when.path)
        and facts.good >= when.after
        and (when.key is None or when.key == facts.key)
        and _in_time(when, facts.now)
        and _about_chunk(when, facts, seed)
        and (when.attempt_from is None or facts.attempt >= when.attempt_from)
        and (when.attempt_to is None or facts.attempt <= when.attempt_to)
        and (when.thinks is None or when.thinks == facts.thinks)
        and _about_request(when, facts.request)
    )


def _in_time(when: When, now: float) -> bool:
    return (
        (when.since_s is None or now >= when.since_s)
        and (when.until_s is None or now < when.until_s)
        and (when.period_s is None or now % when.period_s < when.on_s)
    )


def _about_chunk(when: When, facts: CallFacts, seed: int) -> bool:
    if when.passage is not None and when.passage != facts.has_passage:
        return False
    if when.chunk is not None:
        numbers = (when.chunk,) if isinstance(when.chunk, int) else when.chunk
        if facts.chunk not in numbers:
            return False
    if when.chunk_share is None:
        return True
    return facts.chunk > 0 and Rng(facts.chunk_digest ^ seed).share() < when.chunk_share


def _about_request(when: When, request: ChatRequest | None) -> bool:
    if request is None:
        return not any((when.match, when.model, when.parameter, when.schema_keyword, when.role))
    return (
        (when.match is None or when.match in request.user)
        and (when.model is None or when.model == request.model)
        and (when.prompt_above is None or request.prompt_tokens > when.prompt_above)
        and (when.role is None or when.role in _roles(request))
        and (when.alternating is None or when.alternating == _alternates(_roles(request)))
        and (when.schema_keyword is None or _stands_in(when.schema_keyword, request.schema))
        and (when.parameter is None or _about_value(when, lookup(request.data, when.parameter)))
    )


def _about_value(when: When, value: Any) -> bool:
    if value is _MISSING or value is None:
        return False
    is_number = isinstance(value, int | float)
    return (
        (when.value is None or value == when.value)
        and (when.not_value is None or value != when.not_value)
        and (when.above is None or (is_number and value > when.above))
        and (when.below is None or (is_number and value < when.below))
    )


def _roles(request: ChatRequest) -> list[Any]:
    return [message.get("role") for message in request.data.get("messages", ())]


def _alternates(roles: list[Any]) -> bool:
    return all(role == ("user", "assistant")[index % 2] for index, role in enumerate(roles))


def _stands_in(keyword: str, node: Any) -> bool:
    """Return whether a schema uses the keyword; a property of that name does not count."""
    if isinstance(node, list):
        return any(_stands_in(keyword, item) for item in node)
    if not isinstance(node, dict):
        return False
    if keyword in node:
        return True
    return any(
        any(_stands_in(keyword, item) for item in value.values())
        if key in {"properties", "$defs", "definitions"} and isinstance(value, dict)
        else _stands_in(keyword, value)
        for key, value in node.items()
        if key not in {"enum", "const", "default", "examples"}
    )
