"""moto's S3 server as a process of its own, on loopback: ``python -m tests.support.s3_server``.

moto keeps to If-None-Match and If-Match, but looks and writes in two steps: of two puts at the same
moment both may win, where no store in use lets them. So requests are let in one at a time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BUCKET", "s3_environment", "s3_process", "s3_server"]

BUCKET = "crawl"
_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Serve a bucket while the block runs; the environment by which it is reached."""
    with s3_process() as (environment, _):
        yield environment


@contextmanager
def s3_process() -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """As ``s3_server``, with the server's process."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.s3_server"],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield s3_environment(port), process
        finally:
            process.kill()


def s3_environment(port: int) -> dict[str, str]:
    """The variables by which a server on loopback is reached."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }


def _serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    inner = DomainDispatcherApplication(create_backend_app)
    turn = threading.Lock()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        with turn:
            return list(inner(environ, start_response))

    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    import boto3

    os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    url = f"http://127.0.0.1:{server.server_port}"
    boto3.client("s3", endpoint_url=url, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    _serve()
