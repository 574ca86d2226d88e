from __future__ import annotations

import gc
import weakref
from typing import Any, cast

import pytest

from pairmill.simulator.http import HttpExchange


class Connection:
    def write(self, part: bytes) -> None:
        pass

    def end_exchange(self, *, close: bool) -> None:
        pass

    def reset(self) -> None:
        pass


class Work:
    """Answers an exchange, and wants to be told when the client leaves."""

    def __init__(self, exchange: HttpExchange) -> None:
        self.exchange = exchange
        exchange.on_gone = self.stop

    def stop(self) -> None:
        pass


@pytest.mark.parametrize("ending", ["send", "finish", "close", "reset"])
def test_what_has_ended_holds_on_to_nobody(ending: str) -> None:
    """Else each call is a cycle: 18 kB until somebody collects it."""
    gc.collect()
    gc.disable()
    try:
        work = Work(HttpExchange(cast("Any", Connection()), "POST", "/", "", b""))
        seen = weakref.ref(work)
        end = getattr(work.exchange, ending)
        end(*([b"response"] if ending == "send" else []))
        del work, end
        assert seen() is None
    finally:
        gc.enable()
