"""The chat completions wire, outwards: a request as bytes.

Shared by every provider that speaks it (`replies` is the way back). Touches no network, no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from pairmill.errors import ProviderError
from pairmill.llm.providers.provider import Mode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.llm.providers.provider import Reply
    from pairmill.records import AnswerSchema, Request, Sampling, Template

__all__ = ["Encoder", "WireDialect", "send"]

_DIALECTS = 6  # more words than these can never have been refused
_CACHE_SIZE = 64  # templates x modes x models x schemas of one run: a handful
_IN_WORDS = (
    "Answer with one JSON object and nothing else: no text before or after it, no code fence. "
    "It must fit this JSON schema:\n"
)


@dataclass(frozen=True, slots=True)
class WireDialect:
    """Which of the wire's optional words one model takes.

    Attributes:
        tokens: The name of the field that bounds the answer's length; newer OpenAI models refuse
            ``max_tokens``.
        schema: ``strict``; ``trimmed``: strict, without the bounds on lengths that OpenAI's strict
            mode refuses; ``loose``: not strict, as it stands.
    """

    tokens: str = "max_tokens"
    temperature: bool = True
    seed: bool = True
    schema: str = "strict"

    def after(self, error: ProviderError) -> WireDialect | None:
        """The dialect to try next, if ``error`` says that a word of this one was refused."""
        text = str(error) if error.status in {400, 422} else ""
        following: WireDialect | None = None
        if self.tokens == "max_tokens" and "max_completion_tokens" in text:
            following = replace(self, tokens="max_completion_tokens")
        elif _REFUSED_SCHEMA.search(text):
            looser = {"strict": "trimmed", "trimmed": "loose"}.get(self.schema)
            following = replace(self, schema=looser) if looser else None
        elif _REFUSED.search(text):
            if self.temperature and re.search(r"\btemperature\b", text):
                following = replace(self, temperature=False)
            elif self.seed and re.search(r"\bseed\b", text):
                following = replace(self, seed=False)
        return following


_REFUSED_SCHEMA = re.compile(r"invalid schema for response_format|\bstrict\b", re.IGNORECASE)
_REFUSED = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|not permitted|not allowed|unexpected"
    r"|cannot find field",
    re.IGNORECASE,
)


class Encoder:
    """Writes requests as bytes. What is constant in a run is encoded once and kept."""

    def __init__(self) -> None:
        self._dialects: dict[str, WireDialect] = {}
        self._frames: dict[tuple[str, ...], tuple[bytes, bytes]] = {}

    def dialect(self, model: str) -> WireDialect:
        """The dialect in use for a model."""
        return self._dialects.get(model, _DEFAULT)

    def learn(self, model: str, used: WireDialect, error: ProviderError) -> bool:
        """Whether to ask again, since ``error`` taught another dialect than ``used``."""
        known = self.dialect(model)
        if known != used:
            return True  # another call learned it while this one was under way
        following = used.after(error)
        if following is None:
            return False
        self._dialects[model] = following
        return True

    def encode(self, request: Request, mode: Mode) -> bytes:
        """The request's body. Equal requests give equal bytes, in every process.

        The template comes first and the prompt's own text last among the messages, so that
        providers which cache prefixes find the same one in every request of a template.
        """
        prompt = request.prompt
        dialect = self.dialect(request.model)
        key = (
            prompt.template.id,
            request.model,
            request.schema.id if request.schema else "",
            mode,
            dialect.schema,
        )
        frame = self._frames.get(key)
        if frame is None:
            frame = _frame(prompt.template, request.model, request.schema, mode, dialect)
            if len(self._frames) >= _CACHE_SIZE:
                del self._frames[next(iter(self._frames))]
            self._frames[key] = frame
        head, tail = frame
        text = _dumps(prompt.text)
        return b"".join((head, text, b"}],", _sampling(prompt.sampling, dialect), tail))


async def send(
    encoder: Encoder, request: Request, mode: Mode, ask: Callable[[bytes], Awaitable[Reply]]
) -> Reply:
    """Ask with the request's bytes; a word that the model refuses is left out from then on.

    Raises:
        ProviderError: What ``ask`` raised, where no other words would help.
    """
    for _ in range(_DIALECTS):
        dialect = encoder.dialect(request.model)
        try:
            return await ask(encoder.encode(request, mode))
        except ProviderError as error:
            if not encoder.learn(request.model, dialect, error):
                raise
    return await ask(encoder.encode(request, mode))


_DEFAULT = WireDialect()


def _frame(
    template: Template, model: str, schema: AnswerSchema | None, mode: Mode, dialect: WireDialect
) -> tuple[bytes, bytes]:
    turns = [{"role": turn.role, "content": turn.content} for turn in template.messages]
    tail: dict[str, Any] = {"stream": False}  # said, since some gateways stream unless it is
    if schema is not None:
        if mode is Mode.JSON_SCHEMA:
            tail["response_format"] = _response_format(schema, dialect)
        else:
            _tell_in_words(turns, schema)
        if mode is Mode.JSON_OBJECT:
            tail["response_format"] = {"type": "json_object"}
    head = _dumps({"model": model, "messages": turns})
    comma = b"," if turns else b""
    opening = head.removesuffix(b"]}") + comma + b'{"role":"user","content":'
    ending = b"," + _dumps(tail)[1:]
    return opening, ending


def _tell_in_words(turns: list[dict[str, str]], schema: AnswerSchema) -> None:
    """Append the schema to the system message; the only place where it is put into words."""
    words = _IN_WORDS + orjson.dumps(schema.schema).decode()
    if turns and turns[0]["role"] == "system":
        turns[0]["content"] = f"{turns[0]['content'].rstrip()}\n\n{words}"
    else:
        turns.insert(0, {"role": "system", "content": words})


def _response_format(schema: AnswerSchema, dialect: WireDialect) -> dict[str, Any]:
    strict = dialect.schema != "loose" and _is_strict(schema.schema)
    body = _trim(schema.schema) if dialect.schema == "trimmed" else schema.schema
    name = re.sub(r"[^A-Za-z0-9_-]", "_", schema.name)[:64]  # the characters that OpenAI takes
    inner: dict[str, Any] = {"name": name, "schema": body}
    if strict:
        inner["strict"] = True
    return {"type": "json_schema", "json_schema": inner}


def _is_strict(node: Any) -> bool:
    """Whether each object names all its properties as required and takes no others."""
    if isinstance(node, list):
        return all(_is_strict(item) for item in node)
    if not isinstance(node, dict):
        return True
    properties = node.get("properties")
    if isinstance(properties, dict) and (
        node.get("additionalProperties") is not False
        or set(node.get("required", ())) != set(properties)
    ):
        return False
    return all(_is_strict(item) for item in node.values())


def _trim(node: Any, *, names: bool = False) -> Any:
    """The schema without bounds on string lengths (``names``: the keys are properties' names)."""
    if isinstance(node, list):
        return [_trim(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _trim(value, names=not names and key in {"properties", "$defs"})
        for key, value in node.items()
        if names or key not in {"minLength", "maxLength"}
    }


def _sampling(sampling: Sampling, dialect: WireDialect) -> bytes:
    fields: dict[str, Any] = {dialect.tokens: sampling.max_tokens}
    if dialect.temperature:
        fields["temperature"] = sampling.temperature
    if dialect.seed and sampling.seed is not None:
        fields["seed"] = sampling.seed
    return orjson.dumps(fields)[1:-1]


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(_without_surrogates(value))


def _without_surrogates(value: Any) -> Any:
    """No UTF-8 can carry a lone surrogate: it would fail here, or at the server, every time."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    return value
