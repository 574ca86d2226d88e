"""``pairmill view`` over loopback: who is let in, what is shown and decided, what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.cli import pairmill, start
from tests.support.viewing import View, viewing

from pairmill.store.columns import ROW_FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


def make_row(number: int, **given: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(ROW_FEATURES)
    return (
        row
        | {
            "id": f"{number:032x}",
            "instruction": f"What is loom number {number} about?",
            "answer": f"Loom {number} weaves cloth of pattern {number}, as looms do.",
            "document_id": f"d{number}",
            "chunk_id": f"{number // 2:032x}",
            "source": f"a.txt:{number % 3}",
            "recipe": "backtranslate",
            "prompt_version": "1",
            "model": "m",
            "kind": ("why", "how_to")[number % 2],
            "flags": ["near_copy"] if number % 4 == 0 else [],
            "grounding": number / 50,
            "created": "2026-11-22T10:20:30Z",
        }
        | given
    )


def write(path: Path, rows: list[dict[str, Any]], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def make_run(folder: Path, count: int = 40) -> Path:
    write(folder / "data" / "train-00000.jsonl", [make_row(at) for at in range(count)])
    reject = {"id": "u", "chunk_id": "c", "source": "a.txt", "reason": "refusal", "raw": "Nothing."}
    write(folder / "rejected" / "rejected-00000.jsonl", [reject])
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    """A viewer on whose pairs nothing is decided."""
    with viewing(make_run(tmp_path_factory.mktemp("view") / "run")) as view:
        view.ready()
        yield view


# Who is let in


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 403),
        ("/?token=wrong", {}, 403),
        ("/?token={token}&token={token}", {}, 403),
        ("/?token={token}", {"Host": "evil.example"}, 421),
        ("/?token={token}", {"Host": "127.0.0.1.evil.example:{port}"}, 421),
        ("/?token={token}", {"Host": "127.0.0.1:1"}, 421),
        ("/?token={token}", {"Host": "127.0.0.1"}, 421),
        ("/?token={token}", {"Origin": "https://evil.example"}, 403),
        ("/?token={token}", {"Origin": "null"}, 403),
        ("/?token={token}", {}, 200),
        ("/?token={token}", {"Host": "localhost:{port}"}, 200),
        ("/api/state", {}, 200),
        ("/api/state", {"X-Pairmill-Token": ""}, 403),
        ("/api/state", {"X-Pairmill-Token": "{token}x"}, 403),
        ("/api/state?token={token}", {"X-Pairmill-Token": "no"}, 403),
        ("/api/state", {"Host": "evil.example:{port}"}, 421),
        ("/api/state", {"Origin": "http://evil.example:{port}"}, 403),
        ("/api/state", {"Origin": "http://localhost:{port}"}, 403),
        ("/api/state", {"Origin": "http://127.0.0.1:{port}"}, 200),
        ("/api/state", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/api/state", {"Sec-Fetch-Site": "same-site"}, 403),
        ("/api/nothing", {}, 404),
        ("/../etc/passwd", {}, 404),
        ("/api/pairs/1/", {}, 404),
        ("/favicon.ico", {"X-Pairmill-Token": ""}, 204),
    ],
)
def test_who_is_let_in(shared: View, path: str, headers: dict[str, str], status: int) -> None:
    port = shared.origin.rpartition(":")[2]
    given = {
        name: value.replace("{token}", shared.token).replace("{port}", port)
        for name, value in headers.items()
    }
    answer = shared.client.get(path.replace("{token}", shared.token), headers=given)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers
    assert "set-cookie" not in answer.headers
    if status != 200:
        assert shared.token not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Pairmill-Token": "no"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_a_foreign_page_cannot_decide(shared: View, headers: dict[str, str], status: int) -> None:
    body = b'{"action": "reject", "pairs": [1]}'
    given = {"Content-Type": "application/json", **headers}
    answer = shared.client.post("/api/marks", content=body, headers=given)
    assert answer.status_code == status
    assert shared.client.get("/api/marks").status_code == 405
    assert shared.get("/api/state")["marks"] == {}


def test_it_listens_on_loopback_alone(shared: View) -> None:
    port = int(shared.origin.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    places = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert [place for place in places if place.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/pairs?sort=badness;drop", None),
        ("GET", "/api/pairs?limit=1000", None),
        ("GET", "/api/pairs?limit=-1", None),
        ("GET", "/api/pairs?offset=1e3", None),
        ("GET", "/api/pairs?state=1) OR (1=1", None),
        ("GET", "/api/pairs?color=red", None),
        ("GET", f"/api/pairs?search={'x' * 3000}", None),
        ("GET", "/api/pairs/4000", None),
        ("GET", f"/api/pairs/{2**70}", None),
        ("POST", "/api/marks", []),
        ("POST", "/api/marks", {"action": "dance", "pairs": [1]}),
        ("POST", "/api/marks", {"action": "accept", "pairs": []}),
        ("POST", "/api/marks", {"action": "accept", "pairs": [True]}),
        ("POST", "/api/marks", {"action": "accept", "pairs": [99999]}),
        ("POST", "/api/marks", {"action": "accept", "pairs": "1"}),
        ("POST", "/api/marks", {"action": "note", "pairs": [1], "note": 5}),
        ("POST", "/api/marks", {"action": "note", "pairs": [1], "note": "x" * 20_000}),
        ("POST", "/api/marks", {"action": "note", "filter": {}, "expected": 41}),
        ("POST", "/api/marks", {"action": "accept", "filter": {"x": "y"}, "expected": 1}),
        ("POST", "/api/marks", {"action": "accept", "filter": {}, "expected": None}),
        (
            "POST",
            "/api/marks",
            {"action": "accept", "filter": {"state": "rejected"}, "expected": 1},
        ),
        ("POST", "/api/marks", {"action": "accept", "filter": {"upto": []}, "expected": 1}),
        ("POST", "/api/marks", {"action": "accept", "filter": {"upto": {}}, "expected": 1}),
        ("POST", "/api/pairs/1/edit", {"edits": "x"}),
        ("POST", "/api/pairs/1/edit", {"edits": [[["id"], "x"]]}),
        ("POST", "/api/pairs/1/edit", {"edits": [[["answer"], 5]]}),
        ("POST", "/api/pairs/1/edit", {"edits": [[["__class__"], "x"]]}),
        ("POST", "/api/pairs/1/edit", {"edits": [[["answer"], "x" * 300_000]]}),
        ("POST", "/api/undo", {"action": "nothing"}),
    ],
)
def test_what_makes_no_sense_is_a_plain_refusal(
    shared: View, method: str, path: str, body: Any
) -> None:
    answer = shared.client.request(method, path, json=body)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["error"].splitlines()) == 1
    assert shared.get("/api/state")["marks"] == {}


def test_too_much_is_refused(shared: View) -> None:
    headers = {"Content-Type": "application/json"}
    answer = shared.client.post("/api/marks", content=b" " * (9 * 2**20), headers=headers)
    assert answer.status_code == 413
    answer = shared.client.post("/api/marks", content=b"{nothing", headers=headers)
    assert answer.status_code == 400


# What is shown


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ({}, 41),
        ({"state": "kept"}, 40),
        ({"state": "rejected"}, 1),
        ({"state": "flagged"}, 10),
        ({"finding": "near_copy"}, 10),
        ({"finding": "refusal"}, 1),
        ({"kind": "why"}, 20),
        ({"source": "a.txt:1"}, 13),
        ({"search": "loom 17"}, 1),
        ({"search": "LOOM seventeen"}, 0),
        ({"search": "patt"}, 40),
        ({"search": "nothing"}, 1),
        ({"search": '"'}, 0),
        ({"search": "loom OR 17 NEAR"}, 0),
        ({"search": "*"}, 0),
        ({"kind": "why", "finding": "near_copy", "search": "loom"}, 10),
        ({"mark": "accepted"}, 0),
        ({"mark": "none"}, 40),
        ({"rating": "none"}, 40),
        ({"upto": "5"}, 5),
        ({"source": "' OR 1=1 --"}, 0),
    ],
)
def test_filters(shared: View, given: dict[str, str], count: int) -> None:
    found = shared.get("/api/pairs", **given)
    assert found["total"] == count
    assert len(found["pairs"]) == min(count, 25)


def test_pages_and_orders(shared: View) -> None:
    def places(**given: Any) -> list[int]:
        return [pair["place"] for pair in shared.get("/api/pairs", **given)["pairs"]]

    assert places(sort="order", limit=3) == [1, 2, 3]
    assert places(sort="order", limit=3, offset=3) == [4, 5, 6]
    assert places(sort="newest", limit=2) == [41, 40]
    assert places(sort="grounding", limit=2, state="kept") == [1, 2]
    assert places(sort="order", offset=1000) == []
    pair = shared.get("/api/pairs/1")["pair"]
    assert pair["turns"][1][1].startswith("Loom 0 weaves")
    assert pair["flags"] == ["near_copy"]


def test_the_page_is_one_file_that_asks_nobody_else(shared: View) -> None:
    page = shared.client.get(f"/?token={shared.token}").text
    assert shared.token not in page
    assert "<script src" not in page
    for word in ("http:", "https:", "@import", "innerHTML"):
        assert word not in page


# What is decided


def test_decisions_are_kept_and_honoured(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    before = (folder / "data" / "train-00000.jsonl").read_bytes()
    with viewing(folder) as view:
        view.ready()
        answer = view.post("/api/marks", {"action": "reject", "pairs": [2, 3]})
        assert [pair["decision"] for pair in answer["pairs"]] == ["rejected", "rejected"]
        view.post("/api/marks", {"action": "note", "pairs": [41], "note": "why was it dropped?"})
        new = "A person wrote that the loom weaves."
        edited = view.post("/api/pairs/5/edit", {"edits": [[["answer"], new]]})
        assert edited["pairs"][0]["edited"]
        assert edited["is_checked"] is False  # its text is not at hand
        texts = view.get("/api/pairs/5")["texts"]
        assert texts[1]["text"] == new
        assert texts[1]["original"].startswith("Loom 4")
        found = view.get("/api/pairs", kind="how_to", upto=41)
        bulk = {"action": "accept", "filter": {"kind": "how_to", "upto": 41}, "expected": 20}
        assert found["total"] == 20
        assert view.post("/api/marks", bulk)["count"] == 20
        wrong = view.client.post("/api/marks", json=bulk | {"expected": 19})
        assert wrong.status_code == 409
        last = view.get("/api/state")["last"]
        assert (last["action"], last["pairs"]) == ("accept", 20)
        assert view.get("/api/state")["marks"]["accepted"] == 20
        view.post("/api/undo", {"action": last["id"]})
        assert view.client.post("/api/undo", json={"action": last["id"]}).status_code == 400
        assert view.get("/api/pairs", mark="rejected")["total"] == 2
        assert view.get("/api/pairs", mark="noted")["total"] == 1
        assert view.get("/api/pairs", mark="edited")["total"] == 1
        assert "accepted" not in view.get("/api/state")["marks"]
        refused = view.client.post("/api/marks", json={"action": "accept", "pairs": [41]})
        assert refused.status_code == 400
    assert (folder / "data" / "train-00000.jsonl").read_bytes() == before
    out = tmp_path / "out"
    done = pairmill("export", folder, "-o", out, "--exact", "--split", "100/0/0")
    assert done.returncode == 0, done.stderr
    assert "38 of 40 pairs" in done.stderr
    assert "2 marked_rejected" in done.stderr
    assert new in next((out / "data").glob("train-*.jsonl")).read_text("utf-8")
    done = pairmill("qc", folder, "--json", "--fail-on", "never")
    assert json.loads(done.stdout)["pairs"] == 38
    assert pairmill("report", folder).returncode == 0
    report = (folder / "report.html").read_text("utf-8")
    assert "rejected by people" in report
    assert new in report
    with viewing(folder) as view:  # and they are there at the next start
        view.ready()
        assert view.get("/api/state")["marks"] == {"rejected": 2, "edited": 1, "noted": 1}


def test_two_viewers_see_each_others_decisions(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with viewing(folder) as one, viewing(folder) as other:
        one.ready()
        other.ready()
        assert one.token != other.token
        for number in range(1, 21):
            view = (one, other)[number % 2]
            view.post("/api/marks", {"action": "accept", "pairs": [number]})
        for view in (one, other):
            view.wait(lambda state: state["marks"].get("accepted") == 20)
            assert view.get("/api/pairs", mark="accepted")["total"] == 20
        last = one.get("/api/state")["last"]
        other.post("/api/undo", {"action": last["id"]})
        one.wait(lambda state: state["marks"].get("accepted") == 19)
    assert len((folder / "marks.jsonl").read_bytes().splitlines()) == 21


def test_a_kill_while_marks_are_written_loses_nothing_that_was_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    told: list[int] = []
    process = start("view", folder, "--port", "0")
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    import httpx2 as httpx

    origin, _, token = address.partition("/?token=")
    with httpx.Client(headers={"X-Pairmill-Token": token}, trust_env=False) as client:
        until = time.monotonic() + 20
        while client.get(f"{origin}/api/pairs").json()["total"] < 41:
            assert time.monotonic() < until
            time.sleep(0.05)
        for number in range(1, 31):
            if number == 25:
                os.kill(process.pid, signal.SIGKILL)
            try:
                body = {"action": "accept", "pairs": [number]}
                if client.post(f"{origin}/api/marks", json=body).status_code == 200:
                    told.append(number)
            except httpx.TransportError:
                break
    process.communicate(timeout=20)
    assert len(told) >= 24
    with (folder / "marks.jsonl").open("ab") as file:
        file.write(b'{"format":1,"id":"torn","at":"2026-1')
    with viewing(folder) as view:
        view.ready()
        assert view.get("/api/pairs", mark="accepted")["total"] >= len(told)
        view.post("/api/marks", {"action": "reject", "pairs": [40]})
        state = view.wait(lambda state: state["marks"].get("rejected") == 1)
        assert "1 line holds no mark" in state["notices"][0]


# While a run goes on, and when files go


def test_pairs_appear_while_a_run_writes_them(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", 10)
    opened = folder / ".run" / "open" / "train-00001.jsonl"
    with viewing(folder) as view:
        view.wait(lambda state: state["newest"] == 11)
        write(opened, [make_row(at) for at in range(10, 15)])
        with opened.open("ab") as file:
            file.write(b'{"torn": ')
        view.wait(lambda state: state["newest"] == 16)
        assert view.get("/api/pairs", search="loom 14")["total"] == 1
        # A crash: the open shard is cut back, and its rows are written again in another order.
        write(opened, [make_row(at) for at in range(14, 8, -1)])
        view.wait(lambda state: state["progress"]["pairs"] == 16)
        place = view.get("/api/pairs", search="loom 14")["pairs"]
        assert [pair["id"] for pair in place] == [make_row(14)["id"]]
        (folder / "data" / "train-00001.jsonl").hardlink_to(opened)
        opened.unlink()
        time.sleep(1.0)
        found = view.get("/api/pairs", search="loom 12")["pairs"]
        assert found[0]["turns"][1][1].startswith("Loom 12")


def test_files_that_go_while_they_are_viewed(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with viewing(folder) as view:
        view.ready()
        shard = folder / "data" / "train-00000.jsonl"
        shard.write_bytes(shard.read_bytes()[:2000])
        pairs = view.get("/api/pairs", sort="order", limit=40, state="kept")["pairs"]
        assert all("place" in pair for pair in pairs)
        view.wait(lambda state: state["progress"]["pairs"] < 10)
        folder.rename(tmp_path / "elsewhere")
        assert all("place" in pair for pair in view.get("/api/pairs")["pairs"])
        state = view.wait(lambda state: state["problem"])
        assert "gone" in state["problem"]
        assert len(state["problem"].splitlines()) == 1
        answer = view.client.post("/api/marks", json={"action": "accept", "pairs": [1]})
        assert answer.status_code in {400, 500}  # nowhere to keep it, and one line says so
        assert len(answer.json()["error"].splitlines()) == 1


def test_another_file_of_marks_is_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with viewing(folder) as view:
        view.ready()
        view.post("/api/marks", {"action": "accept", "pairs": [1]})
        (folder / "marks.jsonl").unlink()
        assert view.wait(lambda state: not state["marks"])["last"] is None
        view.post("/api/marks", {"action": "reject", "pairs": [1]})
        assert view.get("/api/state")["marks"] == {"rejected": 1}


# Any other dataset


FILES: dict[str, Any] = {
    "alpaca.json": [
        {"instruction": f"Name loom {at}.", "input": "in Dutch", "output": f"Getouw {at}."}
        for at in range(6)
    ],
    "chat.jsonl": [
        {
            "messages": [
                {"role": "user", "content": f"Loom {at}?"},
                {"role": "assistant", "content": f"Yes, loom {at}."},
            ]
        }
        for at in range(6)
    ],
    "table.csv": [("question", "answer"), *((f"Loom {at}?", f"Loom {at}!") for at in range(6))],
}


@pytest.mark.parametrize("name", FILES)
def test_any_dataset_can_be_marked_and_cleaned(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".csv"):
        path.write_text("".join(f"{a},{b}\n" for a, b in FILES[name]))
    elif name.endswith(".json"):
        path.write_text(json.dumps(FILES[name]))
    else:
        write(path, FILES[name])
    before = path.read_bytes()
    with viewing(path) as view:
        view.ready()
        pairs = view.get("/api/pairs", sort="order")
        assert pairs["total"] == 6
        texts = view.get("/api/pairs/3")["texts"]
        last = texts[-1]
        new = "A person wrote this one."
        view.post("/api/pairs/3/edit", {"edits": [[last["path"], new]]})
        view.post("/api/marks", {"action": "reject", "pairs": [1]})
        assert view.get("/api/pairs", search="loom 5")["total"] >= 1
        assert view.client.get("/api/pairs/1/story").status_code == 400
        shown = view.get("/api/pairs", mark="edited")["pairs"][0]
        assert shown["turns"][-1][1] == new
    assert path.read_bytes() == before
    assert (tmp_path / f"{name}.marks").is_file()
    out = tmp_path / "clean.jsonl"
    done = pairmill("qc", path, "--clean", out, "--drop", "none", "--fail-on", "never")
    assert done.returncode == 0, done.stderr
    lines = out.read_text("utf-8").splitlines()
    assert len(lines) == 5
    assert sum(new in line for line in lines) == 1


# What cannot be


def test_what_cannot_be_viewed_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    taken = socket.create_server(("127.0.0.1", 0))
    port = str(taken.getsockname()[1])
    run = make_run(tmp_path / "run")
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "odd-") + b"\xff.jsonl"))
    odd.write_text("{}\n")
    for arguments, words, code in (
        ((tmp_path / "nowhere",), "no such file or folder", 1),
        ((tmp_path / "empty",), "holds no", 1),
        ((odd,), "not valid UTF-8", 1),
        ((run, "--port", port), "is taken; --port 0 takes a free one", 78),
        ((run, "--host", "no.such.host.invalid", "--port", "0"), "cannot be used", 78),
        ((run, "--port", "99999"), "", 2),
    ):
        done = pairmill("view", *arguments)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        if code != 2:
            assert len(done.stderr.splitlines()) == 1
    taken.close()


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    with viewing(make_run(tmp_path / "run")) as view:
        view.ready()
        children = Path(f"/proc/{view.pid}/task/{view.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        state = view.wait(lambda state: state["problem"])
        assert "start 'pairmill view' again" in state["problem"]
        assert view.get("/api/pairs")["total"] == 41  # what is known is shown all the same


def test_a_file_without_pairs_is_shown_as_that(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"a": 1}\nnothing\n')
    with viewing(path) as view:
        state = view.ready()
        assert state["progress"]["damaged"] == 2
        assert view.get("/api/pairs")["total"] == 0
        state = view.wait(lambda state: state["verdict_note"])
        assert "no pairs found" in state["verdict_note"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = start("view", make_run(tmp_path / "run"), "--port", "0")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_code_that_a_run_folder_names_is_not_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "evil.py").write_text(
        f"open({str(tmp_path / 'owned')!r}, 'w').close()\nrecipe = open_ = None\n"
    )
    texts = tmp_path / "a.txt"
    texts.write_text("words " * 200)
    (folder / ".run").mkdir()
    for settings in (
        {"recipe": str(folder / "evil.py"), "inputs": [str(texts)]},
        {"sources": [f"{folder / 'evil.py'}:recipe"], "inputs": [str(texts)]},
    ):
        (folder / ".run" / "config.json").write_text(json.dumps(settings))
        with viewing(folder) as view:
            view.ready()
            view.get("/api/pairs/1/story")
            view.wait(lambda state: state["overview"])
            assert not (tmp_path / "owned").exists()
