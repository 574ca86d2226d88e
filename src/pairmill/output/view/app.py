"""The HTTP side: routes, their parameters, and errors as one line of JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread
import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pairmill.errors import InputError, PairmillError
from pairmill.output.report.page import render_live
from pairmill.output.view.guard import Guard
from pairmill.output.view.index import MARKS, RATINGS, SORTS, STATES, Filter
from pairmill.output.view.place import GoneError
from pairmill.output.view.viewer import StaleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from pairmill.output.view.guard import Door
    from pairmill.output.view.viewer import Viewer

__all__ = ["make_app"]

_MOST_BYTES = 8 * 2**20  # of what a page sends
_MOST_PAIRS = 100
_MOST_OFFSET = 2**53
_LONGEST_WORDS = 2_000
_CHOICES: Mapping[str, Mapping[str, str]] = {"state": STATES, "rating": RATINGS, "mark": MARKS}


class _Answer(Response):
    """JSON whose texts are all valid UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content, default=str, option=orjson.OPT_NON_STR_KEYS)


def make_app(viewer: Viewer, door: Door, *, name: str, version: str) -> ASGIApp:
    """Make the server's application.

    Args:
        viewer: Of the dataset.
        door: Who is let in.
        name: Of the dataset, for people.
        version: Of pairmill.
    """
    page, policy = render_live(name, version)
    pages = _Pages(viewer, page)
    routes = [
        Route("/", pages.show),
        Route("/favicon.ico", pages.nothing),
        Route("/api/state", pages.state),
        Route("/api/overview", pages.overview),
        Route("/api/pairs", pages.pairs),
        Route("/api/pairs/{number:int}", pages.pair),
        Route("/api/pairs/{number:int}/story", pages.story),
        Route("/api/pairs/{number:int}/edit", pages.edit, methods=["POST"]),
        Route("/api/marks", pages.decide, methods=["POST"]),
        Route("/api/undo", pages.undo, methods=["POST"]),
        Route("/api/judge", pages.judge, methods=["POST"]),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={PairmillError: _refused, HTTPException: _wrong},
    )
    app.router.redirect_slashes = False
    return Guard(app, door, policy)


class _Pages:
    """Handlers of all addresses."""

    def __init__(self, viewer: Viewer, page: str) -> None:
        self._viewer = viewer
        self._page = page

    async def show(self, _request: Request) -> Response:
        return HTMLResponse(self._page)

    async def nothing(self, _request: Request) -> Response:
        return Response(status_code=204)

    async def state(self, _request: Request) -> Response:
        return await _ask(self._viewer.state)

    async def overview(self, _request: Request) -> Response:
        return await _ask(self._viewer.overview)

    async def pairs(self, request: Request) -> Response:
        given: dict[str, str] = dict(request.query_params)
        sort = given.pop("sort", "worst")
        if sort not in SORTS:
            raise InputError(f"sort: one of {', '.join(SORTS)}")
        offset = _number(given.pop("offset", "0"), _MOST_OFFSET)
        limit = _number(given.pop("limit", "25"), _MOST_PAIRS)
        return await _ask(self._viewer.page, _filter(given), sort, offset, limit)

    async def pair(self, request: Request) -> Response:
        return await _ask(self._viewer.pair, _place(request))

    async def story(self, request: Request) -> Response:
        return await _ask(self._viewer.story, _place(request))

    async def decide(self, request: Request) -> Response:
        given = await _body(request)
        action, note = str(given.get("action", "")), given.get("note", "")
        if not isinstance(note, str):
            raise InputError("note: a text")
        if "filter" in given:
            wanted = _filter(given["filter"])
            expected = _number(given.get("expected"), _MOST_OFFSET)
            return await _ask(self._viewer.decide_all, action, wanted, expected)
        numbers = given.get("pairs")
        if not isinstance(numbers, list) or not 0 < len(numbers) <= _MOST_PAIRS:
            raise InputError(f"pairs: 1 to {_MOST_PAIRS} numbers")
        known = [_number(number, _MOST_OFFSET) for number in numbers]
        return await _ask(self._viewer.decide, action, known, note)

    async def edit(self, request: Request) -> Response:
        given = await _body(request)
        return await _ask(self._viewer.edit, _place(request), given.get("edits"))

    async def undo(self, request: Request) -> Response:
        given = await _body(request)
        return await _ask(self._viewer.undo, str(given.get("action", "")))

    async def judge(self, _request: Request) -> Response:
        return await _ask(self._viewer.judge)


async def _ask(question: Callable[..., Any], *given: Any) -> Response:
    return _Answer(await anyio.to_thread.run_sync(question, *given))


def _place(request: Request) -> int:
    return _number(request.path_params["number"], _MOST_OFFSET)


async def _refused(_request: Request, error: Exception) -> Response:
    status = 400 if isinstance(error, InputError) else 500
    if isinstance(error, StaleError):
        status = 409
    if isinstance(error, GoneError):
        status = 410
    return _Answer({"error": str(error)}, status)


async def _wrong(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"error": "no such page" if status == 404 else "not taken"}, status)  # noqa: PLR2004


async def _body(request: Request) -> dict[str, Any]:
    """Parse the body sent by a page.

    Raises:
        HTTPException: It is too long.
        InputError: It is not a JSON object.
    """
    data = bytearray()
    try:
        async for part in request.stream():
            data += part
            if len(data) > _MOST_BYTES:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    try:
        given = orjson.loads(bytes(data))
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise InputError("send a JSON object")
    return given


def _filter(given: object) -> Filter:
    """Parse the filter sent by a page.

    Raises:
        InputError: There is no such field or choice.
    """
    if not isinstance(given, dict):
        raise InputError("filter: expected names with texts")
    upto = given.get("upto")
    fields = {name: value for name, value in given.items() if name != "upto"}
    for name, value in fields.items():
        if name not in Filter.__dataclass_fields__ or not isinstance(value, str):
            raise InputError("filter: an unknown name, or no text")
        if len(value) > _LONGEST_WORDS:
            raise InputError(f"{name}: more than {_LONGEST_WORDS:,} characters")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise InputError(f"{name}: one of {', '.join(filter(None, _CHOICES[name]))}")
    return Filter(
        **fields, upto=None if upto is None or upto == "" else _number(upto, _MOST_OFFSET)
    )


def _number(value: object, most: int) -> int:
    """Parse a whole number from 0.

    Raises:
        InputError: It is none, or too large.
    """
    is_number = isinstance(value, int) and not isinstance(value, bool)
    is_text = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20  # noqa: PLR2004
    if not (is_number or is_text) or not 0 <= (number := int(str(value))) <= most:
        raise InputError(f"a whole number from 0 to {most:,} is needed")
    return number
