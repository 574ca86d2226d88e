"""A simulated OpenAI-compatible endpoint for tests and benchmarks, on loopback only.

    with Simulator(SimulatorSettings(quota=SimulatedQuota(rpm=600))) as endpoint:
        ...  # point a client at endpoint.url
    assert endpoint.report()["rate_limited"] == 0

Seeded and deterministic: the same question gets the same answer, and meets the same faults. Its
answers are really derived from the passage in the question, so that grounding can be tested.
"""

from pairmill.simulator.faults import FAULTS
from pairmill.simulator.process import SimulatorProcess, run_cli, run_endpoint
from pairmill.simulator.settings import (
    Faults,
    Latency,
    ScheduledStep,
    SimulatedPrices,
    SimulatedQuota,
    SimulatorSettings,
    from_mapping,
    to_mapping,
)
from pairmill.simulator.simulator import Simulator, serve

__all__ = [
    "FAULTS",
    "Faults",
    "Latency",
    "ScheduledStep",
    "SimulatedPrices",
    "SimulatedQuota",
    "Simulator",
    "SimulatorProcess",
    "SimulatorSettings",
    "from_mapping",
    "run_cli",
    "run_endpoint",
    "serve",
    "to_mapping",
]
