from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from tests.support.cli import environment, rejects, rows
from tests.support.corpus import write_corpus

from pairmill.chunking.reader import read_chunks
from pairmill.config import Settings
from pairmill.llm.local import model_path, running_server
from pairmill.recipes.answer_fields import make_model
from pairmill.recipes.answers import json_schema
from pairmill.recipes.load import library_names, library_text, read_recipe_text
from pairmill.recipes.make import for_unit, make_recipe
from pairmill.store.entries import UnitKey
from pairmill.store.sqlite.lookup import SqliteLookup

if TYPE_CHECKING:
    from pathlib import Path

    from pairmill.llm.providers.endpoint import Endpoint
    from pairmill.records import AnswerSchema

TITLES = """\
name: titles
version: 1
steps:
  - name: write
    system: You give a text a title.
    user: "{{ passage }}"
    answer:
      title: {about: a title of three to eight words, max_chars: 200}
      tone: [plain, vivid]
    max_tokens: 60
rows:
  instruction: Give the text a title.
  answer: "{{ write.title }}"
  fields: {tone: "{{ write.tone }}"}
checks: off
"""

PROSE = """# The tide mill

A tide mill is a water mill that is driven by the rise and fall of the tide. A dam with a gate is
built across a small bay, so that the water of the high tide is kept behind it. When the tide has
fallen far enough, the miller opens a second gate, and the stored water turns the wheel on its way
back to the sea.

The miller of a tide mill does not work by the clock. The tide comes about fifty minutes later each
day, so he may grind at noon in one week and at midnight in the next. In return he never waits for
rain, as the miller on a brook does, and he never waits for wind, as the owner of a windmill must.
"""


@pytest.mark.model
@pytest.mark.timeout(240)
def test_a_real_model_writes_pairs_on_this_machine(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 0)
    (corpus / "mill.md").write_text(PROSE, "utf-8")
    command = [sys.executable, "-m", "pairmill", "run", str(corpus), "-o", str(tmp_path / "out")]
    run = subprocess.run(
        [*command, "--model", "local", "--pairs-per-chunk", "2"],
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "demonstrates the pipeline; do not train on its answers" in run.stderr
    found = rows(tmp_path / "out")
    lost = rejects(tmp_path / "out")
    assert len(found) + len(lost) >= 2, run.stderr
    for row in found:
        assert row["recipe"] == "extractive"
        assert row["instruction"].endswith(("?", "."))
        assert row["answer"] in " ".join(PROSE.split())
        assert row["completion_tokens"] > 0


@pytest.mark.model
@pytest.mark.timeout(600)
def test_the_real_server_takes_the_schema_of_every_step_of_the_library() -> None:
    names = library_names()
    with running_server(model_path("local"), slots=1) as endpoint:
        for recipe in (read_recipe_text(library_text(name), name) for name in names):
            for step in recipe.steps:
                schema = json_schema(make_model(step.name, step.answer))
                text = _begin(endpoint, schema)
                assert text.lstrip().startswith("{"), (recipe.name, step.name, text)


def _begin(endpoint: Endpoint, schema: AnswerSchema) -> str:
    """The first words of an answer that the server holds to a schema."""
    body = {
        "model": "local",
        "messages": [{"role": "user", "content": "Bees dance."}],
        "max_tokens": 12,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": schema.name, "schema": schema.schema, "strict": True},
        },
    }
    assert endpoint.key is not None
    request = urllib.request.Request(
        f"{endpoint.base_url}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {endpoint.key.reveal()}"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return str(json.load(reply)["choices"][0]["message"]["content"])


@pytest.mark.model
@pytest.mark.timeout(300)
def test_a_recipe_file_is_run_with_the_real_model(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "articles", 0)
    (corpus / "mill.md").write_text(PROSE, "utf-8")
    recipe = tmp_path / "titles.yaml"
    recipe.write_text(TITLES, "utf-8")
    command = [sys.executable, "-m", "pairmill", "run", str(corpus), "-o", str(tmp_path / "out")]
    run = subprocess.run(
        [*command, "--model", "local", "--recipe", str(recipe)],
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    found, lost = rows(tmp_path / "out"), rejects(tmp_path / "out")
    assert len(found) + len(lost) >= 1, run.stderr
    for row in found:
        assert row["recipe"] == "titles"
        assert row["fields"]["tone"] in {"plain", "vivid"}


@pytest.mark.model
@pytest.mark.timeout(600)
def test_a_recipe_of_the_library_is_run_to_its_end_with_the_real_model(tmp_path: Path) -> None:
    """`triplets`: two questions a unit, the second about the answer to the first."""
    corpus = write_corpus(tmp_path / "articles", 0)
    (corpus / "mill.md").write_text(PROSE, "utf-8")
    config = tmp_path / "run.yaml"
    config.write_text(
        "input: {chunk_min_chars: 150, chunk_target_chars: 250}\n"
        "model: {timeout_s: 400}\n",  # where the machine is busy beside
        "utf-8",
    )
    out = tmp_path / "out"
    command = [sys.executable, "-m", "pairmill", "run", str(corpus), "-o", str(out)]
    run = subprocess.run(
        [*command, "--model", "local", "--recipe", "triplets", "--config", str(config)],
        env=environment(None),
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert run.returncode in {0, 1}, run.stderr  # 1: a model this small may write no good query
    recipe = read_recipe_text(library_text("triplets"), "triplets")
    answers = _answers_in(out)
    units = {chunk for chunk, _ in answers}
    assert units, run.stderr
    steps = [set(step.answer.fields) for step in recipe.steps]
    for _, text in answers:  # the grammar held each that came to its end to its fields
        with suppress(json.JSONDecodeError):
            assert set(json.loads(text)) in steps
    found, lost = rows(out), rejects(out)
    assert {row["chunk_id"] for row in (*found, *lost)} == units
    assert not {"template_error", "recipe_error"} & {row["reason"] for row in lost}
    for row in found:
        last = [text for chunk, text in answers if chunk == row["chunk_id"]][-1]
        assert set(json.loads(last)) == steps[-1]
        assert row["task"] == "question"
        assert row["instruction"]
        assert row["answer"] in PROSE.replace("\r", "")
        assert all(negative in PROSE for negative in row["fields"]["negatives"])


def _answers_in(out: Path) -> list[tuple[str, str]]:
    """Chunk and text of every answer that was bought, in the order of buying."""
    settings = Settings.model_validate_json((out / ".run" / "config.json").read_bytes())
    settings = for_unit(settings, make_recipe(settings))
    found: list[tuple[str, str]] = []
    with closing(SqliteLookup(out / ".run" / "ledger.db")) as lookup:
        for chunk in read_chunks(settings, lambda _note: None):
            known = lookup.known([UnitKey("0" * 32, chunk.id)])
            found += [(chunk.id, it.text) for it in known.answers.get(chunk.id, {}).values()]
    return found
