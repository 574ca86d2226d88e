"""Adapters of the port: of several writers, one wins; and what is no store is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pairmill.errors import ConfigError, StorageError
from pairmill.objects.cloud import CloudStore
from pairmill.objects.folder import FolderStore
from pairmill.objects.port import is_object_name, probe
from pairmill.objects.url import default_work_dir, is_store_url, open_store, store_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.objects.port import ObjectStore


def cloud(_folder: Path) -> ObjectStore:
    return CloudStore(pytest.importorskip("obstore.store").MemoryStore(), "memory://")


@pytest.fixture(params=[FolderStore, cloud])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    make: Callable[[Path], ObjectStore] = request.param
    return make(tmp_path / "store")


def test_an_object_is_made_once_and_replaced_by_who_knows_it(store: ObjectStore) -> None:
    assert store.get("a/b.json") is None
    first = store.create("a/b.json", b"1")
    assert first is not None
    assert store.create("a/b.json", b"2") is None
    second = store.replace("a/b.json", b"3", first)
    assert second is not None
    assert store.replace("a/b.json", b"4", first) is None
    found = store.get("a/b.json")
    assert found is not None
    assert found[0] == b"3"
    assert store.replace("a/b.json", b"5", found[1]) is not None


def test_what_is_not_there_is_not_replaced(store: ObjectStore) -> None:
    token = store.create("a", b"1")
    store.delete(["a", "never"])
    assert store.replace("a", b"2", token) is None
    assert store.get("a") is None


def test_names_and_folders(store: ObjectStore) -> None:
    assert store.names("data") == []
    assert store.folders() == []
    for name in ("data/b", "data/a", "data/deep/c", "log/x", "manifest.json"):
        store.create(name, b"")
    assert store.names("data") == ["data/a", "data/b", "data/deep/c"]
    assert store.folders() == ["data", "log"]


def test_of_many_writers_one_wins(store: ObjectStore) -> None:
    token = store.create("x", b"0")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda at: store.create("y", b"%d" % at), range(16)))
        won = list(pool.map(lambda at: store.replace("x", b"new %d" % at, token), range(16)))
    assert sum(token is not None for token in made) == 1
    assert sum(token is not None for token in won) == 1


def test_probing_leaves_nothing_behind(store: ObjectStore) -> None:
    store.create("x", b"")
    probe(store)
    assert store.names("") == ["x"]


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"output: .*/file: "):
        probe(FolderStore(tmp_path / "file"), "output")


@pytest.mark.parametrize(
    ("told", "words", "is_final"),
    [
        ("Server returned 403: RequestTimeTooSkewed", "the clock of this machine is wrong", True),
        ("404 Not Found: <Code>ContainerNotFound</Code>", "there is no such container", True),
        ("error sending request for url", "cannot be reached", False),
        ("something else\nDebug source: secret", "RuntimeError: something else", False),
    ],
)
def test_refusals_are_one_line(
    monkeypatch: pytest.MonkeyPatch, told: str, words: str, is_final: bool
) -> None:
    obstore = pytest.importorskip("obstore")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError(told)

    monkeypatch.setattr(obstore, "put", refuse)
    with pytest.raises(StorageError, match=f"memory://: {words}") as error:
        cloud(Path()).create("x", b"")
    assert error.value.transient is not is_final
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3:/bucket/a", "s3://bucket/a"),  # as a path spells it
        ("file:///data/x", "file:///data/x"),
        ("file:/data/x", "file:///data/x"),
        ("gs://bucket", "gs://bucket"),
    ],
)
def test_urls_have_one_form(text: str, url: str) -> None:
    assert is_store_url(text)
    assert store_url(text, "output") == url


@pytest.mark.parametrize("text", ["dataset", "a/b", "/data", "x:/y", "c:\\x", "", "s3:"])
def test_paths_are_no_urls(text: str) -> None:
    assert not is_store_url(text)


@pytest.mark.parametrize(
    ("text", "told"), [("ftp://host/x", "ftp://host/x is none of s3://"), ("s3:////", "no bucket")]
)
def test_other_urls_are_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_store(text, "output")


def test_a_work_folder_is_the_same_at_every_start() -> None:
    found = default_work_dir("s3://b/my data", {"XDG_STATE_HOME": "/state"})
    assert found == default_work_dir("s3://b/my data", {"XDG_STATE_HOME": "/state"})
    assert found.parent == Path("/state/pairmill")
    assert found != default_work_dir("s3://b/my-data", {"XDG_STATE_HOME": "/state"})
    assert " " not in found.name


@pytest.mark.parametrize("name", ["a", "a/b.c", "log/w1-0-0", ".probe"])
def test_our_names_are_taken(name: str) -> None:
    assert is_object_name(name)


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "..", "a/../b", "a\\b", "a b", "x" * 501])
def test_other_names_are_not(name: str) -> None:
    assert not is_object_name(name)
