"""A real browser works on pairs: decisions, keys, hostile data, readers of screens, two widths."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import pytest
from benchmarks.view.__main__ import write
from tests.support.axe import AXE
from tests.support.browser import Page, needs_chromium, open_page
from tests.support.viewing import View, viewing

from pairmill.output.export_summary import ExportRecord
from pairmill.output.report.folder import report_on
from pairmill.store.columns import ROW_FEATURES
from pairmill.store.timeline import StageSum, StartPace, Timeline, write_timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs_chromium, pytest.mark.timeout(180)]

MEGABYTE = 2**20
ATTACKS = (
    "</script><script>document.title='owned'</script><img src=x onerror=document.title='owned'>",
    "<iframe src='https://evil.example'></iframe><base href='https://evil.example/'>",
    "javascript:document.title=1//\u202e\u2066gnihtemos\u2069 \x1b[31m\x07\x9b2J \ufeff\u0000",
    '{{7*7}}${7*7}<%= 7 %>\' OR 1=1 -- "quoted" &amp; \\u003c',
    "<style>*{display:none}</style><svg onload=document.title='owned'>",
)


def attack(number: int) -> str:
    return ATTACKS[number % len(ATTACKS)]


def hostile_run(folder: Path) -> Path:
    """A run whose every text is an attack, some of them of a megabyte."""
    (folder / "data").mkdir(parents=True)
    (folder / "rejected").mkdir()
    texts = ("instruction", "answer", "title", "source", "url", "kind", "evidence", "model",
             "recipe", "prompt_version", "system", "reasoning", "document_id", "chunk_id",
             "parent_id")  # fmt: skip
    rows = []
    for number in range(12):
        long = "W" * MEGABYTE if number < 2 else ""
        row: dict[str, Any] = dict.fromkeys(ROW_FEATURES)
        row |= {name: f"{attack(number + at)} {at} {long}" for at, name in enumerate(texts)}
        row |= {
            "id": f"{number} {attack(number)}",
            "flags": [attack(number), "\u202eflag"],
            "fields": {attack(number): attack(number + 1)},
            "scores": {"truthfulness": 3.0},
            "alternative": {"answer": attack(number), "route": attack(number), "score": None},
            "grounding": 0.1 * (number % 10),
            "created": "2026-11-22T10:20:30Z",
        }
        if number == 5:
            turns = [{"role": attack(at), "content": attack(at) + long} for at in range(4)]
            row |= {"task": "conversation", "messages": turns}
        rows.append(row)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "train-00000.jsonl").write_text(lines, "utf-8")
    names = ("id", "chunk_id", "source", "reason", "class", "detail", "raw", "model")
    reject = {name: attack(at) for at, name in enumerate(names)} | {"raw": "x" * MEGABYTE}
    (folder / "rejected" / "rejected-00000.jsonl").write_text(json.dumps(reject) + "\n", "utf-8")
    (folder / "marks.jsonl").write_text(
        json.dumps({"format": 1, "id": attack(0), "at": attack(1), "action": "note",
                    "pairs": [rows[3]["id"]], "note": attack(0), "where": attack(2)}) + "\n"
    )  # fmt: skip
    return folder


def calm_run(folder: Path, count: int = 60) -> Path:
    (folder / "data").mkdir(parents=True)
    row: dict[str, Any] = dict.fromkeys(ROW_FEATURES)
    rows = [
        row
        | {
            "id": f"{at:032x}",
            "instruction": f"What does part {at} of a loom do?",
            "answer": f"Part {at} of a loom turns wheel {at}, and so it weaves.",
            "document_id": f"d{at}",
            "chunk_id": f"{at:032x}",
            "source": f"a.txt:{at}",
            "recipe": "backtranslate",
            "prompt_version": "1",
            "model": "m",
            "kind": ("why", "how_to")[at % 2],
            "flags": ["near_copy"] if at % 3 == 0 else [],
            "grounding": 0.5,
            "created": "2026-11-22T10:20:30Z",
        }
        for at in range(count)
    ]
    lines = "".join(json.dumps(item) + "\n" for item in rows)
    (folder / "data" / "train-00000.jsonl").write_text(lines, "utf-8")
    return folder


def full_run(folder: Path) -> Path:
    """A run of which a report shows every section: ratings, drops, pace, stages, exports."""
    calm_run(folder)
    shard = folder / "data" / "train-00000.jsonl"
    rows = [json.loads(line) for line in shard.read_text("utf-8").splitlines()]
    for at, row in enumerate(rows):
        row |= {"scores": {"truthfulness": 1.0 + at % 5}, "license": ("CC BY-ND 4.0", None)[at % 2]}
    shard.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (folder / "rejected").mkdir()
    raw = json.dumps({"instruction": "What is a heddle?", "answer": "It lifts the warp."})
    entry = {"id": "1" * 32, "chunk_id": "c", "document_id": "d", "source": "a.txt",
             "reason": "near_copy", "raw": raw, "whole_unit": False}  # fmt: skip
    (folder / "rejected" / "rejected-00000.jsonl").write_text(json.dumps(entry) + "\n", "utf-8")
    state = folder / ".run"
    state.mkdir()
    (state / "settings.json").write_text("{}", "utf-8")
    count = 30
    starts = [
        StartPace(
            at * 100.0, 1.0, [3] * count, [2] * count, [at % 2] * count, [0] * count, [4.0] * count,
            [8.0] * 15 + [4.0] * 15, [0.0] * 28 + [1.0, 0.5], "stopped by SIGTERM",
        )
        for at in range(2)
    ]  # fmt: skip
    sums = [StageSum("backtranslate", "m", 9, 900, 90, 10**9), StageSum("judge", "j", 9, 90, 9, 9)]
    write_timeline(state / "timeline.json", Timeline(starts=starts, stages=sums))
    record = ExportRecord("2026-11-22T10:20:30Z", "messages", "run-messages", 60,
                          {"train": 50, "test": 8}, {"same_instruction": 2}, 8, 1)  # fmt: skip
    (state / "exports.jsonl").write_bytes(msgspec.json.encode(record) + b"\n")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def tab(browser: Page) -> Page:
    browser.goto("about:blank")
    browser.problems.clear()
    browser.requests.clear()
    return browser


@contextmanager
def opened(tab: Page, folder: Path, **size: Any) -> Iterator[View]:
    """A dataset, viewed and judged."""
    with viewing(folder) as view:
        view.wait(lambda state: state["progress"]["is_done"] and state["overview"], 90)
        tab.goto(view.address, **size)
        tab.wait("document.querySelector('#verdict .say') && document.querySelector('article')")
        yield view


def assert_harmless(tab: Page, origin: str, title: str) -> None:
    tab.call("Runtime.evaluate", expression="0")  # take in what was told meanwhile
    assert tab.problems == []
    assert tab.run("document.title") == title
    own = {urlsplit(origin).netloc}
    assert {urlsplit(address).netloc for address in tab.requests} <= own
    assert tab.run("document.querySelectorAll('script').length") == 2
    assert (
        tab.run("document.querySelectorAll('img, iframe, base, style:not(head > style)').length")
        == 0
    )


def marks_of(folder: Path) -> list[dict[str, Any]]:
    try:
        lines = (folder / "marks.jsonl").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def wait_for_marks(folder: Path, count: int) -> list[dict[str, Any]]:
    until = time.monotonic() + 20
    while len(found := marks_of(folder)) < count:
        assert time.monotonic() < until, found
        time.sleep(0.05)
    return found


def test_pairs_are_decided_with_keys_alone(tmp_path: Path, tab: Page) -> None:
    folder = calm_run(tmp_path / "run")
    with opened(tab, folder) as view:
        tab.goto(f"{view.address}#?sort=order")
        tab.wait("document.querySelectorAll('article').length === 25")
        tab.press("j")
        tab.wait("document.activeElement.dataset.place === '1'")
        tab.press("a")
        tab.wait("document.activeElement.dataset.place === '2'")  # on to the next
        tab.press("r")
        tab.wait("document.activeElement.dataset.place === '3'")
        tab.press("n")
        tab.wait("document.activeElement.tagName === 'TEXTAREA'")
        tab.call("Input.insertText", text="look again")
        tab.press("Enter", modifiers=2)
        tab.wait("document.querySelector('[data-place=\"3\"] dd').textContent === 'look again'")
        tab.press("e")
        tab.wait("document.querySelectorAll('.form textarea').length === 2")
        tab.run("document.querySelectorAll('.form textarea')[1].value = 'It rests.'")
        tab.press("Enter", modifiers=2)
        tab.wait("document.querySelector('[data-place=\"3\"]').textContent.includes('It rests.')")
        tab.wait("document.querySelector('[data-place=\"1\"] .badge')?.textContent === 'accepted'")
        found = wait_for_marks(folder, 4)
        told = [(mark["action"], mark["pairs"]) for mark in found]
        ids = [f"{at:032x}" for at in range(3)]
        assert told == [
            ("accept", ids[:1]), ("reject", ids[1:2]), ("note", ids[2:]), ("edit", ids[2:]),
        ]  # fmt: skip
        tab.wait("!document.activeElement.matches('textarea, input, select')")
        tab.press("u")
        assert wait_for_marks(folder, 5)[-1]["of"] == found[-1]["id"]
        tab.wait("!document.querySelector('[data-place=\"3\"]').textContent.includes('It rests.')")
        assert_harmless(tab, view.origin, "run")


def test_a_filter_and_a_bulk_action(tmp_path: Path, tab: Page) -> None:
    folder = calm_run(tmp_path / "run")
    with opened(tab, folder) as view:
        tab.run("document.getElementById('finding').value = 'near_copy'")
        tab.run(
            "document.getElementById('finding').dispatchEvent(new Event('input', {bubbles: true}))"
        )
        tab.wait("document.getElementById('count').textContent.startsWith('20 found')")
        click = (
            "[...document.querySelectorAll('#bulk button')]"
            ".find((b) => b.textContent === {!r}).click()"
        )
        tab.run(click.format("Reject all 20 found"))
        tab.run(click.format("Yes"))
        mark = wait_for_marks(folder, 1)[0]
        assert len(mark["pairs"]) == 20
        assert mark["where"] == "finding: near_copy"
        tab.wait("document.querySelectorAll('article.rejected').length === 20")
        assert "finding=near_copy" in tab.run("location.hash")
        tab.run(click.format("Undo reject of 20 pairs"))
        tab.wait("document.querySelectorAll('article.rejected').length === 0")
        assert view.get("/api/state")["marks"] == {}
        tab.run("document.getElementById('search').value = 'part 30'")
        tab.run(
            "document.getElementById('search').dispatchEvent(new Event('input', {bubbles: true}))"
        )
        tab.wait("document.getElementById('count').textContent.startsWith('1 found')")
        tab.goto(view.address + tab.run("location.hash"))  # a filter outlives the page
        tab.wait("document.getElementById('count').textContent.startsWith('1 found')")


def test_a_calm_page_changes_nothing_by_itself(tmp_path: Path, tab: Page) -> None:
    with opened(tab, calm_run(tmp_path / "run")):
        time.sleep(2)
        tab.run(
            "window.seen = 0; new MutationObserver((all) => { window.seen += all.length; })"
            ".observe(document.body, {subtree: true, childList: true, characterData: true})"
        )
        before = len(tab.requests)
        time.sleep(3)
        assert tab.run("window.seen") == 0  # a menu stays open, and nothing is read out again
        assert len(tab.requests) > before  # though it did look for news


def test_new_pairs_are_announced(tmp_path: Path, tab: Page) -> None:
    folder = calm_run(tmp_path / "run", 5)
    more = (calm_run(tmp_path / "other", 9) / "data" / "train-00000.jsonl").read_text().splitlines()
    with opened(tab, folder) as view:
        tab.wait("document.querySelectorAll('article').length === 5")
        (folder / "data" / "train-00001.jsonl").write_text("\n".join(more[5:]) + "\n")
        tab.wait("document.querySelector('#count button')?.textContent === '4 new'")
        tab.run("document.querySelector('#count button').click()")
        tab.wait("document.querySelectorAll('article').length === 9")
        assert_harmless(tab, view.origin, "run")


def test_a_viewer_that_ended_is_said(tmp_path: Path, tab: Page) -> None:
    with opened(tab, calm_run(tmp_path / "run")):
        pass
    tab.wait("document.getElementById('trouble').textContent.includes('was ended')")


def test_hostile_data_stays_text(tmp_path: Path, tab: Page) -> None:
    folder = hostile_run(tmp_path / "run")
    with opened(tab, folder) as view:
        tab.wait("document.querySelectorAll('article').length === 13")
        text = tab.run("document.body.textContent")
        assert "</script><script>document.title" in text
        assert not {"\x1b", "\u202e", "\x07", "\u0000"} & set(text.split('{"live"')[0])
        tab.run("document.querySelector('#list article').focus()")
        tab.press("o")
        tab.wait("document.querySelector('.story') || !document.getElementById('trouble').hidden")
        tab.run("document.querySelector('#list article').focus()")
        tab.press("e")
        tab.wait("document.querySelector('.form') || document.getElementById('said').textContent")
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        tab.resize(390, 844)
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        tab.requests[:] = [url for url in tab.requests if url != "about:blank"]
        assert_harmless(tab, view.origin, "run")


def test_a_hostile_report_stays_text(tmp_path: Path, tab: Page) -> None:
    path = report_on(hostile_run(tmp_path / "run"), version="1")
    tab.goto(path.as_uri())
    tab.wait("document.querySelectorAll('article').length === 13")
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    tab.requests[:] = [url for url in tab.requests if not url.startswith(("about:", "file:"))]
    assert_harmless(tab, "", "run: quality report")
    assert tab.requests == []


def test_every_link_of_a_report_leads_somewhere(tmp_path: Path, tab: Page) -> None:
    path = report_on(full_run(tmp_path / "run"), version="1")
    tab.goto(path.as_uri())
    links = "[...document.querySelectorAll('nav a')]"
    told = tab.run(f"{links}.map((a) => a.textContent)")
    assert {"Pace", "Exports", "Ratings", "Cost by stage and model", "Pairs"} <= set(told)
    titles = tab.run("[...document.querySelectorAll('section h2')].map((h) => h.textContent)")
    assert set(told) == set(titles)
    assert (
        tab.run(f"{links}.filter((a) => !document.querySelector(a.hash)).map((a) => a.hash)") == []
    )


AXE_RUN = """axe.run(document, {runOnly:
  ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})
  .then((found) => found.violations.filter((v) => ['serious', 'critical'].includes(v.impact))
  .map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(' | ')}`))"""


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there: python -m tests.support.axe")
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_serious(tmp_path: Path, tab: Page, width: int, *, dark: bool) -> None:
    folder = full_run(tmp_path / "run")
    axe = AXE.read_text("utf-8")
    with opened(tab, folder, width=width, height=900, dark=dark):
        tab.run("document.querySelector('#list article').focus()")
        for key in ("a", "o", "n"):
            tab.press(key)
            time.sleep(0.3)
        tab.run("[...document.querySelectorAll('#tabs button')].at(-1).click()")
        tab.wait("!document.getElementById('reasons').hidden")
        tab.run(f"{axe}; 0")
        assert tab.run(AXE_RUN) == []
    path = report_on(folder, version="1")
    tab.goto(path.as_uri(), width=width, height=900, dark=dark)
    tab.wait("document.querySelector('article')")
    tab.run(f"{axe}; 0")
    assert tab.run(AXE_RUN) == []


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there: python -m tests.support.axe")
def test_axe_finds_nothing_serious_in_hostile_data(tmp_path: Path, tab: Page) -> None:
    folder = hostile_run(tmp_path / "run")
    axe = AXE.read_text("utf-8")
    with opened(tab, folder, width=1440, height=900):
        tab.wait("document.querySelector('#list article')")
        tab.run(f"{axe}; 0")
        assert tab.run(AXE_RUN) == []
    path = report_on(folder, version="1")
    tab.goto(path.as_uri(), width=390, height=900)
    tab.wait("document.querySelector('article')")
    tab.run(f"{axe}; 0")
    assert tab.run(AXE_RUN) == []


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not there: python -m tests.support.axe")
def test_axe_finds_nothing_serious_in_100_000_pairs(tmp_path: Path, tab: Page) -> None:
    folder = tmp_path / "run"
    write(folder, 100_000)
    axe = AXE.read_text("utf-8")
    with opened(tab, folder, width=1440, height=900):
        tab.wait("document.querySelector('#list article')")
        tab.run(f"{axe}; 0")
        assert tab.run(AXE_RUN) == []


def test_a_dropped_pair_is_found_by_its_reason_and_accepted_anyway(
    tmp_path: Path, tab: Page
) -> None:
    folder = calm_run(tmp_path / "run", 5)
    (folder / "rejected").mkdir()
    raw = json.dumps({"instruction": "What is a heddle?", "answer": "It lifts the warp."})
    entries = [
        {"id": f"{at:032x}", "chunk_id": "c", "document_id": "d", "source": "a.txt",
         "reason": reason, "detail": "why", "raw": text, "whole_unit": False}
        for at, (reason, text) in enumerate(
            [("near_copy", raw), ("ungrounded", raw), ("near_copy", "cut o")]
        )
    ]  # fmt: skip
    lines = "".join(json.dumps(item) + "\n" for item in entries)
    (folder / "rejected" / "rejected-00000.jsonl").write_text(lines, "utf-8")
    click = "[...document.querySelectorAll('{}')].find((b) => b.textContent === '{}').click()"
    with opened(tab, folder) as view:
        tab.wait("document.getElementById('tabs').textContent.includes('Dropped (3)')")
        assert tab.run("document.getElementById('reasons').hidden")
        tab.run(click.format("#tabs button", "Dropped (3)"))
        tab.wait("document.querySelectorAll('article').length === 3")
        tab.run(click.format("#reasons button", "near_copy 2"))
        tab.wait("document.querySelectorAll('article').length === 2")
        assert tab.run("document.querySelectorAll('#reasons [aria-pressed=true]').length") == 1
        # Only the one that holds a pair offers it.
        buttons = "[...document.querySelectorAll('article button')].map((b) => b.textContent)"
        assert tab.run(buttons).count("Accept anyway") == 1
        tab.run(click.format("article button", "Accept anyway"))
        (mark,) = wait_for_marks(folder, 1)
        assert (mark["action"], len(mark["pairs"])) == ("accept", 1)
        tab.wait("document.querySelector('article .badge.ok')?.textContent === 'accepted anyway'")
        assert view.get("/api/state")["marks"] == {"rescued": 1}
        tab.run(click.format("#tabs button", "In the dataset (5)"))
        tab.wait("document.querySelectorAll('article').length === 5")
        assert_harmless(tab, view.origin, "run")


def test_long_texts_do_not_make_the_page_endless(tmp_path: Path, tab: Page) -> None:
    path = report_on(hostile_run(tmp_path / "run"), version="1")
    tab.goto(path.as_uri(), width=390, height=844)
    tab.wait("document.querySelectorAll('article').length === 13")

    parts = "[...document.querySelectorAll('td, th, p, h3, dd, blockquote')]"
    assert tab.run(f"Math.max(...{parts}.map((e) => e.offsetHeight))") < 1_000
    long = "[...document.querySelectorAll('.long')]"
    assert tab.run(f"{long}.length") > 0
    assert tab.run(f"{long}.every((e) => e.tabIndex === 0)")  # scrolled with keys, too
