"""Which way of holding answers to a schema an endpoint really has: tried once, then remembered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import orjson

from pairmill.errors import Kind, ProviderError
from pairmill.llm.providers.provider import Mode
from pairmill.records import AnswerSchema, Message, Prompt, Request, Sampling, Template, digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pairmill.records import Completion

__all__ = ["ModeMemory", "find_mode"]

# The question does not ask for JSON: a server that ignores the schema answers it with a word.
_COLOURS = ["red", "green", "blue"]
_SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": _COLOURS}},
    "required": ["colour"],
    "additionalProperties": False,
}
_PROBE = Prompt(
    Template("probe", "1", (Message("system", "You answer briefly."),)),
    "What is the colour of grass?",
    # Room for a model that thinks before it answers; any other stops after ten tokens.
    Sampling(temperature=0.0, max_tokens=512),
)
_ANSWER = AnswerSchema("Colour", _SCHEMA, digest("Colour", orjson.dumps(_SCHEMA).decode()))
_ABOUT_FORMAT = re.compile(
    r"response[ _]?format|json[ _]?schema|json[ _]?(?:object|mode)|structured|guided|grammar",
    re.IGNORECASE,
)
_REFUSALS = frozenset({400, 415, 422, 501})
_BAD_ANSWERS = 2  # in one mode, until it is thought not to work
_TAKEN_ALL_THE_SAME = frozenset({"length", "empty", "refusal"})


class ModeMemory(Protocol):
    """Where what was found out is kept between runs."""

    def get(self, key: str) -> str | None:
        """What was kept under ``key``; None where nothing was."""
        ...

    def set(self, key: str, value: str) -> None:
        """Keep ``value`` under ``key``."""
        ...


async def find_mode(
    ask: Callable[[Request, Mode], Awaitable[Completion]],
    base_url: str,
    model: str,
    memory: ModeMemory,
) -> Mode:
    """The strongest mode that works for this endpoint and model.

    A mode is ruled out by a refusal that names it, or by two bad answers: one may be chance. Costs
    one short call the first time, two to five at a server that has only weaker modes, and none
    later.

    Args:
        ask: Makes one call, with whatever limits and retries apply.
        base_url: The endpoint, for its name in ``memory``.
        model: Which model is asked.
        memory: Holds the finding between runs.

    Raises:
        ProviderError: The endpoint cannot be asked at all: its kind and text say why.
    """
    key = f"mode {base_url} {model}"
    kept = memory.get(key)
    if kept in set(Mode):
        return Mode(kept)
    mode = await _probe(ask, Request(_PROBE, model, _ANSWER))
    memory.set(key, mode)
    return mode


async def _probe(ask: Callable[[Request, Mode], Awaitable[Completion]], request: Request) -> Mode:
    reached = False
    for mode in (Mode.JSON_SCHEMA, Mode.JSON_OBJECT):
        for _ in range(_BAD_ANSWERS):
            try:
                completion = await ask(request, mode)
            except ProviderError as error:
                if error.kind is Kind.BADOUT and error.code in _TAKEN_ALL_THE_SAME:
                    return mode
                if not _may_be_the_mode(error):
                    raise
                if _ABOUT_FORMAT.search(str(error)):
                    break
            else:
                reached = True
                if _holds(completion.text, mode):
                    return mode
    if not reached:  # all were refused; is it the mode, or all that we ask?
        await _ask_plainly(ask, request)
    return Mode.PROMPT


async def _ask_plainly(
    ask: Callable[[Request, Mode], Awaitable[Completion]], request: Request
) -> None:
    try:
        await ask(request, Mode.PROMPT)
    except ProviderError as error:
        if error.kind in {Kind.CHUNK, Kind.REFUSED}:  # so short a question cannot be at fault
            raise ProviderError(
                Kind.CONFIG, str(error), status=error.status, code=error.code
            ) from None
        if error.kind is not Kind.BADOUT or error.code not in _TAKEN_ALL_THE_SAME:
            raise


def _may_be_the_mode(error: ProviderError) -> bool:
    """Whether the endpoint refused the way of asking, as far as it says."""
    if error.status not in _REFUSALS:
        return False
    return error.kind in {Kind.CHUNK, Kind.REFUSED} or bool(_ABOUT_FORMAT.search(str(error)))


def _holds(text: str, mode: Mode) -> bool:
    """Whether an answer shows that the mode was not merely accepted."""
    try:
        answer = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    if mode is Mode.JSON_OBJECT:
        return isinstance(answer, dict)
    return isinstance(answer, dict) and answer.get("colour") in _COLOURS
