"""A simulated OpenAI-compatible endpoint for tests and benchmarks, on loopback only.

    with Simulator(SimulatorSettings(quota=Quota(rpm=600))) as endpoint:
        ...  # point a client at endpoint.url
    assert endpoint.report()["rate_limited"] == 0

Seeded and deterministic: the same question gets the same answer, and meets the same faults. Its
answers are really derived from the passage in the question, so that grounding can be tested.
"""

from pairmill.testing.faults import FAULTS
from pairmill.testing.process import SimulatorProcess, run_cli, run_endpoint
from pairmill.testing.settings import (
    Faults,
    Latency,
    Prices,
    Quota,
    SimulatorSettings,
    Step,
    from_mapping,
    to_mapping,
)
from pairmill.testing.simulator import Simulator, serve

__all__ = [
    "FAULTS",
    "Faults",
    "Latency",
    "Prices",
    "Quota",
    "Simulator",
    "SimulatorProcess",
    "SimulatorSettings",
    "Step",
    "from_mapping",
    "run_cli",
    "run_endpoint",
    "serve",
    "to_mapping",
]
