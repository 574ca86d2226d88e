from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.support.endurance import Course, fast_folder, lay_course
from tests.support.forge import Forge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    """In memory: for what is killed, where nothing depends on a sync."""
    with fast_folder() as path:
        yield path


@pytest.fixture(scope="session")
def forge(shared_folder: Path) -> Iterator[Forge]:
    with Forge(shared_folder / "logs") as opened:
        yield opened


@pytest.fixture(scope="session")
def long_course(forge: Forge, shared_folder: Path) -> Iterator[Course]:
    """Some seconds of work."""
    with lay_course(forge, shared_folder / "long", articles=120) as laid:
        yield laid


@pytest.fixture(scope="session")
def short_course(forge: Forge, shared_folder: Path) -> Iterator[Course]:
    """Less than a second of work, with a commit for nearly every answer."""
    with lay_course(forge, shared_folder / "short", articles=24, latency_s=0.02) as laid:
        yield laid


@pytest.fixture
def fast_path() -> Iterator[Path]:
    with fast_folder() as path:
        yield path


@pytest.fixture
def dice() -> random.Random:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 (pytest shows it when the test fails)
    return random.Random(seed)
