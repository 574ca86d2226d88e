from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Literal, get_args, get_origin

import orjson
from tools import reference, site

from pairmill.config import Settings
from pairmill.output.formats.registry import FORMATS
from pairmill.reference import GROUPS, SETTINGS
from pairmill.simulator import Reply, When, load_scenario, scenario_names
from pairmill.store.columns import ROW_FEATURES

ROOT = Path(__file__).parents[2]


def test_generated_pages_are_what_the_code_says() -> None:
    for name in reference.PARTS:
        old, new = reference.page(name)
        assert old == new, f"docs/{name}: run `make docs`"


def test_every_setting_is_described_with_its_true_default_and_choices() -> None:
    assert set(SETTINGS) == set(Settings.model_fields)
    assert {text.group for text in SETTINGS.values()} == set(GROUPS)
    for name, text in SETTINGS.items():
        field = Settings.model_fields[name]
        default = field.default
        if default is False:
            assert text.default == "no", name
        elif isinstance(default, (int, float)):
            assert float(text.default) == default, name
        elif isinstance(default, (str, Path)):
            assert text.default == str(default), name
        words = [word for word in _words(field.annotation) if word != "default"]
        assert list(text.choices) == (words if len(words) > 1 else []), name


def _words(annotation: object) -> list[str]:
    """The words of a ``Literal``, wherever it stands in a type."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    if get_origin(annotation) is dict:
        return []
    return [word for part in get_args(annotation) for word in _words(part)]


def test_every_link_in_the_documents_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_file_of_ours_that_the_documents_name_is_there() -> None:
    folders = ("src", "tests", "benchmarks", "tools", "examples", "docker")
    there = [path.as_posix() for folder in folders for path in (ROOT / folder).rglob("*.*")]
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    for page in [*pages, *ROOT.glob("benchmarks/**/*.md")]:
        for name in re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|yaml|js))`", page.read_text("utf-8")):
            assert any(path.endswith(f"/{name}") for path in there), f"{page.name}: {name}"


def test_the_site_has_every_page_and_no_link_that_leads_nowhere(tmp_path: Path) -> None:
    assert site.write(tmp_path) == []
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert {"index.html", "docs/index.html", "docs/cli.html", "docs/settings.html"} <= written
    for path in tmp_path.rglob("*.html"):
        text = path.read_text("utf-8")
        assert not re.findall(r'<(?:script|link|iframe)\b|<img[^>]+src="https?:', text)
        for href in re.findall(r'href="(?!https?:|#)([^"#]+\.html)', text):
            assert (path.parent / href).is_file(), f"{path.name}: {href}"


def test_every_page_of_the_documentation_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name}" in index, page.name


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


def test_the_architecture_page_names_what_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    package = ROOT / "src" / "pairmill"
    folders = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    assert not [name for name in folders if f"`{name}/`" not in text]
    there = [path.relative_to(package).as_posix() for path in package.rglob("*.py")]
    for name in set(re.findall(r"\b([a-z_]+(?:/[a-z_]+)*\.py)\b", text)):
        assert any(f"/{path}".endswith(f"/{name}") for path in there), name


def test_the_architecture_page_draws_the_layers_as_they_are() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawn = text.partition("## Layers")[2].split("```")[1].split("\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = (it for it in contracts if it["type"] == "layers")
    layers = [layer.replace("pairmill.", "") for layer in contract["layers"]]
    assert [line.strip() for line in drawn if line.strip()] == layers[1:]  # without __main__


def test_each_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in sorted((ROOT / "docs" / "decisions").glob("0*.md"))]
    assert len(numbers) > 40
    assert len(numbers) == len(set(numbers))


def test_the_lists_of_export_formats_are_those_of_the_code() -> None:
    cli = (ROOT / "docs" / "cli.md").read_text("utf-8")
    [told] = re.findall(r"^\| `--to FORMAT` \|[^|]*\| (.*)\. \|$", cli, re.MULTILINE)
    named = re.split(", | or ", told)
    assert named == list(FORMATS), (
        "name all in the help of --to in commands/export.py, then `make docs`"
    )
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for pattern, wanted in (
        (r"\nFormats: (.*?)\. A row", set(FORMATS)),
        (r"It works with (.*?)\.\n", {n for n, it in FORMATS.items() if it.passage != "none"}),
        (
            r"to rows that have none \((.*?)\)",
            {n for n, it in FORMATS.items() if it.system == "own"},
        ),
        (r"formats with plain columns \((.*?)\)", set(filter(_is_plain, FORMATS))),
    ):
        [told] = re.findall(pattern, text, re.DOTALL)
        named_there = FORMATS.keys() & re.findall(r"`(\w+)`", told)
        assert named_there == wanted, f"docs/commands.md, the list in '{told[:60]}...'"


def test_the_row_in_the_readme_has_all_columns_in_their_order() -> None:
    [row] = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert list(orjson.loads(row)) == list(ROW_FEATURES)


def _is_plain(name: str) -> bool:
    return all(isinstance(kind, str) for kind in FORMATS[name].schema.values())
