from __future__ import annotations

import random
import sys
import time
from functools import partial

import anyio
import pytest
from tests.support.asks import make_chunk

from pairmill.errors import EXIT_CONFIG, EXIT_RESUMABLE, Blame, Kind
from pairmill.events import CallAnswered
from pairmill.records import Outcome, Usage
from pairmill.run.reader import Inbox, Work
from pairmill.run.stop import Stop
from pairmill.run.suspects import Cause, Suspects
from pairmill.store.columns import RowOrigin
from pairmill.store.row_encoding import UnitResult

FREE = [Kind.REFUSED, Kind.OVERLOAD, Kind.RATE, Kind.QUOTA, Kind.CONFIG]
BILLED = [Kind.TIMEOUT, Kind.LOST]


class Setting:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.written: list[str] = []
        self.inbox = Inbox(9)
        self.asked = 0
        self.well = False
        self.asked_models: set[str] = set()
        self.stop = Stop()
        self.suspects = Suspects(
            lambda it: self.written.append(it.origin.unit_id), self.inbox, self.stop, self._is_well
        )

    async def _is_well(self, model: str) -> bool:
        self.asked += 1
        self.asked_models.add(model)
        return self.well

    def take(self) -> Work | None:
        return anyio.run(self.suspects.take)

    def work(self, name: str) -> Work:
        return Work(name, make_chunk(name), {})

    def fail(self, work: Work, kind: Kind, sentence: str = "why", *, billed_sends: int = 0) -> bool:
        cause = Cause(kind, sentence, "m")
        return self.suspects.set_aside(work, cause, billed_sends=billed_sends)

    def hold(self, name: str, kind: Kind, sentence: str = "its words", *, model: str = "m") -> None:
        origin = RowOrigin(name, "r", "1", "m", 0, Usage(), 0.0)
        result = UnitResult(make_chunk(name), origin, Outcome.REJECTED, [], [], "why")
        self.suspects.hold(result, Cause(kind, sentence, model))

    def answer(self, sent_ago_s: float = 0.0, *, model: str = "m") -> None:
        event = CallAnswered("served", "answer", Usage(), None, seconds=sent_ago_s, asked=model)
        self.suspects.listen(event)

    def conclude(self, *, has_pairs: bool = True, well: bool = False) -> Stop:
        self.well = well
        anyio.run(partial(self.suspects.conclude, has_pairs=has_pairs))
        return self.stop


@pytest.fixture
def it(monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(monkeypatch)


@pytest.mark.parametrize("kind", [*FREE, *BILLED, Kind.CHUNK])
def test_what_cost_nothing_is_asked_again_within_bounds(it: Setting, kind: Kind) -> None:
    """Once; and a few times for what no chunk can be at fault for, while others are answered."""
    work, asked = it.work("a"), 0
    it.well = True
    while it.fail(work, kind, "why", billed_sends=2 * (kind in BILLED)):
        asked += 1
        assert it.take() is work
    is_its_own = kind.meaning.blame not in {Blame.SETTINGS, Blame.ACCOUNT}
    assert asked == ((1 if is_its_own else 3) if kind in FREE else 0)
    assert it.take() is None


def test_a_request_that_may_be_billed_is_sent_once_more_and_so_is_the_next_of_its_unit(
    it: Setting,
) -> None:
    work = it.work("a")
    it.well = True
    for kind in (Kind.TIMEOUT, Kind.LOST, Kind.TIMEOUT):  # three requests of one unit
        assert it.fail(work, kind, "why", billed_sends=1)
        assert it.take() is work
        assert not it.fail(work, kind, "why", billed_sends=2)
    assert not it.fail(work, Kind.CHUNK, "why", billed_sends=1)


def test_the_last_send_is_not_risked_where_several_failed_and_nobody_is_answered(
    it: Setting,
) -> None:
    for name in ("a", "b", "c"):
        it.fail(it.work(name), Kind.TIMEOUT, "no answer in time", billed_sends=1)
    assert it.take() is None
    assert it.asked == 1
    assert it.stop.reason == "the last 3 chunks got no answer: no answer in time; raise timeout_s"
    assert it.stop.exit_code == EXIT_RESUMABLE
    assert it.written == []


def test_one_or_two_are_an_accident_and_so_are_more_before_an_answer(it: Setting) -> None:
    for name in ("a", "b"):
        it.fail(it.work(name), Kind.LOST, "cut", billed_sends=1)
    assert it.take() is not None
    for name in ("c", "d", "e"):
        it.fail(it.work(name), Kind.LOST, "cut", billed_sends=1)
    it.now += 1
    it.answer(sent_ago_s=5.0)
    while it.take() is not None:
        pass
    assert it.asked == 0
    assert not it.stop.is_requested


def test_a_question_of_our_own_speaks_for_all_that_failed_before_it(it: Setting) -> None:
    it.well = True
    for name in ("a", "b", "c", "d"):
        it.fail(it.work(name), Kind.LOST, "cut", billed_sends=1)
    it.now += 1
    for _ in range(4):
        assert it.take() is not None
    assert it.asked == 1
    it.now += 1
    for name in ("e", "f", "g"):
        it.fail(it.work(name), Kind.LOST, "cut", billed_sends=1)
    it.now += 1
    assert it.take() is not None
    assert it.asked == 2
    assert not it.stop.is_requested


def test_it_is_asked_once_more_when_the_server_answers_what_came_later(it: Setting) -> None:
    it.fail(it.work("a"), Kind.REFUSED, "why", billed_sends=0)
    it.now += 5
    it.answer(sent_ago_s=6.0)
    assert it.inbox.is_empty
    it.answer(sent_ago_s=4.0)
    assert not it.inbox.is_empty


@pytest.mark.parametrize("kind", [*BILLED, *FREE, Kind.CHUNK])
def test_three_later_answers_make_it_a_tombstone(it: Setting, kind: Kind) -> None:
    it.hold("a", kind)
    it.now += 5
    for _ in range(9):
        it.answer(sent_ago_s=6.0)
    it.answer()
    it.answer()
    assert it.written == []
    it.answer()
    assert it.written == ["a"]
    assert not it.conclude().is_requested


def test_a_run_that_is_ended_leaves_open_what_nobody_could_judge(it: Setting) -> None:
    it.hold("a", Kind.REFUSED)
    it.hold("b", Kind.CHUNK)
    it.stop.request("enough")
    it.conclude()
    assert it.asked == 0
    assert it.written == []
    assert it.stop.reason == "enough"


@pytest.mark.parametrize("kind", [Kind.REFUSED, Kind.TIMEOUT, Kind.LOST, Kind.OVERLOAD])
def test_one_or_two_at_the_end_of_a_run_are_at_fault_and_three_are_not(
    it: Setting, kind: Kind
) -> None:
    it.hold("a", kind)
    it.hold("b", kind)
    assert not it.conclude().is_requested
    assert it.written == ["a", "b"]
    for name in "cde":
        it.hold(name, kind)
    stop = it.conclude()
    assert stop.exit_code == EXIT_RESUMABLE
    assert stop.reason == "the last 3 chunks got no answer: its words"
    assert it.written == ["a", "b"]


def test_where_nothing_was_ever_answered_even_one_is_no_tombstone(it: Setting) -> None:
    it.hold("a", Kind.TIMEOUT, "no answer in time")
    stop = it.conclude(has_pairs=False)
    assert stop.reason == "the last chunk got no answer: no answer in time; raise timeout_s"
    assert it.written == []


def test_what_the_server_names_is_a_tombstone_however_many_if_it_answers_at_all(
    it: Setting,
) -> None:
    for name in "abcdef":
        it.hold(name, Kind.CHUNK)
    assert not it.conclude(has_pairs=False, well=True).is_requested
    assert (len(it.written), it.asked) == (6, 1)


def test_what_the_server_names_of_all_that_it_is_asked_is_no_tombstone(it: Setting) -> None:
    it.hold("a", Kind.CHUNK)
    it.hold("b", Kind.CHUNK)
    assert not it.conclude().is_requested
    assert (it.written, it.asked) == (["a", "b"], 0)
    for name in "cde":
        it.hold(name, Kind.CHUNK)
    stop = it.conclude()
    assert (stop.exit_code, stop.reason) == (
        EXIT_RESUMABLE,
        "the last 3 chunks got no answer: its words",
    )
    assert (it.written, it.asked) == (["a", "b"], 1)


@pytest.mark.parametrize(
    ("kind", "code"), [(Kind.QUOTA, EXIT_RESUMABLE), (Kind.CONFIG, EXIT_CONFIG)]
)
def test_an_accounts_trouble_is_never_a_tombstone(it: Setting, kind: Kind, code: int) -> None:
    it.hold("a", kind)
    assert it.conclude().exit_code == code
    assert it.written == []


@pytest.mark.parametrize("kind", [*FREE, *BILLED])
def test_a_question_that_is_answered_at_the_end_tells_that_the_chunks_are_at_fault(
    it: Setting, kind: Kind
) -> None:
    for name in "abc":
        it.hold(name, kind)
    assert not it.conclude(well=True).is_requested
    assert it.written == ["a", "b", "c"]
    assert it.asked == 1


def test_where_no_chunk_was_ever_answered_no_made_up_question_speaks_for_the_server(
    it: Setting,
) -> None:
    it.hold("a", Kind.REFUSED)
    assert it.conclude(has_pairs=False, well=True).is_requested
    assert it.asked == 0


def test_answers_of_another_model_say_nothing(it: Setting) -> None:
    """A judge that answers all day long does not make the writer well."""
    it.fail(it.work("a"), Kind.REFUSED)
    it.hold("b", Kind.TIMEOUT, model="m")
    it.hold("c", Kind.TIMEOUT, model="judge")
    it.now += 5
    for _ in range(9):
        it.answer(model="judge")
    assert (it.inbox.is_empty, it.written) == (True, ["c"])
    for _ in range(3):
        it.answer(model="m")
    assert (it.inbox.is_empty, it.written) == (False, ["c", "b"])


def test_at_the_end_each_model_is_asked_about_its_own(it: Setting) -> None:
    it.hold("a", Kind.QUOTA, model="m")
    it.hold("b", Kind.QUOTA, model="judge")
    it.answer(sent_ago_s=1.0)
    assert not it.conclude(well=True).is_requested
    assert it.asked_models == {"m", "judge"}
    assert it.written == ["a", "b"]


@pytest.mark.parametrize("kind", [Kind.AUTH, Kind.CONFIG, Kind.QUOTA, Kind.REFUSED])
@pytest.mark.parametrize("share", [0.05, 1 / 3, 0.5])
def test_refusals_that_meet_chunks_at_random_give_no_chunk_up(
    it: Setting, kind: Kind, share: float
) -> None:
    """As one sick replica of three makes them: no chunk of a thousand is lost to them."""
    dice = random.Random(1)
    lost = 0
    for number in range(1000):
        work = it.work(f"{number}")
        while True:
            it.now += 1
            if dice.random() >= share:
                it.answer()
                break
            if not it.fail(work, kind):
                lost += 1
                break
            it.now += 1
            it.answer()
    assert lost <= 1
    assert it.asked == 0


@pytest.mark.parametrize(("kind", "most"), [(Kind.CONFIG, 4), (Kind.REFUSED, 2)])
def test_what_meets_one_chunk_alone_is_the_chunks_own(it: Setting, kind: Kind, most: int) -> None:
    work, sent = it.work("a"), 1
    for _ in range(50):
        it.now += 1
        it.answer()
    while it.fail(work, kind):
        sent += 1
        it.now += 1
        it.answer()
    assert sent == most


def test_the_last_chunk_is_not_asked_over_and_over_where_nothing_is_answered(it: Setting) -> None:
    """At the end of a run: at most once, until a question of our own was answered."""
    work = it.work("a")
    assert it.fail(work, Kind.CONFIG)
    assert it.take() is work
    it.now += 1
    assert it.fail(work, Kind.CONFIG)
    it.well = True
    assert it.take() is work
    assert it.asked == 1
    it.now += 1
    assert it.fail(work, Kind.CONFIG, "no such model")
    it.well = False
    assert it.take() is None
    assert it.stop.exit_code == EXIT_CONFIG
    assert it.stop.reason == "the last chunk got no answer: no such model"


def test_what_was_asked_often_waits_for_the_end_of_the_input(it: Setting) -> None:
    """Units that were not asked yet tell more of a server than the same one again."""
    work = it.work("a")
    assert it.fail(work, Kind.CONFIG)
    assert anyio.run(partial(it.suspects.take, is_last=False)) is work
    it.now += 1
    assert it.fail(work, Kind.CONFIG)
    assert anyio.run(partial(it.suspects.take, is_last=False)) is None
    assert (it.asked, it.stop.is_requested) == (0, False)
    it.well = True
    assert it.take() is work
    assert it.asked == 1


@pytest.mark.parametrize(
    ("others", "answers", "most"), [(0, 50, 1), (1, 20, 3), (10, 10, 15), (600, 0, 30)]
)
def test_the_more_others_fail_likewise_the_more_often_a_chunk_is_asked(
    it: Setting, others: int, answers: int, most: int
) -> None:
    """Until so many failures in a row are no chance any more, or there are thirty."""
    for _ in range(answers):
        it.answer()
    for number in range(others):
        it.fail(it.work(f"{number}"), Kind.REFUSED)
    work, asked = it.work("a"), 0
    while it.fail(work, Kind.REFUSED):
        asked += 1
    assert asked == most


def test_what_one_chunk_meets_again_and_again_counts_six_times(it: Setting) -> None:
    """What no server ever answers makes no noise of all others' failures."""
    for _ in range(20):
        it.answer()
    for _ in range(50):
        it.fail(it.work("always"), Kind.CONFIG)
    work, asked = it.work("a"), 0
    while it.fail(work, Kind.CONFIG):
        asked += 1
    assert asked == 7


def test_a_single_answer_of_this_start_speaks_for_the_server(it: Setting) -> None:
    it.answer()
    it.now += 1
    it.hold("a", Kind.TIMEOUT)
    assert not it.conclude(has_pairs=False).is_requested
    assert it.written == ["a"]


def test_nothing_is_kept_of_a_unit_that_has_ended(it: Setting) -> None:
    """Neither in memory, nor in what others are judged by: that is a count."""

    def fail_and_end(count: int) -> int:
        for at in range(count):
            work = it.work(f"{count}-{at}")
            assert it.fail(work, Kind.OVERLOAD)
            assert it.take() is work
            it.suspects.forget(work.unit)
            it.answer()
        return sum(map(sys.getsizeof, vars(it.suspects).values()))

    it.answer()
    assert fail_and_end(500) == fail_and_end(50)
    known = it.work("known")
    asked = 0
    while it.fail(known, Kind.OVERLOAD):
        asked += 1
        assert it.take() is known
    assert asked > 1, "the failures of those that ended still speak for chance"
