"""What a merge of parts keeps, and which parts it refuses; with real signals in tests/e2e."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.support.cli import rows
from tests.support.corpus import write_corpus

from pairmill import generate
from pairmill.errors import FolderError, UsageError
from pairmill.run.merge import merge
from pairmill.simulator import Simulator
from pairmill.store.superseded import SupersededLog, read_superseded

ARTICLES = 4


class World:
    """Articles, the two parts of one run over them, and one part of another run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts = path / "parts"
        self.first = self.parts / "part-0-of-2"
        self.second = self.parts / "part-1-of-2"
        self.other = path / "other" / "part-1-of-2"
        self.thirds = path / "thirds"
        self.out = path / "merged"

    def refused(self, *paths: Path, unfinished: bool = False) -> str:
        """Merge; return why not, having checked that nothing is left behind."""
        with pytest.raises(FolderError) as told:
            merge(paths or [self.parts], self.out, unfinished=unfinished)
        assert not self.out.exists()
        assert not self.out.with_name(f".{self.out.name}.merging").exists()
        return str(told.value)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parts")
    corpus = write_corpus(path / "articles", ARTICLES, 10)
    (corpus / "short.md").write_text("Too short.", "utf-8")
    with Simulator() as endpoint:

        def run(partition: str, output: str, seed: int = 0) -> None:
            found = generate(
                corpus,
                output=path / output,
                partition=partition,
                seed=seed,
                base_url=endpoint.url,
                model="m",
                progress=False,
            )
            assert found.exit_code == 0

        run("0/2", "parts")
        run("1/2", "parts")
        run("1/2", "other", seed=5)
        run("2/3", "thirds")
    return path


@pytest.fixture
def world(made: Path, tmp_path: Path) -> World:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return World(tmp_path)


def test_a_merged_folder_holds_each_row_once_and_all_that_was_spent(world: World) -> None:
    merged = merge([world.parts], world.out)
    found, parts = rows(world.out), [world.first, world.second]
    assert sorted(row["id"] for row in found) == sorted(
        row["id"] for part in parts for row in rows(part)
    )
    assert len({row["id"] for row in found}) == len(found) == ARTICLES
    assert merged.account.counts.to_do == 0
    assert merged.lines == [
        f"merged 2 parts into {world.out}: {ARTICLES} pairs of {ARTICLES} chunks"
    ]
    told, of_parts = _manifest(world.out), [_manifest(part) for part in parts]
    for kind in ("prompt", "completion"):
        assert told["tokens"][kind] == sum(part["tokens"][kind] for part in of_parts) > 0
    skipped = json.loads((world.out / "skipped.jsonl").read_text("utf-8"))
    assert Path(skipped["source"]).name == "short.md"
    assert read_superseded(world.out) == set()


def test_parts_may_be_named_twice_and_in_any_order(world: World) -> None:
    merge([world.second, world.parts, world.first], world.out)
    assert len(rows(world.out)) == ARTICLES


def test_an_empty_folder_is_taken_and_any_other_refused(world: World) -> None:
    world.out.mkdir()
    merge([world.parts], world.out)
    before = sorted(path.name for path in world.out.iterdir())
    with pytest.raises(UsageError, match="already exists"):
        merge([world.parts], world.out)
    assert sorted(path.name for path in world.out.iterdir()) == before
    file = world.path / "file"
    file.write_text("mine", "utf-8")
    with pytest.raises(UsageError, match="already exists"):
        merge([world.parts], file)
    assert file.read_text("utf-8") == "mine"


def test_what_a_killed_merge_left_is_no_hindrance(world: World) -> None:
    left = world.path / ".merged.merging"
    left.mkdir()
    (left / "data").write_text("rest", "utf-8")
    merge([world.parts], world.out)
    assert len(rows(world.out)) == ARTICLES
    assert not left.exists()


def test_a_missing_part_is_named(world: World) -> None:
    assert "1 of 2 parts are missing: 1/2;" in world.refused(world.first)
    with pytest.raises(FolderError, match="parts are missing"):
        merge([world.first], world.out)  # nobody merges a part of the data without saying so
    found = world.refused(world.thirds)
    assert "2 of 3 parts are missing: 0/3, 1/3;" in found
    merged = merge([world.first], world.out, unfinished=True)
    assert rows(world.out) == rows(world.first)
    assert merged.lines[0].startswith("merged 1 parts")
    with Simulator() as endpoint:  # only what the other part would have done is asked for
        generate(
            world.path / "articles",
            output=world.out,
            base_url=endpoint.url,
            model="m",
            progress=False,
        )
        probe = 1  # how the endpoint takes a schema
        assert endpoint.report()["calls"] - probe == len(rows(world.second)) > 0
    assert len(rows(world.out)) == ARTICLES


def test_parts_of_different_runs_are_refused(world: World) -> None:
    third = world.thirds / "part-2-of-3"
    assert "is part 2/3, but" in world.refused(world.first, third, unfinished=True)
    assert "made with another 'seed' than" in world.refused(world.first, world.other)
    copy = world.path / "copy"
    shutil.copytree(world.first, copy)
    assert "are both part 0/2" in world.refused(world.first, copy, unfinished=True)


def test_a_folder_that_is_no_part_is_refused(world: World) -> None:
    state = world.first / ".run" / "config.json"
    settings = json.loads(state.read_text("utf-8"))
    settings["partition"] = None
    state.write_text(json.dumps(settings), "utf-8")
    assert "not a part made by 'run --partition'" in world.refused()
    state.write_text("{", "utf-8")
    assert "cannot be read; run this part's command once more" in world.refused()


@pytest.mark.parametrize(
    ("changes", "left"),
    [({"is_whole": False}, "input to read"), ({"expected": 5}, "2 chunks to do")],
)
def test_an_unfinished_part_is_refused_and_its_chunks_stay_to_do(
    world: World, changes: dict[str, int], left: str
) -> None:
    file = world.second / ".run" / "input.json"
    counts = json.loads(file.read_text("utf-8"))
    assert counts["expected"] == len(rows(world.second)) == ARTICLES - 1
    file.write_text(json.dumps({**counts, **changes}), "utf-8")
    found = world.refused()
    assert f"part-1-of-2: has {left}; run it to its end, or add --unfinished" in found
    merged = merge([world.parts], world.out, unfinished=True)
    assert len(rows(world.out)) == ARTICLES
    assert merged.account.counts.is_input_whole == ("is_whole" not in changes)
    if "expected" in changes:
        assert merged.account.counts.to_do == 2
        assert merged.lines[-1].startswith("2 chunks are to do: 'pairmill run' with -o")


@pytest.mark.parametrize("harm", ["short", "other"])
def test_a_damaged_part_is_refused_whole(world: World, harm: str) -> None:
    shard = world.second / "data" / "train-00000.jsonl"
    content = shard.read_bytes()
    changed = content[:-1] if harm == "short" else content.replace(b"a", b"b", 1)
    shard.write_bytes(changed)
    assert "does not match its ledger; 'pairmill recover' repairs the part" in world.refused()


def test_lines_past_the_committed_length_are_left_behind(world: World) -> None:
    shard = world.second / "data" / "train-00000.jsonl"
    with shard.open("ab") as file:
        file.write(b'{"id": "never committed"}\n')
    merge([world.parts], world.out)
    assert "never committed" not in {row["id"] for row in rows(world.out)}


def test_only_a_chunks_own_part_says_what_became_of_its_text(world: World) -> None:
    """A part reads the whole input; what it notes of chunks of others is not authoritative."""
    mine = rows(world.first)[0]["chunk_id"]
    log = SupersededLog(world.second)
    log.append([(mine, True)])
    log.close()
    merge([world.parts], world.out)
    assert read_superseded(world.out) == set()
    shutil.rmtree(world.out)
    log = SupersededLog(world.first)
    log.append([(mine, True)])
    log.close()
    merge([world.parts], world.out)
    assert read_superseded(world.out) == {mine}


def _manifest(folder: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return found
