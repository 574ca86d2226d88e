"""Reads YAML: settings files, strictly, and any other text with one safe loader."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import yaml

from pairmill.display import sanitize
from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["load_yaml", "read_settings_file"]

_FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built
_MOST_MARKS = 5_000  # that open a level; the compiled loader overflows the stack at 20,000 levels


def load_yaml(text: str) -> Any:
    """Parse YAML with a safe loader: the compiled one, unless levels might nest too deeply for it.

    Raises:
        ValueError: It is not YAML, is nested too deeply, or has an impossible number or date.
    """
    loader = _FAST_LOADER if sum(map(text.count, "[{-?:")) <= _MOST_MARKS else yaml.SafeLoader
    try:
        return yaml.load(text, Loader=loader)  # noqa: S506 (both are safe loaders)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("not valid YAML") from error


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read a settings file, and reject what YAML would pass over, such as a name given twice.

    Raises:
        ConfigError: It cannot be read, is not YAML, has a duplicate key, or is not a mapping.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read settings from {path}: {_reason(error)}") from None
    try:
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader underneath)
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits, an invalid date
        raise ConfigError(f"{path}: {_first_line(error)}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(f"{path}{where}: {problem}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected 'name: value' lines at the top level")
    return {str(key): value for key, value in data.items()}


def _first_line(error: Exception) -> str:
    return sanitize(str(error).partition("\n")[0].partition(";")[0], 120) or type(error).__name__


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else (error.strerror or "no reason")


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that rejects duplicate keys, instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a name must be a plain word", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
