"""Where calls go, and with which key: settled once, before anything is sent."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pairmill.config import Settings

__all__ = ["DEFAULT_BASE_URL", "Endpoint", "Secret", "resolve"]

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_URL_VARIABLE = "OPENAI_BASE_URL"


class Secret:
    """A text that shows itself only when asked by name: neither by printing nor by pickling."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself; ``""`` where there is none."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret()"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server.

    Attributes:
        base_url: Up to and with its ``/v1``, without a slash at the end.
        key: What to authenticate with; empty for a server that wants none.
        notice: One line that the user should see, or "".
    """

    base_url: str
    key: Secret
    notice: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def is_private(self) -> bool:
        """Whether it is on this machine or in a network of one's own, as far as the name tells."""
        return is_private_host(urlsplit(self.base_url).hostname or "")

    @property
    def place(self) -> str:
        """Scheme, host and port, for people."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}"


def resolve(settings: Settings, environ: Mapping[str, str]) -> Endpoint:
    """Find the endpoint that the settings mean, and its key in ``environ``.

    Raises:
        ConfigError: The address is no http(s) address, carries a password, or a key is needed
            and not there, or cannot be one.
    """
    given = settings.base_url or environ.get(_URL_VARIABLE, "").strip() or DEFAULT_BASE_URL
    origin = "base_url" if settings.base_url else _URL_VARIABLE
    base_url = _checked(given, origin)
    host = urlsplit(base_url).hostname or ""
    name = settings.api_key_env
    key = environ.get(name, "").strip()
    if not key and not is_private_host(host):
        raise ConfigError(
            f"{name} is not set: export it, or try the embedded model with --model local"
        )
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise ConfigError(f"{name} holds spaces or characters that no key has")
    notice = ""
    if base_url.startswith("http:") and not is_private_host(host):
        notice = f"{host} is reached over plain http: the key and all texts can be read on the way"
    return Endpoint(base_url, Secret(key), notice)


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
        raise ConfigError(f"{origin}: ends with its path (such as /v1), without '?' or '#'")
    return url.rstrip("/").removesuffix("/chat/completions")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private_host(host: str) -> bool:
    """Whether it is on this machine or in its own network, where servers often want no key."""
    if _is_loopback(host) or ("." not in host.strip("[]") and ":" not in host):
        return True  # a bare name, such as a service of a compose file
    if host.endswith((".local", ".internal", ".lan")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
