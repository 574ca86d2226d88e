"""Makes answers of llama.cpp's server depend only on their question, although prompts are cached.

Sums are rounded differently in batches of different sizes, so an answer depends slightly on how
much of its prompt was in the server's cache, that is, on earlier questions. Without the cache it
does not, but then a small model on a CPU spends most of its time reading the same beginnings again.
Here the cache is put into the same state before each question: exactly the prompt has been read,
from an empty slot, in two steps (its constant beginning, then the rest). The server's own
``/slots`` API keeps the states in files.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import anyio
import httpx2
import orjson

from pairmill.llm.providers.network import make_client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pairmill.llm.providers.endpoint import Endpoint
    from pairmill.llm.providers.provider import Mode, Provider, ProviderReply
    from pairmill.records import Message, Request

__all__ = ["SavedPrompts"]

_MOST_FILES = 8  # some 23 KB a token each, with the embedded model
_STAND_IN = "§"  # placeholder for the question, with which no question begins


class SavedPrompts:
    """A `Provider` that restores the prompt's cache state before each question.

    Questions are sent one at a time. If a state can be neither saved nor restored, the cache is
    emptied instead.

    Args:
        provider: Provider that sends the questions.
        endpoint: A llama.cpp server with one slot, started with a folder for states.
        timeout_s: Longest silence of the server while it reads a prompt.
    """

    def __init__(self, provider: Provider, endpoint: Endpoint, *, timeout_s: float) -> None:
        self._provider = provider
        self._url = endpoint.url
        self._slot = f"{endpoint.base_url.removesuffix('/v1')}/slots/0"
        name, value = endpoint.key_header(endpoint.key.reveal())
        self._http = make_client(is_loopback=True, timeout=timeout_s, headers={name: value})
        self._lock = anyio.Lock()
        self._files: dict[bytes, str] = {}  # prompt digests, least recently used first

    async def complete(self, request: Request, mode: Mode) -> ProviderReply:
        """See `Provider`."""
        async with self._lock:
            await self._prepare(request)
            return await self._provider.complete(request, mode)

    async def aclose(self) -> None:
        """See `Provider`."""
        await self._http.aclose()
        await self._provider.aclose()

    async def _prepare(self, request: Request) -> None:
        constant = [_plain(message) for message in request.prompt.template.messages]
        whole = [*constant, {"role": "user", "content": request.prompt.text}]
        try:
            if await self._restore(whole):
                return
            if constant:
                beginning = [*constant, {"role": "user", "content": _STAND_IN}]
                if not await self._restore(beginning):
                    await self._empty()
                    await self._read(request.model, beginning)
            else:
                await self._empty()
            await self._read(request.model, whole)
        except httpx2.HTTPError:
            await self._forget()

    async def _read(self, model: str, messages: Sequence[Mapping[str, str]]) -> None:
        """Let the server read a prompt, save the resulting state, and continue from it."""
        body = {"model": model, "messages": messages, "max_tokens": 1, "temperature": 0}
        await self._post(self._url, body)
        key = _digest(messages)
        name = f"{key.hex()}.bin"
        if len(self._files) >= _MOST_FILES:
            name = self._files.pop(next(iter(self._files)))  # overwritten
        await self._post(f"{self._slot}?action=save", {"filename": name})
        self._files[key] = name

    async def _restore(self, messages: Sequence[Mapping[str, str]]) -> bool:
        """Restore the saved state of this prompt; return False if there is none."""
        key = _digest(messages)
        name = self._files.pop(key, None)
        if name is None:
            return False
        await self._post(f"{self._slot}?action=restore", {"filename": name})
        self._files[key] = name
        return True

    async def _empty(self) -> None:
        await self._post(f"{self._slot}?action=erase", {})

    async def _forget(self) -> None:
        self._files.clear()
        try:
            await self._empty()
        except httpx2.HTTPError:
            return  # the server is gone: the question itself will fail

    async def _post(self, url: str, body: Mapping[str, object]) -> None:
        reply = await self._http.post(
            url, content=orjson.dumps(body), headers={"Content-Type": "application/json"}
        )
        reply.raise_for_status()


def _plain(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _digest(messages: Sequence[Mapping[str, str]]) -> bytes:
    return blake2b(orjson.dumps(messages), digest_size=16).digest()
