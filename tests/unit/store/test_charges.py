from __future__ import annotations

from pairmill.records import Usage
from pairmill.store.charges import Bill, CallCharge, CallTotals, ChargeSums


def bill_of(*charges: CallCharge) -> Bill:
    sums = ChargeSums()
    for charge in charges:
        sums.add(charge)
    return Bill.of([CallTotals("m", 2, 100, 10, 40)], sums.take())


def test_answers_whose_price_was_known_leave_nothing_to_price() -> None:
    bill = bill_of(
        CallCharge("m", "answer", Usage(60, 4, cached_tokens=40), 500),
        CallCharge("m", "answer", Usage(40, 6), 300),
    )
    assert bill.unpriced == {}
    assert (bill.answers, bill.picodollars) == (2, 800)
    assert bill.usage == Usage(100, 10, cached_tokens=40)


def test_what_an_earlier_version_bought_or_has_no_price_is_left_to_price() -> None:
    bill = bill_of(
        CallCharge("m", "answer", Usage(60, 4, cached_tokens=40), 500),
        CallCharge("m", "empty", Usage(7, 1), None),
    )
    assert bill.unpriced == {"m": Usage(47, 7)}
    assert (bill.empty, bill.usage) == (1, Usage(107, 11, cached_tokens=40))
