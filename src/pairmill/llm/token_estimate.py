"""Predicts the usage of a call from similar calls, and how many tokens its answer may take.

Before the first answers, a token counts as four characters (measured on English prose: 4.1 on
average, 3.2 to 4.9 between the 5th and 95th of a hundred chunks), and an answer as long as its
limit.

Thinking counts against the limit in the request, and its length is unknown beforehand. So the limit
is what the answer needs, plus the thinking recently seen from the model. An answer that was cut off
by thinking raises it at once, for all calls of the run. A request's id in the ledger does not
depend on it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.errors import ProviderError
from pairmill.llm.limits.quota import Cost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.records import Completion, Prompt, Request, Template, Usage

__all__ = [
    "AnswerTokens",
    "Estimator",
    "Forecast",
    "fewest_tokens",
    "prompt_chars",
    "worst_constant_tokens",
    "worst_prompt_tokens",
    "worst_text_tokens",
]

_CHARS_PER_TOKEN = 4.0
_OVERHEAD_TOKENS = 16  # roles and separators
_WINDOW = 200
_QUANTILE = 0.9
_OVER_MEDIAN = 1.25
_REFRESH = 16  # answers between two evaluations of the sorted window
_SMOOTHING = 0.05
_LONG_WORD_CHARS = 15  # over a whole text: its script has no spaces
_MOST_UNSPACED_CHARS = 3  # of such a script, in one token
_MOST_CHARS = 8  # of anything, in one token


class Forecast:
    """Prediction for one template and one model.

    Attributes:
        chars_per_token: Of the prompt; smoothed over about the last twenty answers.
        output_tokens: The 90th of a hundred answers is at most this long, by the last 200, and at
            least a quarter above the middle one; None until there was an answer.
    """

    __slots__ = ("_fresh", "_outputs", "chars_per_token", "output_tokens")

    def __init__(self) -> None:
        self.chars_per_token = _CHARS_PER_TOKEN
        self.output_tokens: float | None = None
        self._outputs: deque[int] = deque(maxlen=_WINDOW)
        self._fresh = 0

    def cost(self, chars: int, max_tokens: int) -> Cost:
        """Return the expected cost of a prompt of ``chars``, to reserve at the gate."""
        known = self.output_tokens
        output = max_tokens if known is None or known > max_tokens else known
        return Cost(chars / self.chars_per_token, output, max_tokens)

    def learn(self, chars: int, usage: Usage) -> None:
        """Learn from the usage of an answered call; ignored without token counts."""
        if usage.completion_tokens <= 0:
            return
        if usage.prompt_tokens > 0 and chars > 0:
            ratio = chars / usage.prompt_tokens
            weight = _SMOOTHING if self._outputs else 1.0
            self.chars_per_token += weight * (ratio - self.chars_per_token)
        self._outputs.append(usage.completion_tokens)
        self._fresh += 1
        if self._fresh >= _REFRESH or len(self._outputs) <= _REFRESH:
            self._fresh = 0
            ordered = sorted(self._outputs)
            last = len(ordered) - 1
            high = ordered[math.ceil(_QUANTILE * last)]
            self.output_tokens = max(high, _OVER_MEDIAN * ordered[last // 2])


class Estimator:
    """Forecasts, by template and model."""

    def __init__(self) -> None:
        self._forecasts: dict[tuple[str, str], Forecast] = {}

    def forecast(self, template: Template, model: str) -> Forecast:
        """Return the forecast for calls with a template of this name; made on first use."""
        key = (template.name, model)
        found = self._forecasts.get(key)
        if found is None:
            found = self._forecasts[key] = Forecast()
        return found


def prompt_chars(prompt: Prompt) -> int:
    """Characters of all messages."""
    return prompt.template.chars + len(prompt.text)


def worst_prompt_tokens(prompt: Prompt, extra: str = "") -> int:
    """Return an upper bound for the prompt's tokens, for caps.

    A byte-level tokenizer makes at most one token per byte. For prose that is four times too many,
    but it is only reserved while the call is in flight.

    Args:
        prompt: The question.
        extra: Other text that the server reads, such as the answer's schema.
    """
    return worst_constant_tokens(prompt.template, extra) + worst_text_tokens(prompt.text)


def worst_constant_tokens(template: Template, extra: str = "") -> int:
    """Return the part of ``worst_prompt_tokens`` that all prompts of a template share."""
    texts = [*(turn.content for turn in template.messages), extra]
    return sum(map(worst_text_tokens, texts))


def worst_text_tokens(text: str) -> int:
    """Return the part of ``worst_prompt_tokens`` for one message."""
    return len(text.encode("utf-8", "surrogatepass")) + _OVERHEAD_TOKENS


def fewest_tokens(text: str, told: int = 0) -> int:
    """Return a lower bound for a text's tokens with any tokenizer.

    Tokenizers cut a text at its spaces before they look words up (the patterns of tiktoken's and
    Hugging Face's BPE, SentencePiece's ``split_by_whitespace``), so it has no fewer tokens than
    words; a run of spaces may be one. Scripts without spaces take a token for three characters at
    least. Measured with o200k and Mistral's Tekken on the Universal Declaration of Human Rights:
    English has 0.89 words a token, other languages with spaces 0.30 (Vietnamese) to 0.80, Chinese
    and Japanese 1.1 to 1.3 characters, Thai 2.4.

    Args:
        text: Of a prompt or an answer.
        told: A count to check: once the bound reaches it, it is returned early.
    """
    spaces, chars = text.count(" "), len(text)
    is_spaced = text.isascii() or chars < _LONG_WORD_CHARS * (spaces + 1)
    if told > spaces and is_spaced and told * _MOST_CHARS >= chars:
        return told
    words = spaces - 2 * text.count("  ") + (chars > 0)
    if is_spaced:
        return max(words, chars // _MOST_CHARS)
    wide = (len(text.encode("utf-8", "surrogatepass")) - chars) // 2  # three bytes each
    return max(words, chars // _MOST_CHARS, wide // _MOST_UNSPACED_CHARS)


MOST = 65_536
"""Maximum tokens for thinking: a model that thinks longer goes in circles."""

_THOUGHTS = 200
_SPARE = 1.5  # over the longest thought of the window
_FEW, _SPARE_OF_FEW = 20, 4.0  # lengths of thinking vary widely: the first ones say little
_GROWTH = 3.0  # after an answer that found no room
_LEAST = 512


class AnswerTokens:
    """Decides how many tokens each call may take, and learns from the outcomes.

    Args:
        fixed: The user's limit for every call; None: automatic.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self._fixed = fixed
        self._thoughts: dict[str, deque[int]] = {}
        self._rooms: dict[str, int] = {}

    def room(self, model: str) -> int:
        """Return the tokens that a model gets for thinking; 0 if it was not seen to think."""
        return self._rooms.get(model, 0)

    def grant(self, request: Request) -> Request:
        """Return the request with the token limit for its answer."""
        prompt = request.prompt
        needed = prompt.sampling.max_tokens
        granted = self._fixed or needed + self._rooms.get(request.model, 0)
        if granted == needed:
            return request
        sampling = replace(prompt.sampling, max_tokens=granted)
        return replace(request, prompt=replace(prompt, sampling=sampling))

    async def ask(
        self, request: Request, complete: Callable[[Request], Awaitable[Completion]]
    ) -> Completion:
        """Ask with the current token limit, and learn from the answer.

        Raises:
            ProviderError: What ``complete`` raised.
        """
        granted = self.grant(request)
        try:
            completion = await complete(granted)
        except ProviderError as error:
            if error.code == "length":
                self.found_no_room(request.model, granted.prompt.sampling.max_tokens)
            raise
        thought = completion.usage.reasoning_tokens
        if thought or request.model in self._thoughts:
            self.saw(request.model, thought)
            if thought and completion.finish_reason == "length":
                self.found_no_room(request.model, granted.prompt.sampling.max_tokens)
        return completion

    def saw(self, model: str, thought_tokens: int) -> None:
        """Record the thinking before an answer."""
        seen = self._thoughts.get(model)
        if seen is None:
            seen = self._thoughts[model] = deque(maxlen=_THOUGHTS)
        seen.append(thought_tokens)
        spare = _SPARE if len(seen) >= _FEW else _SPARE_OF_FEW
        longest = max(seen)
        wanted = max(_LEAST, int(spare * longest)) if longest else 0
        if wanted > self._rooms.get(model, 0) or len(seen) % _FEW == 0:
            self._rooms[model] = min(MOST, wanted)

    def found_no_room(self, model: str, granted: int) -> None:
        """Record an answer that thinking cut or left empty, using up all ``granted`` tokens."""
        room = self._rooms.get(model, 0)
        self._thoughts.setdefault(model, deque(maxlen=_THOUGHTS)).append(granted)
        if granted >= room:  # else the limit was raised after it was sent
            self._rooms[model] = min(MOST, max(room, int(_GROWTH * granted)))
