"""Entry point of the processes beside the server: one fills the index, one judges."""

from __future__ import annotations

import sys
import threading

from pairmill.errors import PairmillError
from pairmill.output.view.place import ViewJob
from pairmill.sources.processes import end_with_parent, read_frame, write_frame

__all__ = ["main"]


def main() -> int:
    """Do the job that the parent names, until it ends. The arguments are two descriptors."""
    lifeline, out = (int(number) for number in sys.argv[1:3])
    job = read_frame(lifeline, ViewJob)
    threading.Thread(target=end_with_parent, args=(lifeline, job.scratch), daemon=True).start()
    try:
        if job.what == "judge":
            from pairmill.output.view.judging import judge_forever  # noqa: PLC0415 (either one)

            judge_forever(job)
        else:
            from pairmill.output.view.indexer import index_forever  # noqa: PLC0415

            index_forever(job)
    except PairmillError as error:
        write_frame(out, str(error))
    return 0
