from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pairmill import events
from pairmill.events import Bus, Event, LoopLate, Notice, ReadingDone

if TYPE_CHECKING:
    from collections.abc import Callable


class Pinged(Event, frozen=True):
    """An event that is not pairmill's own."""

    number: int


def test_a_subscriber_is_told_of_the_types_that_it_named_and_no_others() -> None:
    bus, told = Bus(), list[Event]()
    bus.subscribe(told.append, Notice, ReadingDone)
    for event in (Notice("a"), LoopLate(0.1), ReadingDone(), Pinged(1)):
        bus.emit(event)
    assert told == [Notice("a"), ReadingDone()]


def test_who_names_no_type_is_told_of_all_also_of_those_of_others() -> None:
    bus, told = Bus(), list[Event]()
    bus.emit(Notice("too early"))
    bus.subscribe(told.append)
    given = [Notice("a"), Pinged(1), LoopLate(0.1)]
    for event in given:
        bus.emit(event)
    assert told == given


def test_subscribers_are_told_in_the_order_in_which_they_came() -> None:
    bus, told = Bus(), list[str]()

    def named(name: str) -> Callable[[Event], None]:
        return lambda _: told.append(name)

    bus.subscribe(named("first, of all"))
    bus.subscribe(named("second"), Notice)
    bus.subscribe(named("third, of all"))
    bus.emit(Notice("a"))
    assert told == ["first, of all", "second", "third, of all"]


def test_an_event_cannot_be_changed_by_one_who_is_told() -> None:
    with pytest.raises(AttributeError):
        Notice("a").text = "b"  # type: ignore[misc]


def test_every_event_is_public() -> None:
    own = {kind.__name__ for kind in Event.__subclasses__() if kind.__module__ == events.__name__}
    assert own <= set(events.__all__)
