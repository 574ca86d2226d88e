"""Structured log lines: JSON when stderr is not a terminal, else plain text.

Log lines hold ids, numbers and short words. Text from a page, a model or a server is
sanitized (``pairmill.plain``) before it gets here.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import orjson
import structlog

if TYPE_CHECKING:
    from typing import IO

__all__ = ["configure"]


def configure(stream: IO[str] | None = None) -> structlog.typing.FilteringBoundLogger:
    """Return the run's logger, which writes JSON lines, and silence the libraries' loggers."""
    for name in ("httpx2", "httpcore2", "openai", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    out = getattr(stream, "buffer", None) or sys.stderr.buffer
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _in_order,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return logger


def _in_order(
    _logger: object, _method: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Put time, level and event before all other keys."""
    head = ("timestamp", "level", "event")
    return {**{name: fields.pop(name, None) for name in head}, **fields}


def _dumps(value: object, **_: object) -> bytes:
    return orjson.dumps(value, default=str)
