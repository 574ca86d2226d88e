from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.commands.flags import parse_assignments
from pairmill.errors import ConfigError, UsageError
from pairmill.llm.price_files import load_prices
from pairmill.llm.providers.profile import load_profile
from pairmill.simulator.cli import read_settings
from pairmill.yaml_files import load_yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNREADABLE = {
    "unclosed": "a: [",
    "tab": "a:\n\t- b",
    "no such day": "a: 2026-13-45",
    "thousands of digits": f"a: {'9' * 5000}",
    "lists too deep": f"a: {'[' * 50_000}{']' * 50_000}",
    "mappings too deep": f"a: {'{a: ' * 50_000}{'}' * 50_000}",
    "dashes too deep": "- " * 50_000,
    "question marks too deep": "? " * 50_000,
    "a Python object": "a: !!python/object/apply:os.getcwd []",
    "NUL": "a: b\0",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_yaml_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"not valid YAML|digits|month"):
        load_yaml(text)


@pytest.mark.parametrize("kind", ["unclosed", "no such day", "lists too deep"])
@pytest.mark.parametrize("read", [load_profile, read_settings, load_prices])
def test_every_file_of_a_user_is_refused_in_one_line(
    tmp_path: Path, read: Callable[..., object], kind: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(UNREADABLE[kind])
    given = str(file) if read is load_profile else file
    with pytest.raises(ConfigError, match="not valid") as caught:
        read(given)
    assert "\n" not in str(caught.value)


def test_what_is_long_and_flat_is_read() -> None:
    text = "".join(f"- {{a: {number}}}\n" for number in range(3_000))
    assert load_yaml(text) == [{"a": number} for number in range(3_000)]


@pytest.mark.parametrize("value", ["[", "2026-13-45", "9" * 5000, "[" * 5000])
def test_a_value_on_the_command_line_is_refused_in_one_line(value: str) -> None:
    with pytest.raises(UsageError, match="the value is not valid YAML"):
        parse_assignments([f"limits.rpm={value}"])
