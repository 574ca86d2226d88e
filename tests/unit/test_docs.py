from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from pairmill.config import Settings, fingerprint, load
from pairmill.simulator import Reply, When, load_scenario, scenario_names

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_and_marked_as_it_is() -> None:
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    first = re.findall(r"^\| (`[^|]*`)( \*)? \|", text, re.MULTILINE)
    rows = [(name, mark) for names, mark in first for name in re.findall(r"`(\w+)`", names)]
    assert [name for name, _ in rows] == list(dict.fromkeys(name for name, _ in rows))
    assert {name for name, _ in rows} == set(Settings.model_fields)
    assert {name for name, mark in rows if mark} == set(fingerprint(load(given={})))


def test_every_link_in_the_documents_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tests_that_the_promises_name_are_there() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named <= there, sorted(named - there)
    faults = [int(number) for number in re.findall(r"^\| (\d\d) \|", text, re.MULTILINE)]
    assert sorted(faults) == list(range(1, max(54, len(faults)) + 1))


def test_every_scenario_and_every_word_of_a_rule_is_documented(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "simulator.md").read_text("utf-8")
    for name in scenario_names():
        about = load_scenario(name).about.replace("|", r"\|")
        assert f"| `{name}` | {about} |" in text, name
    for word in (*dataclasses.fields(When), *dataclasses.fields(Reply)):
        assert f"`{word.name}`" in text, word.name
    own = tmp_path / "mine.yaml"
    own.write_text(text.partition("```yaml\n")[2].partition("```")[0])
    assert len(load_scenario(str(own)).settings.rules) > 3
