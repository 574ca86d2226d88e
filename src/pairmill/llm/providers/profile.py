"""Provider profiles: the differences between providers as data (address, key, parameters).

A profile is found by the endpoint's host or port, or named by the setting ``provider``: one of
``profiles.yaml``, a YAML file, ``module:name``, or an entry point of the group
``pairmill.providers``. Without one, `GENERIC` is used: what most compatible servers take.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast
from urllib.parse import urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pairmill.errors import ConfigError
from pairmill.llm.limits.headers import HeaderDialect
from pairmill.yaml_files import load_yaml

if TYPE_CHECKING:
    from pairmill.config import PoolSettings, Settings

__all__ = [
    "GENERIC",
    "KeySource",
    "ProviderProfile",
    "RequestOptions",
    "answer_timeout_s",
    "fill_in",
    "find_profile",
    "fresh_key",
    "header_dialect",
    "load_profile",
    "profile_names",
    "request_options",
    "variables_in",
]

ENTRY_POINTS = "pairmill.providers"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_USUAL_TIMEOUT_S = 120.0  # the default of timeout_s
_FLEX_TIMEOUT_S = 900.0  # OpenAI's advice for flex processing: allow 15 minutes

KeySource = Callable[[], str | Awaitable[str]]
"""Returns a currently valid key; called again once a minute, and when a key was refused."""

_Filled = TypeVar("_Filled")

Fields = dict[str, Any]
LEVELS = ("off", "low", "medium", "high")


def _known_levels(value: dict[str, tuple[Fields, ...]]) -> dict[str, tuple[Fields, ...]]:
    unknown = set(value) - set(LEVELS)
    if unknown:
        raise ValueError(f"no level '{min(unknown)}'; there are {', '.join(LEVELS)}")
    return value


Efforts = Annotated[dict[str, tuple[Fields, ...]], AfterValidator(_known_levels)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class ModelParameters(_Data):
    """Parameters of some models of a provider that differ from its others.

    Attributes:
        match: Shell patterns of model names, without a prefix such as ``openai/``; any case.
        thinks: True if they think by default, so that ``reasoning: auto`` turns it off at once.
        tokens: As `ProviderProfile.tokens`.
        without: As `ProviderProfile.without`.
        reasoning: As `ProviderProfile.reasoning`; levels that are left out are the profile's.
    """

    match: tuple[str, ...] = Field(min_length=1)
    thinks: bool = False
    tokens: Literal["max_tokens", "max_completion_tokens"] | None = None
    without: tuple[str, ...] = ()
    reasoning: Efforts = {}


class ProviderProfile(_Data):
    """Properties of one provider's API.

    Attributes:
        name: As the setting ``provider`` names it.
        hosts: Shell patterns of this provider's host names.
        ports: Default ports of this provider's servers on this machine or a private network.
        base_url: Default address.
        api_key_env: Default environment variable of the key.
        needs_key: True if a key is required; None: if the address is public.
        auth_header: Header that carries the key.
        auth_prefix: Text before the key in it.
        key: Returns a currently valid key, for tokens that expire (Python only; see
            ``examples/providers/renewed_token.py``).
        path: Path of the call after ``base_url``; ``{model}`` is replaced by the model's name.
        query: Query parameters of each call.
        headers: Headers of each call; ``${NAME}`` is replaced by an environment variable.
        body: Extra fields of the JSON body.
        limits: Dialect of its rate-limit headers, by its name in
            `pairmill.llm.limits.headers.HeaderDialect`, where a dialect is added.
        tokens: Field that bounds an answer's length.
        without: Fields that it is known to refuse: ``temperature``, ``top_p``, ``seed``,
            ``stream``, ``system`` (then put before the user's message).
        schema_without: Keywords of JSON schema that it is known to refuse.
        reasoning: For each level the request fields that select it, best first; if a form is
            refused, the next one is used. ``auto`` tries those of ``off`` until one works.
        models: Models that differ; the first match counts.
        service_tiers: Map of service tier to price factor.
        price_name: The model's name in price tables; ``{model}`` is replaced by its name here.
    """

    name: str = Field(min_length=1, max_length=40)
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    base_url: str | None = None
    api_key_env: str | None = None
    needs_key: bool | None = None
    auth_header: str = "Authorization"
    auth_prefix: str = "Bearer "
    key: KeySource | None = None
    path: Annotated[str, Field(pattern=r"^/\S*$")] = "/chat/completions"
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    limits: HeaderDialect | None = None
    tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    without: tuple[str, ...] = ()
    schema_without: tuple[str, ...] = ()
    reasoning: Efforts = {}
    models: tuple[ModelParameters, ...] = ()
    service_tiers: dict[str, float] = {}
    price_name: str = "{model}"

    def parameters_of(self, model: str) -> ModelParameters | None:
        """Return this model's own parameters, if they differ."""
        name = model.rpartition("/")[2].lower()
        for words in self.models:
            if any(fnmatchcase(name, pattern) for pattern in words.match):
                return words
        return None

    def efforts(self, model: str, level: str) -> tuple[Fields, ...]:
        """Return the fields that ask a model for a thinking level, best form first."""
        words = self.parameters_of(model)
        own = words.reasoning if words else {}
        return own.get(level) or self.reasoning.get(level, ())

    def price_factor(self, tier: str | None) -> float:
        """Return the price factor of a service tier; 1 if unknown."""
        return self.service_tiers.get(tier or "", 1.0)

    def url(self, base_url: str, model: str, query: Mapping[str, str]) -> str:
        """Return the URL of a call for a model."""
        url = f"{base_url}{self.path.replace('{model}', model)}"
        together = {**self.query, **query}
        return f"{url}?{urlencode(together)}" if together else url


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Additions of the settings to each call of a pool.

    Attributes:
        temperature: The run's temperature; used for probes and repairs if 0 is refused.
        reasoning: ``auto``, ``off``, ``low``, ``medium`` or ``high``.
        body: Extra fields, which override all others.
        headers: Extra headers.
        query: Extra query parameters.
        keep_reasoning: True to keep thoughts with the answers.
    """

    temperature: float | None = None
    top_p: float | None = None
    service_tier: str | None = None
    reasoning: str = "auto"
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    keep_reasoning: bool = False


def request_options(
    settings: Settings, pool: PoolSettings | None, environ: Mapping[str, str]
) -> RequestOptions:
    """Return what the settings, overridden by a pool's own, add to each call.

    In all of them, ``${NAME}`` is replaced by the environment variable.

    Raises:
        ConfigError: A variable is not set.
    """
    sent = settings.request.with_own(pool.request if pool else None)
    return RequestOptions(
        temperature=settings.temperature,
        top_p=settings.top_p,
        service_tier=(pool.service_tier if pool else None) or settings.service_tier,
        reasoning=(pool.reasoning if pool else None) or settings.reasoning,
        body=fill_in(sent.body, environ, "request.body"),
        headers=fill_in(sent.headers, environ, "request.headers"),
        query=fill_in(sent.query, environ, "request.query"),
        keep_reasoning=settings.keep_reasoning,
    )


def answer_timeout_s(timeout_s: float, tier: str | None) -> float:
    """Return the timeout of an answer; the default is longer for a tier that is slow by design.

    Args:
        timeout_s: The setting.
        tier: The service tier of the call, if any.
    """
    return _FLEX_TIMEOUT_S if tier == "flex" and timeout_s == _USUAL_TIMEOUT_S else timeout_s


def fill_in(value: _Filled, environ: Mapping[str, str], where: str) -> _Filled:
    """Replace each ``${NAME}`` in the texts of a value by the environment variable.

    Args:
        value: A text, or lists and mappings of them; keys and other values stay as they are.
        environ: The environment.
        where: Description of the value, for error messages.

    Raises:
        ConfigError: A variable is not set.
    """

    def filled(match: re.Match[str]) -> str:
        found = environ.get(match[1], "").strip()
        if not found:
            raise ConfigError(f"{match[1]} is not set, and {where} needs it")
        return found

    def inside(part: Any) -> Any:
        if isinstance(part, str):
            return _VARIABLE.sub(filled, part)
        if isinstance(part, list):
            return [inside(item) for item in part]
        if isinstance(part, Mapping):
            return {name: inside(item) for name, item in part.items()}
        return part

    return cast("_Filled", inside(value))


def variables_in(*values: Any) -> frozenset[str]:
    """Return the names of the environment variables that some values refer to."""
    found: set[str] = set()
    for value in values:
        if isinstance(value, str):
            found.update(_VARIABLE.findall(value))
        elif isinstance(value, list):
            found |= variables_in(*value)
        elif isinstance(value, Mapping):
            found |= variables_in(*value.values())
    return frozenset(found)


def find_profile(base_url: str) -> ProviderProfile:
    """Return the profile for an address; `GENERIC` if the host is unknown."""
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    for profile in _bundled().values():
        if any(fnmatchcase(host, pattern) for pattern in profile.hosts):
            return profile
    for profile in _bundled().values():
        if parts.port in profile.ports and "." not in host.removeprefix("127.0.0.1"):
            return profile
    return GENERIC


def header_dialect(profile: ProviderProfile, base_url: str) -> HeaderDialect:
    """Return the dialect of an endpoint's rate-limit headers.

    A profile that does not name one, such as a user's own, leaves it to the bundled profile of the
    host.
    """
    return profile.limits or find_profile(base_url).limits or HeaderDialect.COMMON


def load_profile(name: str, *, folder: Path | None = None) -> ProviderProfile:
    """Load the profile that the setting ``provider`` names.

    Args:
        name: Name of a bundled profile or an entry point; a ``.yaml`` file; ``module:name``.
        folder: Folder of a relative file, or of the user's own module.

    Raises:
        ConfigError: There is none, or it is not a profile.
    """
    if name in _bundled():
        return _bundled()[name]
    if name.endswith((".yaml", ".yml")):
        return _from_file((folder or Path()) / name)
    if ":" in name:
        return _from_module(name, folder or Path())
    for entry in metadata.entry_points(group=ENTRY_POINTS, name=name):
        return _checked(entry.load(), f"provider {name}")
    raise ConfigError(
        f"provider: no profile '{name}'; there are {', '.join(profile_names())},"
        " a file PROFILE.yaml, or module:name"
    )


def profile_names() -> list[str]:
    """Return the names that can be given without a file."""
    installed = {entry.name for entry in metadata.entry_points(group=ENTRY_POINTS)}
    return sorted({*_bundled(), *installed})


@functools.cache
def _bundled() -> dict[str, ProviderProfile]:
    text = resources.files("pairmill.llm.providers").joinpath("profiles.yaml").read_text("utf-8")
    data = load_yaml(text)
    return {name: _parsed({"name": name, **value}, name) for name, value in data.items()}


def _from_file(path: Path) -> ProviderProfile:
    try:
        data = load_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"provider: cannot read {path}") from None
    except ValueError:
        raise ConfigError(f"provider: {path} is not valid YAML") from None
    if not isinstance(data, dict):
        raise ConfigError(f"provider: {path} contains no 'name: value' lines")
    data = {"name": path.stem, **data}
    like = data.pop("like", None)
    if like is not None:
        data = {
            **load_profile(str(like), folder=path.parent).model_dump(exclude_unset=True),
            **data,
        }
    return _parsed(data, str(path))


def _from_module(name: str, folder: Path) -> ProviderProfile:
    module_name, _, attribute = name.partition(":")
    where = str(folder.resolve())
    sys.path.insert(0, where)
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"provider: cannot load {name}: {error}") from None
    finally:
        sys.path.remove(where)
    return _checked(found, f"provider {name}")


def _checked(found: object, where: str) -> ProviderProfile:
    if callable(found) and not isinstance(found, ProviderProfile):
        try:
            found = found()
        except Exception as error:  # noqa: BLE001 (the user's own code)
            raise ConfigError(f"{where}: {type(error).__name__}: {error}") from None
    if not isinstance(found, ProviderProfile):
        raise ConfigError(f"{where}: is neither a ProviderProfile nor a function that returns one")
    return found


def _parsed(data: dict[str, Any], where: str) -> ProviderProfile:
    try:
        return ProviderProfile.model_validate(_off_is_a_word(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"provider: {where}: {place}: {first['msg']}") from None


def _off_is_a_word(value: Any) -> Any:
    """Convert False back to ``off``, a level of reasoning that YAML reads as a boolean."""
    if isinstance(value, dict):
        return {
            "off" if key is False else key: _off_is_a_word(inner) for key, inner in value.items()
        }
    return [_off_is_a_word(inner) for inner in value] if isinstance(value, list) else value


async def fresh_key(source: KeySource) -> str:
    """Call a `KeySource`, a plain function or a coroutine function.

    Raises:
        ConfigError: It did not return a text that is valid in a header.
    """
    found = source()
    if inspect.isawaitable(found):
        found = await found
    if not isinstance(found, str) or not re.fullmatch(r"[\x21-\x7e]+", found):
        raise ConfigError("the provider's key function returned no key")
    return found


GENERIC = _bundled()["generic"]
"""Parameters that most compatible servers accept."""
