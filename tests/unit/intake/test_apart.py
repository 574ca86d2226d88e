from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pairmill.config import load
from pairmill.errors import InputError, StoppedError
from pairmill.intake.apart import Apart
from pairmill.intake.job import Job
from pairmill.intake.portions import PORTION_CHUNKS, Portion, read_portions, unpack
from pairmill.intake.reader import read_chunks

EXAMPLES = Path(__file__).parents[3] / "examples" / "articles"
PROSE = "The mill stands by the river and grinds whatever the farmers bring to it. " * 8


def _settings(*inputs: Path, **given: Any) -> Any:
    return load(given={"inputs": tuple(map(str, inputs)), **given})


def _read(settings: Any) -> list[Portion]:
    with Apart(Job.of(settings)) as portions:
        return list(portions)


def test_it_gives_what_reading_here_gives(tmp_path: Path) -> None:
    name = tmp_path / "a\udcff.jsonl"  # a name that is no UTF-8
    name.write_bytes(b'{"text": "%s"}\nbroken\n' % PROSE.encode() * 300)
    settings = _settings(EXAMPLES, tmp_path)
    apart, here = _read(settings), list(read_portions(Job.of(settings)))
    chunks = [unpack(packed) for portion in apart for packed in portion.chunks]
    assert chunks == list(read_chunks(settings, lambda _: None))
    assert [note for portion in apart for note in portion.notes] == [
        note for portion in here for note in portion.notes
    ]
    documents = [sum(portion.documents for portion in portions) for portions in (apart, here)]
    assert documents[0] == documents[1] > 300
    assert max(len(portion.chunks) for portion in apart) <= PORTION_CHUNKS


def test_the_limit_counts_chunks(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "%s"}\n' % PROSE.encode() * 700)
    portions = _read(_settings(tmp_path, limit=300))
    assert sum(len(portion.chunks) for portion in portions) == 300


def test_nothing_but_notes_is_handed_on_in_portions_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"broken\n" * 1000)
    portions = _read(_settings(tmp_path))
    assert sum(len(portion.notes) for portion in portions) == 1000
    assert max(len(portion.notes) for portion in portions) == PORTION_CHUNKS


def test_what_stops_the_reading_is_raised_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = "<html><body>" + "<p>text</p>" * 9 + "</body></html>"
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{PROSE}"}}\n{{"text": "{page}"}}\n')
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'trafilatura' else find(name, *a)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Apart(Job.of(_settings(tmp_path / "a.jsonl"))) as portions:
        reading = iter(portions)
        assert len(next(reading).chunks) == 1  # what came before it is not lost
        with pytest.raises(InputError, match=r"is HTML; to read it: pip install"):
            next(reading)


def test_a_process_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairmill.intake.apart._MODULE", "pairmill.nowhere")
    with (
        Apart(Job.of(_settings(tmp_path))) as portions,
        pytest.raises(StoppedError, match=r"the process that reads the input failed: .*nowhere"),
    ):
        next(iter(portions))


def test_closing_lets_go_of_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairmill.intake.apart._MODULE", "tests.support.idle")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    portions = Apart(Job.of(_settings(EXAMPLES)))
    found: list[Portion | None] = []
    waiting = threading.Thread(target=lambda: found.append(next(iter(portions), None)))
    waiting.start()
    portions.close()
    waiting.join(timeout=10)
    assert found == [None]
    portions.close()
