"""A simulated OpenAI-compatible endpoint for tests and benchmarks, on loopback only.

    with Simulator(SimulatorSettings(quota=SimulatedQuota(rpm=600))) as endpoint:
        ...  # point a client at endpoint.url
    assert endpoint.report()["rate_limited"] == 0

Seeded and deterministic: the same question gets the same answer and the same faults. Its answers
are derived from the passage in the question, so that grounding can be tested.
"""

from pairmill.simulator.cli import run_cli, run_endpoint
from pairmill.simulator.faults import FAULTS
from pairmill.simulator.rules import Reply, Rule, When
from pairmill.simulator.scenarios import Scenario, load_scenario, scenario_names
from pairmill.simulator.settings import (
    Faults,
    Latency,
    ScheduledStep,
    SimulatedPrices,
    SimulatedQuota,
    SimulatorSettings,
    TlsFiles,
    from_mapping,
    to_mapping,
)
from pairmill.simulator.simulator import Simulator, SimulatorProcess, serve
from pairmill.simulator.thinking import Thinking

__all__ = [
    "FAULTS",
    "Faults",
    "Latency",
    "Reply",
    "Rule",
    "Scenario",
    "ScheduledStep",
    "SimulatedPrices",
    "SimulatedQuota",
    "Simulator",
    "SimulatorProcess",
    "SimulatorSettings",
    "Thinking",
    "TlsFiles",
    "When",
    "from_mapping",
    "load_scenario",
    "run_cli",
    "run_endpoint",
    "scenario_names",
    "serve",
    "to_mapping",
]
