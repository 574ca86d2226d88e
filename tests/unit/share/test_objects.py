"""Compare-and-swap in a folder and in an object store: of several writers, one wins."""

from __future__ import annotations

from concurrent.futures import (
    ThreadPoolExecutor,
)
from typing import (
    TYPE_CHECKING,
    Any,
)

import pytest
from tests.support.replicas import (
    MemoryStore,
)

from pairmill.errors import (
    ConfigError,
)
from pairmill.objects.cloud import (
    CloudStore,
)
from pairmill.share.objects import (
    ServedPlace,
    SharedActor,
    SharedFolder,
    StoredObject,
    open_shared,
)

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
    )
    from pathlib import (
        Path,
    )

    from pairmill.share.objects import (
        SharedObject,
    )


def stored(_folder: Path) -> SharedObject:
    store = pytest.importorskip("obstore.store")
    return StoredObject(CloudStore(store.MemoryStore(), "memory://"))


@pytest.fixture(params=[SharedFolder, stored])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    make: Callable[[Path], SharedObject] = request.param
    return make(tmp_path / "share")


def test_what_was_written_is_read_and_only_the_first_of_two_writes(shared: SharedObject) -> None:
    data, token = shared.read()
    assert data is None
    assert shared.swap(b"one", token)
    assert not shared.swap(b"other", token)
    data, token = shared.read()
    assert data == b"one"
    assert shared.swap(b"two", token)
    assert not shared.swap(b"three", token)
    assert shared.read()[0] == b"two"


def test_many_writers_lose_no_change(shared: SharedObject) -> None:
    def add(_: int) -> int:
        tries = 0
        while True:
            tries += 1
            data, token = shared.read()
            if shared.swap(b"%d" % (int(data or b"0") + 1), token):
                return tries

    with ThreadPoolExecutor(8) as pool:
        tries = sum(pool.map(add, range(200)))
    assert shared.read()[0] == b"200"
    assert tries >= 200


def test_a_writer_that_is_late_by_many_versions_does_not_win(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path)
    shared.swap(b"old", 0)
    _, late = shared.read()
    for _ in range(200):
        _, token = shared.read()
        assert shared.swap(b"new", token)
    assert len(list(tmp_path.iterdir())) < 100
    assert not shared.swap(b"late", late)
    assert shared.read() == (b"new", 201)


def test_a_store_without_conditions_is_refused() -> None:
    class Careless(MemoryStore):
        def replace(self, name: str, data: bytes, token: int) -> int | None:
            return self._write(name, data)

    with pytest.raises(ConfigError, match=r"share: .* does not honour conditional writes"):
        StoredObject(Careless())


@pytest.mark.parametrize(
    ("place", "said"), [("ftp://host/x", "is none of s3://"), ("{file}/x", "cannot write to")]
)
def test_places_that_cannot_be_used_are_named(tmp_path: Path, place: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=said):
        open_shared(place.format(file=tmp_path / "file"))


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
