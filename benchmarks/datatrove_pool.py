"""datatrove's way, in the benchmarks: a pool of processes, each with calls of its own in flight.

It is datatrove itself (`pip install --group peers`): its executor, reader, inference runner and
writer, against an endpoint on this machine, where it opens a connection for each call. The texts
are divided into a file for each process, since that is how it divides work.
"""

from __future__ import annotations

import importlib.util
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
from benchmarks.corpus import PROMPT

__all__ = ["PROCESSES", "is_installed", "run"]

PROCESSES = 2
_MAX_TOKENS = 1380


def is_installed() -> bool:
    """Return whether datatrove is."""
    return importlib.util.find_spec("datatrove") is not None


def run(url: str, in_flight: int, todo: list[str]) -> dict[str, Any]:
    """Ask for all texts; what starting its processes takes is measured apart, and taken off."""
    with tempfile.TemporaryDirectory(prefix="pairmill-bench-") as name:
        start_s, start_cpu_s, _ = _run(url, in_flight, todo[:PROCESSES], Path(name) / "one")
        whole_s, cpu_s, calls = _run(url, in_flight, todo, Path(name) / "all")
    return {
        "seconds": max(whole_s - start_s, whole_s / 50),
        "cpu_s": cpu_s - start_cpu_s,
        "calls": calls,
        "failed": len(todo) - calls,
    }


def _run(url: str, in_flight: int, todo: list[str], folder: Path) -> tuple[float, float, int]:
    """Run it once; seconds, processor seconds of all processes, and documents written."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    inputs, outputs = folder / "in", folder / "out"
    inputs.mkdir(parents=True)
    for rank in range(PROCESSES):
        lines = [
            orjson.dumps({"id": str(at), "text": text}, option=orjson.OPT_APPEND_NEWLINE)
            for at, text in enumerate(todo)
            if at % PROCESSES == rank
        ]
        (inputs / f"{rank}.jsonl").write_bytes(b"".join(lines))
    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="m",
        endpoint_url=url.removesuffix("/v1"),
        api_key="none",
        max_concurrent_generations=max(1, in_flight // PROCESSES),
    )
    runner = InferenceRunner(ask, config, JsonlWriter(str(outputs)))
    executor = LocalPipelineExecutor(
        pipeline=[JsonlReader(str(inputs)), runner],
        logging_dir=str(folder / "logs"),
        tasks=PROCESSES,
        workers=PROCESSES,
        start_method="spawn",  # whose processor time is counted
    )
    began, cpu = time.perf_counter(), _cpu_s()
    executor.run()
    return time.perf_counter() - began, _cpu_s() - cpu, _written(outputs)


async def ask(document: Any, generate: Any) -> Any:
    """Ask for the pairs of a document."""
    user = f"N=3\n<<<PASSAGE\n{document.text}\nPASSAGE>>>"
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": user}]
    reply = await generate({"messages": messages, "max_tokens": _MAX_TOKENS})
    return orjson.loads(reply.text)["pairs"]


def _cpu_s() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _written(outputs: Path) -> int:
    import gzip

    count = 0
    for path in outputs.glob("**/*.jsonl.gz"):
        with gzip.open(path, "rb") as file:
            count += sum(1 for _ in file)
    return count
