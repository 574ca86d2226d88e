"""Chunks and answers that are poison: they end as tombstones, and harm nothing else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from tests.support.cli import environment, rejects, rows
from tests.support.corpus import article, write_corpus
from tests.support.peak import run_for_peak
from tests.support.waiting import wait_until

from pairmill.simulator import (
    Faults,
    Latency,
    ScheduledStep,
    Simulator,
    SimulatorProcess,
    SimulatorSettings,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.forge import Forge

pytestmark = pytest.mark.fault

POISON = (
    "bom",
    "deep_nesting",
    "duplicate_keys",
    "empty_strings",
    "endless_whitespace",
    "huge",
    "lone_surrogate",
    "long_digits",
    "nan",
    "nul",
    "numbers",
    "raw_newlines",
    "raw_surrogate",
    "repeated_pairs",
    "whole_twice",
    "wrong_types",
)


SENTENCE = re.compile(r"In (\w+) the (\w+) number (\d+) (\w+) the (\w+) because (\d+) people")


def _separators(number: int) -> str:
    """A pair whose answer holds every line end that is none in JSON Lines."""
    text = article(number, 10)
    told = [
        f"For {many} people {thing} matters: {place} has its {subject}, {index}, which {verb} it."
        for place, subject, index, verb, thing, many in SENTENCE.findall(text)[:3]
    ]
    answer = f"{told[0]}\u2028{told[1]}\u2029\x85\u000b{told[2]}"
    pair = {
        "type": "fact",
        "evidence": SENTENCE.search(text)[0],  # type: ignore[index]
        "instruction": f"What do people rely on in report {number}?",
        "answer": answer,
    }
    return json.dumps({"skip": None, "pairs": [pair]}, ensure_ascii=False)


def test_every_kind_of_poison_in_one_run(forge: Forge, fast_path: Path) -> None:
    """Faults 42, 43, 44: each poisoned chunk beside one that is not."""
    corpus, out = write_corpus(fast_path / "articles", 2 * len(POISON) + 1, 10), fast_path / "out"
    script = [
        ScheduledStep(fault=fault, match=f"# Report {2 * number}\n", times=None)
        for number, fault in enumerate(POISON)
    ]
    last = 2 * len(POISON)
    script.append(ScheduledStep(content=_separators(last), match=f"# Report {last}\n", times=None))
    with SimulatorProcess(SimulatorSettings(script=tuple(script))) as endpoint:
        child = forge.run("run", corpus, "-o", out, url=endpoint.url)
        assert endpoint.report()["billed"] <= 3 * (last + 1) + 1
    assert "Traceback" not in child.stderr
    for shard in (out / "data").glob("*.jsonl"):
        for line in shard.read_bytes().split(b"\n")[:-1]:
            row = orjson.loads(line)  # strict UTF-8, no NaN
            text = json.dumps(row, ensure_ascii=False)
            assert "\0" not in row["instruction"] + row["answer"]
            assert len(text) < 100_000
            text.encode()
    written = {number_of(row) for row in rows(out)}
    lost = {number_of(row) for row in rejects(out) if row["whole_unit"]}
    assert written | lost == set(range(last + 1))
    assert not written & lost
    assert set(range(1, last, 2)) <= written, "a chunk that was not poisoned is gone"
    assert last in written
    assert all(row["attempts"] <= 3 for row in rejects(out))


def number_of(row: dict[str, Any]) -> int:
    return int(row["source"].removesuffix(".md").rpartition("-")[2])


def test_an_answer_of_100_megabytes_is_not_read_to_its_end(fast_path: Path) -> None:
    """Fault 42: nor held in memory; the chunk beside it is fine."""
    corpus, out = write_corpus(fast_path / "articles", 2, 10), fast_path / "out"
    config = fast_path / "settings.yaml"
    config.write_text("structured_output: json_schema\n")
    settings = SimulatorSettings(
        script=(ScheduledStep(fault="huge", match="# Report 0\n", times=None),),
        faults=Faults(huge_chars=100_000_000),
    )
    with SimulatorProcess(settings) as endpoint:
        command = ["-m", "pairmill", "run", str(corpus), "-o", str(out), "--config", str(config)]
        code, told, peak = run_for_peak(command, fast_path / "peak", environment(endpoint.url))
    assert code == 0, told
    assert peak < 400 * 1024, f"{peak} KiB"
    assert {number_of(row) for row in rows(out)} == {1}
    assert {number_of(row) for row in rejects(out)} == {0}


def test_when_all_chunks_fail_all_are_tombstones_and_the_run_has_failed(
    forge: Forge, fast_path: Path
) -> None:
    """Fault 45; ``test_a_model_that_cannot_do_it_is_found_out_early`` has a large input."""
    corpus, out = write_corpus(fast_path / "articles", 5, 10), fast_path / "out"
    script = (ScheduledStep(fault="refusal", times=None),)
    with Simulator(SimulatorSettings(script=script)) as endpoint:
        command = ("run", corpus, "-o", out, "--config", _config(fast_path))
        child = forge.start(*command, url=endpoint.url)
        assert child.wait() == 1
        assert "no pair was written out of 5 chunks (5 refusal)" in child.stderr
        assert len({row["id"] for row in rejects(out) if row["whole_unit"]}) == 5
        calls = endpoint.report()["calls"]
        assert calls == 15
        assert forge.start(*command, url=endpoint.url).wait() == 1
        assert endpoint.report()["calls"] == calls


def test_a_repair_that_repeats_itself_ends(forge: Forge, fast_path: Path) -> None:
    """Fault 46."""
    corpus, out = write_corpus(fast_path / "articles", 1, 10), fast_path / "out"
    script = (ScheduledStep(content='{"pairs": "always the same"}', times=None),)
    with Simulator(SimulatorSettings(script=script)) as endpoint:
        command = ("run", corpus, "-o", out, "--config", _config(fast_path))
        assert forge.start(*command, url=endpoint.url).wait() == 1
        assert endpoint.report()["calls"] == 2
    assert rejects(out)[0]["raw"] == '{"pairs": "always the same"}'


WIRE = (
    "bad_gateway",
    "close_after",
    "close_mid_body",
    "conflict",
    "cut_envelope",
    "drip",
    "empty_body",
    "error_200",
    "garbage",
    "gateway_timeout",
    "hang",
    "hang_mid_body",
    "html_200",
    "loading",
    "missing_usage",
    "no_choices",
    "not_an_object",
    "null_choices",
    "null_content",
    "odd_usage",
    "overloaded_529",
    "rate_limit",
    "reset",
    "reset_mid_body",
    "resource_exhausted",
    "server_error",
    "tgi_overloaded",
    "two_choices",
    "unknown_finish_reason",
    "wrong_model",
    "zero_usage",
)


def test_whatever_the_wire_does_once_every_chunk_gets_its_pairs(
    forge: Forge, fast_path: Path
) -> None:
    """Faults 34 to 37, 40, 41: all in one run, each at the first attempt of a chunk."""
    corpus, out = write_corpus(fast_path / "articles", len(WIRE) + 10, 10), fast_path / "out"
    config = _config(fast_path, "timeout_s: 1.5\nconcurrency: 8\n")
    script = [
        ScheduledStep(fault=fault, match=f"# Report {number}\n", times=1, retry_after_s=0.1)
        for number, fault in enumerate(WIRE)
    ]
    settings = SimulatorSettings(
        script=tuple(script), faults=Faults(drip_interval_s=0.001, drip_bytes=200)
    )
    with SimulatorProcess(settings) as endpoint:
        child = forge.run("run", corpus, "-o", out, "--config", config, url=endpoint.url)
        report = endpoint.report()
        assert set(report["by_fault"]) == set(WIRE)
    assert "Traceback" not in child.stderr
    assert {number_of(row) for row in rows(out)} == set(range(len(WIRE) + 10))


def test_a_server_that_dies_under_way_and_comes_back(forge: Forge, fast_path: Path) -> None:
    """Faults 32, 33: and one that is not there yet at the start."""
    corpus, out = write_corpus(fast_path / "articles", 60, 10), fast_path / "out"
    config = _config(fast_path, "concurrency: 4\n")
    latency = Latency("fixed", 0.05)
    with SimulatorProcess(SimulatorSettings(latency=latency)) as first:
        port, url = int(first.url.split(":")[2].split("/")[0]), first.url
    command = ("run", corpus, "-o", out, "--config", config)
    child = forge.start(*command, url=url)
    for _ in range(2):
        with SimulatorProcess(SimulatorSettings(latency=latency, port=port)) as endpoint:
            wait_until(lambda endpoint=endpoint: endpoint.report()["answered"] >= 15, child)  # type: ignore[misc]
    with SimulatorProcess(SimulatorSettings(latency=latency, port=port)):
        assert child.wait() == 0, child.stderr
    assert len({row["document_id"] for row in rows(out)}) == 60


def _config(folder: Path, more: str = "") -> Path:
    config = folder / "settings.yaml"
    config.write_text("structured_output: json_schema\n" + more, "utf-8")
    return config
