from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pairmill.sources.streams import Piped

if TYPE_CHECKING:
    import pytest


def test_a_pipe_that_does_not_wait_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing there yet is not the end."""
    theirs, ours = os.pipe()
    os.set_blocking(theirs, False)

    def arrive(*_: object) -> None:
        os.write(ours, b"late")

    monkeypatch.setattr("select.select", arrive)
    with open(theirs, "rb") as stdin, open(ours, "wb"):  # noqa: PTH123 (descriptors)
        assert Piped(stdin).read(100) == b"late"
