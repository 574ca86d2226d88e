"""Address and key of calls: determined once, before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pairmill.config import SECRET_HEADER
from pairmill.errors import ConfigError, Kind, ProviderError
from pairmill.llm.providers.accepted_parameters import Refusal
from pairmill.llm.providers.profile import (
    GENERIC,
    ProviderProfile,
    RequestOptions,
    fill_in,
    find_profile,
    fresh_key,
    load_profile,
    request_options,
    variables_in,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pairmill.clock import Clock
    from pairmill.config import PoolSettings, Settings
    from pairmill.llm.providers.profile import KeySource
    from pairmill.llm.providers.provider import ProviderReply

__all__ = [
    "DEFAULT_BASE_URL",
    "Endpoint",
    "RenewedKey",
    "Secret",
    "address_hint",
    "refusal_hint",
    "resolve",
    "secrets_of",
]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_URL_VARIABLE = "OPENAI_BASE_URL"
_KEY_VARIABLE = "OPENAI_API_KEY"  # the default of api_key_env


class Secret:
    """A text that only `reveal` returns: it is never printed or pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself; ``""`` if there is none."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server.

    Attributes:
        base_url: Address including its ``/v1``, without a slash at the end.
        key: Key for authentication; empty for a server that requires none.
        notice: One line for the user, or "".
        profile: Profile of its provider.
        options: Additions of the settings to each call.
        model: Name of the model, if it is part of the address.
        hidden: Values of environment variables that its calls contain.
    """

    base_url: str
    key: Secret
    notice: str = ""
    profile: ProviderProfile = GENERIC
    options: RequestOptions = RequestOptions()  # noqa: RUF009 (frozen)
    model: str = ""
    hidden: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """URL of calls."""
        return self.profile.url(self.base_url, self.model, self.options.query)

    def headers(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the profile's headers and those of the settings, without the key.

        Raises:
            ConfigError: The profile's headers need a variable that is not set.
        """
        filled = fill_in(self.profile.headers, environ, f"a header of provider {self.profile.name}")
        return {**filled, **self.options.headers}

    def key_header(self, key: str) -> tuple[str, str]:
        """Name and value of the header that carries a key."""
        return self.profile.auth_header, f"{self.profile.auth_prefix}{key}"

    @property
    def is_loopback(self) -> bool:
        """Return True if it is on this machine."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def is_private(self) -> bool:
        """Return True if it is on this machine or in a private network, judging by its name."""
        return is_private_host(urlsplit(self.base_url).hostname or "")

    @property
    def place(self) -> str:
        """Return scheme, host and port, for people."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"


def resolve(
    settings: Settings, environ: Mapping[str, str], pool: PoolSettings | None = None
) -> Endpoint:
    """Determine the endpoint from the settings, and its key from ``environ``.

    Args:
        settings: Settings of the run.
        environ: The environment.
        pool: Settings of the pool, which override the run's.

    Raises:
        ConfigError: The address is not http(s), or contains a password; a key is required and
            missing, or invalid; or there is no such provider.
    """
    named = (pool.provider if pool else None) or settings.provider
    profile = load_profile(named) if named else None
    base_url = _base_url(settings, pool, environ, profile)
    if profile is None:
        profile = find_profile(base_url)
    host = urlsplit(base_url).hostname or ""
    name = _key_variable(settings, pool, environ, profile)
    key = environ.get(name, "").strip()
    needs_key = not is_private_host(host) if profile.needs_key is None else profile.needs_key
    if not key and needs_key and profile.key is None:
        raise ConfigError(
            f"{name} is not set: export it, or try the embedded model with --model local"
        )
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise ConfigError(f"{name} contains spaces or characters that are not allowed in a key")
    notice = ""
    if base_url.startswith("http:") and not is_private_host(host):
        notice = f"{host} is reached over plain http: the key and all texts can be read on the way"
    return Endpoint(
        base_url,
        Secret(key),
        notice,
        profile,
        request_options(settings, pool, environ),
        (pool.model if pool else None) or settings.model,
        _hidden(settings, pool, environ, profile),
    )


def _hidden(
    settings: Settings,
    pool: PoolSettings | None,
    environ: Mapping[str, str],
    profile: ProviderProfile,
) -> tuple[str, ...]:
    sent = settings.request.with_own(pool.request if pool else None)
    names = variables_in(sent.body, sent.headers, sent.query, profile.headers)
    return tuple(environ.get(name, "").strip() for name in sorted(names))


def _base_url(
    settings: Settings,
    pool: PoolSettings | None,
    environ: Mapping[str, str],
    profile: ProviderProfile | None,
) -> str:
    given = (pool.base_url if pool else None) or settings.base_url
    if given:
        return _checked(given, "base_url")
    if profile is not None and profile.base_url:
        return _checked(profile.base_url, f"provider {profile.name}: base_url")
    return _checked(environ.get(_URL_VARIABLE, "").strip() or DEFAULT_BASE_URL, _URL_VARIABLE)


def _key_variable(
    settings: Settings,
    pool: PoolSettings | None,
    environ: Mapping[str, str],
    profile: ProviderProfile,
) -> str:
    """Return the key's environment variable: from the settings, or the provider's usual one.

    The usual variable of compatible servers still counts where the provider's own is not set.
    """
    if pool is not None and pool.api_key_env:
        return pool.api_key_env
    usual, own = settings.api_key_env, profile.api_key_env
    if usual != _KEY_VARIABLE or not own:
        return usual
    is_there = environ.get(own, "").strip() or not environ.get(usual, "").strip()
    return own if is_there else usual


# Path ends of other APIs: Ollama, Anthropic, OpenAI's other ones, llama.cpp, TGI.
_OTHER_ENDS = re.compile(
    r"(?:/api(?:/(?:chat|generate|tags))?|(?:/v1)?/(?:messages|completions|responses|models|chat)"
    r"|/generate(?:_stream)?|/completion)$"
)


def address_hint(endpoint: Endpoint, error: Exception) -> str:
    """Return a hint at what may be wrong with an address that has no server, or no model.

    "" for any other failure.
    """
    is_lost = getattr(error, "status", None) in {404, 405} and "model" not in str(error).lower()
    if not is_lost and getattr(error, "kind", None) is not Kind.FOREIGN:
        return ""
    base = endpoint.base_url
    path = urlsplit(base).path
    bare = base.removesuffix(path) + _OTHER_ENDS.sub("", path)
    if bare != base or not re.search(r"/(?:v\d|openai|api)", path):
        return f"; is base_url {bare.removesuffix('/v1')}/v1?"
    place = endpoint.url.partition("?")[0]
    return f"; calls go to {place}: is that where its chat completions are?"


def refusal_hint(endpoint: Endpoint, error: Exception) -> str:
    """Return the setting that added a refused field, if the user set it."""
    refusal = getattr(error, "refusal", None)
    name = refusal.names(endpoint.options.body) if isinstance(refusal, Refusal) else None
    return f"; it is set in request.body.{name}" if name else ""


def _checked(url: str, origin: str) -> str:
    wrong = f"{origin}: not an address such as https://host/v1 or http://host:8000/v1"
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigError(wrong) from None
    if not good or any(char.isspace() or not char.isprintable() for char in url):
        raise ConfigError(wrong)
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"{origin}: holds a user name or password; put the key in the environment"
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"{origin}: ends with its path (such as /v1), without '?' or '#';"
            " parameters such as api-version go into request.query"
        )
    return url.rstrip("/").removesuffix("/chat/completions")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private_host(host: str) -> bool:
    """Return whether it is on this machine or its network, where keys are often not required."""
    if _is_loopback(host) or ("." not in host.strip("[]") and ":" not in host):
        return True  # a bare name, such as a service of a compose file
    if host.endswith((".local", ".internal", ".lan")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


_FRESH_S = 60.0  # minimum time between calls of the source, which may cache its token itself


class RenewedKey:
    """A key from a function, which is called again once a minute.

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
        """Get a new key, regardless of the age of the current one.

        Raises:
            ConfigError: The function returned no key.
        """
        self._key = await fresh_key(self._source)
        self._until = self._clock.monotonic() + _FRESH_S
        return self._key

    async def ask(
        self, use: Callable[[str], bool], ask: Callable[[], Awaitable[ProviderReply]]
    ) -> ProviderReply:
        """Make a call with a current key, and once more with a new one if it was refused.

        Args:
            use: Sends this key from now on; returns whether it is a new one.
            ask: Makes the call.

        Raises:
            ConfigError: The function returned no key.
            ProviderError: The call failed.
        """
        use(await self.get())
        try:
            return await ask()
        except ProviderError as error:
            if error.kind is not Kind.AUTH or not use(await self.get_new()):
                raise
        return await ask()


def secrets_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the texts that must not appear in any message.

    The key, values of environment variables in the request, and those of secret headers.
    """
    key = endpoint.key.reveal()
    hidden = [text for name, text in endpoint.options.headers.items() if SECRET_HEADER.search(name)]
    return tuple(filter(None, (key, *endpoint.hidden, *hidden)))
