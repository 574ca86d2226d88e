"""YAML parsed node by node, so that every mistake is reported with file and line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Entry", "nearest", "parse_yaml"]

_MOST_CHARS = 256 * 1024
_DEEPEST = 40


def nearest(name: str, known: Collection[str]) -> str:
    """Make a hint for an unknown name: the nearest known one, or all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A YAML node, its file, and its dotted name, such as ``steps.write.user``."""

    file: str
    node: yaml.Node
    name: str = ""

    @property
    def line(self) -> int:
        """Line on which it begins, from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def text_line(self) -> int:
        """Line on which its text begins: for a block (``|``, ``>``) the one below its mark."""
        is_block = isinstance(self.node, yaml.ScalarNode) and self.node.style in {"|", ">"}
        return self.line + is_block

    def fault(self, message: str, line: int | None = None) -> ConfigError:
        """Make the error for a mistake here: file, line, name and message on one line."""
        label = f"{self.name}: " if self.name else ""
        return ConfigError(f"{self.file}, line {line or self.line}: {label}{message}")

    @property
    def is_mapping(self) -> bool:
        """True if it is ``name: value`` lines."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """True if it is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_null(self) -> bool:
        """True if the value is empty."""
        return self.node.tag == "tag:yaml.org,2002:null"

    def mapping(
        self, known: Collection[str] | None = None, required: Collection[str] = ()
    ) -> dict[str, Entry]:
        """Return its entries by name.

        Args:
            known: Allowed names; None: any name.
            required: Required names.

        Raises:
            ConfigError: It is not a mapping, or a name is unknown, missing or duplicated.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.fault("needs 'name: value' lines")
        found: dict[str, Entry] = {}
        for key_node, value in self.node.value:
            key = Entry(self.file, key_node, self.name)
            if not isinstance(key_node, yaml.ScalarNode):
                raise key.fault("a name must be a word")
            name = str(key_node.value)
            if known is not None and name not in known:
                raise key.fault(f"unknown key '{name}'; {nearest(name, known)}")
            if name in found:
                raise key.fault(f"the key '{name}' is given twice")
            found[name] = Entry(self.file, value, f"{self.name}.{name}" if self.name else name)
        for name in required:
            if name not in found:
                raise self.fault(f"'{name}' is missing")
        return found

    def items(self) -> list[Entry]:
        """Return a list's entries.

        Raises:
            ConfigError: It is not a list.
        """
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.fault("needs a list")
        return [
            Entry(self.file, node, f"{self.name}[{number}]")
            for number, node in enumerate(self.node.value)
        ]

    def text(self, *, empty: bool = False) -> str:
        """Return a scalar as written, even where YAML would read a number or a boolean.

        Raises:
            ConfigError: It is not a scalar, or empty.
        """
        if not isinstance(self.node, yaml.ScalarNode) or (self.is_null and not empty):
            raise self.fault("needs a text")
        text = "" if self.is_null else str(self.node.value)
        if not empty and not text.strip():
            raise self.fault("is empty")
        return text

    def value(self) -> Any:
        """Return the plain value, as YAML reads it."""
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(self.node, deep=True)
        except (yaml.YAMLError, ValueError):
            raise self.fault("the value cannot be read") from None
        finally:
            loader.dispose()

    def integer(self, least: int, most: int) -> int:
        """Return a whole number from ``least`` to ``most``."""
        value = self.value()
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.fault(f"needs a whole number from {least:,} to {most:,}")
        return value

    def number(self, least: float, most: float) -> float:
        """Return a number from ``least`` to ``most``."""
        value = self.value()
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not least <= value <= most:
            raise self.fault(f"needs a number from {least:g} to {most:g}")
        return float(value)

    def boolean(self) -> bool:
        """Return a boolean: ``true`` or ``false``."""
        value = self.value()
        if not isinstance(value, bool):
            raise self.fault("needs true or false")
        return value

    def one_of(self, known: Collection[str]) -> str:
        """Return one of the known words."""
        word = self.text()
        if word not in known:
            raise self.fault(f"'{word}' is not known; {nearest(word, known)}")
        return word


def parse_yaml(text: str, file: str) -> Entry:
    """Parse a YAML text that holds one mapping.

    Raises:
        ConfigError: It is too long, not YAML, not a mapping, or uses anchors; with file and line.
    """
    if len(text) > _MOST_CHARS:
        raise ConfigError(f"{file}: longer than {_MOST_CHARS // 1024} KB, too long for a recipe")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise ConfigError(f"{file}, line {_line(event)}: anchors (&, *) are not supported")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise ConfigError(f"{file}, line {_line(event)}: nested too deeply")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        if isinstance(error, yaml.reader.ReaderError):
            line = text.count("\n", 0, error.position) + 1
        where = f", line {line}" if line else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", "not valid YAML")
        if isinstance(error, yaml.composer.ComposerError):  # its words begin with their context
            problem = "a second document (after ---); a file holds one recipe"
        raise ConfigError(f"{file}{where}: {problem}") from None
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{file}: expected 'name: value' lines at the top level")
    return Entry(file, node)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
