"""A model that thinks before it answers: hidden tokens, which the cap and the bill count.

The parameters that control it differ from server to server; a simulated model supports the selected
ones, ignores or refuses the others, and counts its thinking as one of the servers does. As
documented by OpenAI, Anthropic, Google, xAI, Qwen, vLLM and OpenRouter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict

from pairmill.simulator.faults import SimulatedReply
from pairmill.simulator.rng import Rng
from pairmill.simulator.wire import Answer, limit_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pairmill.simulator.wire import ChatRequest

__all__ = [
    "EFFORTS",
    "Thinking",
    "add_thoughts",
    "draw_thoughts",
    "effort_of",
    "refuse_words",
    "think_first",
    "write_thoughts",
]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
"""Efforts in ascending order."""

Word = Literal[
    "reasoning_effort",  # OpenAI, Gemini, Groq, Ollama: none, minimal, low, medium, high, xhigh
    "reasoning",  # OpenRouter: {effort, max_tokens, enabled}
    "enable_thinking",  # DashScope, SiliconFlow: a boolean
    "chat_template_kwargs",  # vLLM, SGLang: {enable_thinking, thinking}
    "thinking",  # Anthropic, DeepSeek, Zhipu, Moonshot: {type, budget_tokens}
    "thinking_budget",  # DashScope, SiliconFlow: tokens
    "google",  # Gemini: extra_body.google.thinking_config.thinking_budget
    "no_think",  # Qwen3's switch in the text of a message
]
_SCALES = {"none": 0.0, "minimal": 0.1, "low": 0.35, "medium": 1.0, "high": 3.0, "xhigh": 6.0}
_THOUGHT = (
    "Let me look at the passage again. It states several facts, and each pair should rest on one "
    "of them. I should keep the names as they are and not add anything. "
)


@dataclass(frozen=True, slots=True)
class Thinking:
    """Thinking of a simulated model.

    Attributes:
        tokens: Median of the hidden tokens at effort ``medium`` (lognormal).
        sigma: Of the lognormal distribution; 0 makes it a constant.
        effort: Where the request says nothing.
        least: The least effort that can be had; ``none`` where thinking can be switched off.
        below_least: What happens where less is asked for: ``refuse`` (400 that names the
            parameter) or ``ignore`` (the least is taken).
        scales: Effort to its share of ``tokens``.
        words: What the request may say about it, and is honoured.
        other_words: ``ignore`` or ``refuse`` (400) the words that are not in ``words``.
        capped: Thoughts are taken out of max_tokens.
        counted: In ``usage``: ``inside`` completion_tokens, with
            completion_tokens_details.reasoning_tokens; ``silent``: inside, without details;
            ``outside``: only in total_tokens and the details (xAI); ``total``: only in total_tokens
            (Gemini).
        empty: The content of an answer that thinking ate: an empty string, ``null``, or no key.
        shown: Where the thoughts' text is: nowhere, in a field of the message, or in the
            content between ``<think>`` tags (``no_open_tag``: with the closing tag alone).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    tokens: float = 700.0
    sigma: float = 0.5
    effort: str = "medium"
    least: str = "none"
    below_least: Literal["refuse", "ignore"] = "ignore"
    scales: dict[str, float] = field(default_factory=_SCALES.copy, hash=False)
    words: tuple[Word, ...] = Word.__args__  # type: ignore[attr-defined]
    other_words: Literal["ignore", "refuse"] = "ignore"
    capped: bool = True
    counted: Literal["inside", "silent", "outside", "total"] = "inside"
    empty: Literal["", "null", "absent"] = ""
    shown: Literal["hidden", "reasoning_content", "reasoning", "tags", "no_open_tag"] = "hidden"


def effort_of(thinking: Thinking, data: Mapping[str, Any]) -> str:
    """Return the effort for this request, by the parameters that are supported."""
    asked = _asked(thinking, data)
    if asked is None:
        return thinking.effort
    return asked if _rank(asked) >= _rank(thinking.least) else thinking.least


def draw_thoughts(thinking: Thinking, request: ChatRequest, attempt: int) -> int:
    """Draw the number of tokens of thinking: the same for a seed, question and attempt."""
    scale = thinking.scales.get(effort_of(thinking, request.data), 1.0)
    if scale <= 0:
        return 0
    rng = Rng(request.digest ^ (attempt * 0x9E3779B97F4A7C15) ^ 0x7417)
    drawn = max(1, round(thinking.tokens * scale * math.exp(thinking.sigma * rng.normal())))
    budget = _budget(thinking, request.data)
    return drawn if budget is None else min(drawn, budget)


def write_thoughts(tokens: int) -> str:
    """Write a text of this many tokens, at four characters per token."""
    chars = 4 * tokens
    return (_THOUGHT * (chars // len(_THOUGHT) + 1))[:chars]


def think_first(text: str, thoughts: int, max_tokens: int | None, thinking: Thinking) -> Answer:
    """Return an answer after this much thinking, cut by ``max_tokens`` if that includes it."""
    room = max_tokens if thinking.capped else None
    if room is not None and thoughts >= room:
        is_shown = thinking.shown in {"tags", "no_open_tag"}
        return Answer(
            _open(thinking) + write_thoughts(room) if is_shown else "",
            "length",
            room,
            thoughts=0 if is_shown else room,
            thought_text=write_thoughts(room),
        )
    limit = max_tokens if room is None else room - thoughts
    answer = limit_tokens(text, limit)
    thought = write_thoughts(thoughts)
    if thinking.shown in {"tags", "no_open_tag"}:  # to the server, they are text of the answer
        shown = f"{_open(thinking)}{thought}\n</think>\n\n{answer.text}"
        return Answer(shown, answer.finish_reason, thoughts + answer.completion_tokens)
    total = thoughts + answer.completion_tokens
    return Answer(answer.text, answer.finish_reason, total, thoughts, thought)


def add_thoughts(envelope: dict[str, Any], answer: Answer, thinking: Thinking) -> None:
    """Write the thinking into a chat.completion object as the model's server does."""
    message, usage = envelope["choices"][0]["message"], envelope["usage"]
    if thinking.shown in {"reasoning", "reasoning_content"}:
        message[thinking.shown] = answer.thought_text
    if not answer.text and answer.thoughts:
        if thinking.empty == "absent":
            del message["content"]
        elif thinking.empty == "null":
            message["content"] = None
    if thinking.counted in {"outside", "total"}:
        usage["completion_tokens"] -= answer.thoughts
    if thinking.counted in {"inside", "outside"}:
        usage["completion_tokens_details"] = {"reasoning_tokens": answer.thoughts}


def _open(thinking: Thinking) -> str:
    return "<think>\n" if thinking.shown == "tags" else ""


def refuse_words(thinking: Thinking, data: Mapping[str, Any]) -> SimulatedReply | None:
    """Return a 400 for a parameter that this model does not know, or an effort that it lacks."""
    if thinking.other_words == "refuse":
        for word in Word.__args__:  # type: ignore[attr-defined]
            name = "extra_body" if word == "google" else word
            if word not in thinking.words and data.get(name) is not None:
                return _refusal(
                    f"Unrecognized request argument supplied: {name}", name, "unknown_parameter"
                )
    for parameter, effort in _all_asked(thinking, data):
        if _rank(effort) < 0 or (
            _rank(effort) < _rank(thinking.least) and thinking.below_least == "refuse"
        ):
            known = [it for it in EFFORTS if _rank(it) >= _rank(thinking.least)]
            words = ", ".join(f"'{it}'" for it in known)
            return _refusal(
                f"Unsupported value: '{parameter}' does not support '{effort}' with this model. "
                f"Supported values are: {words}.",
                parameter,
                "unsupported_value",
            )
    return None


def _refusal(message: str, parameter: str, code: str) -> SimulatedReply:
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": parameter,
        "code": code,
    }
    return SimulatedReply(400, {"error": error})


def _rank(effort: str) -> int:
    return EFFORTS.index(effort) if effort in EFFORTS else -1


def _asked(thinking: Thinking, data: Mapping[str, Any]) -> str | None:
    """Return the lowest effort that the request asks for."""
    asked = [effort for _, effort in _all_asked(thinking, data) if _rank(effort) >= 0]
    return min(asked, key=_rank) if asked else None


def _all_asked(thinking: Thinking, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Yield each supported parameter in the request, with the effort that it means."""
    found: list[tuple[str, str]] = []
    for word in thinking.words:
        for parameter, told in _READERS[word](data):
            if isinstance(told, bool):
                found.append((parameter, _on(thinking) if told else "none"))
            elif isinstance(told, str):
                found.append((parameter, told))
    return found


def _fields(name: str, *inner: str) -> Callable[[Mapping[str, Any]], list[tuple[str, Any]]]:
    """Read fields of an object in the request: a string is an effort, a boolean a switch."""

    def read(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
        holder = data.get(name)
        if not isinstance(holder, dict):
            return []
        return [(f"{name}.{field}", holder.get(field)) for field in inner]

    return read


def _thinking_type(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    switches = {"disabled": False, "enabled": True}
    return [(name, switches.get(str(kind))) for name, kind in _fields("thinking", "type")(data)]


def _zero_budget(parameter: str, budget: Any) -> list[tuple[str, Any]]:
    return [(parameter, "none")] if budget == 0 else []


_READERS: dict[str, Callable[[Mapping[str, Any]], list[tuple[str, Any]]]] = {
    "reasoning_effort": lambda data: [("reasoning_effort", data.get("reasoning_effort"))],
    "reasoning": _fields("reasoning", "effort", "enabled"),
    "enable_thinking": lambda data: [("enable_thinking", data.get("enable_thinking"))],
    "chat_template_kwargs": _fields("chat_template_kwargs", "enable_thinking", "thinking"),
    "thinking": _thinking_type,
    "thinking_budget": lambda data: _zero_budget("thinking_budget", data.get("thinking_budget")),
    "google": lambda data: _zero_budget("thinking_config", _google_budget(data)),
    "no_think": lambda data: [("messages", "none")] if _says_no_think(data) else [],
}
"""Map of parameter to a parser: pairs of a parameter and an effort, a switch, or None."""


def _on(thinking: Thinking) -> str:
    return thinking.effort if thinking.effort != "none" else "medium"


def _budget(thinking: Thinking, data: Mapping[str, Any]) -> int | None:
    """Return the request's bound on thinking, in tokens."""
    given = [
        data["thinking"].get("budget_tokens")
        if "thinking" in thinking.words and isinstance(data.get("thinking"), dict)
        else None,
        data["reasoning"].get("max_tokens")
        if "reasoning" in thinking.words and isinstance(data.get("reasoning"), dict)
        else None,
        data.get("thinking_budget") if "thinking_budget" in thinking.words else None,
        _google_budget(data) if "google" in thinking.words else None,
    ]
    budgets = [budget for budget in given if isinstance(budget, int) and budget > 0]
    return min(budgets) if budgets else None


def _google_budget(data: Mapping[str, Any]) -> Any:
    node: Any = data
    for part in ("extra_body", "google", "thinking_config", "thinking_budget"):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _says_no_think(data: Mapping[str, Any]) -> bool:
    messages = data.get("messages")
    return isinstance(messages, list) and any(
        isinstance(turn, dict) and "/no_think" in str(turn.get("content")) for turn in messages
    )
