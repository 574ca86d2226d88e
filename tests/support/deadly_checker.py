"""Checking processes that die or hang, for tests of those who start them."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from pairmill.recipes.checks import judge
from pairmill.run.checking_process import serve

if TYPE_CHECKING:
    from pairmill.quality.canary import ChunkComparer
    from pairmill.recipes.checks import CheckJob, CheckReply

POISON = "zyzzogeton"
"""Who judges a text with this word is killed."""
SLEEP = "zyzzogetic"
"""Who judges a text with this word never ends."""


def main() -> int:
    """Judge like the real one, unless there is poison in it."""
    inward, outward = map(int, sys.argv[1:])
    return serve(inward, outward, taste)


def taste(job: CheckJob, comparer: ChunkComparer | None) -> CheckReply:
    """Judge a job, or die of it, or sleep over it."""
    if POISON in job.source.text:
        os.kill(os.getpid(), signal.SIGKILL)
    if SLEEP in job.source.text:
        signal.pause()
    return judge(job, comparer)
