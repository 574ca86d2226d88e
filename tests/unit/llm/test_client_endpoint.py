from __future__ import annotations

import pickle

import pytest

from pairmill.config import load
from pairmill.errors import ConfigError, Kind, ProviderError
from pairmill.llm.providers.endpoint import DEFAULT_BASE_URL, Secret, address_hint, resolve

KEY = {"OPENAI_API_KEY": " sk-secret \n"}


def test_settings_win_over_the_environment_and_that_over_the_default() -> None:
    environ = {**KEY, "OPENAI_BASE_URL": "https://b.example/v1/"}
    given = load(given={"base_url": "https://a.example/v1"})
    assert resolve(given, environ).base_url == "https://a.example/v1"
    assert resolve(load(), environ).base_url == "https://b.example/v1"
    assert resolve(load(), KEY).base_url == DEFAULT_BASE_URL


def test_the_key_comes_from_the_named_variable_and_never_shows_itself() -> None:
    settings = load(given={"api_key_env": "OTHER_KEY"})
    endpoint = resolve(settings, {"OTHER_KEY": "sk-other", **KEY})
    assert endpoint.key.reveal() == "sk-other"
    assert "sk-other" not in f"{endpoint!r} {endpoint.key} {endpoint.key!r}"
    with pytest.raises(TypeError):
        pickle.dumps(endpoint.key)


def test_a_missing_key_is_one_plain_line() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(load(), {})
    assert str(caught.value) == (
        "OPENAI_API_KEY is not set: export it, or try the embedded model with --model local"
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "http://localhost:8000/v1",
        "http://[::1]:8000/v1",
        "http://192.168.1.5/v1",
        "http://model:8080/v1",
        "https://box.local/v1",
    ],
)
def test_near_servers_need_neither_key_nor_notice(url: str) -> None:
    endpoint = resolve(load(given={"base_url": url}), {})
    assert not endpoint.key
    assert endpoint.notice == ""


def test_plain_http_to_far_away_is_noticed() -> None:
    endpoint = resolve(load(given={"base_url": "http://api.example.com/v1"}), KEY)
    assert endpoint.notice.startswith("api.example.com is reached over plain http")
    assert endpoint.place == "http://api.example.com"
    assert not endpoint.is_loopback


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com/v1",
        "ftp://x/v1",
        "https:///v1",
        "https://x:99999/v1",
        "https://x y/v1",
        "https://[bad/v1",
        "https://me:pw@x/v1",
        "https://x/v1?key=abc",
    ],
)
def test_a_malformed_address_is_one_line_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(load(given={"base_url": url}), KEY)
    text = str(caught.value)
    assert text.startswith("base_url: ")
    assert url not in text
    assert "\n" not in text


def test_a_full_address_is_cut_to_its_base() -> None:
    given = load(given={"base_url": "https://x.example/v1/chat/completions"})
    assert resolve(given, KEY).base_url == "https://x.example/v1"


@pytest.mark.parametrize("key", ["sk-a b", "sk-a\nsk-b", "sk-é"])
def test_a_key_that_cannot_be_one_is_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(load(), {"OPENAI_API_KEY": key})
    assert key not in str(caught.value)


def test_secrets_are_true_only_where_there_is_one() -> None:
    assert Secret("x")
    assert not Secret("")


@pytest.mark.parametrize(
    ("base_url", "message", "status", "hint"),
    [
        ("http://localhost:8000", "Not Found", 404, "is base_url http://localhost:8000/v1?"),
        ("http://localhost:1", "a web page", 200, "is base_url http://localhost:1/v1?"),
        ("http://o:11434/api", "Ollama's", 200, "is base_url http://o:11434/v1?"),
        ("http://o:11434/api/chat", "Not Found", 404, "is base_url http://o:11434/v1?"),
        ("https://a/v1/messages", "Not Found", 404, "is base_url https://a/v1?"),
        ("http://localhost:1/v1", "a web page", 200, "calls go to http://localhost:1/v1/chat"),
        ("http://localhost:8000/v1", "Not Found", 404, "calls go to http://localhost:8000/v1/chat"),
        ("http://localhost:8000", "the model x is not found", 404, ""),
        ("http://localhost:8000", "busy", 503, ""),
    ],
)  # fmt: skip
def test_an_address_without_its_v1_is_said(
    base_url: str, message: str, status: int, hint: str
) -> None:
    endpoint = resolve(load(given={"base_url": base_url}), {"OPENAI_API_KEY": "k"})
    kind = Kind.FOREIGN if status == 200 else Kind.CONFIG
    error = ProviderError(kind, message, status=status)
    found = address_hint(endpoint, error)
    assert hint in found
    assert bool(hint) == bool(found)
