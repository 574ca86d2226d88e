"""A run of the command line against a named scenario, and what is expected of it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.cli import KEY, environment, rejects, rows
from tests.support.corpus import write_corpus

from pairmill.simulator import SimulatorProcess, SimulatorSettings, TlsFiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["CHUNKS", "Case", "Outcome", "cases", "check", "play", "play_again"]

CHUNKS = 26
"""Chunks of the corpus: one an article, so that one breaker or another has something to count."""
_LIMIT_S = 110.0
_SEED = 3


@dataclass(frozen=True)
class Outcome:
    """What a run against a scenario came to.

    Attributes:
        code: Exit code.
        said: Standard error and output.
        report: The simulator's: calls, bills and what else it saw.
    """

    code: int
    said: str
    rows: list[dict[str, Any]]
    rejects: list[dict[str, Any]]
    report: dict[str, Any]

    @property
    def chunks(self) -> int:
        """Chunks with at least one published pair."""
        return len({row["chunk_id"] for row in self.rows})

    @property
    def lost(self) -> int:
        """Chunks that became tombstones: rejected, with nothing published."""
        kept = {row["chunk_id"] for row in self.rows}
        return len({it["chunk_id"] for it in self.rejects} - kept)

    @property
    def refused(self) -> int:
        """Calls that cost nothing."""
        return int(self.report["calls"] - self.report["billed"])

    @property
    def sends(self) -> int:
        """The most that any one request was sent."""
        return max((sent for sent, _ in self.report["attempts_of"].values()), default=0)

    @property
    def bills(self) -> int:
        """The most that any one request was billed."""
        return max((billed for _, billed in self.report["attempts_of"].values()), default=0)


@dataclass(frozen=True)
class Case:
    """What a user would want of a run against a scenario.

    Attributes:
        scenario: Its name.
        told: What the server is told instead of a scenario of that name.
        code: Exit codes that are right.
        chunks: Chunks with pairs at the end, at least; of ``corpus``.
        lost: Chunks that may become tombstones, at most.
        says: Texts that the user is told, without regard to case.
        refused: Calls that come back unbilled, at most.
        billed: Calls that are billed, at most.
        sends, bills: How often one request may be sent, and be billed.
        corpus: Chunks that there are.
        settings: Of the run.
        path: What stands behind the host in the base URL.
        todo: Why the test is known to fail, until it does not.
    """

    scenario: str
    code: tuple[int, ...] = (0,)
    chunks: int | None = None
    lost: int = 0
    says: tuple[str, ...] = ()
    refused: int | None = None
    billed: int | None = None
    sends: int | None = None
    bills: int = 2
    corpus: int = CHUNKS
    settings: Mapping[str, Any] = field(default_factory=dict)
    path: str = "/v1"
    todo: str = ""
    told: SimulatorSettings | None = None


def cases(*given: Case) -> pytest.MarkDecorator:
    """The cases as parameters of a test, by name."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                case,
                id=case.scenario,
                marks=[pytest.mark.xfail(reason=case.todo, strict=False)] if case.todo else [],
            )
            for case in given
        ],
    )


def check(case: Case, folder: Path, tls: TlsFiles | None = None) -> Outcome:
    """Play a case and assert what it says; the outcome, for more."""
    told = case.told or SimulatorSettings(scenario=case.scenario, tls=tls)
    outcome = play(told, folder, chunks=case.corpus, settings=case.settings, path=case.path)
    seen = (
        f"{case.scenario}: exit {outcome.code}, {outcome.chunks} of {case.corpus} chunks, "
        f"{outcome.lost} lost, {outcome.report['calls']} calls, {outcome.report['billed']} billed, "
        f"one request sent {outcome.sends} times and billed {outcome.bills} times\n{outcome.said}"
    )
    assert outcome.code in case.code, seen
    wanted = case.chunks
    if wanted is None:
        wanted = case.corpus - case.lost if case.code == (0,) else 0
    assert outcome.chunks >= wanted, seen
    assert outcome.lost <= case.lost, seen
    for text in case.says:
        assert text.lower() in outcome.said.lower(), f"not told: {text}\n{seen}"
    assert "inf s" not in outcome.said, seen
    if case.refused is not None:
        assert outcome.refused <= case.refused, seen
    if case.billed is not None:
        assert outcome.report["billed"] <= case.billed, seen
    if case.sends is not None:
        assert outcome.sends <= case.sends, seen
    assert outcome.bills <= case.bills, seen
    ids = [row["id"] for row in outcome.rows]
    assert len(ids) == len(set(ids)), seen
    return outcome


def play(
    scenario: str | SimulatorSettings,
    folder: Path,
    *flags: str,
    chunks: int = CHUNKS,
    settings: Mapping[str, Any] | None = None,
    path: str = "/v1",
) -> Outcome:
    """Run ``pairmill run`` over a small corpus against a scenario in a process of its own.

    Args:
        scenario: Its name, or settings that name one.
        folder: Where the corpus and the run's folder ``out`` are made.
        flags: More of the command line.
        chunks: Chunks in the corpus.
        settings: Of the run, as a settings file holds them.
        path: What stands behind the host in the base URL.
    """
    given = scenario if isinstance(scenario, SimulatorSettings) else None
    told = given or SimulatorSettings(scenario=str(scenario))
    write_corpus(folder / "articles", chunks, sentences=8)
    (folder / "settings.yaml").write_text(
        yaml.safe_dump({"model": "simulated", **(settings or {})})
    )
    with SimulatorProcess(dataclasses.replace(told, seed=told.seed or _SEED)) as endpoint:
        return _run(endpoint, folder, flags, path)


def play_again(folder: Path, scenario: str | None = None, *flags: str) -> Outcome:
    """The same command once more, with a healthy endpoint or one of another scenario."""
    with SimulatorProcess(SimulatorSettings(scenario=scenario, seed=_SEED)) as endpoint:
        return _run(endpoint, folder, flags, "/v1")


def _run(endpoint: SimulatorProcess, folder: Path, flags: tuple[str, ...], path: str) -> Outcome:
    url = endpoint.url.removesuffix("/v1") + path
    command = ["run", "articles", "-o", "out", "--config", "settings.yaml", *flags]
    done = subprocess.run(
        [sys.executable, "-m", "pairmill", *command],
        cwd=folder,
        env=environment(url) | {name: os.environ[name] for name in _TRUST if name in os.environ},
        input="",
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    said = done.stderr + done.stdout
    assert "Traceback" not in said, said
    assert KEY not in said
    out = folder / "out"
    return Outcome(done.returncode, said, rows(out), rejects(out), endpoint.report(attempts=True))


_TRUST = ("SSL_CERT_FILE",)
