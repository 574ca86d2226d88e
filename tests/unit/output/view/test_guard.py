from __future__ import annotations

import pytest

from pairmill.output.view.guard import AccessRules

DOOR = AccessRules("secret", 8790, frozenset({"localhost", "127.0.0.1", "::1"}))
FRONT = AccessRules(
    "secret", 9000, frozenset({"localhost"}), fronts=frozenset({"box.example:8443"})
)
OPEN = AccessRules("secret", 80, frozenset({"box.example"}), any_address=True)


@pytest.mark.parametrize(
    ("access", "host", "is_taken"),
    [
        (FRONT, "box.example:8443", True),
        (FRONT, "box.example", False),
        (FRONT, "box.example:9000", False),
        (FRONT, "localhost:9000", True),
        (DOOR, "127.0.0.1:8790", True),
        (DOOR, "LOCALHOST:8790", True),
        (DOOR, "[::1]:8790", True),
        (DOOR, "127.0.0.1", False),
        (DOOR, "127.0.0.1:80", False),
        (DOOR, "10.0.0.1:8790", False),
        (DOOR, "evil.example:8790", False),
        (DOOR, "localhost.evil.example:8790", False),
        (DOOR, "localhost:8790.evil.example", False),
        (DOOR, "localhost:8790:8790", False),
        (DOOR, "user@localhost:8790", False),
        (DOOR, "[::1]evil:8790", False),
        (DOOR, "", False),
        (DOOR, ":8790", False),
        (OPEN, "box.example", True),
        (OPEN, "10.0.0.1", True),
        (OPEN, "[fe80::1]:80", True),
        (OPEN, "other.example", False),
    ],
)
def test_hosts(access: AccessRules, host: str, is_taken: bool) -> None:
    assert access.takes_host(host) is is_taken


@pytest.mark.parametrize("token", ["", "secre", "secret ", "secretx", "SECRET", "\u00e9", None])
def test_wrong_tokens(token: str | None) -> None:
    assert not DOOR.takes_token(token)
    assert DOOR.takes_token("secret")


def test_an_origin_is_that_of_the_page_as_it_was_called() -> None:
    assert DOOR.takes_origin("http://127.0.0.1:8790", "127.0.0.1:8790")
    assert DOOR.takes_origin("https://127.0.0.1:8790", "127.0.0.1:8790")  # behind a proxy
    for origin in ("http://localhost:8790", "ftp://127.0.0.1:8790", "null", "http://127.0.0.1"):
        assert not DOOR.takes_origin(origin, "127.0.0.1:8790")
