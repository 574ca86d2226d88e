from __future__ import annotations

import pytest

from pairmill.llm.limits.pacing import RateControl


def fed(control: RateControl, per_s: float, since: float, until: float, sent: int = 0) -> int:
    """Calls that are taken, evenly, ``per_s`` each second; the number sent in the end."""
    steps = int((until - since) * 2)
    for step in range(1, steps + 1):
        control.on_taken(since + step / 2, sent + int(step / 2 * per_s))
    return sent + int((until - since) * per_s)


def refuse(
    control: RateControl,
    now: float,
    sent: int,
    *,
    epoch: int | None = None,
    after: float | None = None,
    limit: int = 64,
    seconds: float = 0.25,
    in_cluster: bool = True,
) -> bool:
    """One refusal, after others where it is one of a cluster; whether it began an episode."""
    for number in range(sent - 9 * in_cluster, sent):
        control.cluster.on_refused(number)
    effect = control.on_refused(
        now,
        epoch=control.epoch if epoch is None else epoch,
        sent_before=sent,
        sent=sent + 1,
        limit=limit,
        seconds=seconds,
        retry_after_s=after,
    )
    return effect.is_cut


def test_nothing_is_paced_before_the_first_refusal() -> None:
    control = RateControl()
    fed(control, 10, 0, 60)
    assert control.pace is None
    assert control.pause.wait_s(60, 600, 64) == 0.0


def test_two_hundred_refusals_of_one_episode_cut_once() -> None:
    control = RateControl()
    sent = fed(control, 10, 0, 60)
    assert refuse(control, 60, sent, epoch=0)
    pace = control.pace
    for number in range(199):
        assert not refuse(control, 60.1, sent + 1 + number, epoch=0)
    assert control.pace == pace
    assert control.epoch == 1
    assert control.refused == 200


def test_the_pace_is_what_the_last_minute_took() -> None:
    control = RateControl()
    sent = fed(control, 30, 0, 60)
    sent = fed(control, 10, 60, 120, sent)
    refuse(control, 120, sent)
    assert control.pace == pytest.approx(9.5, rel=0.02)  # a little below, to pay off


def test_a_quota_that_was_empty_at_the_start_is_found_again_in_seconds() -> None:
    control = RateControl()
    assert refuse(control, 0, 1, after=1)
    assert control.pace is not None
    assert control.pace <= 1
    sent, now = 2, 1.0
    while control.pace < 50 and now < 30:
        now += 0.5
        sent += max(1, round(control.pace / 2))
        control.on_taken(now, sent)
    assert now < 12
    assert refuse(control, now, sent)
    assert control.pace < 50
    measured = control.pace
    sent = fed(control, 0.9 * measured, now, now + 2, sent)
    assert control.pace < 1.1 * measured  # it is no guess any more


def test_one_episode_never_takes_more_than_a_third() -> None:
    control = RateControl()
    sent = fed(control, 100, 0, 60)
    refuse(control, 60, sent)
    before = control.pace
    assert before is not None
    fed(control, 1, 60, 130, sent)
    refuse(control, 130, sent + 70)
    assert control.pace is not None
    assert control.pace >= 0.6 * before


def test_retry_after_rules_and_a_later_one_extends_the_pause() -> None:
    control = RateControl()
    refuse(control, 10, 5, after=7)
    assert control.pause.until == 17
    refuse(control, 11, 6, epoch=0, after=20)
    assert control.pause.until == 31
    refuse(control, 12, 7, epoch=0, after=1)
    assert control.pause.until == 31


def test_without_it_the_pause_doubles_while_nothing_is_taken() -> None:
    control = RateControl(backoff_s=1, max_backoff_s=60)
    now, sent, pauses = 0.0, 0, []
    for _ in range(9):
        refuse(control, now, sent)
        pauses.append(control.pause.until - now)
        now, sent = control.pause.until, sent + 1
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]


def let_go(control: RateControl, now: float, sent: int) -> int:
    """How many calls may go at a time, after ``sent`` before a pause, of 64."""
    count = 0
    while count < 64 and control.pause.wait_s(now, sent + count, 64) == 0.0:
        count += 1
    return count


def test_after_a_blocked_pause_one_call_asks_first() -> None:
    control = RateControl()
    refuse(control, 0, 0, after=30)
    assert [let_go(control, 30 + s, 1) for s in (0, 0.4, 0.5, 1, 2.5)] == [1, 1, 2, 4, 32]
    assert control.pause.wait_s(30.2, 2, 64) == pytest.approx(0.3)
    assert let_go(control, 33, 1) == 64
    assert not control.pause.is_ramping


def test_calls_follow_sooner_where_refusals_come_sooner() -> None:
    control = RateControl()
    refuse(control, 0, 0, after=30, seconds=0.05)
    assert [let_go(control, 30 + s, 1) for s in (0, 0.11, 0.21, 0.51)] == [1, 2, 4, 32]
    assert let_go(control, 30.6, 1) == 64


def test_after_a_long_pause_a_quarter_goes() -> None:
    control = RateControl()
    sent = fed(control, 10, 0, 60)
    refuse(control, 60, sent, after=5)
    assert [let_go(control, 65 + s, sent + 1) for s in (0, 0.5, 1)] == [16, 32, 64]


def waited(control: RateControl, now: float, sent: int, wait_s: float) -> int:
    """A cluster whose wait is doubted: what asks meanwhile is refused; calls sent in the end."""
    end = now + wait_s
    assert refuse(control, now, sent, after=wait_s)
    sent += 1
    while control.pause.until < end:
        now = control.pause.until
        assert not refuse(control, now, sent, after=end - now)
        sent += 1
    return sent


def held(per_s: float = 10.0) -> tuple[RateControl, int]:
    """A pool that was measured at 60 s, and the calls that it had sent."""
    control = RateControl()
    sent = fed(control, per_s, 0, 60)
    assert refuse(control, 60, sent)
    return control, sent


def test_a_pace_that_is_not_used_stays() -> None:
    control, sent = held()
    fed(control, 1, 60, 90, sent)
    assert control.pace == pytest.approx(9.5, rel=0.02)


def test_a_pace_that_nobody_objects_to_is_given_up_within_seconds() -> None:
    control, sent = held()
    fed(control, 10, 60, 63, sent)
    assert control.pace == pytest.approx(9.5, rel=0.03)  # still: 40 calls are to be taken first
    fed(control, 60, 63, 70, sent + 30)
    assert control.pace is None


def test_a_quota_that_objects_brings_the_old_pace_back_for_four_times_as_long() -> None:
    control, sent = held()
    now = 60.5
    for quiet_s in (2, 8):
        for _ in range(quiet_s * 2 - 2):
            now += 0.5
            sent = fed(control, 10, now - 0.5, now, sent)
            assert not control.held.is_rising
        while not control.held.is_rising or (control.pace or 99) < 15:
            now += 0.5
            sent = fed(control, 10, now - 0.5, now, sent)
            assert now < 200
        before = control.held.tracker.pace
        assert refuse(control, now, sent)
        assert control.pace == pytest.approx(before, rel=0.05)
        now += 0.5


def test_single_refusals_do_not_keep_a_pace_from_being_put_to_the_test() -> None:
    control, sent = held(100.0)
    for second in range(61, 67):
        sent = fed(control, control.pace or 200.0, second, second + 1, sent)
        refuse(control, second + 1, sent, in_cluster=False)
    assert control.pace is None or control.pace > 200


def test_a_server_that_counts_by_the_minute_is_measured_when_its_minute_ends() -> None:
    control = RateControl()
    sent = fed(control, 20, 0, 30)  # 600 in half a minute, then nothing until the minute is over
    sent = waited(control, 30, sent, 30.0)
    sent = fed(control, 10, 60, 64, sent)
    assert control.pace == pytest.approx(0.95 * 600 / 60, rel=0.1)


def test_a_server_that_counts_by_the_second_is_measured_over_the_last_ones() -> None:
    control = RateControl()
    sent = fed(control, 2, 0, 55)  # a slow start says nothing about what is allowed
    sent = fed(control, 10, 55, 60, sent)
    refuse(control, 60, sent)
    assert control.pace == pytest.approx(9.5, rel=0.1)


def test_a_trickle_beside_refusals_goes_on_with_the_old_episode() -> None:
    control = RateControl()
    sent = fed(control, 10, 0, 60)
    assert refuse(control, 60, sent)
    pace = control.pace
    for second in range(61, 70):
        sent += 1 + second % 2  # one is refused, and now and then another is taken
        assert not refuse(control, second, sent)
    assert control.pace == pace


def test_more_than_a_trickle_shows_that_the_pace_is_far_too_high() -> None:
    control = RateControl()
    sent = fed(control, 40, 0, 20)
    refuse(control, 20, sent)
    for second in range(21, 31):
        sent += 6  # five are taken each second
        refuse(control, second, sent)
    assert control.pace is not None
    assert control.pace < 12


def test_calls_of_two_minutes_each_leave_a_pace_that_is_more_than_nothing() -> None:
    control = RateControl()
    control.on_taken(0.01, 2)
    refuse(control, 3, 2, after=0.5, limit=2)
    for second, sent in ((10.2, 6), (12.2, 7), (12.5, 8), (600.3, 10), (604, 11), (604, 12)):
        control.on_taken(second, sent)
    refuse(control, 604.8, 12, after=20, limit=2)
    control.on_taken(729.5, 14)
    refuse(control, 852.1, 14, epoch=2, limit=2)
    control.on_taken(974.6, 16)  # in the minute that ended then nothing was taken at all
    assert control.pace


def test_a_cluster_far_below_the_pace_takes_a_third_and_no_more() -> None:
    control, sent = held(100.0)
    before = control.pace or 0.0
    sent = fed(control, 20, 62, 72, sent)
    assert refuse(control, 72, sent)
    assert control.pace == pytest.approx(0.65 * 0.95 * before, rel=0.02)


def test_a_cluster_at_a_pace_that_was_all_taken_is_doubted_for_a_block_of_calls() -> None:
    control, sent = held(100.0)
    sent = fed(control, 95, 60, 61.5, sent)
    assert refuse(control, 61.5, sent)
    assert control.pace == pytest.approx(0.8 * 0.95 * 100, rel=0.005)
    sent = fed(control, 76, 62, 66.5, sent)
    assert control.pace is not None
    assert control.pace > 0.95 * 0.95 * 100


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_single_refusals_of_a_minute_that_is_not_full_are_noise(share: float) -> None:
    control = RateControl()
    sent = fed(control, 20, 0, 30)  # 600 in half a minute, then nothing until the minute is over
    sent = waited(control, 30, sent, 30.0)
    sent = fed(control, 10, 60, 64, sent)
    before, now = control.pace or 0.0, 64.0
    for second in range(40):
        sent = fed(control, 5, now, now + 1, sent)
        now += 1
        if share and second % 4 == 0:
            refuse(control, now, sent, in_cluster=False)
    assert control.pace is not None
    assert control.pace >= before
    assert (control.held.minutes.noise > 0.03) == bool(share)


def test_single_refusals_of_a_full_minute_lower_the_pace_less_where_there_is_noise() -> None:
    paces = []
    for is_noisy in (False, True):
        control = RateControl()
        sent = fed(control, 20, 0, 30)
        sent = waited(control, 30, sent, 30.0)
        sent = fed(control, 10, 60, 64, sent)
        for second in range(64, 90):
            sent = fed(control, 10, second, second + 1, sent)
            if is_noisy and second < 85:  # so far the calls of this minute are few
                refuse(control, second + 1, sent, in_cluster=False)
        sent = fed(control, 10, 90, 125, sent)
        before = control.pace or 0.0
        refuse(control, 125, sent, in_cluster=False)
        paces.append((control.pace or 0.0) / before)
    assert paces[0] == pytest.approx(0.95, rel=0.01)
    assert 0.985 < paces[1] < 1.0
