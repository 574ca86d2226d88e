from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from tests.support.asks import settings

from pairmill.errors import Kind
from pairmill.events import Bus, CallAnswered, CallFailed, RepairEnded, RunOpened, UnitFinished
from pairmill.llm.limits.lease import Snapshot
from pairmill.records import Outcome, Usage
from pairmill.service.companions import PoolView, RunView
from pairmill.service.status_server.metrics import MOST_LABELS, RunMetricsCollector


def scrape(metrics: RunMetricsCollector) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        f"{sample.name}{''.join(f'[{value}]' for value in sample.labels.values())}": sample.value
        for family in families
        for sample in family.samples
    }


def metrics_of_a_run() -> tuple[Bus, RunMetricsCollector]:
    view = RunView(settings(), Bus())
    return view.bus, RunMetricsCollector(view, "1.2")


def test_counters_go_on_from_what_earlier_starts_left() -> None:
    bus, metrics = metrics_of_a_run()
    bus.emit(RunOpened(pairs=10, prompt_tokens=100, completion_tokens=50, usd=2.0))
    bus.emit(UnitFinished(Outcome.WRITTEN, pairs=3))
    bus.emit(CallAnswered("m", "answer", Usage(7, 5), 10**12, seconds=0.3))
    found = scrape(metrics)
    assert found["pairmill_pairs_written_total"] == 13
    assert found["pairmill_tokens_total[input]"] == 107
    assert found["pairmill_tokens_total[output]"] == 55
    assert found["pairmill_cost_usd_total"] == 3.0
    assert found["pairmill_request_duration_seconds_count"] == 1


def test_calls_are_counted_by_how_they_ended() -> None:
    bus, metrics = metrics_of_a_run()
    bus.emit(CallAnswered("m", "answer", Usage(7, 5), None))
    bus.emit(CallFailed(Kind.RATE, status=429, model="m"))
    bus.emit(CallFailed(Kind.RATE, status=429, model="m"))
    found = scrape(metrics)
    assert found["pairmill_requests_total[answered][m]"] == 1
    assert found[f"pairmill_requests_total[{Kind.RATE}][m]"] == 2
    assert "pairmill_cost_usd_total" not in found  # no price is known: no figure is made up


def test_reasons_that_a_server_makes_up_do_not_become_labels_without_end() -> None:
    bus, metrics = metrics_of_a_run()
    for number in range(5 * MOST_LABELS):
        bus.emit(UnitFinished(Outcome.REJECTED, reason=f"reason {number}: detail"))
    labels = [name for name in scrape(metrics) if name.startswith("pairmill_rejections_total")]
    assert len(labels) == MOST_LABELS + 1
    assert scrape(metrics)["pairmill_rejections_total[other]"] == 4 * MOST_LABELS


def test_a_reason_with_marks_of_the_format_is_escaped() -> None:
    bus, metrics = metrics_of_a_run()
    bus.emit(UnitFinished(Outcome.REJECTED, reason='say "no"\nand go'))
    assert scrape(metrics)['pairmill_rejections_total[say "no"\nand go]'] == 1


def test_repairs_are_counted_by_what_came_of_them() -> None:
    bus, metrics = metrics_of_a_run()
    for result in ("mended", "failed", "mended"):
        bus.emit(RepairEnded(result))
    found = scrape(metrics)
    assert found["pairmill_repairs_total[mended]"] == 2
    assert found["pairmill_repairs_total[failed]"] == 1
    assert scrape(metrics_of_a_run()[1])["pairmill_repairs_total[failed]"] == 0


def test_the_part_of_a_quota_that_is_used_is_a_gauge() -> None:
    view = RunView(settings(), Bus())
    gate = Snapshot(1, 0, 8, 10, 0, 0.0, "", None)
    pools = (
        PoolView("a", "http://127.0.0.1/v1", "m", gate, is_alive=True, quota_used=0.75),
        PoolView("b", "http://127.0.0.1/v1", "m", gate, is_alive=True),
    )
    view.pools = lambda: pools  # type: ignore[method-assign]
    found = scrape(RunMetricsCollector(view, "1.2"))
    assert found["pairmill_quota_used_ratio[a]"] == 0.75
    assert "pairmill_quota_used_ratio[b]" not in found  # no limit is known
