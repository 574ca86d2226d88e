"""A server that answers as it likes: any bytes, any headers, over TLS or not."""

from __future__ import annotations

import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = ["Answer", "Certificates", "StrangeServer", "certificate", "chat", "strange_server"]

Answer = tuple[int, "Mapping[str, str]", bytes]
"""Status, headers and body."""


class Certificates(NamedTuple):
    """Paths of PEM files: an authority, and a chain and key of its signing."""

    authority: Path
    chain: Path
    key: Path


class StrangeServer:
    """What it was asked, and where it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.lines: list[str] = []


class _QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that are killed while they are answered."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """See ``BaseServer``."""


@contextmanager
def strange_server(
    answer: Callable[[dict[str, Any], str], Answer | bytes | None],
    *,
    tls: Certificates | None = None,
) -> Iterator[StrangeServer]:
    """Serve what ``answer`` makes of a request and its key.

    Bytes are sent as they are, and the connection is closed behind them; None: nothing, for ever.
    """
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            request = json.loads(self.rfile.read(length))
            key = self.headers.get("authorization", "").removeprefix("Bearer ")
            server.asked.append(request)
            server.keys.append(key)
            server.lines.append(self.requestline)
            found = answer(request, key)
            if found is None:
                over.wait()
                return
            if isinstance(found, bytes):
                self.wfile.write(found)
                self.close_connection = True
                return
            status, headers, body = found
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            return

    with _QuietServer(("127.0.0.1", 0), Handler) as http:
        scheme = "http"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.chain, tls.key)
            http.socket = context.wrap_socket(http.socket, server_side=True)
            scheme = "https"
        server = StrangeServer(f"{scheme}://127.0.0.1:{http.server_port}/v1")
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            http.shutdown()
            thread.join()


def certificate(folder: Path) -> Certificates:
    """Make an authority that nobody trusts by itself, and what it signed for 127.0.0.1."""
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    made = Certificates(folder / "ca.pem", folder / "chain.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(made.authority)
    own.private_key_pem.write_to_path(made.key)
    for pem in own.cert_chain_pems:
        pem.write_to_path(made.chain, append=True)
    return made


def chat(text: str, *, model: str = "m", **more: Any) -> bytes:
    """A chat completion as bytes."""
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": text},
    }
    prompt, done = 50, max(1, len(text) // 4)
    usage = {"prompt_tokens": prompt, "completion_tokens": done, "total_tokens": prompt + done}
    return json.dumps({"choices": [choice], "model": model, "usage": usage, **more}).encode()
