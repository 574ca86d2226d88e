from __future__ import annotations

import gzip
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import KEY, pairmill, rows
from tests.support.corpus import article, write_corpus

from pairmill.cli import main
from pairmill.llm.retry import ProbePolicy
from pairmill.run import session
from pairmill.simulator import Simulator, SimulatorSettings
from pairmill.store.folder import open_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Command = Callable[..., tuple[int, list[str]]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], endpoint: Simulator
) -> Command:
    """``pairmill`` in this process: exit code, and the lines that people read."""
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str | Path) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["pairmill", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        lines = capfd.readouterr().err.splitlines()
        assert not any("Traceback" in line for line in lines)
        return (code if isinstance(code, int) else 0), [
            line for line in lines if not line.startswith("{")
        ]

    return run


def _missing(folder: Path) -> Path:
    return folder / "no-such.jsonl"


def _empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def _binary(folder: Path) -> Path:
    (folder / "photo.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00" * 500)
    return folder / "photo.txt"


def _no_text_field(folder: Path) -> Path:
    (folder / "a.jsonl").write_text('{"count": 3, "tags": ["x"]}\n' * 4)
    return folder / "a.jsonl"


def _nothing_after_cleaning(folder: Path) -> Path:
    (folder / "menu.md").write_text("Subscribe\n\nSign in\n\nShare\n")
    return folder / "menu.md"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


BAD: dict[Callable[[Path], Path], tuple[int, str]] = {
    _missing: (1, "no-such.jsonl"),
    _empty_folder: (1, "empty"),
    _binary: (1, "photo.txt"),
    _no_text_field: (1, "no text field"),
    _nothing_after_cleaning: (1, "no usable text (1 x"),
    _pipe: (1, "pipe"),
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__.strip("_"))
def test_an_input_that_cannot_be_used_is_named_in_one_line(
    make: Callable[[Path], Path], tmp_path: Path, command: Command
) -> None:
    code, lines = command("run", make(tmp_path), "-o", tmp_path / "out")
    expected, word = BAD[make]
    assert code == expected
    assert len(lines) == 1, lines
    assert lines[0].startswith("pairmill: ")
    assert word in lines[0]


@pytest.mark.slow
def test_bad_records_are_counted_named_and_skipped(tmp_path: Path, endpoint: Simulator) -> None:
    good = json.dumps({"text": article(1, 12)})
    huge = json.dumps({"text": "x" * 20_000_000})
    lines = [good, "{broken", huge, json.dumps({"text": article(2, 12)}), '{"n": 1}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(good.encode() + b"\n")[:-9])
    (tmp_path / "c.txt").write_bytes(article(3, 12).encode() + b" \xff\xfe bytes")
    run = pairmill("run", tmp_path, "-o", tmp_path / "out", url=endpoint.url)
    assert run.returncode == 0, run.stderr
    assert {row["source"].rpartition("/")[2] for row in rows(tmp_path / "out")} == {
        "a.jsonl:1",
        "a.jsonl:4",
        "c.txt",
    }
    logged = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
    skipped = {line["source"].rpartition("/")[2] for line in logged if "source" in line}
    assert {"a.jsonl:2", "a.jsonl:3", "a.jsonl:5"} <= skipped
    named = [
        json.loads(line)
        for line in (tmp_path / "out" / "skipped.jsonl").read_text().split("\n")[:-1]
    ]
    assert [(line["source"].rpartition("/")[2], line["reason"]) for line in named] == [
        ("a.jsonl:2", "broken JSON"),
        ("a.jsonl:3", "line too long"),
        ("a.jsonl:5", "no text field"),
        ("b.jsonl.gz:1", "duplicate"),
    ]
    strict = pairmill("run", tmp_path, "-o", tmp_path / "out", "--strict", url=endpoint.url)
    assert strict.returncode == 1
    assert "3 pieces of input cannot be used, and --strict is set" in strict.stderr
    foreseen = pairmill("estimate", tmp_path, "-o", tmp_path / "out", "--json")
    assert json.loads(foreseen.stdout)["skipped_by_reason"] == {
        "broken JSON": 1,
        "duplicate": 1,
        "line too long": 1,
        "no text field": 1,
    }


def test_nothing_named_is_a_mistake_of_use(tmp_path: Path, command: Command) -> None:
    assert command("run", "-o", tmp_path / "out") == (
        2,
        ["pairmill: nothing to read: name files or folders, or - for standard input"],
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("concurency: 4\n", "did you mean 'concurrency'"),
        ("recipe: backtranslat\n", "did you mean 'backtranslate'"),
        ("pairs_per_chunk: many\n", "pairs_per_chunk"),
        ("a: [\n", "run.yaml, line 2"),
    ],
)
def test_settings_that_cannot_work(text: str, word: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "run.yaml").write_text(text)
    corpus = write_corpus(tmp_path / "articles", 1, 12)
    code, lines = command("run", corpus, "-o", tmp_path / "out", "--config", tmp_path / "run.yaml")
    assert code == 78
    mistakes = [line for line in lines if "settings are in groups now" not in line]
    assert len(mistakes) == 1
    assert word in mistakes[0]


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, command: Command) -> None:
    corpus = write_corpus(tmp_path / "articles", 1, 12)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("do not lose this")
    code, lines = command("run", corpus, "-o", tmp_path / "mine")
    assert (code, len(lines)) == (1, 1)
    assert str(tmp_path / "mine") in lines[0]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_status_of_a_folder_without_a_run(tmp_path: Path, command: Command) -> None:
    code, lines = command("status", tmp_path)
    assert (code, len(lines)) == (1, 1)
    assert "no pairmill run here" in lines[0]


def test_no_key(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write_corpus(tmp_path / "articles", 1, 12)
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    code, lines = command("run", corpus, "-o", tmp_path / "out")
    assert code == 78
    assert lines[-1].startswith("pairmill: OPENAI_API_KEY is not set")


def test_what_no_start_could_ask_is_refused_before_input_is_read(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_for_authors(*_: object) -> None:
        raise AssertionError("input was read")

    monkeypatch.setattr(session, "pool_styles", read_for_authors)
    corpus = write_corpus(tmp_path / "articles", 1, 12)
    code, lines = command("run", corpus, "-o", tmp_path / "a", "--model", "none", "--max-usd", "1")
    assert (code, len(lines)) == (78, 1)
    assert "the price of 'none' is not known" in lines[0]
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    code, lines = command("run", corpus, "-o", tmp_path / "b")
    assert (code, len(lines)) == (78, 1)
    assert lines[0].startswith("pairmill: OPENAI_API_KEY is not set")


def test_a_wrong_key_and_an_unknown_model(tmp_path: Path, command: Command) -> None:
    corpus = write_corpus(tmp_path / "articles", 1, 12)
    with Simulator(SimulatorSettings(api_keys=("another",))) as strict:
        code, lines = command("run", corpus, "-o", tmp_path / "a", "--base-url", strict.url)
        assert (code, len(lines)) == (78, 1)
        assert "401" in lines[0] or "key" in lines[0].lower()
        assert KEY not in lines[0]
    with Simulator(SimulatorSettings(models=("big",))) as other:
        again = ("run", corpus, "-o", tmp_path / "b", "--base-url", other.url, "--model", "bg")
        code, lines = command(*again)
        assert (code, len(lines)) == (78, 1)
        assert "bg" in lines[0]


def test_no_endpoint_there(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairmill.run.probing.IN_PROBE", ProbePolicy(max_wait_s=0.1, base_s=0.01))
    corpus = write_corpus(tmp_path / "articles", 1, 12)
    nowhere = ("--base-url", "http://127.0.0.1:9/v1")
    code, lines = command("run", corpus, "-o", tmp_path / "out", *nowhere)
    assert (code, len(lines)) == (75, 1)
    assert lines[0].startswith("pairmill: http://127.0.0.1:9: the endpoint does not accept")


def test_a_folder_in_which_another_run_works(tmp_path: Path, command: Command) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 1, 12), tmp_path / "out"
    with open_folder(out, settings_fingerprint={}, accept_change=False, version="1"):
        code, lines = command("run", corpus, "-o", out)
    assert (code, len(lines)) == (1, 1)
    assert str(os.getpid()) in lines[0]


@pytest.mark.slow
def test_a_folder_may_have_a_name_that_looks_like_an_address(
    tmp_path: Path, endpoint: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = write_corpus(tmp_path / "articles", 2)
    monkeypatch.chdir(tmp_path)
    for name in ("file:memory", "a%20b?mode=ro#x"):
        run = pairmill("run", corpus, "-o", name, url=endpoint.url)
        assert run.returncode == 0, run.stderr
        assert rows(tmp_path / name)
