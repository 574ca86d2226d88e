"""Encodes chat completions requests, with the parameters that each model accepts.

Shared by all providers (`replies` decodes). Uses no network and no clock.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from pairmill.errors import Kind, ProviderError
from pairmill.llm.providers.accepted_parameters import (
    AcceptedParameters,
    Refusal,
    fit_schema,
    is_strict,
)
from pairmill.llm.providers.profile import GENERIC, ProviderProfile, RequestOptions
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.reasoning import ReasoningSearch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from pairmill.llm.providers.provider import ProviderReply
    from pairmill.records import AnswerSchema, Request, Sampling, Template, Usage

__all__ = ["AcceptedParameters", "RequestEncoder", "send"]

_MOST_LESSONS = 16  # enough: a call has few parameters that can be refused
_CACHE_SIZE = 64  # templates x modes x models x schemas of one run: a handful
_LEAST_TEMPERATURE = 0.01  # the temperature sent if it must be positive
_TOKEN_FIELDS = frozenset({"max_tokens", "max_completion_tokens"})
_SAMPLING_FIELDS = frozenset({"temperature", "seed", "top_p"})
_STRENGTH = {Mode.JSON_SCHEMA: 2, Mode.JSON_OBJECT: 1, Mode.PROMPT: 0}
_EATEN = 256  # assumed thinking tokens if thinking used up the answer and the server has no count
_NO_OPTIONS = RequestOptions()
_UNEXPLAINED = frozenset({Kind.OVERLOAD, Kind.REFUSED})
_IN_WORDS = (
    "Answer with one JSON object and nothing else: no text before or after it, no code fence. "
    "It must fit this JSON schema:\n"
)


@dataclass(slots=True)
class _LearnedParameters:
    """Parameters learned about one model."""

    accepted: AcceptedParameters
    search: ReasoningSearch
    second_chances: int = 2  # retries of a temperature with other reasoning parameters


class RequestEncoder:
    """Encodes requests as bytes. Parts that are constant in a run are encoded once and cached.

    Args:
        profile: The provider's profile.
        options: Additions of the settings to each call.

    Attributes:
        may_weaken: True if a refused structured-output mode is replaced by a weaker one; a probe,
            which needs to know, sets it to False.
        on_left_out: Called with the name of a setting that the server does not accept.
    """

    def __init__(
        self, profile: ProviderProfile = GENERIC, options: RequestOptions = _NO_OPTIONS
    ) -> None:
        self._profile = profile
        self._options = options
        self._known: dict[str, _LearnedParameters] = {}
        self._frames: dict[tuple[str, ...], tuple[bytes, bytes]] = {}
        self.may_weaken = True
        self.on_left_out: Callable[[str], None] | None = None

    def accepted(self, model: str) -> AcceptedParameters:
        """Return the parameters in use for a model."""
        return self._learned(model).accepted

    def reasoning(self, model: str) -> ReasoningSearch:
        """Return the search for a model's reasoning parameters."""
        return self._learned(model).search

    def learn(
        self, used: AcceptedParameters, error: ProviderError, request: Request, mode: Mode
    ) -> bool:
        """Return whether to ask again, with other parameters than ``used``, as ``error`` suggests.

        Args:
            used: Parameters of the failed call.
            error: Its failure.
            request: Its request.
            mode: Its structured-output mode.
        """
        refusal = error.refusal
        if not isinstance(refusal, Refusal):
            return False
        learned = self._learned(request.model)
        if learned.accepted != used:
            return True  # another call learned it while this one was in flight
        body = orjson.loads(self.encode(request, mode))
        refusal = refusal.about(body)
        for name in self._options.body:  # the user's own fields are never left out
            body.pop(name, None)
        if self._refused_reasoning(learned, refusal, body):
            following = self._with_form(learned)
        else:
            found = learned.accepted.after(
                refusal, body, temperature=self._options.temperature, may_weaken=self.may_weaken
            )
            if found is None and not (error.kind in _UNEXPLAINED and learned.search.troubled()):
                return False
            following = found or self._with_form(learned)
        self._set(learned, following)
        return True

    def saw(self, model: str, used: AcceptedParameters, thought_tokens: int) -> None:
        """Record the thinking tokens of an answer to a request with these parameters."""
        learned = self._learned(model)
        if learned.search.saw(used.form, thought_tokens):
            self._set(learned, self._with_form(learned))

    def fold_system(self, model: str) -> bool:
        """Put the system message before the user's from now on; return False if it was already."""
        learned = self._learned(model)
        if "system" in learned.accepted.without:
            return False
        without = learned.accepted.without | {"system"}
        self._set(learned, replace(learned.accepted, without=without))
        return True

    def bare(self, model: str) -> bool:
        """Leave out all optional fields; return False if none is left."""
        learned = self._learned(model)
        following = learned.accepted.bare()
        if following == learned.accepted:
            return False
        learned.search.say_nothing()
        self._set(learned, following)
        return True

    @contextmanager
    def barely(self, model: str) -> Iterator[None]:
        """Leave out all optional fields during the block."""
        learned = self._learned(model)
        before, at = learned.accepted, learned.search.at
        learned.search.at = 0
        self._set(learned, before.bare())
        try:
            yield
        finally:
            learned.search.at = at
            self._set(learned, before)

    def leave_out(self, model: str, without: frozenset[str]) -> None:
        """Leave out exactly the given fields."""
        learned = self._learned(model)
        self._set(learned, replace(learned.accepted, without=without))

    def dump(self, model: str) -> str:
        """Serialize the parameters learned about a model, to keep them between runs."""
        return msgspec.json.encode(self.accepted(model)).decode()

    def restore(self, model: str, text: str) -> bool:
        """Restore the output of `dump`; return False, without a change, if it is unusable."""
        learned = self._learned(model)
        try:
            found = msgspec.json.decode(text, type=AcceptedParameters)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return False
        if found.form >= len(learned.search.forms):
            return False
        learned.search.at = found.form
        self._set(learned, found)
        return True

    def encode(self, request: Request, mode: Mode) -> bytes:
        """Encode the request's body. Equal requests give equal bytes, in every process.

        Among the messages, the template comes first and the prompt's own text last, so that all
        requests of a template share a prefix that providers can cache.
        """
        prompt, model = request.prompt, request.model
        accepted = self._learned(model).accepted
        if accepted.mode is not Mode.JSON_SCHEMA and _STRENGTH[accepted.mode] < _STRENGTH[mode]:
            mode = accepted.mode
        key = (prompt.template.id, model, request.schema.id if request.schema else "", mode)
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frame(prompt.template, model, request.schema, mode)
            if len(self._frames) >= _CACHE_SIZE:
                del self._frames[next(iter(self._frames))]
            self._frames[key] = frame
        head, tail = frame
        text = _dumps(prompt.text)
        return b"".join((head, text[1:], b"}]", self._sampling(prompt.sampling, accepted), tail))

    def _learned(self, model: str) -> _LearnedParameters:
        learned = self._known.get(model)
        if learned is None:
            learned = self._known[model] = self._begin(model)
        return learned

    def _begin(self, model: str) -> _LearnedParameters:
        profile, own = self._profile, self._options.body
        given = profile.parameters_of(model)
        level = self._options.reasoning
        forms = profile.efforts(model, level if level != "auto" else "off")
        if any(name in own for form in forms for name in form):
            forms = ()  # the user has set it by another parameter
        search = ReasoningSearch(forms, level, thinks=bool(given and given.thinks))
        tokens = given.tokens if given and given.tokens else profile.tokens
        without = {*profile.without, *(given.without if given else ())}
        accepted = AcceptedParameters(
            tokens="" if _TOKEN_FIELDS & set(own) else tokens,
            without=frozenset(without | (_SAMPLING_FIELDS & set(own))),
            schema_without=frozenset(profile.schema_without),
            form=search.at,
        )
        return _LearnedParameters(accepted, search)

    def _set(self, learned: _LearnedParameters, accepted: AcceptedParameters) -> None:
        more = accepted.without - learned.accepted.without
        learned.accepted = accepted
        self._frames.clear()
        if self.may_weaken:  # a probe may restore it, and reports at the end
            self._tell_left_out(more)

    def tell_left_out(self, model: str) -> None:
        """Report all settings that a model does not accept, after a probe."""
        before = self._begin(model).accepted.without
        self._tell_left_out(self._learned(model).accepted.without - before)

    def _tell_left_out(self, more: frozenset[str]) -> None:
        options = self._options
        sent = {"temperature": options.temperature, "top_p": options.top_p}
        for name, value in {**sent, "service_tier": options.service_tier}.items():
            if name in more and value is not None and self.on_left_out is not None:
                self.on_left_out(name)

    def _with_form(self, learned: _LearnedParameters) -> AcceptedParameters:
        """Return the parameters with the reasoning form in use; it may allow a temperature again.

        GPT-6 accepts one only if it does not think.
        """
        if not learned.second_chances:
            return replace(learned.accepted, form=learned.search.at)
        learned.second_chances -= 1
        kept = self._begin_without() | (learned.accepted.without - {"temperature", "top_p"})
        return replace(learned.accepted, form=learned.search.at, without=kept, temperature="asked")

    def _begin_without(self) -> frozenset[str]:
        return frozenset(self._profile.without) | (_SAMPLING_FIELDS & set(self._options.body))

    def _refused_reasoning(
        self, learned: _LearnedParameters, refusal: Refusal, body: Mapping[str, Any]
    ) -> bool:
        """Return whether a refusal is about reasoning parameters, and others are in use now."""
        search = learned.search
        own = tuple(search.fields)
        named = refusal.names((*_TOKEN_FIELDS, *_SAMPLING_FIELDS, *own))
        if own and (named in own or ("chat_template" in refusal.text and _TEMPLATE in own)):
            return search.refuse(search.at)
        if named is not None:
            return False
        for at, form in enumerate(search.forms):
            if any(name not in body for name in form) and refusal.names(form) is not None:
                return search.prefer(at)
        return False

    def _frame(
        self, template: Template, model: str, schema: AnswerSchema | None, mode: Mode
    ) -> tuple[bytes, bytes]:
        """Encode the parts before a prompt's text and after its sampling parameters."""
        learned = self._learned(model)
        accepted = learned.accepted
        turns = [{"role": turn.role, "content": turn.content} for turn in template.messages]
        tail: dict[str, Any] = {"stream": False}  # explicit, since some gateways stream by default
        if schema is not None:
            if mode is Mode.JSON_SCHEMA:
                tail["response_format"] = _response_format(schema, accepted)
            else:
                _tell_in_words(turns, schema)
            if mode is Mode.JSON_OBJECT:
                tail["response_format"] = {"type": "json_object"}
        opening = ""
        if "system" in accepted.without:
            turns, opening = _folded(turns)
        if "stream" in accepted.without:
            del tail["stream"]
        if self._options.service_tier and "service_tier" not in accepted.without:
            tail["service_tier"] = self._options.service_tier
        tail |= {**self._profile.body, **learned.search.fields, **self._options.body}
        head = _dumps({"model": model, "messages": turns}).removesuffix(b"]}")
        comma = b"," if turns else b""
        start = _dumps(opening).removesuffix(b'"')
        rest = _dumps(tail)[1:]
        ending = b"," + rest if tail else b"}"
        return head + comma + b'{"role":"user","content":' + start, ending

    def _sampling(self, sampling: Sampling, accepted: AcceptedParameters) -> bytes:
        fields: dict[str, Any] = {}
        without, options = accepted.without, self._options
        if accepted.tokens:
            most = accepted.most_tokens
            asked = sampling.max_tokens
            fields[accepted.tokens] = min(asked, most) if most else asked
        if "temperature" not in without:
            fields["temperature"] = self._temperature(sampling.temperature, accepted)
        if options.top_p is not None and "top_p" not in without:
            fields["top_p"] = options.top_p
        if sampling.seed is not None and "seed" not in without:
            fields["seed"] = sampling.seed
        return b"," + orjson.dumps(fields)[1:-1] if fields else b""

    def _temperature(self, asked: float, accepted: AcceptedParameters) -> float:
        if accepted.temperature == "asked":
            return asked
        if accepted.temperature == "positive":
            return max(asked, _LEAST_TEMPERATURE)
        return asked if self._options.temperature is None else self._options.temperature


async def send(
    encoder: RequestEncoder,
    request: Request,
    mode: Mode,
    ask: Callable[[bytes], Awaitable[ProviderReply]],
) -> ProviderReply:
    """Send the encoded request; parameters that the model refuses are left out from then on.

    Raises:
        ProviderError: Raised by ``ask``, if no other parameters would help.
    """
    model = request.model
    for attempt in range(_MOST_LESSONS):
        accepted = encoder.accepted(model)
        try:  # nothing keeps the bytes, some 8 KB, while waiting for the answer
            reply = await ask(encoder.encode(request, mode))
        except ProviderError as error:
            if error.code == _THOUGHT_TOOK_ALL:
                encoder.saw(model, accepted, max(error.completion_tokens, _EATEN))
                raise
            is_last = attempt + 1 == _MOST_LESSONS
            if is_last or not encoder.learn(accepted, error, request, mode):
                raise
        else:
            usage: Usage = reply.completion.usage
            if usage.reasoning_tokens or accepted.form:
                encoder.saw(model, accepted, usage.reasoning_tokens)
            return reply
    raise AssertionError  # the last attempt returned or raised


_THOUGHT_TOOK_ALL = "length"  # as `classify_empty` names it
_TEMPLATE = "chat_template_kwargs"


def _folded(turns: list[dict[str, str]]) -> tuple[list[dict[str, str]], str]:
    """Return turns that alternate and begin with the user, and the start of the user's last one."""
    folded: list[dict[str, str]] = []
    for turn in turns:
        role = "user" if turn["role"] in {"system", "developer"} else turn["role"]
        if folded and folded[-1]["role"] == role:
            folded[-1]["content"] += f"\n\n{turn['content']}"
        else:
            folded.append({"role": role, "content": turn["content"]})
    opening = ""
    if folded and folded[-1]["role"] == "user":
        opening = f"{folded.pop()['content']}\n\n"
    return folded, opening


def _tell_in_words(turns: list[dict[str, str]], schema: AnswerSchema) -> None:
    """Append the schema to the system message; the only place where it is described in words."""
    learned = _IN_WORDS + orjson.dumps(schema.schema).decode()
    if turns and turns[0]["role"] == "system":
        turns[0]["content"] = f"{turns[0]['content'].rstrip()}\n\n{learned}"
    else:
        turns.insert(0, {"role": "system", "content": learned})


def _response_format(schema: AnswerSchema, accepted: AcceptedParameters) -> dict[str, Any]:
    strict = accepted.schema != "loose" and is_strict(schema.schema)
    body = fit_schema(
        schema.schema,
        without=accepted.schema_without,
        is_trimmed=accepted.schema == "trimmed",
        number_enums=accepted.has_number_enums,
    )
    name = re.sub(r"[^A-Za-z0-9_-]", "_", schema.name)[:64]  # the characters that OpenAI takes
    inner: dict[str, Any] = {"name": name, "schema": body}
    if strict:
        inner["strict"] = True
    return {"type": "json_schema", "json_schema": inner}


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return orjson.dumps(_without_surrogates(value))


def _without_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which UTF-8 cannot encode."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    return value
