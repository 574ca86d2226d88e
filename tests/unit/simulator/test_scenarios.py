from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill.errors import ConfigError
from pairmill.simulator import (
    Latency,
    Rule,
    SimulatorSettings,
    Thinking,
    When,
    load_scenario,
    scenario_names,
)
from pairmill.simulator.scenarios import resolve

if TYPE_CHECKING:
    from pathlib import Path


def test_every_scenario_can_be_used_and_says_what_it_is() -> None:
    for name in scenario_names():
        scenario = load_scenario(name)
        assert scenario.about.endswith("."), name
        assert "\n" not in scenario.about, name
        check(scenario.settings)
        assert scenario.settings.rules or scenario.settings.thinking is not None, name


def test_settings_of_ones_own_win_over_the_scenarios() -> None:
    own = Rule(when=When(chunk=2))
    settings = SimulatorSettings(
        scenario="thinking-openai",
        latency=Latency("fixed", 0.5),
        thinking=Thinking(tokens=5),
        rules=(own,),
    )
    told = resolve(settings)
    assert told.thinking == Thinking(tokens=5)
    assert told.latency == Latency("fixed", 0.5)
    assert told.rules == (own, *load_scenario("thinking-openai").settings.rules)
    assert resolve(told) == told


def test_a_file_of_ones_own_may_build_on_a_named_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "about: Slow and thoughtful.\nbase: thinking-openai\nlatency: {shape: fixed, seconds: 1}\n"
        "rules:\n  - when: {chunk: [2, 3]}\n    reply: {status: 418, body: a teapot}\n"
    )
    told = load_scenario(str(file)).settings
    assert told.rules[0].reply.status == 418
    assert told.rules[0].when.chunk == (2, 3)
    assert told.rules[1:] == load_scenario("thinking-openai").settings.rules
    assert told.thinking is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{when: {parametr: x}}]", "rules.0.when.parametr"),
        ("rules: [{reply: {fault: nope}}]", "no fault is called 'nope'"),
        ("rules: [{reply: {fault: hang}}]", "'hang' is told by 'connection'"),
        ("rules: [{reply: {status: ok}}]", "rules.0.reply.status"),
        ("base: nowhere", "no scenario is called 'nowhere'"),
        ("- a list", "name: value"),
        ("{", "not valid YAML"),
    ],
)
def test_a_mistake_in_a_file_is_named(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as told:
        check(SimulatorSettings(scenario=str(file)))
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_an_unknown_name_says_where_the_names_are() -> None:
    with pytest.raises(ConfigError, match="--list-scenarios"):
        load_scenario("thinkin")
    with pytest.raises(ConfigError, match="cannot read the scenario"):
        load_scenario("nowhere.yaml")


def check(settings: SimulatorSettings) -> None:
    from pairmill.simulator.rules import RuleBook

    told = resolve(settings)
    RuleBook(told.rules, told.seed)
