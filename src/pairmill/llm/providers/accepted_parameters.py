"""Request parameters that one model accepts, as learned from its refusals. Pure.

A refusal is parsed by the parameter's name, whatever the verb: "temperature is deprecated",
"invalid temperature: only 1 is allowed" and "Unknown name 'temperature'" all mean the same. The
name is searched in ``param``, in quotes, and as a bare word, also within JSON in a string, since
gateways nest the errors of upstream servers.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pairmill.llm.providers.provider import Mode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = [
    "AcceptedParameters",
    "Refusal",
    "fit_schema",
    "is_strict",
    "named_keywords",
    "read_refusal",
]

REFUSALS = frozenset({400, 403, 404, 405, 406, 409, 412, 415, 416, 417, 422, 501})
_FAILURES = frozenset({500, 502, 503})  # about a parameter only if its name is unambiguous
_MOST_CHARS = 8000
_MOST_DEPTH = 8
_ECHOES = frozenset({"input", "ctx", "request", "body", "failed_generation", "url"})
_TOKEN_WORDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
_LEAST_BOUND = 64  # a smaller number cannot be a bound on an answer's length
_OPTIONAL = ("temperature", "top_p", "seed", "stream", "service_tier")
_UNMISTAKABLE = ("temperature", "top_p", "service_tier", *_TOKEN_WORDS)
_ELSEWHERE = frozenset({403, 404})  # rarely about a parameter: only if one is named

_ABOUT_LENGTH = re.compile(
    r"context[ _](?:length|size|window)|maximum context|(?:prompt|input) is too (?:long|large)"
    r"|reduce the length|too many tokens|must be at least 1, got -",
    re.IGNORECASE,
)
_ABOUT_OUTPUT = re.compile(
    r"completion tokens|(?:generat(?:ed|ion)|output|completion|response)s? (?:length|tokens|limit)"
    r"|max(?:imum)?[ _-](?:new|output|generated) tokens|tokens to (?:generate|sample)",
    re.IGNORECASE,
)
_ABOUT_FORMAT = re.compile(
    r"response[ _]?(?:format|schema|mime)|json[ _]?schema|json[ _]?(?:object|mode)|structured"
    r"|guided|grammar|invalid schema|output_config|samplers"
    r"|endpoints found that can handle the requested parameters",
    re.IGNORECASE,
)
_ABOUT_STRICT = re.compile(r"invalid schema for response_format|\bstrict\b", re.IGNORECASE)
_ABOUT_ROLES = re.compile(
    r"roles? must alternate|system (?:role|message|prompt|instruction)s?\b.{0,60}"
    r"(?:not |un)(?:support|allow|permit|enabled)|(?:not |un)support.{0,40}system (?:role|message)"
    r"|only (?:user|supports? user)|role.{0,20}\bsystem\b|after the optional system message"
    r"|developer instruction is not enabled",
    re.IGNORECASE | re.DOTALL,
)
_MUST_BE_POSITIVE = re.compile(
    r"positive|greater than (?:zero|0)|> ?0\b|\(0,|above (?:zero|0)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Contents of a refusal, apart from its kind.

    Attributes:
        params: Parameter names in a field of their own, such as ``param``.
        text: All its text, including nested errors, without echoes of the request.
        is_exact: True if one of ``params`` was sent: then names in the text are ignored.
    """

    status: int
    params: tuple[str, ...]
    text: str
    is_exact: bool = False

    def about(self, sent: Iterable[str]) -> Refusal:
        """Return the refusal with `is_exact` determined by the fields that were sent."""
        is_exact = self.is_exact or self._in_params(tuple(sent)) is not None
        return replace(self, is_exact=is_exact)

    def _in_params(self, names: tuple[str, ...]) -> str | None:
        for param in self.params:
            for name in names:
                if re.search(rf"(?<![A-Za-z_]){re.escape(name)}(?![A-Za-z_])", param):
                    return name
        return None

    def names(self, fields: Iterable[str]) -> str | None:
        """Return the first field that it names: in a field of its own, quoted, or as a word."""
        names = tuple(fields)
        exact = self._in_params(names)
        if exact is not None or self.is_exact:
            return exact
        for pattern in (r"['\"`]{}(?:[.\[][^'\"`]*)?['\"`]", r"(?<![A-Za-z_-]){}(?![A-Za-z_])"):
            for name in names:
                if re.search(pattern.format(re.escape(name)), self.text, re.IGNORECASE):
                    return name
        return None

    @property
    def is_about_format(self) -> bool:
        """Return True if it is about how a schema was sent."""
        return bool(_ABOUT_FORMAT.search(f"{' '.join(self.params)} {self.text}"))


def read_refusal(status: int, body: Any) -> Refusal | None:
    """Parse a reply whose status means a refusal; None for any other status.

    Args:
        status: The HTTP status.
        body: The decoded body, or its bytes if it is not JSON.
    """
    if status not in REFUSALS and status not in _FAILURES:
        return None
    params: list[str] = []
    words: list[str] = []
    if isinstance(body, bytes):
        words.append(body[:_MOST_CHARS].decode("utf-8", "replace"))
    else:
        for key, text in _texts(body, _MOST_DEPTH):
            (params if key in {"param", "loc", "field", "parameter"} else words).append(text)
    return Refusal(status, tuple(params), " | ".join(words)[:_MOST_CHARS])


def _texts(value: Any, depth: int, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all strings of a body with their keys; JSON within a string is parsed too."""
    if depth == 0:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _ECHOES:
                yield from _texts(inner, depth - 1, str(name))
    elif isinstance(value, list):
        if key == "loc":
            yield key, ".".join(str(part) for part in value)
            return
        for inner in value[:50]:
            yield from _texts(inner, depth - 1, key)
    elif isinstance(value, str):
        yield key, value
        yield from _texts(_nested(value), depth - 1, key)


def _nested(text: str) -> Any:
    """Parse the JSON value in a string, if any: gateways quote the upstream server's error."""
    start = min((at for at in (text.find("{"), text.find("[{")) if at >= 0), default=-1)
    if start < 0:
        return None
    try:
        return json.JSONDecoder().raw_decode(text[start:])[0]
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class AcceptedParameters:
    """Optional request parameters that one model accepts.

    Attributes:
        tokens: Name of the field that bounds the answer's length; "": none is sent.
        has_swapped: True if the other name of ``tokens`` was refused before.
        most_tokens: Maximum value for it; 0: unknown.
        temperature: ``asked``: as in the request; ``run``: the run's own, whatever the request;
            ``positive``: as in the request, but never 0.
        without: Fields to leave out; ``system``: its text is put before the user's message.
        schema: ``strict``; ``trimmed``: strict, without the bounds on lengths that OpenAI's strict
            mode refuses; ``loose``: not strict, unchanged.
        schema_without: Keywords of JSON schema to leave out.
        has_number_enums: True to send an enum of numbers as such; else as a range.
        mode: Strongest structured-output mode to use.
        form: Index of the reasoning parameters to send; see `ReasoningSearch`.
    """

    tokens: str = "max_tokens"
    has_swapped: bool = False
    most_tokens: int = 0
    temperature: str = "asked"
    without: frozenset[str] = frozenset()
    schema: str = "strict"
    schema_without: frozenset[str] = frozenset()
    has_number_enums: bool = True
    mode: Mode = Mode.JSON_SCHEMA
    form: int = 0

    def after(
        self,
        refusal: Refusal,
        sent: Mapping[str, Any],
        *,
        temperature: float | None = None,
        may_weaken: bool = True,
    ) -> AcceptedParameters | None:
        """Return the parameters to try next, if a refusal is about one of these.

        Args:
            refusal: The server's refusal.
            sent: The refused body.
            temperature: The run's temperature.
            may_weaken: True if a schema may be sent in a weaker form.
        """
        refusal = refusal.about(sent)
        is_clear = refusal.is_exact or refusal.names(_UNMISTAKABLE)
        if refusal.status in _FAILURES and not is_clear:
            # chat templates that refuse a role raise an exception
            return self._after_roles(refusal)
        named = "max_completion_tokens" in refusal.text and "max_tokens" in sent
        if _ABOUT_LENGTH.search(refusal.text) and not named:
            return None
        if refusal.status in _ELSEWHERE and not (refusal.is_exact or refusal.is_about_format):
            return None
        return (
            self._after_tokens(refusal, sent)
            or self._after_field(refusal, sent, temperature)
            or self._after_roles(refusal)
            or self._after_format(refusal, sent, may_weaken=may_weaken)
        )

    def _after_tokens(self, refusal: Refusal, sent: Mapping[str, Any]) -> AcceptedParameters | None:
        if self.tokens not in sent:
            return None
        if self.tokens == "max_tokens" and "max_completion_tokens" in refusal.text:
            return replace(self, tokens="max_completion_tokens", has_swapped=True)
        about = refusal.names((*_TOKEN_WORDS, *_OPTIONAL))
        if about not in _TOKEN_WORDS and not _ABOUT_OUTPUT.search(refusal.text):
            return None
        asked = int(sent[self.tokens])
        numbers = (int(it.replace(",", "")) for it in re.findall(r"\d[\d,]*", refusal.text))
        bounds = [number for number in numbers if _LEAST_BOUND <= number < asked]
        if bounds:
            return replace(self, most_tokens=max(bounds))
        other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
        following = "" if self.has_swapped else other[self.tokens]
        return replace(self, tokens=following, has_swapped=True)

    def _after_field(
        self, refusal: Refusal, sent: Mapping[str, Any], own: float | None
    ) -> AcceptedParameters | None:
        name = refusal.names(field for field in _OPTIONAL if field in sent)
        if name is None:
            return None
        if name == "temperature" and self.temperature == "asked":
            if own is not None and own != sent[name]:
                return replace(self, temperature="run")
            if not sent[name] and _MUST_BE_POSITIVE.search(refusal.text):
                return replace(self, temperature="positive")
        return replace(self, without=self.without | {name})

    def _after_roles(self, refusal: Refusal) -> AcceptedParameters | None:
        if "system" in self.without or not _ABOUT_ROLES.search(refusal.text):
            return None
        return replace(self, without=self.without | {"system"})

    def _after_format(
        self, refusal: Refusal, sent: Mapping[str, Any], *, may_weaken: bool
    ) -> AcceptedParameters | None:
        wanted = sent.get("response_format")
        if not isinstance(wanted, dict):
            return None
        schema = wanted.get("json_schema", {}).get("schema")
        if schema is not None:
            if "enum" in refusal.text and self.has_number_enums and _has_number_enums(schema):
                return replace(self, has_number_enums=False)
            keywords = named_keywords(schema, refusal.text, surely=refusal.is_about_format)
            if keywords - self.schema_without:
                return replace(self, schema_without=self.schema_without | keywords)
            looser = {"strict": "trimmed", "trimmed": "loose"}.get(self.schema)
            if looser and _ABOUT_STRICT.search(refusal.text):
                return replace(self, schema=looser)
        if not (refusal.is_about_format and may_weaken):
            return None
        return self.weaker(Mode.JSON_SCHEMA if schema is not None else Mode.JSON_OBJECT)

    def bare(self) -> AcceptedParameters:
        """Return the parameters without any optional field."""
        return replace(self, without=self.without | {*_OPTIONAL, "system"}, form=0)

    def weaker(self, than: Mode) -> AcceptedParameters:
        """Return the parameters that send schemas in the next weaker form."""
        weaker = Mode.JSON_OBJECT if than is Mode.JSON_SCHEMA else Mode.PROMPT
        return replace(self, mode=weaker)


def _has_number_enums(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_has_number_enums, node))
    if not isinstance(node, dict):
        return False
    values = node.get("enum")
    if isinstance(values, list) and any(isinstance(it, int | float) for it in values):
        return True
    return any(map(_has_number_enums, node.values()))


_LENGTHS = frozenset({"minLength", "maxLength"})
# Keywords that only narrow what is allowed; a schema is still useful without them.
_OPTIONAL_KEYWORDS = frozenset(
    {
        *("additionalProperties", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength"),
        *("pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("multipleOf", "enum", "const", "anyOf", "oneOf", "allOf", "title", "description"),
        *("default", "minProperties", "maxProperties"),
    }
)
_PLAIN = frozenset({"format", "pattern", "minimum", "maximum", "title", "description", "default"})


def is_strict(node: Any) -> bool:
    """Return whether each object requires all its properties and allows no others."""
    if isinstance(node, list):
        return all(is_strict(item) for item in node)
    if not isinstance(node, dict):
        return True
    properties = node.get("properties")
    if isinstance(properties, dict) and (
        node.get("additionalProperties") is not False
        or set(node.get("required", ())) != set(properties)
    ):
        return False
    return all(is_strict(item) for item in node.values())


def fit_schema(
    node: Any, *, without: Collection[str] = (), is_trimmed: bool = False, number_enums: bool = True
) -> Any:
    """Return the schema without some keywords.

    Args:
        node: A schema.
        without: Keywords to leave out.
        is_trimmed: True to leave out bounds on the lengths of strings too.
        number_enums: True to keep enums of numbers; else they become ranges.
    """
    dropped = {*without, *(_LENGTHS if is_trimmed else ())}
    if not dropped and number_enums:
        return node
    return _fit(node, dropped, number_enums=number_enums, are_names=False)


def _fit(node: Any, dropped: set[str], *, number_enums: bool, are_names: bool) -> Any:
    if isinstance(node, list):
        return [_fit(it, dropped, number_enums=number_enums, are_names=False) for it in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _fit(
            value,
            dropped,
            number_enums=number_enums,
            are_names=not are_names and key in {"properties", "$defs"},
        )
        for key, value in node.items()
        if are_names or key not in dropped
    }
    values = node.get("enum")
    if are_names or number_enums or not isinstance(values, list) or "enum" not in kept:
        return kept
    numbers = [it for it in values if isinstance(it, int | float) and not isinstance(it, bool)]
    if numbers and len(numbers) == len(values):
        del kept["enum"]
        bounds = {"minimum": min(numbers), "maximum": max(numbers)}
        whole = all(isinstance(it, int) for it in numbers)
        kept = {"type": "integer" if whole else "number", **kept}
        kept |= {key: bound for key, bound in bounds.items() if key not in dropped}
    return kept


def named_keywords(schema: Any, text: str, *, surely: bool) -> frozenset[str]:
    """Return the optional keywords of a schema that a refusal names, in either spelling.

    Args:
        schema: The schema that was sent.
        text: The refusal's text.
        surely: True if it is about the schema; else only distinctive words count.
    """
    said = {word.replace("_", "").lower() for word in re.findall(r"[A-Za-z_]+", text)}
    used = _keywords(schema, are_names=False)
    found = {word for word in used & _OPTIONAL_KEYWORDS if word.lower() in said}
    quoted = {it for it in found if re.search(rf"['\"`.]{it}\b", text)}
    camel = {it for it in found if not it.islower()}
    return frozenset((found - _PLAIN) | quoted if surely else camel)


def _keywords(node: Any, *, are_names: bool) -> set[str]:
    if isinstance(node, list):
        return {word for item in node for word in _keywords(item, are_names=False)}
    if not isinstance(node, dict):
        return set()
    own = set() if are_names else set(node)
    for key, value in node.items():
        own |= _keywords(value, are_names=not are_names and key in {"properties", "$defs"})
    return own
