from __future__ import annotations

import pytest

from pairmill.hosts import is_known, is_loopback, split_host

NAMES = frozenset({"localhost", "box"})


@pytest.mark.parametrize(
    ("host", "is_taken"),
    [
        ("localhost", True),
        ("LOCALHOST:9", True),
        ("box.:80", True),
        ("10.0.0.1:9100", True),
        ("[::1]", True),
        ("[fe80::1]:9100", True),
        ("box.evil.example", False),
        ("evil.example:80", False),
        ("localhost@evil.example", False),
        ("[::1]evil", False),
        ("[::1", False),
        ("", False),
        (":80", False),
    ],
)
def test_a_server_behind_any_port_takes_addresses_and_names_that_it_knows(
    host: str, is_taken: bool
) -> None:
    assert is_known(host, NAMES, any_address=True, port=None) is is_taken


def test_a_port_and_addresses_are_held_to_where_they_are_told() -> None:
    assert is_known("box:9", NAMES, any_address=False, port=9)
    assert not is_known("box:10", NAMES, any_address=False, port=9)
    assert not is_known("10.0.0.1:9", NAMES, any_address=False, port=9)
    assert split_host("[::1]") == ("::1", "80")


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.x")))
