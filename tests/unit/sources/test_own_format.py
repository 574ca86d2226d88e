"""A format from outside the package, as a user writes it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.sources.conftest import Read

EXAMPLE = Path(__file__).parents[3] / "examples" / "verses.py"
FAILS = """
from pairmill.sources.base import SourceFormat
def read(opener):
    raise KeyError("verse")
FORMAT = SourceFormat("failing", (".fail",), read)
NONE = 3
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copy(EXAMPLE, folder / "own_verses.py")
    (folder / "own_fails.py").write_text(FAILS)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.mark.usefixtures("place")
def test_the_example_reads_its_files_beside_all_others(read: Callable[..., Read]) -> None:
    data = b"One verse.\n%\n\n%\nAnother."
    result = read("a.fortune", data, sources=("own_verses:VERSES",))
    assert result.texts == ["One verse.", "Another."]
    assert result.documents[0].id == "a.fortune-1"
    assert result.skips == [("a.fortune#2", "empty verse")]
    assert read("a.md", b"# T\n\nText.", sources=("own_verses:VERSES",)).texts == ["# T\n\nText."]


@pytest.mark.usefixtures("place")
def test_what_a_reader_raises_ends_its_own_input_only(read: Callable[..., Read]) -> None:
    result = read("a.fail", b"x", sources=("own_fails:FORMAT",))
    assert result.skips == [("a.fail", "cannot be read")]
    assert result.details.startswith("KeyError: 'verse'")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere:FORMAT", "cannot load 'nowhere:FORMAT'"),
        ("own_fails:MISSING", "cannot load 'own_fails:MISSING'"),
        ("own_fails:NONE", "'own_fails:NONE' is a int, not a SourceFormat"),
        ("own_fails", "'own_fails' is not of the form module:attribute"),
    ],
)
def test_a_format_that_cannot_be_loaded_is_told_at_once(
    read: Callable[..., Read], name: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        read("a.txt", b"x", sources=(name,))
