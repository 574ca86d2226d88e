from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from pairmill.config import fingerprint, load
from pairmill.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_given_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: small\nconcurrency: 4\n")
    settings = load(file, {"model": "large", "concurrency": None})
    assert (settings.model, settings.concurrency) == ("large", 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("concurency: 4\n", "unknown setting 'concurency'; did you mean 'concurrency'?"),
        ("concurrency: no\n", "concurrency: "),
        ("page_s: .inf\n", "page_s: "),
        ("page_s: 1.0e+12\n", "page_s: "),
        ("model: a\nmodel: b\n", "line 2: the key 'model' is given twice"),
        ("model: [\n", "line 2"),
        ("? [a, b]\n: 1\n", "a name must be a plain word"),
        ("? {a: b}\n: 1\n", "a name must be a plain word"),
        (f"model: {'[' * 5000}{']' * 5000}\n", "nested too deeply"),
        (f"model: {'{a: ' * 5000}{'}' * 5000}\n", "nested too deeply"),
        (f"seed: {2**63}\n", "seed: the number is too large"),
        (f"seed: {'9' * 5000}\n", "run.yaml: "),
        (f"limit: {2**64}\n", "limit: the number is too large"),
        ("max_usd: .inf\n", "max_usd: input should be a finite number"),
        ("max_usd: 1e99999\n", "max_usd: input should be a finite number"),
        ("max_hours: .nan\n", "max_hours: input should be a finite number"),
        ("checks: {ungrounded_below: .inf}\n", "checks.ungrounded_below: input should be"),
        ('output: "a\\0b"\n', "output: holds a NUL character"),
        ('inputs: ["a\\0b"]\n', "inputs.0: holds a NUL character"),
        ("seed: 2026-13-45\n", "run.yaml: "),
        ("- model\n", "expected 'name: value' lines"),
        ("chunk_max_chars: 100\n", "chunk_min_chars <= chunk_target_chars"),
    ],
)
def test_a_file_that_cannot_work_is_refused_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no-such\.yaml: No such file"):
        load(tmp_path / "no-such.yaml")


def test_only_what_decides_the_pairs_is_in_the_fingerprint() -> None:
    plain = fingerprint(load(given={}))
    assert plain == fingerprint(load(given={"concurrency": 7, "timeout_s": 1}))
    assert plain != fingerprint(load(given={"pairs_per_chunk": 2}))
    assert plain["recipe"] == "backtranslate"
    assert fingerprint(load(given={"model": "local"}))["recipe"] == "extractive"


@pytest.mark.parametrize("name", ["rpm", "tpm", "input_tpm", "output_tpm"])
def test_a_limit_is_a_finite_number(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: input should be a finite number$"):
        load(given={name: math.inf})
    with pytest.raises(ConfigError, match=rf"^pools.0.{name}: input should be a finite number$"):
        load(given={"pools": [{"name": "a", name: math.nan}]})


def test_the_environment_wins_over_the_file_and_what_is_given_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: small\nlimits: {rpm: 10}\nseed: 1\n")
    monkeypatch.setenv("PAIRMILL__LIMITS__RPM", "60")
    monkeypatch.setenv("PAIRMILL__SEED", "2")
    monkeypatch.setenv("PAIRMILL__STATUS", "9090")
    monkeypatch.setenv("PAIRMILL__LANGUAGES", "[en, de]")
    monkeypatch.setenv("PAIRMILL__MODEL", "")  # as a manifest leaves what is not wanted
    settings = load(file, {"seed": 3})
    assert (settings.model, settings.rpm, settings.seed) == ("small", 60, 3)
    assert (settings.status, settings.languages) == ("9090", ("en", "de"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PAIRMILL__RPMM", "1", "PAIRMILL__RPMM: unknown setting 'rpmm'; did you mean 'rpm'?"),
        ("PAIRMILL__LIMITS__RPMM", "1", "environment: unknown setting 'limits.rpmm'"),
        ("PAIRMILL__RPM", "[", "PAIRMILL__RPM: the value is not valid YAML"),
        ("PAIRMILL__RPM", "2026-13-45", "PAIRMILL__RPM: the value is not valid YAML"),
        ("PAIRMILL__RPM", "9" * 5000, "PAIRMILL__RPM: the value is not valid YAML"),
        ("PAIRMILL__RPM", "[" * 5000, "PAIRMILL__RPM: the value is not valid YAML"),
        ("PAIRMILL__RPM", "many", "rpm: "),
    ],
)
def test_what_the_environment_gives_is_checked(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(caught.value).startswith(message)


def test_a_part_has_a_folder_of_its_own_whoever_loads_it_again(tmp_path: Path) -> None:
    settings = load(given={"output": str(tmp_path), "partition": "1/3"})
    assert settings.output == tmp_path / "part-1-of-3"
    again = load(given={"output": str(settings.output), "partition": settings.partition})
    assert again.output == settings.output
    with pytest.raises(ConfigError, match="target_pairs: a part does not know"):
        load(given={"partition": "1/3", "target_pairs": 10})
