from __future__ import annotations

import asyncio
import json
import re
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.support.asks import settings

from pairmill.errors import ConfigError
from pairmill.events import Bus
from pairmill.service.companions import RunView, beside
from pairmill.service.status_server.server import StatusServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def serving(hosts: tuple[str, ...] = ()) -> AsyncIterator[httpx2.AsyncClient]:
    server = StatusServer("0", hosts)
    async with (
        beside([server], RunView(settings(), Bus())),
        httpx2.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        yield http


async def test_it_answers_with_pages_that_load_nothing_from_elsewhere() -> None:
    async with serving() as http:
        for path in ("/", "/page.js", "/page.css", "/status.json", "/metrics", "/livez"):
            found = await http.get(path)
            assert found.status_code == 200, path
            assert "default-src 'none'" in found.headers["content-security-policy"]
            assert "http://" not in found.text.replace("http://www.w3.org/2000/svg", "")
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/../../etc/passwd")).status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:99", 200),
        ("[::1]:99", 200),
        ("10.1.2.3", 200),
        ("LOCALHOST:1", 200),
        ("pairmill.jobs.svc", 200),
        ("rebound.example", 421),
        ("127.0.0.1.rebound.example", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
async def test_a_page_elsewhere_cannot_read_it_under_a_name_of_its_own(
    host: str, status: int
) -> None:
    async with serving(("pairmill.jobs.svc",)) as http:
        assert (await http.get("/livez", headers={"host": host})).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(method: str) -> None:
    async with serving() as http:
        assert (await http.request(method, "/")).status_code == 405


async def test_events_come_until_the_run_ends() -> None:
    async with serving() as http, http.stream("GET", "/events") as found:
        lines = found.aiter_lines()
        assert (await anext(lines)).startswith('data: {"folder"')


async def test_the_page_shows_no_figure_that_its_events_do_not_have() -> None:
    async with serving() as http:
        page = (await http.get("/page.js")).text
        async with http.stream("GET", "/events") as found:
            first = await anext(found.aiter_lines())
    known = json.loads(first.removeprefix("data: ")).keys()
    shown = set(re.findall(r"\brun\.([a-z_]+)", page))
    assert len(shown) > 20
    assert shown - known == set()


async def test_it_waits_for_one_more_scrape_at_the_end() -> None:
    server = StatusServer("0", linger_s=30)
    ended = asyncio.Event()

    async def run() -> None:
        async with beside([server], RunView(settings(), Bus())):
            pass
        ended.set()

    running = asyncio.ensure_future(run())
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as http:
        for _ in range(5):
            await http.get("/livez")
        assert not ended.is_set()
        assert (await http.get("/metrics")).status_code == 200
    await asyncio.wait_for(running, 10)


@pytest.mark.parametrize("address", ["", "http", "127.0.0.1", "1:2:x", ":70000", "-1", "٣٠"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form PORT or HOST:PORT"):
        StatusServer(address)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on '{port}': Address already in use"):
            StatusServer(str(port))


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        StatusServer("192.0.2.1:0")
