"""Write the example rows of the library's recipes into docs/recipes.md, from recorded answers.

    python tools/recipe_examples.py [--check]
    python tools/recipe_examples.py --open
    python tools/recipe_examples.py --ask URL MODEL

Each recipe of the library runs over two units of ``examples/articles`` against a server on loopback
that replays the answers of a large language model, kept in ``tests/fixtures/recipe_answers``. An
answer belongs to the exact messages that were sent: after a change of a prompt there is none.
``--open`` prints the questions that have no recorded answer, ``--ask`` asks an endpoint for them
(its key is ``OPENAI_API_KEY``) and keeps what it says.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pairmill import generate
from pairmill.recipes.load import library_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "recipes.md"
ANSWERS = ROOT / "tests" / "fixtures" / "recipe_answers"
ARTICLES = [
    str(ROOT / "examples" / "articles" / name) for name in ("1790-washington.txt", "sorting.md")
]
RUN: Mapping[str, Any] = {
    "model": "recorded",
    "structured_output": "json_schema",
    "limit_per_document": 1,
    "concurrency": 1,
    "max_attempts": 1,
}
"""Settings of the runs: one unit of each article, each question once."""

_SHOWN_CHARS = 150
_UNKNOWN = "no answer to this question was recorded"
_KEY = "OPENAI_API_KEY"
_TEXTS = ("instruction", "reasoning", "answer")
_COLUMNS = ("task", "kind", "system", *_TEXTS, "messages", "evidence", "fields")


def name_of(messages: list[dict[str, Any]]) -> str:
    """Name a question by its exact messages."""
    texts = [[turn["role"], turn["content"]] for turn in messages]
    return sha256(json.dumps(texts).encode()).hexdigest()[:16]


@dataclass
class Recording:
    """The recorded answers of one recipe, and what was asked of them.

    Attributes:
        answers: Answers to each question, in order: a question may be asked several times. A text
            that is no JSON is kept as it is.
        asked: How often each question was asked.
        unknown: Messages of the questions without an answer.
        source: Base URL and model that are asked for unknown answers; None: nobody.
    """

    answers: dict[str, list[Any]]
    asked: Counter[str] = field(default_factory=Counter)
    unknown: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    source: tuple[str, str] | None = None

    @classmethod
    def of(cls, recipe: str) -> Recording:
        """Read the recording of a recipe; an empty one if there is none."""
        path = ANSWERS / f"{recipe}.yaml"
        found = yaml.safe_load(path.read_text("utf-8")) if path.exists() else {}
        return cls({str(name): answers for name, answers in (found or {}).items()})

    def reply(self, request: Mapping[str, Any]) -> str:
        """Return the next answer to a question as the model's text."""
        name = name_of(request["messages"])
        number = self.asked[name]
        self.asked[name] += 1
        known = self.answers.get(name, [])
        if number < len(known):
            found = known[number]
            return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
        if self.source is None:
            self.unknown.append((name, request["messages"]))
            return _UNKNOWN
        text = _ask(*self.source, request)
        self.answers.setdefault(name, []).append(_value(text))
        return text

    def write(self, recipe: str) -> None:
        """Keep the answers that were asked for as the recording of a recipe."""
        used = {name: known[: self.asked[name]] for name, known in self.answers.items()}
        kept = {name: known for name, known in used.items() if known}
        text = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=100)
        (ANSWERS / f"{recipe}.yaml").write_text(text, "utf-8")

    @property
    def unused(self) -> list[str]:
        """Names of recorded answers that nothing asked for."""
        return [name for name, known in self.answers.items() if self.asked[name] < len(known)]


def _value(text: str) -> Any:
    """Read an answer as JSON, to be kept in a form that people can read; else as it is."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _ask(url: str, model: str, request: Mapping[str, Any]) -> str:
    headers = {"Authorization": f"Bearer {os.environ[_KEY]}", "Content-Type": "application/json"}
    body = json.dumps({**request, "model": model}).encode()
    with urllib.request.urlopen(  # noqa: S310 (an address that the caller typed)
        urllib.request.Request(f"{url.rstrip('/')}/chat/completions", body, headers)  # noqa: S310
    ) as response:
        return str(json.load(response)["choices"][0]["message"]["content"])


@contextmanager
def replayed(recording: Recording) -> Iterator[str]:
    """Serve a recording on loopback; give its base URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one segment

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = recording.reply(request)
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            reply = {"id": "r", "object": "chat.completion", "created": 0, "model": "recorded"}
            body = json.dumps({**reply, "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def rows_of(recipe: str, recording: Recording, folder: Path) -> list[dict[str, Any]]:
    """Run a recipe over the first unit of each article; return the rows that it writes."""
    os.environ.setdefault(_KEY, "none")
    with replayed(recording) as url:
        generate(
            *ARTICLES,
            output=folder / recipe,
            recipe=recipe,
            base_url=url,
            **RUN,
        )
    return list(_rows_in(folder / recipe / "data"))


def _rows_in(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:  # a row may hold other ends of lines
            yield from map(json.loads, lines)


def examples(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Choose a row of each unit, the second of another kind if there is one; as in the docs."""
    units: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: ARTICLES.index(row["source"])):
        units.setdefault(row["chunk_id"], []).append(row)
    shown: list[dict[str, Any]] = []
    for each in units.values():
        others = [row for row in each if _sort_of(row) not in map(_sort_of, shown)]
        shown.append((others or each)[0])
    return [json.dumps(_visible(row), ensure_ascii=False) for row in shown]


def _sort_of(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row["task"], row["kind"]


def _visible(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without empty columns, provenance and the end of long texts."""
    hidden = {"task"} if row["task"] == "pair" else set(_TEXTS) if row["messages"] else set()
    return {name: _cut(row[name]) for name in _COLUMNS if row[name] and name not in hidden}


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        is_long = len(value) > _SHOWN_CHARS
        return f"{value[:_SHOWN_CHARS].rsplit(None, 1)[0]} ..." if is_long else value
    if isinstance(value, list):
        return [_cut(each) for each in value]
    if isinstance(value, dict):
        return {name: _cut(each) for name, each in value.items() if each is not None}
    return value


def page(recipe: str, shown: list[str], text: str) -> str:
    """Put the examples of a recipe into its section of the page."""
    begin, end = f"<!-- begin: example {recipe} -->\n", f"<!-- end: example {recipe} -->"
    before, opened, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        sys.exit(f"{DOCS.name}: no place for the examples of {recipe}: write {begin.strip()}")
    lines = "\n".join(shown)
    return f"{before}{begin}\n```json\n{lines}\n```\n\n{end}{after}"


def main(arguments: list[str]) -> int:
    """Write the page, check it, or deal with the questions that have no answer."""
    action = arguments[0] if arguments else ""
    source = (arguments[1], arguments[2]) if action == "--ask" else None
    before = text = DOCS.read_text("utf-8")
    is_open = False
    with tempfile.TemporaryDirectory() as scratch:
        for recipe in library_names():
            recording = Recording.of(recipe)
            recording.source = source
            rows = rows_of(recipe, recording, Path(scratch))
            if source:
                recording.write(recipe)
            for name, messages in recording.unknown:
                is_open = True
                texts = [turn["content"] for turn in messages] if action == "--open" else []
                told = f"### {recipe}: no answer was recorded to question {name}"
                sys.stdout.write("\n\n".join([told, *texts]) + "\n")
            for name in recording.unused:
                sys.stdout.write(f"### {recipe}: nothing asks for the recorded answer {name}\n")
            text = page(recipe, examples(rows), text)
    if action in {"--check", "--open"} or is_open:
        return int(is_open or (action == "--check" and text != before))
    DOCS.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
