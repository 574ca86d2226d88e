"""Keys that are renewed during a run, and the secrets that no text may show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.llm.providers.profile import fresh_key

if TYPE_CHECKING:
    from pairmill.clock import Clock
    from pairmill.llm.providers.endpoint import Endpoint
    from pairmill.llm.providers.profile import KeySource

__all__ = ["RenewedKey", "secrets_of"]

_FRESH_S = 60.0  # minimum time between calls of the source, which may cache its token itself


class RenewedKey:
    """A key from a function, asked again once a minute.

    Args:
        source: Returns a currently valid key.
        clock: Measures the minute.
    """

    def __init__(self, source: KeySource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._key = ""
        self._until = float("-inf")

    async def get(self) -> str:
        """Return the current key, or a new one if it is a minute old.

        Raises:
            ConfigError: The function returned no key.
        """
        if self._clock.monotonic() < self._until:
            return self._key
        return await self.get_new()

    async def get_new(self) -> str:
        """Get a new key, whatever the age of the current one.

        Raises:
            ConfigError: The function returned no key.
        """
        self._key = await fresh_key(self._source)
        self._until = self._clock.monotonic() + _FRESH_S
        return self._key


def secrets_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the texts that no message may repeat: the key, and values of secret headers."""
    key = endpoint.key.reveal()
    hidden = [text for name, text in endpoint.options.headers.items() if _is_secret(name)]
    return tuple(filter(None, (key, *hidden)))


def _is_secret(header: str) -> bool:
    words = ("authorization", "key", "token", "secret", "cookie")
    return any(word in header.lower() for word in words)
