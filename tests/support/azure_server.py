"""Azurite, the emulator of Azure Blob Storage that Microsoft maintains, where it is installed.

``npm install -g azurite``, or AZURITE names its ``azurite-blob``. Its telemetry is off: nothing
leaves this machine.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from email.utils import formatdate
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AZURITE", "CONTAINER", "azure_server"]

AZURITE = os.environ.get("AZURITE") or shutil.which("azurite-blob")
CONTAINER = "crawl"
_ACCOUNT = "devstoreaccount1"
# Of every emulator, and in Microsoft's documents: it opens nothing.
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2021-08-06"


@contextmanager
def azure_server() -> Iterator[dict[str, str]]:
    """Serve a container while the block runs; the environment by which it is reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ("--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry")
    with subprocess.Popen(
        [str(AZURITE), *flags, "--blobHost", "127.0.0.1", "--blobPort", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}/{_ACCOUNT}"
            _create_container(url)
            yield {
                "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
                "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
                "AZURE_STORAGE_ENDPOINT": url,
                "AZURE_ALLOW_HTTP": "true",
            }
        finally:
            process.kill()


def _create_container(url: str) -> None:
    date = formatdate(usegmt=True)
    signed = (
        f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{_VERSION}\n"
        f"/{_ACCOUNT}/{_ACCOUNT}/{CONTAINER}\nrestype:container"
    )
    digest = hmac.new(base64.b64decode(_KEY), signed.encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": date,
        "x-ms-version": _VERSION,
        "Authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(digest).decode()}",
    }
    until = time.monotonic() + 60
    while True:
        with suppress(httpx2.HTTPError):
            place = f"{url}/{CONTAINER}?restype=container"
            assert httpx2.put(place, headers=headers, trust_env=False).status_code == 201
            return
        assert time.monotonic() < until, "Azurite did not start"
        time.sleep(0.1)
