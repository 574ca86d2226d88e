from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pairmill.chunking.reader import read_chunks
from pairmill.chunking.reader_job import ReaderJob
from pairmill.chunking.reader_process import ReaderProcess
from pairmill.config import load
from pairmill.errors import InputError
from pairmill.output.source_texts import find_inputs
from pairmill.sources.files import find_files
from pairmill.sources.notes import InputFate, Note
from pairmill.sources.remote import credentials_for, is_remote, url_label
from pairmill.store.folder import open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

fsspec = pytest.importorskip("fsspec")
PROSE = "The mill stands by the river, and grinds whatever the farmers bring to it. " * 8
LINES = b"".join(b'{"text": "Number %d. %s"}\n' % (n, PROSE.encode()) for n in range(400))


class _Server(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []
    breaks: ClassVar[int] = 0

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, *, body: bool = True) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        data = LINES if self.path.startswith("/a.jsonl") else b"<a href='/a.jsonl'>more</a>"
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body and type(self).breaks:
            type(self).breaks -= 1
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    pytest.importorskip("aiohttp")
    _Server.asked.clear()
    _Server.breaks = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def _settings(*inputs: str, output: str = "none") -> Any:
    return load(given={"inputs": inputs, "output": output, "shared_lines": "keep"})


def test_a_file_by_http_is_read_as_it_would_be_here(address: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    here = [chunk.text for chunk in read_chunks(_settings(str(tmp_path)), lambda _: None)]
    url = f"{address}/a.jsonl?signature=secret"
    far = list(read_chunks(_settings(url), lambda _: None))
    assert [chunk.text for chunk in far] == here
    assert far[0].source == f"{address}/a.jsonl:1"
    with ReaderProcess(ReaderJob.of(_settings(url))) as batches:
        assert sum(len(batch.chunks) for batch in batches) == len(here)


def test_a_connection_that_breaks_is_taken_up(address: str) -> None:
    _Server.breaks = 2
    chunks = list(read_chunks(_settings(f"{address}/a.jsonl"), lambda _: None))
    assert len(chunks) == len({chunk.text for chunk in chunks}) == 400
    assert _Server.breaks == 0


def test_one_that_always_breaks_is_skipped_with_a_line(address: str) -> None:
    _Server.breaks = 1000
    notes: list[Note] = []
    assert len(list(read_chunks(_settings(f"{address}/a.jsonl"), notes.append))) < 400
    skipped = [note for note in notes if note.fate is InputFate.SKIPPED]
    assert [note.reason for note in skipped][-1] == "cannot read file"
    assert "signature" not in str(skipped)


def test_links_on_a_page_are_never_followed(address: str) -> None:
    list(read_chunks(_settings(f"{address}/"), lambda _: None))
    assert {asked.split(" ")[1] for asked in _Server.asked} == {"/"}


def test_what_cannot_be_read_is_told_at_once(address: str) -> None:
    for url, problem in (
        (f"{address}/missing.jsonl?key=secret", "no such file or folder: http://127"),
        ("gopher://example.org/a", "gopher:// cannot be read"),
        ("http://127.0.0.1:9/a.jsonl", "no such file or folder|cannot read"),
    ):
        with pytest.raises(InputError, match=problem) as raised:
            read_chunks(_settings(url), lambda _: None)
        assert "secret" not in str(raised.value)


def test_folders_and_patterns_of_a_store() -> None:
    system = fsspec.filesystem("memory")
    for name in ("b/2.jsonl", "b/1.md", "b/.hidden.md", "b/logo.png", "c/3.md"):
        with system.open(f"/store/{name}", "wb") as file:
            file.write(LINES if name.endswith("jsonl") else f"{name} {PROSE}".encode())
    notes: list[Note] = []
    found = find_files(("memory://store/b",), Path("o"), notes.append)
    assert [file.label for file in found] == ["memory://store/b/1.md", "memory://store/b/2.jsonl"]
    assert [note.reason for note in notes] == ["not a document"]
    chunks = list(read_chunks(_settings("memory://store/*/*.md"), lambda _: None))
    assert [chunk.text.split()[0] for chunk in chunks] == ["b/1.md", "c/3.md"]
    with pytest.raises(InputError, match="no such file or folder: memory"):
        read_chunks(_settings("memory://store/none"), lambda _: None)


def test_labels_hold_no_secret() -> None:
    assert url_label("https://me:pass@host/a.jsonl?sig=x#y") == "https://host/a.jsonl"
    assert is_remote("s3://bucket/key")
    assert not is_remote("C:/articles")
    assert not is_remote("articles/http:/x")


def test_only_a_store_s_own_credentials_reach_the_reading_process() -> None:
    assert credentials_for(("articles", "-")) == ()
    assert credentials_for(("s3://bucket/key",)) == ("AWS_", "FSSPEC_")
    assert credentials_for(("hf://datasets/a/b",)) == ("HF_",)


def test_a_folder_of_somebody_else_leads_nowhere(tmp_path: Path) -> None:
    with open_folder(
        tmp_path / "out", settings_fingerprint={}, accept_change=False, version="0"
    ) as folder:
        settings = _settings("https://example.org/a.jsonl", output=str(folder.path))
        folder.resolved.write_text(settings.model_dump_json())
        assert find_inputs(folder, run_code=True) == (
            None,
            "the run read files by URL; name the documents with --documents",
        )
        own = settings.model_copy(update={"inputs": (str(tmp_path),), "splitter": "os:getcwd"})
        folder.resolved.write_text(own.model_dump_json())
        assert find_inputs(folder, run_code=False)[0] is None


@pytest.mark.slow
def test_a_bucket_is_read_with_the_user_s_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs s3fs and moto[server], which are not among what `make setup` installs."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    try:
        client = boto3.client("s3")
        client.create_bucket(Bucket="crawl")
        for key, data in (("in/a.md", PROSE.encode()), ("in/b/c.jsonl", LINES), ("in/d.png", b"")):
            client.put_object(Bucket="crawl", Key=key, Body=data)
        settings = _settings("s3://crawl/in/")
        chunks = list(read_chunks(settings, lambda _: None))
        assert len(chunks) == 401
        assert chunks[0].source == "s3://crawl/in/a.md"
        with ReaderProcess(ReaderJob.of(settings)) as batches:
            assert sum(len(batch.chunks) for batch in batches) == 401
    finally:
        server.stop()
