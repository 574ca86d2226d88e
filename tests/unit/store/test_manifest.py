from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from pairmill.store.journal import Journal
from pairmill.store.manifest import write_manifest
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from pairmill.store.entries import Batch
    from pairmill.store.folder import RunFolder


def test_it_tells_what_was_published(folder: RunFolder, make_batch: Callable[..., Batch]) -> None:
    with Journal.open(folder, clock=lambda: 0.0) as journal:
        journal.commit(make_batch(1, 2))
    with SqliteLookup(folder.ledger) as lookup:
        write_manifest(folder, lookup, facts={"prompt_versions": {"backtranslate": "1"}})
    manifest = orjson.loads(folder.manifest.read_bytes())
    names = [shard["name"] for shard in manifest["shards"]]
    assert names == ["rejected/rejected-00000.jsonl", "data/train-00000.jsonl"]
    for shard in manifest["shards"]:
        content = (folder.path / shard["name"]).read_bytes()
        assert shard["bytes"] == len(content)
        assert shard["rows"] == content.count(b"\n")
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["version"] == "1.2.3"
    assert (manifest["pairs"], manifest["calls"]) == (4, 2)
    assert manifest["tokens"] == {"prompt": 20, "completion": 10, "cached": 4}
    assert manifest["models"] == {"model-1": 2}
    assert manifest["facts"] == {"prompt_versions": {"backtranslate": "1"}}


def test_an_open_shard_is_not_in_it(folder: RunFolder, make_batch: Callable[..., Batch]) -> None:
    with Journal.open(folder, clock=lambda: 0.0) as journal:
        journal.commit(make_batch(1))
        with journal.lookup() as lookup:
            write_manifest(folder, lookup, facts={})
    assert orjson.loads(folder.manifest.read_bytes())["shards"] == []
