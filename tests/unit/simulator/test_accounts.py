"""The small pure parts: settings, wallet, latency, slots, tally, wire."""

from __future__ import annotations

import statistics
from decimal import Decimal
from typing import Any

import orjson
import pytest

from pairmill.errors import ConfigError
from pairmill.simulator import (
    Faults,
    Latency,
    ScheduledStep,
    SimulatedPrices,
    SimulatedQuota,
    SimulatorSettings,
)
from pairmill.simulator.answers import answer_request, limit_tokens
from pairmill.simulator.cli import read_settings
from pairmill.simulator.latency import Slots, draw_delay
from pairmill.simulator.report import TrafficCount, Wallet, dollars
from pairmill.simulator.rng import Rng
from pairmill.simulator.settings import from_mapping, to_mapping
from pairmill.simulator.wire import parse_chat

KEY = ("key", "model")


def chat(**fields: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields}
    return orjson.dumps(body)


def test_settings_survive_a_mapping() -> None:
    settings = SimulatorSettings(
        quota=SimulatedQuota(rpm=600, flavour="second"),
        faults=Faults(rates={"hang": 0.1}),
        prices=SimulatedPrices(Decimal("0.0375"), Decimal("0.15")),
        script=(ScheduledStep(status=503, body={"error": 1}, headers={"x": "y"}),),
    )
    assert from_mapping(orjson.loads(orjson.dumps(to_mapping(settings), default=str))) == settings


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"slot": 3}, "slot"),
        ({"latency": {"shape": "square"}}, "latency.shape"),
        ({"slots": 0}, "slots is 1 or more"),
        ({"faults": {"rates": {"hang": 0.7, "reset": 0.7}}}, "faults.rates"),
        ({"quota": {"rpm": 0}}, "quota is above 0"),
        ({"port": 70_000}, "port"),
    ],
)
def test_bad_settings_are_named(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        from_mapping(values)


def test_settings_are_read_from_yaml(tmp_path: Any) -> None:
    file = tmp_path / "endpoint.yaml"
    file.write_text("seed: 4\nquota: {rpm: 600}\nscript:\n  - fault: reset\n")
    settings = read_settings(file)
    assert (settings.seed, settings.quota, settings.script[0].fault) == (
        4,
        SimulatedQuota(rpm=600),
        "reset",
    )
    file.write_text("- seed\n")
    with pytest.raises(ConfigError, match="name: value"):
        read_settings(file)
    with pytest.raises(ConfigError, match="cannot read"):
        read_settings(tmp_path / "none.yaml")


def test_a_key_is_no_part_of_what_settings_print() -> None:
    assert "sk-1" not in repr(SimulatorSettings(api_keys=("sk-1",)))


def test_the_bill_is_exact() -> None:
    wallet = Wallet.at(SimulatedPrices(Decimal("0.0375"), Decimal("0.60")))
    for _ in range(1_000_000 // 1000):
        wallet.bill(1000, 100, 400)
    assert dollars(wallet.spent_pico) == "0.0975"
    assert dollars(wallet.worst_pico) == "0.2775"
    wallet.bill(0, 7, None)
    assert wallet.worst_pico - wallet.spent_pico == 300 * 1000 * 600_000


def test_delays_have_their_shape() -> None:
    rng = Rng(3)
    assert draw_delay(Latency(), 100, rng) == 0
    assert draw_delay(Latency("fixed", 0.3), 100, rng) == 0.3
    assert draw_delay(Latency("tokens", 0.2, per_token_s=0.01), 100, rng) == pytest.approx(1.2)
    drawn = [draw_delay(Latency("lognormal", 1.0, 0.5), 0, Rng(seed)) for seed in range(4000)]
    assert statistics.median(drawn) == pytest.approx(1.0, rel=0.05)
    assert statistics.mean(drawn) == pytest.approx(1.133, rel=0.05)  # exp(sigma**2 / 2)


def test_slots_are_handed_on_in_order() -> None:
    slots = Slots(2, 2)
    began: list[str] = []
    starts = {name: (lambda name=name: began.append(name)) for name in "abcd"}
    for name in "abc":
        slots.enter(starts[name])
    assert not slots.is_full
    slots.enter(starts["d"])
    assert (began, slots.running, slots.waiting, slots.is_full) == (["a", "b"], 2, 2, True)
    slots.withdraw(starts["c"])
    slots.leave()
    assert (began, slots.running, slots.waiting) == (["a", "b", "d"], 2, 0)
    slots.leave()
    slots.leave()
    assert slots.running == 0


def test_the_tally_knows_who_came_back_too_early() -> None:
    tally = TrafficCount()
    for digest in (1, 2, 3):
        tally.arrive(0.0)
        assert tally.identify(digest, KEY, 0.0) == 1
    tally.ask_to_wait(1, KEY, 2.0, 0.0)
    tally.leave(429, 0, 0.0)
    assert tally.identify(1, KEY, 1.0) == 2  # too early
    assert tally.identify(4, KEY, 1.0) == 1  # another, while its key was asked to wait
    assert tally.identify(4, ("other key", "model"), 1.0) == 2
    assert tally.identify(5, KEY, 1.99) == 1  # on its way
    snapshot = tally.snapshot(Wallet(1, 1), 2.0)
    assert (snapshot["retry_after_ignored"], snapshot["retry_after_ignored_by_others"]) == (1, 1)
    assert snapshot["attempts"] == {"1": 3, "2": 2}
    assert snapshot["concurrency_max"] == 3


def test_the_tally_knows_what_was_bought_twice_and_what_came_after_the_end() -> None:
    tally = TrafficCount()
    for _ in range(3):
        tally.arrive(0.0)
        tally.identify(9, KEY, 0.0)
        tally.accept(9)
    tally.leave(200, 50, 1.5)
    tally.note_quota_error()
    tally.leave(429, 0, 1.6)
    tally.arrive(2.0)
    snapshot = tally.snapshot(Wallet(1, 1), 2.0)
    assert (snapshot["bought_again"], snapshot["after_quota_error"]) == (2, 1)
    assert snapshot["in_flight_at_fatal"] == 1
    assert snapshot["seconds"] == [[0, 0, 0], [1, 1, 50]]


def test_a_question_keeps_its_name_when_the_mode_changes() -> None:
    plain = parse_chat(chat(), 0)
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert parse_chat(chat(response_format=schema), 0).digest == plain.digest
    assert parse_chat(chat(response_format=schema), 0).mode == "json_schema"
    for other in (chat(temperature=1), chat(model="n"), chat(max_tokens=5)):
        assert parse_chat(other, 0).digest != plain.digest
    assert parse_chat(chat(), 1).digest != plain.digest


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        chat(messages=[]),
        chat(messages=["hello"]),
        chat(n=2),
        chat(max_tokens=0),
        chat(response_format={"type": "xml"}),
        chat(response_format={"type": "json_schema"}),
    ],
)
def test_what_is_no_chat_request_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_chat(body, 0)


def test_parts_of_a_message_are_joined() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    assert parse_chat(chat(messages=[{"role": "user", "content": parts}]), 0).user == "one two"


def test_max_tokens_cuts_the_answer() -> None:
    answer = limit_tokens("a" * 100, 10)
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("a" * 40, "length", 10)
    assert limit_tokens("a" * 100, 25).finish_reason == "stop"


def test_a_model_that_ignores_its_chunk_says_nothing_of_it() -> None:
    text = "The copper mine near the village closed in winter. Its engines were sold to a railway."
    request = parse_chat(chat(messages=[{"role": "user", "content": text}]), 0)
    assert "mine" in answer_request(request, SimulatorSettings()).text
    ignored = answer_request(request, SimulatorSettings(ignore_chunk=True)).text
    assert "copper" not in ignored
    assert len(orjson.loads(ignored)["pairs"]) == 3
