from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import pairmill
from tests.support.hub import TOKEN, HubServer, Repo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    lines = [
        {"instruction": f"What is number {n} about?", "answer": f"It is about {n} kettles."}
        | {"id": str(n), "document_id": f"d{n // 3}", "chunk_id": f"c{n}", "source": "a.txt:1"}
        for n in range(60)
    ]
    data = tmp_path / "run" / "data" / "train-00000.jsonl"
    data.parent.mkdir(parents=True)
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "run"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def files_of(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_an_export_is_pushed_whole_and_private(
    run: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.large = 5_000  # the train file by Git LFS, the others in the commit
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    done = pairmill("export", run, "--push-to-hub", "me/kettles")
    assert done.returncode == 0, done.stderr
    assert f"pushed to {hub.url}/datasets/me/kettles (private)" in done.stderr
    assert TOKEN not in done.stderr + done.stdout
    repo = hub.repos["me/kettles"]
    assert repo.is_private
    made = files_of(run.with_name("run-messages"))
    assert made.pop("splits.txt")  # ids of documents stay here
    assert repo.files == made
    assert len(hub.uploaded) == 1
    assert repo.messages == ["Export by pairmill 0.1.0"]


@pytest.mark.slow
def test_a_second_push_replaces_the_first_and_leaves_none_of_its_data(
    run: Path, hub: HubServer
) -> None:
    assert pairmill("export", run, "--push-to-hub", "me/kettles").returncode == 0
    first = set(hub.repos["me/kettles"].files)
    out = run.with_name("other")
    told = ("--to", "alpaca", "--format", "csv", "--split", "100/0/0", "-o", out)
    again = pairmill("export", run, *told, "--push-to-hub", "me/kettles")
    assert again.returncode == 0, again.stderr
    assert f"in the place of an earlier one of {len(first)} files" in again.stderr
    repo = hub.repos["me/kettles"]
    made = files_of(out)
    del made["splits.txt"]
    assert repo.files == made
    assert [name for name in repo.files if name.startswith("data/")] == [
        "data/train-00000-of-00001.csv"
    ]
    assert len(repo.messages) == 2


def test_a_dry_run_says_what_would_go_and_asks_nobody(run: Path, hub: HubServer) -> None:
    done = pairmill("export", run, "--push-to-hub", "me/kettles", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would push 6 files, " in done.stderr
    assert "to the private dataset me/kettles (the hub was not asked):" in done.stderr
    assert "data/train-00000-of-00001.jsonl" in done.stderr
    assert "splits.txt" not in done.stderr
    assert hub.requests == []
    assert not run.with_name("run-messages").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repo", "code", "said"),
    [
        ("me/others", 1, "is not an export of pairmill; name another repository"),
        ("me/open", 1, "me/open on the hub is public; add --public to push there"),
        ("you/kettles", 78, "the token may not write to you/kettles (HTTP 403)"),
        ("kettles", 2, "'kettles' is not a repository name; give OWNER/NAME"),
        ("../etc/passwd", 2, "is not a repository name"),
    ],
)
def test_what_is_not_ours_is_left_alone(
    run: Path, hub: HubServer, repo: str, code: int, said: str
) -> None:
    kept = {
        "me/others": Repo(is_private=True, files={".gitattributes": b"", "model.bin": b"x"}),
        "me/open": Repo(is_private=False, files={".gitattributes": b"", "export.json": b"{}"}),
    }
    hub.repos.update(kept)
    before = {name: dict(found.files) for name, found in kept.items()}
    done = pairmill("export", run, "--push-to-hub", repo)
    assert done.returncode == code, done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert {name: hub.repos[name].files for name in kept} == before
    assert not hub.uploaded


@pytest.mark.slow
def test_public_is_only_what_was_asked_to_be(run: Path, hub: HubServer) -> None:
    done = pairmill("export", run, "--push-to-hub", "me/kettles", "--public")
    assert f"pushed to {hub.url}/datasets/me/kettles (public)" in done.stderr
    assert not hub.repos["me/kettles"].is_private
    assert pairmill("export", run, "--public").returncode == 2


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [
        ("", 78, "no token for the hub: set HF_TOKEN"),
        ("hf_" + "z" * 34, 78, "the hub rejects the token (HTTP 401)"),
    ],
)
def test_without_a_token_that_works_nothing_is_made(
    run: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str, code: int, said: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    done = pairmill("export", run, "--push-to-hub", "me/kettles")
    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "z" * 20 not in done.stderr
    assert not run.with_name("run-messages").exists()


@pytest.mark.slow
def test_a_hub_that_fails_is_told_in_a_line_that_quotes_no_token(
    run: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.broken["/api/datasets/me/kettles/commit"] = 400
    done = pairmill("export", run, "--push-to-hub", "me/kettles")
    assert done.returncode == 75
    last = done.stderr.strip().splitlines()[-1]
    assert "the hub refused me/kettles (HTTP 400)" in last
    assert TOKEN not in done.stderr
    assert run.with_name("run-messages").is_dir()
    hub.broken.clear()
    again = pairmill("export", run, "--push-to-hub", "me/kettles")
    assert again.returncode == 0, again.stderr
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    nowhere = pairmill("export", run, "--push-to-hub", "me/kettles")
    assert nowhere.returncode == 75
    assert nowhere.stderr.startswith("pairmill: the hub cannot be reached: ")
