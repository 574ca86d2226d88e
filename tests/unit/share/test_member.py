"""What a member asks for, and what it may do before and after its word is written."""

from __future__ import annotations

import pytest

from pairmill.errors import ConfigError, FolderError
from pairmill.share.member import (
    REQUESTS,
    MoneyNeed,
    ScopeNews,
    ShareMember,
    SharePlan,
    wanted_share,
)
from pairmill.share.record import Money, ShareRecord, decode, encode

NEWS = {"model": ScopeNews(1.0)}
NOTHING = MoneyNeed()


def member(name: str, cap: int | None = None, account: str = "") -> ShareMember:
    return ShareMember(name, account or name, ("model",), (cap, None))


def step(
    one: ShareMember,
    record: ShareRecord,
    now: float,
    want: float = 1.0,
    need: MoneyNeed = NOTHING,
    news: ScopeNews | None = None,
) -> tuple[ShareRecord, SharePlan]:
    plan = one.plan(record, now, {"model": news or ScopeNews(want)}, need)
    if plan.record is None:
        return record, plan
    one.written(plan, now)
    return decode(encode(plan.record), "here"), plan


def test_two_members_come_to_halves_without_ever_holding_more_than_all() -> None:
    one, other = member("one"), member("other")
    record, plan = step(one, ShareRecord(), 0.0)
    assert plan.before.shares == {"model": 0.0}
    assert plan.after.shares == {"model": 1.0}
    record, plan = step(other, record, 1.0)
    assert plan.after.shares == {"model": 0.0}
    record, plan = step(one, record, 2.0)
    assert plan.before.shares == plan.after.shares == {"model": 0.5}  # lowered before it is written
    record, plan = step(other, record, 3.0)
    assert plan.before.shares == {"model": 0.0}  # raised only after
    assert plan.after.shares == {"model": 0.5}


def test_what_one_does_not_want_goes_to_the_other() -> None:
    one, other = member("one"), member("other")
    record, _ = step(one, ShareRecord(), 0.0)
    record, _ = step(other, record, 1.0)
    record, _ = step(one, record, 2.0, want=0.1)
    record, plan = step(other, record, 3.0)
    assert plan.after.shares["model"] == pytest.approx(0.9)


def test_who_stands_still_loses_its_share_and_has_stopped_before() -> None:
    one, other = member("one"), member("other")
    record, plan = step(one, ShareRecord(), 0.0)
    until = plan.after.until
    now = 0.0
    while "one" in record.members:
        record, plan = step(other, record, now)
        assert plan.after.shares == {"model": 0.0} or now > until
        now += 0.5
    assert until < now <= 7.0
    record, plan = step(other, record, now + 2.0)
    assert plan.after.shares == {"model": 1.0}
    assert record.fence >= 3
    late = one.plan(record, now + 3.0, NEWS, NOTHING)  # it wakes up
    assert late.before.until < now
    assert late.after.shares == {"model": 0.0}


def test_who_joins_again_is_not_taken_for_its_former_self() -> None:
    """A member that slept through it all saw the same name, and must not see the same beat."""
    one, other, sleeper = member("one"), member("other"), member("sleeper")
    record, _ = step(one, ShareRecord(), 0.0)
    record, _ = step(sleeper, record, 0.1)
    for now in range(1, 30):
        record, _ = step(other, record, float(now))
    assert set(record.members) == {"other"}
    record, _ = step(one, record, 30.0)
    record, _ = step(sleeper, record, 30.1)
    assert set(record.members) == {"one", "other", "sleeper"}


def test_money_is_leased_in_slices_and_given_back() -> None:
    one = member("one", cap=1000)
    need = MoneyNeed(wanted=Money(10))
    record, plan = step(one, ShareRecord(), 0.0, need=need)
    assert 10 <= plan.after.allowed.picodollars <= 500
    assert plan.before.allowed.picodollars == 0
    other = member("other", cap=1000)
    record, plan = step(other, record, 1.0, need=MoneyNeed(wanted=Money(800)))
    total = record.allowed().picodollars
    assert total <= 1000
    record = one.leave(record, Money(7))
    assert record.accounts["one"].allowed == Money(7)
    record, plan = step(other, record, 2.0, need=MoneyNeed(wanted=Money(994)))
    assert plan.after.may_grow is False  # nobody else may give anything back
    assert plan.after.allowed == Money(0)
    record, plan = step(other, record, 4.0, need=MoneyNeed(wanted=Money(993)))
    assert plan.after.allowed == Money(993)


def test_what_a_dead_run_leased_counts_until_its_folder_says_what_was_spent() -> None:
    one = member("one", cap=1000, account="folder")
    record, plan = step(one, ShareRecord(), 0.0, need=MoneyNeed(wanted=Money(400)))
    leased = plan.after.allowed.picodollars
    other = member("other", cap=1000)
    for now in range(1, 30):
        record, plan = step(other, record, float(now), need=MoneyNeed(wanted=Money(700)))
    assert "one" not in record.members
    assert plan.after.may_grow is False
    again = member("again", cap=1000, account="folder")
    record, plan = step(again, record, 30.0, need=MoneyNeed(spent=Money(50)))
    assert plan.after.allowed.picodollars <= max(leased, 500)
    record = again.leave(record, Money(50))
    record, plan = step(other, record, 31.0, need=MoneyNeed(wanted=Money(700)))
    assert plan.after.allowed.picodollars >= 700


def test_another_cap_is_refused_while_others_are_there() -> None:
    record, _ = step(member("one", cap=1000), ShareRecord(), 0.0)
    with pytest.raises(ConfigError, match="max_usd"):
        member("other", cap=2000).plan(record, 1.0, NEWS, NOTHING)
    mine = member("raised", cap=2000, account="one").plan(record, 1.0, NEWS, NOTHING)
    assert mine.record is not None
    assert mine.record.cap_picodollars == 2000


def test_what_one_finds_out_reaches_the_others() -> None:
    one, other = member("one"), member("other")
    record, _ = step(one, ShareRecord(), 0.0)
    record, _ = step(other, record, 0.5)
    assert other.pauses(record) == {}
    news = ScopeNews(1.0, {REQUESTS: 500.0}, 20.0, "the key is refused", 78)
    record, _ = step(one, record, 1.0, news=news)
    assert record.scopes["model"].limits == {REQUESTS: 500.0}
    assert record.scopes["model"].dead == "the key is refused"
    assert other.pauses(record) == {"model": 20.0}
    assert other.pauses(record) == {}
    assert one.pauses(record) == {}
    record, _ = step(member("new"), record, 2.0)
    assert record.scopes["model"].dead == ""  # it may have been mended


def test_a_key_that_a_new_one_tries_again_is_not_called_dead_once_more_by_those_that_gave_up() -> (
    None
):
    one, new = member("one"), member("new")
    given_up = ScopeNews(1.0, dead="the key is refused", exit_code=78)
    record, _ = step(one, ShareRecord(), 0.0, news=given_up)
    assert record.scopes["model"].dead
    record, _ = step(new, record, 1.0)
    for now in (2.0, 4.0, 8.0):  # it works on with another key
        record, _ = step(one, record, now, news=given_up)
        assert record.scopes["model"].dead == ""
    record, _ = step(new, record, 9.0, news=given_up)  # it was not renewed
    assert record.scopes["model"].dead


@pytest.mark.parametrize(
    ("share", "waiting", "sent", "want"),
    [(0.5, 9, 10, 1.0), (0.5, 9, 1, 0.1), (0.5, 0, 10, 1.0), (0.5, 0, 3, 0.3), (0.01, 5, 0, 1.0)],
)
def test_wants_follow_what_was_used(share: float, waiting: int, sent: int, want: float) -> None:
    found = wanted_share(share, waiting, {REQUESTS: float(sent)}, {REQUESTS: 1200.0}, 1.0)
    assert found == pytest.approx(want)


@pytest.mark.parametrize("seconds", [0.5, 2.0, 30.0])
def test_a_want_is_a_rate_however_long_it_was_measured(seconds: float) -> None:
    used = {REQUESTS: 6.0 * seconds}  # of 1,200 a minute, 20 a second
    assert wanted_share(0.5, 0, used, {REQUESTS: 1200.0}, seconds) == pytest.approx(0.6)


def test_other_content_and_newer_records_are_refused() -> None:
    with pytest.raises(FolderError, match="not hold a shared quota"):
        decode(b"[1]", "here")
    with pytest.raises(FolderError, match="newer pairmill"):
        decode(b'{"format":9}', "here")


def test_a_want_that_rises_is_written_before_the_next_renewal() -> None:
    """Else the other keeps for seconds what this one could use."""
    one, other = member("one"), member("other")
    record, _ = step(one, ShareRecord(), 0.0)
    record, _ = step(other, record, 0.1)
    record, _ = step(one, record, 0.2)
    record, _ = step(other, record, 0.3, want=0.3)
    record, _ = step(one, record, 0.4)
    record, _ = step(other, record, 0.5, want=0.3)
    _, plan = step(other, record, 0.6, want=0.3)
    assert plan.record is None  # nothing is new
    record, plan = step(other, record, 0.7, want=0.4)
    assert plan.record is not None
    assert record.members["other"].wants == {"model": 0.4}
