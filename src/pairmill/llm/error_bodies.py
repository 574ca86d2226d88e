"""Parses the error bodies of providers: many shapes, one result."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["ErrorDetails", "first_dict", "read_body", "reports_failure"]

_LAST_STATUS = 599


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """Facts about a failure from a body of any shape.

    Attributes:
        names: Codes and types, in lower case, most precise first.
        details: Everything that may name a quota, as text.
        error: The part about the error, unchanged.
        status: HTTP status of a failure, if the body names one.
    """

    names: tuple[str, ...]
    message: str
    details: str
    error: Any
    status: int | None


def read_body(body: Any) -> ErrorDetails:
    """Extract the facts from a reply's body: decoded JSON of any shape, or other bytes."""
    if isinstance(body, bytes):
        return ErrorDetails((), _page_title(body), "", None, None)
    if isinstance(body, list):
        body = first_dict(body) or {}  # Gemini wraps its error in a list of one
    if not isinstance(body, dict):
        return ErrorDetails((), str(body)[:1000] if isinstance(body, str) else "", "", None, None)
    told = body.get("base_resp")
    if not body.get("error") and isinstance(told, dict) and told.get("status_code"):
        # MiniMax: the outcome beside the answer, in a 200, with its own numbers
        name = f"base_resp.{told['status_code']}"
        text = str(told.get("status_msg") or "")
        return ErrorDetails((name.lower(),), text, text[:8000], {"message": text}, None)
    error = _error(body)
    inner: dict[str, Any] = error if isinstance(error, dict) else body
    names = [_name(_first(inner, keys)) for keys in (_CODES, ("type",), ("status",))]
    names += [
        _name(body.get("error_type")),
        _name(body.get("type")),
        _name(inner.get("error_type")),
    ]
    nested = inner.get("innererror")
    if isinstance(nested, dict):  # Azure: the inner code is more precise
        names.insert(0, _name(nested.get("code")))
    told_text = error if isinstance(error, str) else _innermost(_message(inner), inner)
    message = _unquoted(told_text)
    details = [message, inner.get("details"), inner.get("metadata")]
    return ErrorDetails(
        tuple(name for name in names if name),
        message,
        json.dumps(details, default=str)[:8000],
        error if error is not None else inner,
        _status(_first(inner, _CODES)) or _status(_first(inner, ("status", "statusCode"))),
    )


def reports_failure(body: Any) -> bool:
    """Return whether the body of a success reports an error beside, or instead of, an answer."""
    if not isinstance(body, dict):
        return False
    told = body.get("base_resp")
    if _error(body) or (isinstance(told, dict) and told.get("status_code")):
        return True
    if body.get("choices"):
        return False
    return body.get("success") is False or bool(_message(body) and _first(body, _CODES))


_CODES = ("code", "error_code", "errcode", "Code", "errorcode")
_MESSAGES = (
    *("message", "Message", "detail", "msg", "error_msg", "errmsg", "error_message"),
    *("error_description", "faultstring", "description", "reason", "title"),
)
_MOST_DEPTH = 4


def _error(body: dict[str, Any]) -> Any:
    """Return the part of a body about the error; None if it is the whole body."""
    for key in ("error", "errors", "Error", "err", "fault"):
        found = body.get(key)
        if isinstance(found, list):  # Cloudflare: a list of them
            found = first_dict(found) or next((it for it in found if isinstance(it, str)), None)
        if found and isinstance(found, dict | str):
            return found
    response = body.get("Response")  # Tencent
    return _error(response) if isinstance(response, dict) else None


def _first(values: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((found for key in keys if (found := values.get(key))), None)


def _innermost(message: str, error: dict[str, Any]) -> str:
    """Return the original reason, if a gateway passes on an upstream provider's.

    OpenRouter keeps it in ``metadata.raw``: JSON in a text, or a plain text.
    """
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, str) and raw.lstrip().startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            raw = json.loads(raw)
    if isinstance(raw, dict | list):
        inner = read_body(raw).message
    else:
        inner = raw if isinstance(raw, str) else ""
    return f"{message}: {inner}" if message and inner else inner or message


def _unquoted(message: str, depth: int = _MOST_DEPTH) -> str:
    """Return a message with the reply that it quotes as JSON replaced by what that says."""
    start = message.find("{")
    if start < 0 or not depth:
        return message
    try:
        quoted, size = json.JSONDecoder().raw_decode(message[start:])
    except (ValueError, RecursionError):
        return message
    error = _error(quoted)
    inner = error if isinstance(error, str) else _message(error or quoted)
    if not inner:
        return message
    before = message[:start].rstrip(" -:[('\"b")
    after = message[start + size :].lstrip(" ])'\"").rstrip()
    text = f"{before}: {_unquoted(inner, depth - 1)}" if before else _unquoted(inner, depth - 1)
    return f"{text} {after}" if after else text


def _message(error: dict[str, Any], depth: int = _MOST_DEPTH) -> str:
    for key in _MESSAGES:
        value = error.get(key)
        if isinstance(value, str) and value.strip():
            title = error.get("title") if key == "detail" else None  # RFC 9457
            return f"{title}: {value}" if isinstance(title, str) and title else value
        if isinstance(value, dict) and isinstance(value.get("detail"), list):
            value = value["detail"]  # Mistral
        if isinstance(value, list) and value:  # FastAPI: one entry per error
            return "; ".join(_detail(item) for item in value[:3])
        if isinstance(value, dict) and depth:
            inner = value.get("error")
            found = inner if isinstance(inner, str) else _message(value, depth - 1)
            if found:
                return found
    return ""


def _detail(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)[:200]
    where = item.get("loc")
    place = ".".join(str(part) for part in where) if isinstance(where, list) else ""
    return f"{place}: {item.get('msg', '')}" if place else str(item.get("msg", ""))


def _page_title(body: bytes) -> str:
    """Return the title of a proxy's page, or the start of a plain text."""
    text = body[:4096].decode("utf-8", "replace")
    title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
    if title:
        return title[1]
    return "the reply is a web page" if text.lstrip().startswith("<") else text


def _name(value: Any) -> str:
    """Normalize a code or type to lower case; a number that is not an HTTP status is a code too."""
    if isinstance(value, int) and not isinstance(value, bool) and value > _LAST_STATUS:
        return str(value)
    return value.lower() if isinstance(value, str) else ""


def _status(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    good = isinstance(value, int) and not isinstance(value, bool)
    return value if good and 400 <= value <= 599 else None  # noqa: PLR2004 (statuses of failure)


def first_dict(value: Any) -> dict[str, Any] | None:
    """Return the first item of a list, if it is a list and the item a mapping."""
    first = value[0] if isinstance(value, list) and value else None
    return first if isinstance(first, dict) else None
