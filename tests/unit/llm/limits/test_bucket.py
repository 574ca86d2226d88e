from __future__ import annotations

from pairmill.llm.limits.bucket import Bucket


def test_a_refund_fills_a_bucket_and_no_more() -> None:
    bucket = Bucket(1.0, 10.0, level=4.0, now=0.0)
    bucket.give(3.0, 1.0)
    assert bucket.level == 8.0
    bucket.give(3.0, 1.0)
    assert bucket.level == 10.0


def test_a_later_charge_is_not_paid_by_the_time_for_which_the_bucket_was_full() -> None:
    bucket = Bucket(1.0, 10.0, level=10.0, now=0.0)
    bucket.give(-5.0, 8.0)
    assert bucket.wait_s(10.0, 8.0) == 5.0
