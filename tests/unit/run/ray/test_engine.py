"""What engine ray refuses before a cluster is started, and what it gives a part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pairmill.config import Settings, load
from pairmill.errors import ConfigError, PairmillError
from pairmill.partition import Partition
from pairmill.replica.manifest import StoreManifest, encode_manifest
from pairmill.run.ray.engine import _check, _environment, _settings_of

if TYPE_CHECKING:
    from pathlib import Path


def settings(folder: Path, **more: Any) -> Settings:
    (folder / "in.txt").write_text("A text. " * 200, "utf-8")
    given = {"inputs": (str(folder / "in.txt"),), "output": folder / "out", "engine": "ray"}
    return Settings(**{**given, "partitions": 2, **more})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"partition": "0/2"}, "partition: does not go with engine ray"),
        ({"status": "8080"}, "status: does not go with engine ray"),
        ({"target_pairs": 5}, "target_pairs: does not go with engine ray"),
        ({"follow": True}, "follow: does not go with engine ray"),
        ({"inputs": ("-",)}, "every part reads the whole input"),
        ({"model": "local"}, "the embedded model is for one process"),
        ({"partitions": None}, "give the number of parts, such as --partitions 8"),
        ({"inputs": ("/not/there",)}, "/not/there"),
    ],
)
def test_what_cannot_go_on_a_cluster_is_told_before(
    tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(PairmillError, match=told):
        _check(settings(tmp_path, **given))


def test_the_number_of_parts_stays(tmp_path: Path) -> None:
    (tmp_path / "out-parts" / "part-0-of-3").mkdir(parents=True)
    assert _check(settings(tmp_path, partitions=None)) == 3
    with pytest.raises(ConfigError, match="holds parts of 3"):
        _check(settings(tmp_path, partitions=2))


def test_a_folder_of_one_process_is_not_merged_over(tmp_path: Path) -> None:
    (tmp_path / "out" / ".run").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is the run folder of one process"):
        _check(settings(tmp_path))


def test_in_a_store_the_parts_lie_beside_what_they_are_merged_to(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/bucket/run"
    given = {"output": url, "work_dir": tmp_path / "work"}
    whole = settings(tmp_path, **given)
    assert _check(whole) == 2
    part = _settings_of(whole, Partition(1, 2), "ray://share-1")
    assert part.store == f"{url}-parts/part-1-of-2"
    assert part.output == tmp_path / "work" / "dataset-parts" / "part-1-of-2"
    (tmp_path / "bucket" / "run-parts" / "part-0-of-3").mkdir(parents=True)
    with pytest.raises(ConfigError, match="run-parts: holds parts of 3"):
        _check(whole)
    assert _check(settings(tmp_path, partitions=None, **given)) == 3
    store = tmp_path / "bucket" / "run"
    store.mkdir()
    manifest = StoreManifest(1, 1, "a" * 32, "somebody", 60.0, "1", chain="b" * 32)
    (store / "manifest.json").write_bytes(encode_manifest(manifest))
    with pytest.raises(ConfigError, match="run: is the run of one process"):
        _check(whole)
    (store / "part-0-of-3").mkdir()
    with pytest.raises(ConfigError, match="parts that were begun with --partition"):
        _check(whole)


def test_partitions_need_the_engine(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="partitions: needs engine ray"):
        load(given={"partitions": 4})


def test_a_part_is_an_ordinary_run_that_keeps_to_its_cpus(tmp_path: Path) -> None:
    whole = settings(tmp_path, ray_cpus=3.0, export="messages")
    part = _settings_of(whole, Partition(1, 2), "ray://share-1")
    assert (part.engine, part.partitions, part.export) == ("process", None, None)
    assert part.output == tmp_path / "out-parts" / "part-1-of-2"
    assert (part.partition, part.share) == ("1/2", "ray://share-1")
    assert (part.page_process_count, part.check_process_count) == (3, 2)


def test_a_worker_gets_keys_that_the_run_names_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "MINE", "HEADER_SECRET", "OTHER_KEY"):
        monkeypatch.setenv(name, name.lower())
    request = {"headers": {"x-api-key": "${HEADER_SECRET}"}}
    pools = ({"name": "a", "api_key_env": "MINE"},)
    found = _environment(settings(tmp_path, request=request, pools=pools))
    assert {"OPENAI_API_KEY", "MINE", "HEADER_SECRET"} <= found.keys()
    assert "OTHER_KEY" not in found
