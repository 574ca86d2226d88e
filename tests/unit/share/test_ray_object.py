"""The actor that serves a shared folder, without a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import ConfigError
from pairmill.share.objects import SharedFolder
from pairmill.share.places import open_shared
from pairmill.share.ray_object import ServedPlace, SharedActor

if TYPE_CHECKING:
    from pathlib import Path


def test_an_actor_that_is_lost_knows_everything_when_it_starts_again(tmp_path: Path) -> None:
    actor = SharedActor(ServedPlace(str(tmp_path / "share")))
    assert actor.read() == (None, 0)
    assert actor.swap(b"one", 0) is True
    assert actor.swap(b"late", 0) is False
    assert actor.swap(b"two", 1) is True
    assert SharedActor(ServedPlace(str(tmp_path / "share"))).read() == (b"two", 2)


def test_two_actors_at_once_do_not_overwrite_each_other(tmp_path: Path) -> None:
    one, other = (SharedActor(ServedPlace(str(tmp_path / "share"))) for _ in range(2))
    one.read()
    other.read()
    assert one.swap(b"one", 0) is True
    assert other.swap(b"other", 0) is False
    assert other.read() == (b"one", 1)
    assert other.swap(b"more", 1) is True


def test_a_disk_that_refuses_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = SharedActor(ServedPlace(str(tmp_path / "share")))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.link", refuse)
    told = actor.swap(b"one", 0)
    assert isinstance(told, str)
    assert "No space left on device" in told
    monkeypatch.undo()
    assert actor.read() == (None, 0)
    assert SharedFolder(tmp_path / "share").swap(b"one", 0)


def read(actor: SharedActor) -> tuple[bytes | None, Any]:
    found = actor.read()
    assert not isinstance(found, str), found
    return found


def test_an_actor_serves_an_object_store_as_it_does_a_folder() -> None:
    actor = SharedActor(ServedPlace("memory:///", {}))
    (data, token), writes_per_s = read(actor), actor.writes_per_s()
    assert (data, writes_per_s) == (None, 1.0)
    assert actor.swap(b"one", token) is True
    assert actor.swap(b"late", token) is False
    data, token = read(actor)
    assert data == b"one"
    assert actor.swap(b"two", token) is True


def test_keys_of_a_store_are_not_shown(tmp_path: Path) -> None:
    assert "secret" not in repr(ServedPlace(str(tmp_path), {"KEY": "secret"}))


def test_the_place_of_a_cluster_is_no_place_outside_of_it() -> None:
    with pytest.raises(ConfigError, match="ray:// is what engine ray gives its parts"):
        open_shared("ray://mine")
