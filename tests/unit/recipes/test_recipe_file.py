from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.support.asks import settings
from tests.support.recipe_files import MINE, changed, parse

from pairmill.errors import ConfigError
from pairmill.recipes.load import (
    library_names,
    library_text,
    make_generator,
    read_recipe_file,
    read_recipe_text,
)

if TYPE_CHECKING:
    from pathlib import Path


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


# What is wrong, where it stands, and what the one line says of it.
MISTAKES: dict[str, tuple[list[tuple[str, str]], str, str]] = {
    "misspelt key": ([("version: 1", "verison: 1")], "verison", "did you mean 'version'"),
    "misspelt key of a step": (
        [("max_tokens: 900", "max_token: 9")], "max_token:", "did you mean 'max_tokens'"
    ),
    "misspelt key of a row": (
        [('  answer: "{{ pair.reply }}"', '  anser: "{{ pair.reply }}"')],
        "anser", "did you mean 'answer'",
    ),
    "missing key": ([("version: 1\n", "")], "name: mine", "'version' is missing"),
    "key twice": ([("version: 1", "version: 1\nversion: 2")], "version: 2", "is given twice"),
    "undefined name": (
        [("asked by {{ asker }}", "asked by {{ askr }}")], "askr",
        "undefined name 'askr'; did you mean 'asker'",
    ),
    "undefined name on a later line": (
        [("      {{ passage }}\n", "      Title: {{ title }}\n      {{ passge }}\n")], "passge",
        "did you mean 'passage'",
    ),
    "field that is not there": (
        [("{{ pair.reply }}", "{{ pair.replly }}")], "replly", "did you mean 'reply'"
    ),
    "drawn value in the constant part": (
        [("for {{ audience }}", "for {{ asker }}")], "for {{ asker }}", "the same for a whole run"
    ),
    "passage is not placed": (
        [("      {{ passage }}\n", "      Go.\n")], "- name: write", "put {{ passage }} into"
    ),
    "passage through a filter": (
        [("{{ passage }}", "{{ passage | upper }}")], "upper", "must stand alone"
    ),
    "attribute of an object": (
        [("{{ asker }}", "{{ asker.__class__ }}")], "__class__", "'__class__' is not allowed"
    ),
    "attribute of a value": ([("{{ asker }}", "{{ asker.real }}")], "real", "has no parts"),
    "import": (
        [("{{ asker }}", "{% import 'os' as os %}")], "import", "{% import %} is not allowed"
    ),
    "call": ([("{{ asker }}", "{{ asker() }}")], "asker()", "calling a function is not allowed"),
    "power": ([("{{ asker }}", "{{ 9 ** 9 }}")], "9 ** 9", "the operator ** is not allowed"),
    "unknown filter": (
        [("{{ asker }}", "{{ asker | uper }}")], "uper", "did you mean 'upper'"
    ),
    "no template": ([("{{ asker }}", "{{ asker ")], "{{ passage", "expected"),
    "unknown type": ([("reply: text", "reply: txet")], "txet", "did you mean 'text'"),
    "list without bound": ([("        max: 3\n", "")], "type: list", "a list needs 'max'"),
    "loop over a text": (
        [("for_each: pair in write.pairs", "for_each: pair in asker")], "pair in asker",
        "must run over a list",
    ),
    "loop of no form": (
        [("for_each: pair in write.pairs", "for_each: write.pairs")], "for_each: write.pairs",
        "needs the form 'item in step.list'",
    ),
    "row without answer": (
        [('  answer: "{{ pair.reply }}"\n', "")], "for_each: pair", "needs 'answer'"
    ),
    "unknown task": (
        [("  fields: [difficulty]", "  task: pairs\n  fields: [difficulty]")], "task: pairs",
        "did you mean 'pair'",
    ),
    "step of units by subject": (
        [("version: 1", "version: 1\nunit: {of: chunks, by: subject, step: 1}")],
        "unit", "is for neighbours alone",
    ),
    "subject of a document": (
        [("version: 1", "version: 1\nunit: {of: document, by: subject}")],
        "unit", "is for units of 'chunks' alone",
    ),
    "field of units by subject": (
        [
            ("version: 1", "version: 1\nunit: {of: chunks, by: subject}"),
            ("fields: [difficulty]", "fields: {sources: x}"),
        ],
        "sources", "is written by pairmill",
    ),
    "distinct without a list": (
        [("    max_tokens: 900", "    distinct: title")], "distinct", "needs 'for_each'"
    ),
    "text and number": (
        [("{{ asker }}", "{{ title + 1 }}")], "title + 1", "does not fit the types of its values"
    ),
    "number and text on a later line": (
        [("      {{ passage }}\n", "      {{ passage }}\n      Of {{ count + 'x' }}\n")],
        "count +", "does not fit the types of its values",
    ),
    "type of a branch that is not taken": (
        [("{{ asker }}", "{% if false %}{{ count + 'x' }}{% endif %}")], "count +", "fit the types"
    ),
    "type of an else": (
        [("{{ asker }}", "{% if count %}a{% elif title %}b{% else %}{{ title < 3 }}{% endif %}")],
        "title < 3", "fit the types",
    ),
    "type of an inline else": (
        [("{{ asker }}", "{{ 'a' if count > 0 else title + 1 }}")], "title + 1", "fit the types"
    ),
    "type behind and": (
        [("{{ asker }}", "{{ count > 99 and title + 1 }}")], "title + 1", "fit the types"
    ),
    "type in the condition of a loop": (
        [("{{ asker }}", "{% for x in [1, 2] if x + 'a' %}{{ x }}{% endfor %}")], "x + 'a'",
        "fit the types",
    ),
    "times of a text": (
        [("{{ asker }}", "{{ title * 3 }}")], "title * 3", "'*' is only for numbers"
    ),
    "type in the constant part": (
        [("{{ audience }}", "{{ audience + 1 }}")], "audience + 1", "fit the types"
    ),
    "type in a condition on a draw": (
        [("    max_tokens: 900", "    when: asker + 1")], "when:", "fit the types"
    ),
    "type in a row": (
        [('"{{ pair.reply }}"', '"{{ pair.reply + 1 }}"')], "pair.reply", "fit the types"
    ),
    "type in a row's text": (
        [('"{{ pair.reply }}"', '"So: {{ pair.reply - 1 }}"')], "pair.reply", "fit the types"
    ),
    "type in a condition": (
        [("    max_tokens: 900", "    when: count + 'x'")], "when:", "fit the types"
    ),
    "a value that may be missing": (
        [
            ("          reply: text", "          reply: {about: what, optional: true}"),
            ('"{{ pair.reply }}"', '"{{ pair.reply + \'!\' }}"'),
        ],
        'answer: "{{ pair.reply', "does not fit where a value is missing",
    ),
    "passage in a branch that is never taken": (
        [("{{ passage }}", "{% if false %}{{ passage }}{% endif %}")], "user: |",
        "places the text only under a condition",
    ),
    "passage in one branch": (
        [("{{ passage }}", "{% if asker == 'a sceptic' %}{{ passage }}{% endif %}")], "user: |",
        "places the text only under a condition",
    ),
    "passage in a loop": (
        [("{{ passage }}", "{% for x in [1] %}{{ passage }}{% endfor %}")], "user: |",
        "places the text only under a condition",
    ),
    "set around a block": (
        [("{{ passage }}", "{% set x %}{{ passage }}{% endset %}{{ x }}")], "{% set x",
        "{% set %} around",
    ),
    "a step that places the text and is never asked": (
        [("    max_tokens: 900", "    when: asker == 'nobody'")], "- name: write",
        "no step that places the text is asked where asker is 'a beginner'",
    ),
    "a step that places the text and is not asked for some": (
        [("    max_tokens: 900", "    when: asker != 'a sceptic'")], "- name: write",
        "is asked where asker is 'a sceptic'",
    ),
    "unknown unit": ([("version: 1", "version: 1\nunit: chunk_s")], "unit", "'chunk_s' is not"),
    "unknown check": (
        [("version: 1", "version: 1\nchecks:\n  near_copi: keep")], "near_copi",
        "did you mean 'near_copy'",
    ),
    "reserved field": ([("reply: text", "copy: text")], "copy: text", "the name 'copy' is taken"),
    "bound of an integer that is not whole": (
        [("reply: text", "reply: {type: integer, min: 1.5, max: 1.7}")], "min: 1.5",
        "needs a whole number",
    ),
    "bounds in the wrong order": (
        [("reply: text", "reply: {type: integer, min: 5, max: 1}")], "min: 5", "5, is above the"
    ),
    "loops within loops": (
        [("rows:", (
            "  - name: more\n    user: '" + "{% for a in write.pairs %}" * 12 + "x"
            + "{% endfor %}" * 12 + "'\n    answer: {text: text}\nrows:"
        ))],
        "    user: '{%", "iterations, more than 100,000",
    ),
    "misspelt option of a draw": (
        [("[a beginner, a sceptic]", "{valuse: [a beginner, a sceptic]}")], "valuse",
        "did you mean 'values'",
    ),
    "misspelt file of a draw": (
        [("[a beginner, a sceptic]", "{fiel: askers.txt}")], "fiel", "did you mean 'file'"
    ),
    "control character": (
        [("what is asked for", "what is \0 asked for")], "\0", "special characters"
    ),
    "anchor": ([("asker: [a", "asker: &x [a")], "&x", "anchors"),
    "no YAML": ([("draw:", "draw: [")], "steps:", ""),
    "votes without a field": (
        [("    max_tokens: 900", "    votes: {times: 3, agree_on: replies}")], "votes:",
        "the answer has no 'replies'",
    ),
    "too many votes": ([("    max_tokens: 900", "    votes: 99")], "votes:", "from 2 to 15"),
    "another value under the text's name": (
        [("{{ passage }}", "{% set passage = asker %}{{ passage }}")], "{% set passage",
        "the name 'passage' is taken",
    ),
    "a template's loop under the text's name": (
        [("{{ asker }}", "{% for passage in [1, 2] %}{% endfor %}")], "{% for", "is taken"
    ),
    "a step's loop under the text's name": (
        [("rows:", (
            "  - name: more\n    for_each: passage in write.pairs\n    user: '{{ passage }}'\n"
            "    answer: {text: text}\nrows:"
        ))],
        "for_each: passage", "the name 'passage' is taken",
    ),
    "a row's loop under the text's name": (
        [("for_each: pair in", "for_each: passage in")], "for_each", "the name 'passage' is taken"
    ),
    "a division by nothing": (
        [('"{{ pair.reply }}"', '"{{ count / (3 - 3) }}"')], "count /", "divides by 0"
    ),
    "a remainder by nothing": ([("{{ asker }}", "{{ count % 0 }}")], "count %", "divides by 0"),
    "a condition in marks": (
        [("    max_tokens: 900", "    when: '{{ count > 2 }}'")], "when:",
        "needs an expression without {{ }}",
    ),
    "a loop in marks": (
        [("for_each: pair in write.pairs", "for_each: 'pair in {{ write.pairs }}'")], "for_each",
        "needs an expression without {{ }}",
    ),
    "checks as a list": (
        [("version: 1", "version: 1\nchecks: [near_copy]")], "checks:", "needs 'check: policy'"
    ),
    "two documents": (
        [("rows:\n", "---\nrows:\n")], "---", "a second document (after ---)"
    ),
    "a weight below 0": (
        [("[a beginner, a sceptic]", "{a beginner: 1, a sceptic: -1}")], "asker:", "from 0"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_file_and_line(name: str) -> None:
    pairs, place, told = MISTAKES[name]
    text = changed(*pairs)
    with pytest.raises(ConfigError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("mine.yaml, line "), message
    assert told in message
    assert "\n" not in message
    if told:
        assert f"line {line_of(text, place)}:" in message, message


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ("{type: object, oneOf: []}", "cannot express the keyword 'oneOf'"),
        ("{type: object, properties: {a: {type: string, minLength: 3}}}", "keyword 'minLength'"),
        ("{type: object, properties: {a: {type: array, items: {type: string}}}}", "'maxItems'"),
        ("{type: object, properties: {a: {type: object, patternProperties: {}}}}", "patternProp"),
        ("{type: object, properties: {a: {type: string}}, additionalProperties: 1}", "than false"),
        ("{type: object, properties: {a: {type: string}}, required: []}", "requires every"),
        ("{type: object, properties: {a: {type: string, enum: []}}}", "needs 1 to 200 choices"),
        ("{type: object, properties: {a: {enum: [x, X]}}}", "the choice 'X' is given twice"),
        ("{type: object, properties: {a: {type: string, maxLength: -2}}}", "from 1 to 20,000"),
        ("{type: object, properties: {a: {type: integer, maximum: 1.5}}}", "a whole number"),
        ("{type: object, properties: {a: {type: number, minimum: 9, maximum: 1}}}", "is above"),
        ("{type: array, items: {type: string}, maxItems: 3}", "must be an object"),
        ("{type: object, properties: {a: {$ref: '#/x'}}}", "keyword '$ref'"),
    ],
)  # fmt: skip
def test_a_schema_that_strict_output_cannot_express_is_refused_by_its_keyword(
    schema: str, told: str
) -> None:
    start, end = MINE.index("    answer:\n"), MINE.index("    max_tokens")
    text = f"{MINE[:start]}    schema: {schema}\n{MINE[end:]}"
    with pytest.raises(ConfigError, match=r"line 1\d") as caught:
        parse(text)
    assert told in str(caught.value)


def test_a_json_schema_means_the_same_as_our_own_words() -> None:
    start, end = MINE.index("    answer:\n"), MINE.index("    max_tokens")
    schema = """\
    schema:
      type: object
      properties:
        pairs:
          type: array
          maxItems: 3
          items:
            type: object
            properties:
              question: {type: string, description: what is asked for}
              reply: {type: string}
              difficulty: {enum: [easy, hard]}
            required: [question, reply, difficulty]
            additionalProperties: false
"""
    assert parse(MINE[:start] + schema + MINE[end:]).digest == parse().digest


def test_loops_that_could_explode_are_refused() -> None:
    text = changed(
        ("max: 3", "max: 60"),
        (
            "rows:",
            (
                "  - name: more\n    for_each: one in write.pairs\n    votes: 5\n"
                "    user: '{{ one.question }}'\n    answer: {text: text}\nrows:"
            ),
        ),
    )
    with pytest.raises(ConfigError, match="301 calls, more than 200"):
        parse(text)


def test_comments_layout_and_about_change_nothing_that_is_asked() -> None:
    text = "# a comment\n" + changed(
        ("version: 1", "about: something\nversion: '1'"),
        ("draw:\n  asker: [a beginner, a sceptic]", "draw: {asker: [a beginner, a sceptic]}"),
    )
    assert parse(text).digest == parse().digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("for {{ audience }}", "to {{ audience }}"),
        ("brewers", "bakers"),
        ("a sceptic", "a cynic"),
        ("max: 3", "max: 2"),
        ("what is asked for", "what is wanted"),
        ("max_tokens: 900", "max_tokens: 901"),
        ('"{{ pair.reply }}"', '"{{ pair.reply }}."'),
        ("version: 1", "version: 2"),
    ],
)
def test_whatever_decides_what_is_written_changes_the_digest(old: str, new: str) -> None:
    assert parse(changed((old, new))).digest != parse().digest


def test_a_file_to_draw_from_is_part_of_the_recipe(tmp_path: Path) -> None:
    text = changed(("[a beginner, a sceptic]", "{file: askers.txt, take: 2}"), ("{{ asker }}", ""))
    askers = tmp_path / "askers.txt"
    askers.write_text("a beginner\n\na sceptic\n", "utf-8")
    recipe = parse(text, tmp_path)
    assert recipe.draws["asker"].values == ("a beginner", "a sceptic")
    assert recipe.files["askers.txt"] == askers.read_bytes()
    askers.write_text("a beginner\na cynic\n", "utf-8")
    assert parse(text, tmp_path).digest != recipe.digest
    askers.unlink()
    with pytest.raises(ConfigError, match=r"line 6: draw\.asker\.file: cannot read askers"):
        parse(text, tmp_path)


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/../../b"])
def test_a_recipe_reads_no_file_outside_of_its_folder(name: str, tmp_path: Path) -> None:
    text = changed(("[a beginner, a sceptic]", f"{{file: {name}}}"))
    with pytest.raises(ConfigError, match="beside or below"):
        parse(text, tmp_path)


def test_a_pipe_is_no_file_to_draw_from(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "askers.txt")
    text = changed(("[a beginner, a sceptic]", "{file: askers.txt}"))
    with pytest.raises(ConfigError, match=r"line 6: draw\.asker\.file: .*a pipe or a device"):
        parse(text, tmp_path)


def test_a_huge_file_to_draw_from_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "askers.txt").open("wb") as askers:
        askers.truncate(2**40)  # as a hole: reading it would take all memory
    text = changed(("[a beginner, a sceptic]", "{file: askers.txt}"))
    with pytest.raises(ConfigError, match=r"line 6: .*larger than 20 MB"):
        parse(text, tmp_path)


def test_a_recipe_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(MINE.replace("brewers", "br\xe4uer").encode("latin-1"))
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 4: not UTF-8"):
        read_recipe_file(path)


def test_a_recipe_with_the_line_ends_of_windows_is_the_same_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(MINE.replace("\n", "\r\n").encode())
    assert read_recipe_file(path).digest == parse().digest


def test_a_row_may_have_a_field_of_the_name_of_what_prompts_may_use() -> None:
    text = changed(("fields: [difficulty]", 'fields: {section: "{{ section }}"}'))
    assert parse(text).fields == {"section": "string"}


@pytest.mark.parametrize("name", library_names())
def test_a_recipe_of_the_library_has_no_mistake_and_names_its_source(name: str) -> None:
    recipe = read_recipe_text(library_text(name), f"{name}.yaml")
    assert recipe.name == name
    assert recipe.about
    assert recipe.source
    assert recipe.license


def test_a_text_that_is_no_recipe_is_refused() -> None:
    for text in ("", "just words", "- a\n- b", "[" * 5000, "a: " * 400_000):
        with pytest.raises(ConfigError):
            parse(text)


@pytest.mark.parametrize(
    "template",
    [
        "{% if asker == 'a sceptic' %}So: {{ passage }}{% else %}{{ passage }}{% endif %}",
        "{% if true %}{{ passage }}{% endif %}",
        "{{ 10 // (count - 3) }} {{ passage }}",  # a number decides, not a type
        "{{ title[900] if title | length > 900 }} {{ passage }}",
        "{% for x in [title, section] if x != 'none' %}{{ x | upper }}{% endfor %} {{ passage }}",
        "{{ [title, section] | map('upper') | join(', ') }} {{ passage }}",
        "{{ [title, section] | map('upper') }} {{ passage }}",
        "{% set n = count + 1 %}{{ n * 2 }} {{ passage }}",
    ],
)
def test_templates_that_fit_are_taken(template: str) -> None:
    found = parse(changed(("{{ passage }}", template)))
    assert found.steps[0].places_passage


def test_a_value_that_may_be_missing_can_be_asked_for_first() -> None:
    optional = ("          reply: text", "          reply: {about: what, optional: true}")
    for text in (
        "{{ pair.reply + '!' if pair.reply is not none else 'none' }}",
        "{% if pair.reply %}{{ pair.reply + '!' }}{% endif %}",
        "{{ pair.reply | default('', true) | upper }}",
    ):
        parse(changed(optional, ('"{{ pair.reply }}"', f'"{text}"')))
    parse(
        changed(
            optional,
            ('  answer: "{{ pair', '  when: pair.reply\n  answer: "{{ pair'),
            ("pair.reply }}", "pair.reply + '!' }}"),
        )
    )


def test_steps_with_conditions_on_draws_may_share_the_placing() -> None:
    step = (
        "  - name: other\n    when: asker == 'a sceptic'\n    user: '{{ passage }}'\n"
        "    answer: {note: text}\nrows:"
    )
    parse(changed(("    max_tokens: 900", "    when: asker != 'a sceptic'"), ("rows:", step)))


@pytest.mark.parametrize("word", ["off", '"off"', "false", "keep"])
def test_a_check_that_is_off_is_kept_from_doing_anything(word: str) -> None:
    found = parse(changed(("version: 1", f"version: 1\nchecks: {{language: {word}}}")))
    assert found.checks == {"language": "keep"}


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE, "utf-8")
    with pytest.raises(ConfigError, match=r"is a folder, and a recipe is a file: .*mine\.yaml$"):
        make_generator(settings(recipe=str(tmp_path)))
