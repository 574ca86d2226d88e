"""Named scenarios: settings of a simulated endpoint and rules, as YAML files.

Bundled ones are in ``scenarios/*.yaml``, many in a file, by name. A user's own file holds one
scenario: the same fields at its top level.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairmill.errors import ConfigError
from pairmill.simulator.settings import SimulatorSettings, from_mapping
from pairmill.yaml_files import load_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Scenario", "load_scenario", "resolve", "scenario_names"]

_WORDS = frozenset({"name", "about", "source", "base"})


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario.

    Attributes:
        about: Behaviour of the server, in one line.
        source: Servers that behave so, or a report of it.
        settings: The endpoint's settings, with the rules.
    """

    name: str
    about: str
    source: str
    settings: SimulatorSettings


def scenario_names() -> tuple[str, ...]:
    """Return the names of all bundled scenarios, sorted."""
    return tuple(sorted(_packaged()))


@functools.lru_cache(maxsize=64)
def load_scenario(name: str) -> Scenario:
    """Load the scenario of this name, or from this path (which ends with .yaml or .yml).

    Raises:
        ConfigError: There is none, or it cannot be used; the text says why.
    """
    if name.endswith((".yaml", ".yml")):
        return _make(name, _read(Path(name)))
    known = _packaged()
    if name not in known:
        raise ConfigError(
            f"simulator: no scenario is called {name!r}; 'pairmill simulate --list-scenarios' "
            "shows them, and a file of your own ends with .yaml"
        )
    return _make(name, known[name])


def resolve(settings: SimulatorSettings) -> SimulatorSettings:
    """Return the settings with their scenario's filled in; unchanged without a ``scenario``.

    Raises:
        ConfigError: There is no such scenario, or it cannot be used.
    """
    if settings.scenario is None:
        return settings
    told = load_scenario(settings.scenario).settings
    changes: dict[str, Any] = {
        field.name: getattr(told, field.name)
        for field in dataclasses.fields(SimulatorSettings)
        if getattr(settings, field.name) == _default(field)
    }
    changes["rules"] = (*settings.rules, *told.rules)
    return dataclasses.replace(settings, **{**changes, "scenario": None})


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


@functools.cache
def _packaged() -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    folder = resources.files("pairmill.simulator").joinpath("scenarios")
    for file in sorted(folder.iterdir(), key=lambda it: it.name):
        if file.name.endswith(".yaml"):
            found |= load_yaml(file.read_text("utf-8"))
    return found


def _read(file: Path) -> Mapping[str, Any]:
    try:
        values = load_yaml(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"cannot read the scenario {file}") from None
    except ValueError:
        raise ConfigError(f"{file}: not valid YAML") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file}: a scenario is 'name: value' lines, such as 'rules:'")
    return values


def _on_base(settings: SimulatorSettings, base: str) -> SimulatorSettings:
    if base not in _packaged():
        raise ConfigError(f"base: no scenario is called {base!r}")
    return resolve(dataclasses.replace(settings, scenario=base))


def _make(name: str, values: Mapping[str, Any]) -> Scenario:
    words = {key: str(value).strip() for key, value in values.items() if key in _WORDS}
    given = {key: value for key, value in values.items() if key not in _WORDS}
    try:
        settings = from_mapping(given)
        if "base" in words:
            settings = _on_base(settings, words["base"])
    except ConfigError as error:
        raise ConfigError(f"scenario {name}: {str(error).removeprefix('simulator: ')}") from None
    return Scenario(name, words.get("about", ""), words.get("source", ""), settings)
