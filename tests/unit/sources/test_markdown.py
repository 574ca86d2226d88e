from __future__ import annotations

import time

import pytest

from pairmill.sources.fences import fenced_ranges, part_long_blocks
from pairmill.sources.markdown import (
    FrontMatter,
    convert_admonitions,
    imports_components,
    resolve_templates,
    split_front_matter,
)


@pytest.mark.parametrize(
    ("text", "facts", "body"),
    [
        ("---\ntitle: >-\n  A long\n  title\n---\nB", FrontMatter("A long title"), "B"),
        ("---\nauthors: [{name: Ada}, Bob]\n---\nB", FrontMatter(None, "Ada, Bob"), "B"),
        ("---\n_comment: x\ncascade: {a: 1}\n---\nB", FrontMatter(), "B"),
        ("---\rtitle: T\r---\rB", FrontMatter("T"), "B"),
        (
            "---\n" + "tag: x\n" * 1 + "list:\n" + "- a\n" * 200 + "title: T\n---\nB",
            FrontMatter("T"),
            "B",
        ),
        ("---\ntitle: a: b: c\nurl: u\n---\nB", FrontMatter("a: b: c", None, "u"), "B"),
        ("---\ntitle: T\nurl: /relative/\n---\nB", FrontMatter("T"), "B"),
        ('+++\ntitle = "T"\nauthor = "Ada"\n+++\nB', FrontMatter("T", "Ada"), "B"),
        ('{"title": "T", "date": "2024-01-01"}\n\nB', FrontMatter("T", date="2024-01-01"), "B"),
        ("---\nno fields here\n---\nB", FrontMatter(), "---\nno fields here\n---\nB"),
        ("---\n\nA rule, then text: it stays.\n\n---\n", FrontMatter(), None),
    ],
)
def test_front_matter_is_cut_and_its_facts_are_used(
    text: str, facts: FrontMatter, body: str | None
) -> None:
    found, rest = split_front_matter(text, json_too=True)
    assert found == facts
    assert rest == (text if body is None else body)


@pytest.mark.parametrize("level", ["[", "{a: ", "- "])
def test_front_matter_that_nests_beyond_the_stack_is_text_with_a_title(level: str) -> None:
    deep = level * (90_000 // len(level))
    facts, rest = split_front_matter(f"---\ntitle: T\nx: {deep}\n---\nB")
    assert (facts.title, rest.strip()) == ("T", "B")


def test_front_matter_that_would_grow_without_bound_is_not_expanded() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    facts, _ = split_front_matter(f"---\ntitle: T\n{bomb}---\nB")
    assert facts.title == "T"


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        (
            "{% highlight ruby %}\nx {{ y }}\n{% endhighlight %}\n{% raw %}a{% endraw %}",
            "```ruby\nx {{ y }}\n```\na",
        ),
        ("[#1]({{ site.repository }}/issues/1) {% include x.html %}", "#1 "),
        ("# About {{ page.title }}", "# About T"),
        ('{{< figure src="a" caption="The cap" >}}', "The cap"),
        ("{{% note %}}Text{{% /note %}} {{</* shown */>}}", "Text `{{< shown >}}`"),
        ("```\n{{ x }} {% y %} <div>\n```\nand `{{ z }} <b>`", None),
        ("1. Do:\n   ```\n   {{ x }}\n   ```", None),
        ("a <kbd>Ctrl</kbd><br>b <span class='x'>c</span> <!-- gone -->", "a `Ctrl`\nb c "),
        ("<pre>a &lt; b</pre>", "```\na < b\n```"),
        ("a < b and c > d", None),
        (":::note[Mind]\ntext\n:::", "**Mind**\n\ntext\n"),
        ("text\n{: .class}\n", "text\n"),
    ],
)
def test_marks_of_site_generators_go_and_what_they_wrap_stays(
    text: str, resolved: str | None
) -> None:
    assert resolve_templates(text, FrontMatter("T")) == (text if resolved is None else resolved)


def test_imports_and_components_of_mdx_go_but_not_in_code() -> None:
    text = (
        "import A from 'a';\nimport {\n  B\n} from \"b\";\nexport const x = {\n  a: 1,\n};\n\n"
        '<Tabs items={["a"]}>\n<Tab label="x">inner</Tab>\n</Tabs>\n{/* gone */}\n'
        "```js\nimport C from 'c'\n<D />\n```\nList<String> stays"
    )
    resolved = resolve_templates(text, FrontMatter(), is_mdx=True)
    assert resolved.split() == (
        ["inner", "```js", "import", "C", "from", "'c'", "<D", "/>", "```", "List<String>", "stays"]
    )


@pytest.mark.parametrize("piece", ["{%", "{{<", "<!--", '<a "', "[x](", "`", "![](", "import x\n"])
def test_hostile_markdown_takes_bounded_time(piece: str) -> None:
    text = piece * 15_000
    started = time.process_time()
    resolve_templates(text, FrontMatter(), is_mdx=True)
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a\n```py\nx\n```\nb", ["```py\nx\n```"]),
        ("1. Install: ```\nx\n```\n# Next\n", ["```\nx\n```"]),
        ("- ```sh\n  x\n  ```\nb", ["```sh\n  x\n  ```"]),
        ("Title\n~~~~~\ntext\n\n# Next", []),
        ("a\n\n~~~\nx\n~~~\nb", ["~~~\nx\n~~~"]),
        ("a\n\n~~~\nno end\n\nb", []),
        ("```\nno end\n\n# Next\n\ntext", ["```\nno end"]),
        ("```\nno end", ["```\nno end"]),
        ("```\nopen\n\n# H\n\n```py\nx\n```\nb", ["```\nopen", "```py\nx\n```"]),
        ("````\n```\n````\n", ["````\n```\n````"]),
        ("use ```x``` here", []),
    ],
)
def test_code_is_found_where_it_is_fenced(text: str, code: list[str]) -> None:
    assert [text[start:end] for start, end in fenced_ranges(text)] == code


def test_long_code_and_tables_are_parted_at_line_ends_with_their_fence_or_header() -> None:
    lines = [f"line {n}" for n in range(40)]
    code = "```py\n" + "\n".join(lines) + "\n```"
    parted = part_long_blocks(f"a\n\n{code}\n\nb", 120)
    ranges = fenced_ranges(parted)
    assert len(ranges) > 2
    inner = []
    for start, end in ranges:
        first, *body, last = parted[start:end].split("\n")
        assert (first, last) == ("```py", "```")
        assert end - start <= 120
        inner += body
    assert inner == lines
    rows = [f"| {n} | value |" for n in range(30)]
    table = "\n".join(["| n | v |", "| --- | --- |", *rows])
    parts = part_long_blocks(f"a\n\n{table}\n\nb", 150).split("\n\n")[1:-1]
    assert all(part.startswith("| n | v |\n| --- | --- |\n| ") for part in parts)
    assert [row for part in parts for row in part.split("\n")[2:]] == rows
    assert part_long_blocks(f"a\n\n{code}\n\nb", 2000) == f"a\n\n{code}\n\nb"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            (
                '!!! warning "Beware"\n    Text.\n\n    ```py\n    x = 1\n\n        y\n    ```\n\n'
                "After."
            ),
            "**Beware**\n\nText.\n\n```py\nx = 1\n\n    y\n```\n\nAfter.",
        ),
        ("??? note\n    Hidden.\nAfter.", "**Note**\n\nHidden.\nAfter."),
        ('!!! tip ""\n    Text.', "Text."),
        (
            '=== "One"\n\n    !!! note\n        Deep.\n\n=== "Two"\n\n    Text.',
            "**One**\n\n\n**Note**\n\nDeep.\n\n**Two**\n\n\nText.",
        ),
        ("Title\n===\n\n    code", "Title\n===\n\n    code"),
        ("```\n!!! note\n    x\n```", "```\n!!! note\n    x\n```"),
        ("Wow!!! it works\n    x", "Wow!!! it works\n    x"),
    ],
)
def test_boxes_and_tabs_of_mkdocs_come_to_the_margin(text: str, plain: str) -> None:
    assert convert_admonitions(text) == plain


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("---\ntitle: A\nauthor: Ann\n...\nText.", FrontMatter("A", "Ann")),
        ("% A\n% Ann; Bob\n% May 2024\n\nText.", FrontMatter("A", "Ann, Bob", date="May 2024")),
        ("% A\n\nText.", FrontMatter("A")),
    ],
)
def test_title_blocks_of_pandoc_are_front_matter(text: str, facts: FrontMatter) -> None:
    known, rest = split_front_matter(text, json_too=True)
    assert (known, rest.strip()) == (facts, "Text.")


def test_raw_liquid_is_what_it_says() -> None:
    text = "{% raw %}{{ kept }} {% tag %}{% endraw %} and {{ gone }}"
    assert resolve_templates(text, FrontMatter()) == "{{ kept }} {% tag %} and "


def test_markdown_that_imports_components_is_mdx_whatever_its_name() -> None:
    text = 'import Tabs from "@theme/Tabs";\n\n# Mill\n\n<Tabs>\n\nIt grinds.\n\n</Tabs>\n'
    assert imports_components(text)
    assert not imports_components(f"It is:\n\n```js\n{text}```\n")
    assert not imports_components('import x from "y"\n\nNo component at all.\n')
