"""What happens in a run, as one frozen type, and the bus that tells whoever watches.

Subscribers are plain synchronous functions. They count, draw and log; they never decide. An event
holds ids, numbers and short words: never a prompt, an answer, a header or a key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bus", "Event", "Topic"]


class Topic(StrEnum):
    """What an event is about."""

    RUN_OPENED = "run_opened"  # what earlier starts left: see session.py
    DOCUMENT_READ = "document_read"  # count
    INPUT_SKIPPED = "input_skipped"  # source, reason: a record that cannot be used
    UNIT_PLANNED = "unit_planned"  # count: units that the reader handed over
    UNIT_KNOWN = "unit_known"  # count: units that were finished in an earlier start
    READING_DONE = "reading_done"  # no more units will be planned
    CALL_ANSWERED = "call_answered"  # model, outcome, seconds, charge, and tokens: see Client
    CALL_CHARGED = "call_charged"  # model, outcome (empty, lost), charge: money without an answer
    CALL_FAILED = "call_failed"  # kind, status, code, retry_after_s, message
    CALL_REPLAYED = "call_replayed"  # an answer came out of the ledger
    ANSWER_READ = "answer_read"  # how: strict, healed, salvaged
    REPAIR_ASKED = "repair_asked"  # reason
    JUDGED = "judged"  # trial, position, words, scores, first: see recipes/judge.py
    EVOLVED = "evolved"  # operator, outcome: kept, or why not
    UNIT_FINISHED = "unit_finished"  # outcome, pairs, rejected (lines), dropped (pairs), document
    COMMITTED = "committed"  # units, answers, kept: units that are no tombstones
    SHARD_PUBLISHED = "shard_published"  # name, rows, bytes
    LOOP_LATE = "loop_late"  # seconds: how late the event loop ran a timer, some times a second
    NOTICE = "notice"  # text: one plain line for people


class Event(Struct, frozen=True):
    """One thing that happened: its topic and the fields that the topic's comment names."""

    topic: Topic
    fields: dict[str, Any]


class Bus:
    """Tells each subscriber of the events that it asked for, in order, at once."""

    def __init__(self) -> None:
        self._subscribers: dict[Topic, list[Callable[[Event], None]]] = {it: [] for it in Topic}

    def subscribe(self, subscriber: Callable[[Event], None], *topics: Topic) -> None:
        """Tell ``subscriber`` of each event about ``topics`` from now on; without any, of all."""
        for topic in topics or Topic:
            self._subscribers[topic].append(subscriber)

    def emit(self, topic: Topic, /, **fields: Any) -> None:
        """Tell whoever asked for it that something happened."""
        subscribers = self._subscribers[topic]
        if subscribers:
            event = Event(topic, fields)
            for subscriber in subscribers:
                subscriber(event)
