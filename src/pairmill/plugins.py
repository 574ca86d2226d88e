"""Load what a user names: ``package.module:name`` or ``FILE.py:name``.

Modules are looked for where Python looks and in the current directory, as ``python -m`` does.
"""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from pairmill.errors import ConfigError

__all__ = ["Loaded", "load_file", "load_named"]


class Loaded(NamedTuple):
    """An object of a user's module.

    Attributes:
        name: The attribute's name.
        source: The module's text; "" if it has none.
    """

    found: Any
    name: str
    source: str


def load_named(name: str) -> Loaded:
    """Load ``package.module:name`` or ``FILE.py:name``.

    Raises:
        ConfigError: It has another form, cannot be imported, or has no such attribute.
    """
    module_name, _, attribute = name.rpartition(":")
    if not module_name or not attribute:
        raise ConfigError(f"'{name}' is not of the form package.module:name or FILE.py:name")
    if module_name.endswith(".py"):
        return load_file(Path(module_name), attribute)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = import_module(module_name)
    except Exception as error:  # noqa: BLE001 (a user's module may raise anything)
        raise ConfigError(f"{name}: cannot import {module_name}: {_told(error)}") from None
    return Loaded(_attribute(module, attribute, name), attribute, _source(module))


def load_file(path: Path, attribute: str) -> Loaded:
    """Load an attribute of a Python file.

    Raises:
        ConfigError: There is no such file, it fails, or it has no such attribute.
    """
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file")
    spec = spec_from_file_location(f"pairmill_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: no Python file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 (a user's module may raise anything)
        raise ConfigError(f"{path}: {_told(error)}") from None
    return Loaded(_attribute(module, attribute, str(path)), attribute, _source(module))


def _attribute(module: Any, name: str, where: str) -> Any:
    found = getattr(module, name, None)
    if found is None:
        known = [word for word in vars(module) if not word.startswith("_")]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ConfigError(f"{where}: has no '{name}'{hint}")
    return found


def _source(module: Any) -> str:
    try:
        return Path(module.__file__).read_text("utf-8")
    except (OSError, TypeError, UnicodeDecodeError):
        return ""


def _told(error: Exception) -> str:
    line = getattr(error, "lineno", None)
    where = f" (line {line})" if line else ""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}{where}"
