"""Settings in groups: what is accepted, and what a mistake is told."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pairmill.commands.flags import parse_assignments
from pairmill.commands.init import settings_file
from pairmill.config import Settings, load
from pairmill.errors import ConfigError, UsageError
from pairmill.reference import SETTINGS, dotted, flatten

if TYPE_CHECKING:
    from pathlib import Path

GROUPED = """
inputs: [articles]
model: {name: m, seed: 7, pools: [{name: a, rpm: 5}]}
limits: {rpm: 60, max_usd: 2.5}
recipe: {name: extractive, pairs_per_chunk: 2}
checks: {max_repeats: 4, ungrounded: flag}
judge: {chunks: all, model: j}
storage: {shard_bytes: 4096}
"""
FLAT = """
inputs: [articles]
model: m
seed: 7
pools: [{name: a, rpm: 5}]
rpm: 60
max_usd: 2.5
recipe: extractive
pairs_per_chunk: 2
max_repeats: 4
checks: {ungrounded: flag}
judge: all
judge_model: j
shard_bytes: 4096
"""


def _load(folder: Path, text: str) -> Settings:
    (folder / "run.yaml").write_text(text, "utf-8")
    return load(folder / "run.yaml")


def test_groups_and_flat_names_are_the_same_settings(tmp_path: Path) -> None:
    assert _load(tmp_path, GROUPED) == _load(tmp_path, FLAT)


@given(st.lists(st.sampled_from(sorted(SETTINGS)), unique=True, min_size=1))
def test_every_setting_is_found_again_from_its_place(names: list[str]) -> None:
    values: dict[str, Any] = {}
    for number, name in enumerate(names):
        group, _, key = dotted(name).rpartition(".")
        place = values.setdefault(group, {}) if group else values
        place[key] = number
    assert flatten(values) == {name: number for number, name in enumerate(names)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("limits: {rmp: 3}", "unknown setting 'limits.rmp'; did you mean 'limits.rpm'"),
        ("model: {rpm: 3}", "'rpm' does not belong to model: write limits.rpm"),
        ("limits: {rpm: 3}\nrpm: 4", "'rpm' is given twice: as limits.rpm and as rpm"),
        ("judge: {judge_model: x}", "'judge_model' does not belong to judge: write judge.model"),
        ("input: text", "unknown setting 'input'"),
        ("limits: {rpm: many}", "rpm: input should be a valid number"),
    ],
)
def test_a_mistake_in_a_group_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        _load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path))


def test_python_takes_groups_too() -> None:
    assert load(given={"limits": {"rpm": 9}}).rpm == 9
    assert load(given={"rpm": 9}).rpm == 9


def test_assignments_are_yaml_and_may_name_the_group() -> None:
    found = parse_assignments(
        ["limits.rpm=60", "seed=3", "recipe.models={judge: big}", "request.body.top_k=4"]
    )
    loaded = load(given=flatten(found))
    assert (loaded.rpm, loaded.seed, loaded.models) == (60, 3, {"judge": "big"})
    assert loaded.request.body == {"top_k": 4}


@pytest.mark.parametrize("given_", ["rpm", "=3", "a..b=3", "x=[", "seed=1 seed.more=2"])
def test_an_assignment_that_cannot_be_read_is_refused(given_: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        parse_assignments(given_.split())


def test_the_file_of_init_is_valid_with_everything_put_in_force(tmp_path: Path) -> None:
    text = settings_file("run.yaml")
    assert _load(tmp_path, text).inputs == ("articles",)
    named = {dotted(name).rpartition(".")[2] for name in SETTINGS}
    assert {line.split(":")[0].lstrip("# ") for line in text.splitlines()} >= named
    plain = [line for line in text.splitlines() if not line.startswith("# ")]
    lines = [line.replace("#   ", "  ", 1) if line.startswith("#   ") else line for line in plain]
    with warnings.catch_warnings():
        assert isinstance(yaml.safe_load("\n".join(lines)), dict)
