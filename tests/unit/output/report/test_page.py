from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from pairmill.output.facts import RunFacts
from pairmill.output.markup import Markup, page_text, tag
from pairmill.output.qc.report import Metric, Report
from pairmill.output.qc.variety import Hit, Profile
from pairmill.output.report.folder import report_on
from pairmill.output.report.page import Judged, render_report, write_report
from pairmill.output.report.pairs import list_pairs
from pairmill.output.report.row_counts import measure
from pairmill.output.rows import Place
from pairmill.quality.trust import Status
from pairmill.records import Chunk, Usage
from pairmill.store.timeline import StageSum, StartPace, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(1)> </title></style><!-- '
    "javascript:alert(1) &lt;b&gt; {{7*7}} \x1b[31m \u202e \ud800 \x00 ]]>"
)
ELEMENTS = {
    "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "dl", "dt", "dd",
    "div", "section", "article", "table", "thead", "tbody", "tr", "th", "td", "span", "small",
    "svg", "g", "rect", "line", "text", "footer", "polyline", "strong", "ul", "li", "details",
    "summary", "nav", "a", "form", "label", "input", "select", "option", "button", "noscript",
    "script", "header", "main", "kbd",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "viewbox", "role", "aria-label",
    "aria-hidden", "preserveaspectratio", "x", "y", "x1", "x2", "y1", "y2", "width", "height",
    "rx", "text-anchor", "id", "href", "points", "type", "value", "autocomplete", "hidden",
    "spellcheck",
}  # fmt: skip


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.open = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open += tag not in {"meta", "input"}

    def handle_endtag(self, tag: str) -> None:
        self.open -= 1

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment came through: {data}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def facts(**given: Any) -> RunFacts:
    plain: dict[str, Any] = {"recipe": "backtranslate", "prompt_version": "1", "models": ("m-1",)}
    return RunFacts(**(plain | {"version": "0.1.0"} | given))


def chunk(text: str) -> Chunk:
    return Chunk("c", text, "d", 0, len(text), "a.txt", author=text)


def hostile_report() -> Report:
    metric = Metric("refusals", 0.5, Status.FAIL, (1,), HOSTILE, (Hit(1, 0, HOSTILE),))
    return Report(
        3, 0, (metric,), (HOSTILE,), Profile.GROUNDED, {"copied": HOSTILE}, (), ((0.5, 0.25),)
    )


def hostile_row(row: Callable[..., Any], number: int) -> dict[str, Any]:
    names = ("instruction", "answer", "title", "source", "url", "kind", "evidence", "model")
    return dict(row(number, flags=[HOSTILE], grounding=0.5, **dict.fromkeys(names, HOSTILE)))


def test_hostile_text_is_only_ever_text(
    row: Callable[..., Any], run_folder: Callable[..., Path]
) -> None:
    told = facts(recipe=HOSTILE, models=(HOSTILE,), version=HOSTILE, rejections={HOSTILE: 1})
    rows = [hostile_row(row, number) for number in range(3)]
    folder = run_folder(json.loads(json.dumps(rows).replace("\\ud800", "")))
    found = {Place(str(folder / "data" / "train-00000.jsonl"), 1): [("refusals", HOSTILE, 8)]}
    listed, _ = list_pairs(folder, found, lambda ids: dict.fromkeys(ids, chunk(HOSTILE)))
    text = render_report(
        HOSTILE,
        told,
        measure([hostile_row(row, number) for number in range(3)]),
        Judged(hostile_report(), None, listed, HOSTILE),
    )
    page = Page(text)
    assert page.elements <= ELEMENTS
    assert page.attributes <= ATTRIBUTES
    assert page.open == 0
    assert text.count("<script") == 2  # the data, and the page's own
    assert text.count("</script") == 2
    assert not {"\x1b", "\u202e", "\x00", "\ud800"} & set(text)
    assert any("<script>alert(1)</script>" in words for words in page.words)


def test_nothing_is_remote_and_nothing_may_run(row: Callable[..., Any]) -> None:
    text = render_report("set", facts(), measure([row(0)]))
    assert "base-uri &#39;none&#39;; form-action &#39;none&#39;" in text
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in text
    assert "; style-src &#39;sha256-" in text
    assert "unsafe" not in text
    for word in ("http:", "https:", "url(", "@import", "src=", "innerHTML", "insertAdjacent"):
        assert word not in text
    assert set(re.findall(r'href="(.)', text)) == {"#"}


def test_the_report_tells_the_figures(
    row: Callable[..., Any], run_folder: Callable[..., Path]
) -> None:
    rows = [row(number, grounding=0.62, evidence="words", kind="why") for number in range(40)]
    folder = run_folder(rows)
    (folder / "rejected").mkdir()
    reasons = ["refusal", "refusal", "invalid_json"]
    lines = "".join(json.dumps({"reason": reason}) + "\n" for reason in reasons)
    (folder / "rejected" / "rejected-00000.jsonl").write_text(lines)
    told = facts(
        documents=12, chunks=25, units=25, pairs=40, usage=Usage(4_000, 2_000, 1_000), cost_usd=0.5
    )
    found = {Place(str(folder / "data" / "train-00000.jsonl"), 3): [("refusals", "it says no", 8)]}
    listed, how = list_pairs(
        folder, found, lambda ids: dict.fromkeys(ids, chunk("Some words.")), most=(5, 10, 2)
    )
    path = write_report(folder, told, Judged(None, None, listed, how))
    assert path == folder / "report.html"
    words = " ".join(" ".join(Page(path.read_text("utf-8")).words).split())
    for figure in (
        "Pairs 40 3 dropped",
        "Documents used 10 of 12",
        "Repeats 0.0% of instructions",
        "Grounding 0.62 median",
        "Cost $0.50 $12.50 per 1,000",
        "refusal 2 66.7%",
        "invalid_json 1 33.3%",
        "Prompt tokens 4,000 100,000",
        "the 1 worst of 40 pairs, 10 of the others at random, and 2 of 3 entries of rejected/",
    ):
        assert figure in words
    worst = max(listed, key=lambda pair: pair["badness"])
    assert worst["findings"] == [["refusals", "it says no"]]
    assert worst["chunk"] == worst["author"] == "Some words."
    assert {pair["reason"] for pair in listed} > {""}
    assert sorted(path.name for path in folder.iterdir()) == ["data", "rejected", "report.html"]


def test_every_section_is_named_in_the_contents(row: Callable[..., Any]) -> None:
    starts = [StartPace(0.0, 1.0, [3], [1], [0], [0], [1.0], [1.0], [0.0])]
    timeline = Timeline(starts=starts, stages=[StageSum("judge", "big", 5, 400, 50)])
    rows = [row(at, document_id=f"d{at}", title=f"t{at}", scores={"honesty": 4}) for at in range(3)]
    for told, judged, measures in (
        (facts(), Judged(), measure([])),
        (facts(timeline=timeline), Judged(hostile_report()), measure(rows)),
    ):
        text = render_report("set", told, measures, judged)
        sections = re.findall(r'<section id="([^"]+)"', text)
        assert re.findall(r'href="#([^"]+)"', text) == sections
        assert len(sections) > 5


def test_an_empty_folder_has_a_report_too(tmp_path: Path) -> None:
    text = write_report(tmp_path, facts(models=())).read_text("utf-8")
    assert "Nothing was dropped" in text
    assert "no model yet" in text


def test_a_folder_without_its_ledger_and_manifest_is_counted_by_its_rows(
    row: Callable[..., Any], run_folder: Callable[..., Path]
) -> None:
    folder = run_folder([row(number) for number in range(4)])
    (folder / "rejected").mkdir()
    line = json.dumps({"id": "1", "reason": "refusal", "raw": "", "chunk_id": "c"}) + "\n"
    (folder / "rejected" / "rejected-00000.jsonl").write_text(line)
    words = " ".join(" ".join(Page(report_on(folder, version="1").read_text()).words).split())
    assert "Pairs 4 1 dropped" in words
    assert "refusal 1 100.0%" in words
    assert "Chunks used 2 Repeats" in words  # of how many, nobody knows


def test_the_same_folder_gives_the_same_report(
    row: Callable[..., Any], run_folder: Callable[..., Path]
) -> None:
    folder = run_folder([row(number) for number in range(100)])
    seen = [list_pairs(folder, {}, lambda _: {}, seed=seed, most=(1, 9, 0)) for seed in (1, 1, 2)]
    assert seen[0] == seen[1] != seen[2]
    pages = [write_report(folder, facts()).read_bytes() for _ in range(2)]
    assert pages[0] == pages[1]


def test_only_markup_is_left_as_it_is() -> None:
    assert tag("p", "<b>", Markup("<i></i>"), None) == "<p>&lt;b&gt;<i></i></p>"
    assert tag("p", Markup("<i></i>") + "<b>") == "<p>&lt;i&gt;&lt;/i&gt;&lt;b&gt;</p>"
    assert (
        tag("p", "x", class_='a"b', data_x=1, title=None) == '<p class="a&quot;b" data-x="1">x</p>'
    )


def test_long_text_is_cut_and_says_so() -> None:
    assert page_text("x" * 30, longest=10) == "xxxxxxxxxx …"
    assert page_text("a\r\nb\tc\x07") == "a\nb\tc\N{REPLACEMENT CHARACTER}"
