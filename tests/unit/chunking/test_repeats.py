from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from pairmill.chunking import repeats
from pairmill.chunking.chunk_batches import read_batches, unpack
from pairmill.chunking.intake_file import IntakeFile
from pairmill.chunking.reader import chunks_of
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.repeats import SKETCH_SIZE, Repeat, RepeatIndex, similarity, sketch, union
from pairmill.config import load
from pairmill.errors import InputError
from pairmill.records import digest
from pairmill.sources.notes import InputFate, Note

if TYPE_CHECKING:
    from pathlib import Path

ENDS = ("a", "e", "i", "o", "u", "ai", "ou", "er")
VOCABULARY = [f"{first}{last}" for first in "bdfgklmnprst" for last in ENDS]


def _text(rng: random.Random, count: int = 300) -> str:
    return " ".join("".join(rng.choices(VOCABULARY, k=3)) for _ in range(count))


def _changed(rng: random.Random, text: str, share: float) -> str:
    words = text.split(" ")
    for at in rng.sample(range(len(words)), round(share * len(words))):
        words[at] = "".join(rng.choices(VOCABULARY, k=3))
    return " ".join(words)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_similarity_is_about_the_share_of_words_that_stayed(share: float) -> None:
    rng = random.Random(1)
    found = [
        similarity(sketch(text), sketch(_changed(rng, text, share)))
        for text in (_text(rng, 240) for _ in range(40))
    ]
    assert abs(sum(found) / len(found) - (1 - share)) < 0.02
    assert similarity(sketch(_text(rng)), sketch(_text(rng))) < 0.2


def test_a_sketch_is_the_same_in_every_process_and_bounded() -> None:
    rng = random.Random(2)
    assert list(sketch("one two three four")) == [308980240, 516772329]
    assert not sketch("two words")
    long, other = _text(rng, 2000), _text(rng, 2000)
    assert len(sketch(long)) == SKETCH_SIZE
    assert union([sketch(long), sketch(other)]) == sketch(f"{long} | {other}") or (
        similarity(union([sketch(long), sketch(other)]), sketch(f"{long} | {other}")) > 0.99
    )


def test_planted_copies_are_found_as_by_brute_force(tmp_path: Path) -> None:
    rng = random.Random(3)
    originals = [_text(rng, 200) for _ in range(60)]
    texts = [*originals]
    for share in (0.05, 0.1, 0.2):
        texts += [_changed(rng, text, share) for text in originals]
    sketches = [sketch(text) for text in texts]
    least = 0.85
    kept: list[int] = []
    expected = set()
    for at, one in enumerate(sketches):
        if any(similarity(one, sketches[other]) >= least for other in kept):
            expected.add(at)
        else:
            kept.append(at)
    with IntakeFile(tmp_path / "intake.db", is_own=True) as file:
        index = RepeatIndex(file, "chunk", least)
        found = {
            at
            for at, text in enumerate(texts)
            if index.check(digest(text), lambda at=at: sketches[at], f"text {at}")  # type: ignore[misc]
        }
    assert len(expected) > 100  # the case occurs
    assert found <= expected
    assert len(found) >= 0.99 * len(expected)


def test_what_was_decided_stays(tmp_path: Path) -> None:
    rng = random.Random(4)
    one = _text(rng)
    other = _changed(rng, one, 0.05)
    path = tmp_path / "intake.db"

    def check(*texts: str, own: bool = True) -> list[Repeat | None]:
        with IntakeFile(path, is_own=own) as file:
            index = RepeatIndex(file, "chunk", 0.85)
            return [index.check(digest(it), lambda it=it: sketch(it), it[:9]) for it in texts]  # type: ignore[misc]

    first = check(one, other)
    assert first[0] is None
    assert first[1] is not None
    assert first[1].source == one[:9]
    assert check(other, one, own=False) == [first[1], None]  # whoever only looks sees the same
    assert check(other, one) == [first[1], None]  # also in another order
    third = _changed(rng, one, 0.04)
    assert check(third, own=False)[0] is not None
    assert check(one, one) == [None, Repeat(one[:9], 1.0)]


def test_many_texts_with_the_same_phrases_cost_no_more(tmp_path: Path) -> None:
    rng = random.Random(5)
    frame = _text(rng, 40)
    with IntakeFile(tmp_path / "intake.db", is_own=True) as file:
        index = RepeatIndex(file, "chunk", 0.85)
        for at in range(90):
            text = f"{frame} {_text(rng, 90)}"
            assert index.check(digest(text), lambda text=text: sketch(text), str(at)) is None  # type: ignore[misc]
        (most,) = file.rows(
            "SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM chunk_runs GROUP BY hash)"
        )[0]
    assert most <= 64


def test_how_many_common_phrases_are_held_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not held is found out again, by the text that has it next."""

    def decide(folder: str) -> tuple[list[Repeat | None], int]:
        rng = random.Random(6)
        frames = [_text(rng, 40) for _ in range(3)]
        (tmp_path / folder).mkdir()
        with IntakeFile(tmp_path / folder / "intake.db", is_own=True) as file:
            index = RepeatIndex(file, "chunk", 0.85)
            found = []
            for at in range(240):
                text = f"{frames[at % 3]} {_text(rng, 60)}"
                for one in (text, _changed(rng, text, 0.02)):
                    made = sketch(one)
                    found.append(index.check(digest(one), lambda made=made: made, str(at)))  # type: ignore[misc]
            return found, len(index._common)

    expected, held = decide("all")
    assert held > 10
    assert sum(it is not None for it in expected) > 200
    monkeypatch.setattr(repeats, "_MOST_COMMON", 4)
    found, held = decide("few")
    assert found == expected
    assert held <= 4


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "intake.db"
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(InputError, match=r"intake\.db: .*may be deleted"):
        IntakeFile(path, is_own=True)


def _records(path: Path, texts: list[str]) -> None:
    path.write_bytes(
        b"".join(
            orjson.dumps({"text": text, "url": f"https://example.org/{digest(text)}"}) + b"\n"
            for text in texts
        )
    )


def _kept(path: Path, notes: list[Note] | None = None, **settings: Any) -> list[str]:
    chosen = load(given={"inputs": (str(path),), "output": path.parent / "out", **settings})
    watch = notes.append if notes is not None else (lambda _: None)
    return [chunk.text for chunk in chunks_of(ReaderJob.of(chosen), watch)]


def test_which_copy_is_kept_does_not_depend_on_the_order(tmp_path: Path) -> None:
    rng = random.Random(6)
    texts = []
    for _ in range(12):
        one = _text(rng, 120)
        texts += [one, _changed(rng, one, 0.04), _changed(rng, one, 0.08)]
    kept = set()
    for number in range(4):
        rng.shuffle(texts)
        _records(tmp_path / f"{number}.jsonl", texts)
        kept.add(frozenset(_kept(tmp_path / f"{number}.jsonl", duplicates="near")))
    assert len(kept) == 1
    assert 12 <= len(next(iter(kept))) < 20


def test_duplicates_are_named_and_counted(tmp_path: Path) -> None:
    rng = random.Random(7)
    paragraphs = [_text(rng, 200) for _ in range(4)]
    whole = "\n\n".join(paragraphs)
    partly = "\n\n".join([paragraphs[0], _text(rng, 200)])
    _records(tmp_path / "a.jsonl", [whole, whole, partly])
    notes: list[Note] = []
    sizes: dict[str, Any] = {"chunk_target_chars": 1000, "chunk_max_chars": 1500}
    kept = _kept(tmp_path / "a.jsonl", notes, **sizes)
    assert len(kept) == len(set(kept))
    told = {note.fate: note for note in notes if note.chunks}
    assert told[InputFate.DROPPED].reason == "duplicate"
    assert told[InputFate.DROPPED].chunks == 8
    assert told[InputFate.DROPPED].chars > 6000
    assert told[InputFate.REPEATED].chunks == 2
    assert told[InputFate.REPEATED].detail.startswith("2 of 4 chunks, of ")
    assert len(_kept(tmp_path / "a.jsonl", duplicates="off", **sizes)) == len(kept) + 10


def test_a_folder_that_was_begun_before_is_read_as_before(tmp_path: Path) -> None:
    rng = random.Random(8)
    one = _text(rng, 120)
    _records(tmp_path / "a.jsonl", [one, _changed(rng, one, 0.04)])
    state = tmp_path / "out" / ".run"
    state.mkdir(parents=True)
    (state / "origin.json").write_bytes(b'{"identities": ["x"], "reading": 2}')
    assert len(_kept(tmp_path / "a.jsonl", duplicates="near")) == 2
    (state / "origin.json").write_bytes(b'{"identities": ["x"], "reading": 3}')
    assert len(_kept(tmp_path / "a.jsonl", duplicates="near")) == 1


def test_a_run_remembers_and_whoever_looks_does_not(tmp_path: Path) -> None:
    rng = random.Random(9)
    one = _text(rng, 120)
    other = _changed(rng, one, 0.04)
    path = tmp_path / "a.jsonl"
    state = tmp_path / "out" / ".run"
    state.mkdir(parents=True)
    chosen = load(given={"inputs": (str(path),), "output": tmp_path / "out", "duplicates": "near"})
    _records(path, [other])
    assert _kept(path, duplicates="near") == [other]
    assert not (state / "intake.db").exists()
    job = ReaderJob.of(chosen, keeps_memory=True)
    assert [unpack(it).text for batch in read_batches(job) for it in batch.chunks] == [other]
    longer = f"{one} zzz"  # would be preferred, were the other not paid for
    _records(path, [longer, other])
    assert [unpack(it).text for batch in read_batches(job) for it in batch.chunks] == [other]
