"""Requests to ask with."""

from __future__ import annotations

from typing import Any

from pairmill.records import AnswerSchema, Message, Prompt, Request, Sampling, Template

__all__ = ["SCHEMA", "TEMPLATE", "request"]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"maxLength": {"type": "string", "maxLength": 40}},
    "required": ["maxLength"],
    "additionalProperties": False,
}
TEMPLATE = Template("ask", "1", (Message("system", "Be brief."), Message("user", "Hm?")))


def request(
    text: str = "hello",
    *,
    template: Template = TEMPLATE,
    schema: dict[str, Any] | None = SCHEMA,
    seed: int | None = 3,
    model: str = "m",
) -> Request:
    answer = AnswerSchema("An answer", schema, "s1") if schema is not None else None
    return Request(Prompt(template, text, Sampling(0.5, 64, seed)), model, answer)
