"""A stand-in for the Hugging Face hub on loopback, as far as making and filling a dataset goes.

It speaks the hub's own HTTP interface, as ``huggingface_hub`` 2 uses it: whoami, dataset info and
tree, create, YAML check, preupload, Git LFS batch with its uploads, and commits as NDJSON. It keeps
every file's bytes, checks what Git LFS promises of them, and refuses who has no token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import yaml

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["TOKEN", "HubServer", "Repo"]

TOKEN = "hf_" + "abcdefghij" * 3 + "1234"


@dataclass
class Repo:
    """A dataset repository."""

    is_private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)


class HubServer:
    """The hub; a context manager.

    Attributes:
        repos: By ``OWNER/NAME``.
        large: Bytes from which a file goes by Git LFS.
        writers: Owners whose repositories the token may write.
        broken: Path prefix to the HTTP status that a request below it gets.
    """

    def __init__(self, *, large: int = 10_000_000) -> None:
        self.repos: dict[str, Repo] = {}
        self.large = large
        self.writers = {"me"}
        self.broken: dict[str, int] = {}
        self.uploaded: dict[str, bytes] = {}
        self.requests: list[str] = []
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def do_PUT(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, body: bytes) -> None:
        hub, path = self.server_hub, urlsplit(self.path).path
        hub.requests.append(f"{self.command} {path}")
        for prefix, status in hub.broken.items():
            if path.startswith(prefix):
                said = f"{prefix} is not well; your token was {self.headers['Authorization']}"
                self._send(status, {"error": said})
                return
        if self.command == "PUT" and path.startswith("/lfs/"):
            name = path.removeprefix("/lfs/")
            assert hashlib.sha256(body).hexdigest() == name
            hub.uploaded[name] = body
            self._send(200, {})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._send(401, {"error": "Invalid credentials in Authorization header"})
        else:
            self._known(path, body)

    def _known(self, path: str, body: bytes) -> None:
        hub = self.server_hub
        if path == "/api/whoami-v2":
            self._send(200, {"name": "me", "type": "user"})
        elif path == "/api/validate-yaml":
            head = json.loads(body)["content"].split("---\n")[1]
            assert isinstance(yaml.safe_load(head), dict)
            self._send(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/datasets/(.+)\.git/info/lfs/objects/batch", path):
            self._batch(json.loads(body))
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(/.*)?", path):
            repo = hub.repos.get(found[1])
            if repo is None:
                self._send(404, {"error": "Repository not found"}, code="RepoNotFound")
            else:
                self._of_repo(found[1], repo, found[2] or "", body)
        else:
            self._send(404, {"error": f"no such page {path}"})

    def _of_repo(self, name: str, repo: Repo, rest: str, body: bytes) -> None:
        if not rest:
            siblings = [{"rfilename": path} for path in repo.files]
            told = {"id": name, "private": repo.is_private, "siblings": siblings, "sha": "0" * 40}
            self._send(200, told)
        elif rest.startswith("/tree/"):
            self._send(200, [
                {"type": "file", "path": path, "size": len(data), "oid": _blob(data)}
                for path, data in repo.files.items()
            ])  # fmt: skip
        elif rest.startswith("/preupload/"):
            self._send(200, {"files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] >= self.server_hub.large else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]})  # fmt: skip
        elif rest.startswith("/commit/"):
            self._commit(name, repo, body)
        else:
            self._send(404, {"error": f"no such page {rest}"})

    def _create(self, wanted: dict[str, Any]) -> None:
        hub = self.server_hub
        name = f"{wanted['organization'] or 'me'}/{wanted['name']}"
        assert wanted["type"] == "dataset"
        if name.partition("/")[0] not in hub.writers:
            self._send(403, {"error": "You don't have the rights to create a dataset here"})
        elif name in hub.repos:
            self._send(409, {"error": "exists", "url": f"{hub.url}/datasets/{name}"})
        else:
            is_private = wanted.get("visibility") == "private" or wanted.get("private") is True
            hub.repos[name] = Repo(is_private)
            self._send(200, {"url": f"{hub.url}/datasets/{name}", "name": name, "id": name})

    def _batch(self, wanted: dict[str, Any]) -> None:
        hub = self.server_hub
        self._send(200, {"transfer": "basic", "objects": [
            item | {"actions": {"upload": {"href": f"{hub.url}/lfs/{item['oid']}"}}}
            for item in wanted["objects"]
        ]})  # fmt: skip

    def _commit(self, name: str, repo: Repo, body: bytes) -> None:
        hub = self.server_hub
        files = dict(repo.files)
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                repo.messages.append(value["summary"])
            elif item["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = hub.uploaded[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        repo.files = files
        url = f"{hub.url}/datasets/{name}/commit/{'1' * 40}"
        self._send(200, {"success": True, "commitOid": "1" * 40, "commitUrl": url})

    def _send(self, status: int, content: Any, *, code: str = "") -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        self.wfile.write(data)


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
