from __future__ import annotations

import pytest

from pairmill.llm.endpoint_info import read_gauges

VLLM = """# HELP vllm:num_requests_running x
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 31.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_running{engine="1",model_name="m"} 30.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:num_requests_waiting_by_reason{reason="x"} 9.0
"""
LLAMA = "llamacpp:requests_processing 4\nllamacpp:requests_deferred 1\n"


@pytest.mark.parametrize(
    ("text", "gauges"),
    [(VLLM, (61.0, 2.0)), (LLAMA, (4.0, 1.0)), ("go_threads 7\n", None), ("", None)],
)
def test_running_and_waiting_are_read_from_either_server(
    text: str, gauges: tuple[float, float] | None
) -> None:
    assert read_gauges(text) == gauges
