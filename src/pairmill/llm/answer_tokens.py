"""Decides how many tokens one answer may take, if a model thinks before it writes.

Thinking counts against the limit in the request, and its length is unknown beforehand. So the limit
is what the answer needs, plus the thinking recently seen from the model. An answer that was cut off
by thinking raises it at once, for all calls of the run. A request's id in the ledger does not
depend on it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pairmill.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.records import Completion, Request

__all__ = ["AnswerTokens"]

MOST = 65_536
"""Maximum tokens for thinking: a model that thinks longer goes in circles."""

_WINDOW = 200
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
            seen = self._thoughts[model] = deque(maxlen=_WINDOW)
        seen.append(thought_tokens)
        spare = _SPARE if len(seen) >= _FEW else _SPARE_OF_FEW
        longest = max(seen)
        wanted = max(_LEAST, int(spare * longest)) if longest else 0
        if wanted > self._rooms.get(model, 0) or len(seen) % _FEW == 0:
            self._rooms[model] = min(MOST, wanted)

    def found_no_room(self, model: str, granted: int) -> None:
        """Record an answer that thinking cut or left empty, using up all ``granted`` tokens."""
        room = self._rooms.get(model, 0)
        self._thoughts.setdefault(model, deque(maxlen=_WINDOW)).append(granted)
        if granted >= room:  # else the limit was raised after it was sent
            self._rooms[model] = min(MOST, max(room, int(_GROWTH * granted)))
