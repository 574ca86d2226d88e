from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import KEY, pairmill, rejects, rows
from tests.support.corpus import article, write_corpus

from pairmill.simulator import ScheduledStep, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_articles_become_pairs_and_a_second_start_asks_nothing(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 6), tmp_path / "out"
    with Simulator() as endpoint:
        first = pairmill("run", corpus, "-o", out, url=endpoint.url)
        assert first.returncode == 0, first.stderr
        asked = endpoint.report()["calls"]
        second = pairmill("run", corpus, "-o", out, url=endpoint.url)
        assert endpoint.report()["calls"] == asked
    assert second.returncode == 0
    assert "the model was not asked" in second.stderr
    found = rows(out)
    assert len(found) >= 6 * 3
    assert len({row["id"] for row in found}) == len(found)
    assert {row["document_id"] for row in found} == {r["document_id"] for r in rows(out)}
    assert all(row["model"] and row["instruction"] and row["answer"] for row in found)
    assert "\r" not in first.stderr


def test_the_answers_come_from_their_chunks(tmp_path: Path) -> None:
    source, out = tmp_path / "one.txt", tmp_path / "out"
    source.write_text(article(7), "utf-8")
    with Simulator() as endpoint:
        assert pairmill("run", source, "-o", out, url=endpoint.url).returncode == 0
    for row in rows(out):
        assert row["evidence"] in " ".join(article(7).split())


@pytest.mark.slow
def test_what_is_new_is_all_that_is_asked(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 3, 12), tmp_path / "out"
    with Simulator() as endpoint:
        pairmill("run", corpus, "-o", out, url=endpoint.url)
        before, asked = {row["id"] for row in rows(out)}, endpoint.report()["calls"]
        (corpus / "aaa-first.md").write_text(article(50, 12), "utf-8")
        assert pairmill("run", corpus, "-o", out, url=endpoint.url).returncode == 0
        assert endpoint.report()["calls"] == asked + 1
    assert before < {row["id"] for row in rows(out)}


BROKEN = {
    # fault: (answers bought for the unit, pairs) when only the first answer is broken
    "fences": (1, 3),
    "prose_around": (1, 3),
    "trailing_comma": (1, 3),
    "single_quotes": (1, 3),
    "cut_off": (2, 3),
    "two_of_three": (2, 3),
    "one_broken": (2, 3),
    "wrong_keys": (2, 3),
    "empty_content": (2, 3),
    "html_200": (1, 3),
    "null_choices": (1, 3),
    "wrong_types": (2, 3),
    "refusal": (2, 3),
    "thinking": (1, 3),
    "double_encoded": (1, 3),
    "lone_surrogate": (1, 3),
}


def _broken_corpus(tmp_path: Path, times: int | None) -> tuple[Path, SimulatorSettings]:
    folder = tmp_path / "articles"
    folder.mkdir()
    steps = []
    for number, fault in enumerate(BROKEN):
        (folder / f"{fault}.md").write_text(article(number, 22), "utf-8")
        steps.append(ScheduledStep(fault=fault, match=f"# Report {number}\n", times=times))
    # What is left of a broken answer is rarely a good pair; here only its mending is looked at.
    (tmp_path / "lenient.yaml").write_text("checks: off\n", "utf-8")
    return folder, SimulatorSettings(script=tuple(steps))


def test_an_answer_that_is_broken_once_still_becomes_pairs(tmp_path: Path) -> None:
    corpus, settings = _broken_corpus(tmp_path, 1)
    lenient = ("--config", tmp_path / "lenient.yaml")
    with Simulator(settings) as endpoint:
        run = pairmill("run", corpus, "-o", tmp_path / "out", *lenient, url=endpoint.url)
    assert run.returncode == 0, run.stderr
    ended: dict[str, tuple[int, int]] = {}
    for row in rows(tmp_path / "out"):
        fault = row["source"].removesuffix(".md").rpartition("/")[2]
        ended[fault] = (row["attempts"], ended.get(fault, (0, 0))[1] + 1)
    assert ended == BROKEN


@pytest.mark.slow
def test_an_answer_that_stays_broken_is_counted_and_kept(tmp_path: Path) -> None:
    corpus, settings = _broken_corpus(tmp_path, None)
    lenient = ("--config", tmp_path / "lenient.yaml")
    with Simulator(settings) as endpoint:
        run = pairmill("run", corpus, "-o", tmp_path / "out", *lenient, url=endpoint.url)
    assert "Traceback" not in run.stderr
    written = {row["source"] for row in rows(tmp_path / "out")}
    lost = {row["source"]: row for row in rejects(tmp_path / "out") if row["whole_unit"]}
    assert not written & set(lost)
    assert len(written) + len(lost) == len(BROKEN)
    assert all(row["reason"] and row["attempts"] <= 3 for row in lost.values())
    assert sum(bool(row["raw"]) for row in lost.values()) >= len(lost) - 3


@pytest.mark.slow
def test_changed_settings_are_named_and_need_consent(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 2, 12), tmp_path / "out"
    with Simulator() as endpoint:
        pairmill("run", corpus, "-o", out, url=endpoint.url)
        again = ("run", corpus, "-o", out, "--pairs-per-chunk", "2")
        refused = pairmill(*again, url=endpoint.url)
        assert refused.returncode == 2
        assert "pairs_per_chunk" in refused.stderr
        assert "--accept-change" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
        before = len(rows(out))
        accepted = pairmill(*again, "--accept-change", url=endpoint.url)
        assert accepted.returncode == 0, accepted.stderr
    assert len(rows(out)) > before


def test_no_key_is_left_anywhere(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 2, 12), tmp_path / "out"
    settings = SimulatorSettings(
        script=(ScheduledStep(status=500, body={"error": {"message": f"bad key {KEY}"}}, times=2),)
    )
    with Simulator(settings) as endpoint:
        run = pairmill("run", corpus, "-o", out, url=endpoint.url)
    assert run.returncode == 0, run.stderr
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(left) > 5
    assert not [path for path in left if KEY.encode() in path.read_bytes()]
    assert KEY not in run.stderr + run.stdout


@pytest.mark.parametrize("ignores", [True, False])
def test_a_short_run_about_nothing_is_warned_of_at_its_end(tmp_path: Path, ignores: bool) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 15, 12), tmp_path / "out"
    settings = tmp_path / "keep.yaml"
    settings.write_text("checks: {ungrounded: flag, twin: flag}\n")
    with Simulator(SimulatorSettings(ignore_chunk=ignores)) as endpoint:
        run = pairmill("run", corpus, "-o", out, "--config", settings, url=endpoint.url)
    assert run.returncode == 0, run.stderr
    assert ("warning: the answers are no closer to their chunk" in run.stderr) == ignores


def test_status_and_show_read_what_is_there(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 2, 12), tmp_path / "out"
    with Simulator() as endpoint:
        pairmill("run", corpus, "-o", out, url=endpoint.url)
    status = json.loads(pairmill("status", out, "--json").stdout)
    assert status["pairs"] == len(rows(out))
    assert status["units"] == {"written": 2}
    shown = pairmill("show", out, "--count", "2", "--seed", "1").stdout
    assert shown.count("instruction") == 2
    assert "people rely on it." in shown


def test_standard_input_is_read(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": article(n, 12), "title": f"T{n}"}) + "\n" for n in range(3))
    out = tmp_path / "out"
    with Simulator() as endpoint:
        run = pairmill("run", "-", "-o", out, url=endpoint.url, input_text=lines)
    assert run.returncode == 0, run.stderr
    assert {row["title"] for row in rows(out)} == {"T0", "T1", "T2"}


def test_quiet_says_how_it_ended_and_nothing_else(tmp_path: Path) -> None:
    corpus, out = write_corpus(tmp_path / "articles", 2), tmp_path / "out"
    with Simulator() as endpoint:
        ended = pairmill("run", corpus, "-o", out, "--model", "m", "-q", url=endpoint.url)
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.endswith(f"pairs in {out}")
