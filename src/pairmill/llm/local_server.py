"""Process of the embedded model: llama.cpp's own HTTP server, until its parent ends.

Run as ``python -P -m pairmill.llm.local_server``; `pairmill.llm.local` starts it. Its key is passed
in the environment (``PAIRMILL_LOCAL_KEY``). When it listens, it prints its
address as one line on standard output. It ends when its standard input ends.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KEY_VARIABLE", "main"]

KEY_VARIABLE = "PAIRMILL_LOCAL_KEY"

_CACHE_RAM_MIB = 0  # the default, 8192, lets a cache of old prompts grow to 8 GiB
_LOG_WARNINGS = 2  # llama.cpp's verbosity: no line for each request
_LOOK_S = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until standard input ends or the parent is gone; returns the exit code."""
    options = _options(argv)
    key = os.environ.pop(KEY_VARIABLE, "")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    ended = threading.Event()
    threading.Thread(target=_watch, args=(os.getppid(), ended), daemon=True).start()

    import xllamacpp  # noqa: PLC0415 (the watch must run before the slow part)

    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.api_keys = [key] if key else []
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    # Threads that spin while they wait starve each other on a busy machine.
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    params.cache_ram_mib = _CACHE_RAM_MIB
    if options.states:
        params.endpoint_slots = True
        params.slot_save_path = f"{options.states}/"
    params.endpoint_metrics = True
    params.verbosity = _LOG_WARNINGS
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        print(f"cannot load {options.model}: {error}", file=sys.stderr)  # noqa: T201 (our log)
        return 1
    print(server.listening_address, flush=True)  # noqa: T201 (the parent reads it)
    ended.wait()
    os._exit(0)  # at once: there is nothing to save, and a long answer may be in progress


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pairmill.llm.local_server")
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", default="local")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--states")
    return parser.parse_args(argv)


def _watch(parent: int, ended: threading.Event) -> None:
    """Exit when the parent ends, however that happens.

    The end of standard input shows it at once. Checking the parent's id too covers a copy of the
    pipe's other end in some other process.
    """
    while os.getppid() == parent:
        readable, _, _ = select.select([sys.stdin], [], [], _LOOK_S)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            break
    if ended.is_set():
        return
    ended.set()
    threading.Timer(_LOOK_S, os._exit, (0,)).start()  # also while the model is loading


if __name__ == "__main__":
    sys.exit(main())
