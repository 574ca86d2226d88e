"""What the package offers to Python programs; whole runs stand in tests/e2e."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pairmill
from pairmill import api
from pairmill.errors import ConfigError, UsageError


def test_every_public_name_is_there_and_the_api_knows_it() -> None:
    for name in pairmill.__all__:
        assert getattr(pairmill, name) is not None
    assert set(pairmill.__all__) - {"__version__"} <= set(api.__all__)


def test_names_of_earlier_versions_still_work() -> None:
    from pairmill import (  # noqa: F401
        AnswerModel,
        Ask,
        Chunk,
        ChunkQuestion,
        Message,
        Pair,
        PairmillError,
        Summary,
        generate,
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import pairmill, sys; print([m for m in sys.modules if 'pydantic' in m or 'anyio' in m])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("call", [pairmill.generate, pairmill.estimate])
def test_nothing_to_read_is_said(call: object) -> None:
    with pytest.raises(UsageError, match="nothing to read"):
        call()  # type: ignore[operator]


def test_a_recipe_that_no_later_start_could_find_is_refused() -> None:
    with pytest.raises(UsageError, match="top level of a module"):
        pairmill.generate("articles", recipe=lambda chunk, ask: [])


def test_a_companion_that_is_none_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ConfigError, match="needs 'async def"):
        pairmill.generate("articles", companions=[print])  # type: ignore[list-item]
