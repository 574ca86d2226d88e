from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trustme

from pairmill.errors import ConfigError
from pairmill.llm.providers.network import check_environment

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cretpw"
URL = "https://api.example.com/v1"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value",
    [
        "http://127.0.0.1:3128",
        "proxy.example.com:3128",
        f"user:{SECRET}@proxy.example.com:3128",
        f"http://user:{SECRET}@proxy.example.com",
        "socks5h://127.0.0.1:1080",
        "HTTPS://[::1]:8080/",
        "",
    ],
)
def test_a_proxy_is_taken_in_each_usual_form(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    check_environment(URL, is_loopback=False)


@pytest.mark.parametrize("name", ["https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    "value",
    [
        f"http://user:{SECRET}@127.0.0.1:port",
        f"ftp://user:{SECRET}@127.0.0.1:21",
        f":{SECRET}",
        f"http://user:{SECRET} @host:1",
        f"http://[::1{SECRET}",
        "http://",
        "http://:3128",
    ],
)
def test_a_proxy_that_is_no_address_is_refused_and_its_password_not_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Else one wire refuses it, and another goes on without."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="that is not an address such as") as caught:
        check_environment(URL, is_loopback=False)
    assert SECRET not in str(caught.value)
    check_environment("https://127.0.0.1/v1", is_loopback=True)
    monkeypatch.setenv("NO_PROXY", ".example.com")
    check_environment(URL, is_loopback=False)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_text("no certificate"), "holds no certificates"),
        (lambda path: path.write_bytes(b""), "holds no certificates"),
    ],
)
def test_certificates_that_cannot_be_read_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: object, reason: str
) -> None:
    path = tmp_path / "ca.pem"
    make(path)  # type: ignore[operator]
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    for is_loopback in (True, False):
        with pytest.raises(ConfigError, match=f"SSL_CERT_FILE: {path}: .*{reason}"):
            check_environment(URL, is_loopback=is_loopback)
    check_environment("http://127.0.0.1/v1", is_loopback=True)


def test_certificates_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    check_environment(URL, is_loopback=False)
