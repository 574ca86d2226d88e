"""Provider profiles: those that come along, and a stranger's own, over the wires of a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.questions import request
from tests.support.scripted import answer, reply, serve

from pairmill.clock import FakeClock
from pairmill.config import load
from pairmill.errors import ConfigError, Kind, ProviderError
from pairmill.llm.limits.headers import HeaderDialect
from pairmill.llm.providers.direct import DirectProvider
from pairmill.llm.providers.endpoint import address_hint, resolve, secrets_of
from pairmill.llm.providers.profile import (
    LEVELS,
    ProviderProfile,
    answer_timeout_s,
    find_profile,
    header_dialect,
    load_profile,
    profile_names,
)
from pairmill.llm.providers.provider import Mode
from pairmill.llm.providers.sdk import SdkProvider

if TYPE_CHECKING:
    from tests.support.scripted import Scripted

EXAMPLES = Path(__file__).parents[4] / "examples" / "providers"
DENIED = reply({"error": {"message": "token expired"}}, 401)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "azure"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://127.0.0.1:1234/v1", "lmstudio"),
        ("https://api.openai.com.example.org/v1", "generic"),
        ("https://far.example.org:11434/v1", "generic"),
    ],
)
def test_a_provider_is_known_by_its_address(address: str, name: str) -> None:
    assert find_profile(address).name == name


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://api.groq.com/openai/v1", HeaderDialect.GROQ),
        ("https://api.together.ai/v1", HeaderDialect.TOGETHER),
        ("https://api.openai.com/v1", HeaderDialect.COMMON),
        ("https://groq.com.evil.example/v1", HeaderDialect.COMMON),
        ("https://x@api.groq.com:443/v1", HeaderDialect.GROQ),
        ("nonsense", HeaderDialect.COMMON),
    ],
)
def test_a_dialect_that_no_profile_names_is_that_of_the_host(
    address: str, expected: HeaderDialect
) -> None:
    own = ProviderProfile(name="mine")
    assert header_dialect(own, address) is expected
    named = ProviderProfile(name="mine", limits=HeaderDialect.GROQ)
    assert header_dialect(named, address) is HeaderDialect.GROQ


def test_every_profile_says_how_to_think_at_each_level() -> None:
    for name in profile_names():
        profile = load_profile(name)
        assert set(profile.reasoning) == set(LEVELS), name
        assert all(profile.reasoning.values()), name


def test_a_named_provider_brings_its_address_and_the_variable_of_its_key() -> None:
    endpoint = resolve(load(given={"provider": "groq"}), {"GROQ_API_KEY": "gsk_abcdefgh"})
    assert endpoint.url == "https://api.groq.com/openai/v1/chat/completions"
    assert endpoint.key.reveal() == "gsk_abcdefgh"
    with pytest.raises(ConfigError, match="GROQ_API_KEY is not set"):
        resolve(load(given={"provider": "groq"}), {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nobody", "no profile 'nobody'"),
        ("missing.yaml", "cannot read"),
        ("no_such_module:x", "cannot load no_such_module:x"),
        ("json:loads", "provider"),
    ],
)
def test_what_is_no_profile_is_one_line(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        resolve(load(given={"provider": name}), {"OPENAI_API_KEY": "k"})
    assert "\n" not in str(caught.value)


def test_a_profile_with_a_wrong_word_says_where(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("reasoning: {never: [{a: 1}]}\n")
    with pytest.raises(ConfigError, match=r"bad.yaml: reasoning.*no level 'never'"):
        load_profile("bad.yaml", folder=tmp_path)


async def sent(
    endpoint_settings: dict[str, object], environ: dict[str, str], wire: str, *script: bytes
) -> tuple[Scripted, str]:
    async with serve(*script) as server:
        settings = load(given={"base_url": server.base_url, **endpoint_settings})
        endpoint = resolve(settings, environ)
        maker = SdkProvider if wire == "sdk" else DirectProvider
        provider = maker(endpoint, FakeClock(), concurrency=1, timeout_s=5.0)
        try:
            told = await provider.complete(request(model=settings.model), Mode.PROMPT)
            text = told.completion.text
        except ProviderError as error:
            text = f"failed: {error}"
        finally:
            await provider.aclose()
    return server, text


@pytest.mark.parametrize("wire", ["direct", "sdk"])
async def test_a_file_of_ones_own_decides_path_header_query_and_words(
    wire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "gw-0123456789")
    server, text = await sent(
        {
            "provider": str(EXAMPLES / "gateway.yaml"),
            "model": "thinker-1",
            "request": {"body": {"top_k": 4}, "headers": {"x-more": "1"}, "query": {"a": "b"}},
            "service_tier": "flex",
            "top_p": 0.9,
        },
        {"GATEWAY_KEY": "gw-0123456789"},
        wire,
        reply(answer("hi")),
    )
    assert text == "hi"
    head, body = server.headers[0].lower(), server.requests[0]
    assert "post /v1/models/thinker-1/chat/completions?api-version=2&a=b" in head
    assert "x-api-key: gw-0123456789" in head
    assert "x-team: research" in head
    assert "x-more: 1" in head
    assert "authorization" not in head
    assert (body["top_k"], body["top_p"], body["service_tier"]) == (4, 0.9, "flex")
    assert (body["thinking"], body["store"], body["stream"]) == (False, False, False)
    assert "seed" not in body


@pytest.mark.parametrize("wire", ["direct", "sdk"])
async def test_a_key_that_expired_is_renewed_by_the_users_own_function(
    wire: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "count"
    script = tmp_path / "token.sh"
    script.write_text(f"echo x >> {counter}; printf token-%s-abcdefgh $(wc -l < {counter})\n")
    monkeypatch.setenv("TOKEN_COMMAND", f"sh {script}")
    shutil.copy(EXAMPLES / "renewed_token.py", tmp_path / f"renewed_{wire}.py")
    monkeypatch.chdir(tmp_path)
    server, text = await sent(
        {"provider": f"renewed_{wire}:make"}, {}, wire, DENIED, reply(answer("hi"))
    )
    assert text == "hi"
    keys = [line for head in server.headers for line in head.splitlines() if "Bearer" in line]
    assert [line.rpartition(" ")[2] for line in keys] == ["token-1-abcdefgh", "token-2-abcdefgh"]


def test_a_secret_stands_in_the_environment_and_not_in_a_setting() -> None:
    with pytest.raises(ConfigError, match=r"request.*x-api-key.*\$\{NAME\}"):
        load(given={"request": {"headers": {"x-api-key": "abc"}}})
    with pytest.raises(ConfigError, match="stream: is set by pairmill"):
        load(given={"request": {"body": {"stream": True}}})
    given = {"request": {"headers": {"x-api-key": "${K}"}}, "base_url": "http://localhost/v1"}
    assert resolve(load(given=given), {"K": "abc"}).options.headers == {"x-api-key": "abc"}
    with pytest.raises(ConfigError, match="K is not set"):
        resolve(load(given=given), {})


def test_a_secret_may_stand_in_a_query_and_in_a_body_and_is_told_nowhere() -> None:
    with pytest.raises(ConfigError, match=r"request.*query.subscription-key.*\$\{NAME\}"):
        load(given={"request": {"query": {"subscription-key": "abc"}}})
    request = {
        "query": {"subscription-key": "${K}"},
        "body": {"user": "team ${T}", "extra": [{"api_key": "${B}"}], "top_k": 3},
    }
    given = {"request": request, "base_url": "http://localhost/v1"}
    environ = {"K": "query-secret-1", "T": "blue", "B": "body-secret-2"}
    endpoint = resolve(load(given=given), environ)
    assert endpoint.url == "http://localhost/v1/chat/completions?subscription-key=query-secret-1"
    body = {"user": "team blue", "extra": [{"api_key": "body-secret-2"}], "top_k": 3}
    assert endpoint.options.body == body
    assert {"query-secret-1", "body-secret-2"} <= set(secrets_of(endpoint))
    lost = ProviderError(Kind.CONFIG, "Not Found", status=404)
    assert "secret" not in address_hint(endpoint, lost)
    with pytest.raises(ConfigError, match=r"B is not set, and request.body needs it"):
        resolve(load(given=given), {"K": "abc", "T": "blue"})


def test_a_variable_in_a_profiles_header_is_told_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("base_url: http://localhost/v1\nheaders: {x-team: '${TEAM}'}\n")
    endpoint = resolve(load(given={"provider": str(file)}), {"TEAM": "blue-0123456789"})
    assert endpoint.headers({"TEAM": "blue-0123456789"}) == {"x-team": "blue-0123456789"}
    assert "blue-0123456789" in secrets_of(endpoint)


def test_a_tier_that_is_slow_by_design_is_waited_for() -> None:
    assert answer_timeout_s(120.0, "flex") == 900.0
    assert answer_timeout_s(60.0, "flex") == 60.0
    assert answer_timeout_s(120.0, None) == 120.0
    assert load_profile("openai").price_factor("flex") == 0.5
    assert ProviderProfile(name="x").price_factor("flex") == 1.0
