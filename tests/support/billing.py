"""A server that bills what it did, whatever it says; and runs against it that are disturbed."""

from __future__ import annotations

import json
import random
import shutil
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.cli import rows
from tests.support.corpus import write_corpus
from tests.support.strange import Answer, chat, strange_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.forge import Forge

__all__ = ["Ordeal", "answer_for", "billed_run"]

CAP_TOKENS = 60_000
MOST_SENDS = 2  # of a request that may be billed
_CHARS_PER_TOKEN = 4

_LIES: tuple[dict[str, Any], ...] = (
    {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
    {"prompt_tokens": 10},
    {"completion_tokens": 2},
    {"prompt_tokens": -5, "completion_tokens": -5},
    {"prompt_tokens": "many", "completion_tokens": None},
    {"prompt_tokens": 1.5, "completion_tokens": 0.25, "total_tokens": 1.75},
    {"prompt_tokens": "7", "completion_tokens": "3"},
    {"prompt_tokens": True, "completion_tokens": False},
    {"prompt_tokens": [1], "completion_tokens": {}},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": -(2**63), "completion_tokens": -1, "total_tokens": 2},
    {},
)


@dataclass
class Ordeal:
    """What a billed run came to.

    Attributes:
        wrong: What should not have happened, in words; empty where all held.
        counts: What was done.
    """

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Biller:
    """Answers, breaks, lies, and keeps the account."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._lock = threading.Lock()
        self.is_kind = False
        self.spent = 0
        self.sends: Counter[str] = Counter()  # those of a start that was killed or stopped: but one
        self._sends_now: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def __call__(self, request: dict[str, Any], _key: str) -> Answer | bytes:
        text = "\n".join(str(message["content"]) for message in request["messages"])
        made = answer_for(text)
        with self._lock:
            fate = "good" if self.is_kind else self._dice.choice(_FATES)
            self.counts[fate] += 1
            if fate in {"rate", "overload"}:  # refused, and not billed
                status, headers = (429, {"Retry-After": "0"}) if fate == "rate" else (503, {})
                return status, headers, b'{"error": {"message": "later"}}'
            self._sends_now[json.dumps(request, sort_keys=True)] += 1
            self.spent += (len(text) + len(made)) // _CHARS_PER_TOKEN
            body = chat(made)
            if fate == "lie":
                body = chat(made, usage=self._dice.choice(_LIES))
            elif fate == "thoughts":  # counted apart, in the sum alone
                self.spent += 500
                prompt, done = len(text) // _CHARS_PER_TOKEN, len(made) // _CHARS_PER_TOKEN
                usage = {"prompt_tokens": prompt, "completion_tokens": done}
                body = chat(made, usage={**usage, "total_tokens": prompt + done + 500})
        if fate == "silent":
            return b""
        if fate == "cut":
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            return head + body[: len(body) // 2]
        if fate == "gateway":
            return 504, {}, b"gateway time-out"
        return 200, {}, body

    def end_start(self, *, interrupted: bool) -> None:
        """Add up a start's sends. Where it was interrupted, the last of each was in flight."""
        with self._lock:
            for request, count in self._sends_now.items():
                self.sends[request] += count - interrupted
            self._sends_now.clear()


_FATES = [
    "good",
    "good",
    "good",
    "good",
    "lie",
    "thoughts",
    "silent",
    "cut",
    "gateway",
    "rate",
    "overload",
]


def answer_for(text: str) -> str:
    """One pair about the last long line of a prompt, as a model would write it."""
    lines = [line for line in text.splitlines() if len(line) > 60]
    said = lines[-1][:300] if lines else "Nothing is said about it."
    pair = {"instruction": f"What is said about this: {said[10:50]}?", "answer": said}
    return json.dumps({"pairs": [{**pair, "evidence": said, "kind": "explain"}]})


def billed_run(seed: int, forge: Forge, folder: Path) -> Ordeal:
    """Disturb one run by broken replies, lies, double signals and rolled-back ledgers."""
    dice, ordeal = random.Random(seed), Ordeal()
    corpus, out = write_corpus(folder / "articles", 24, 10), folder / "out"
    config = folder / "settings.yaml"
    given = {"concurrency": 6, "shard_bytes": 4096, "commit_interval_s": 0.02, "checks": "off"}
    given |= {"structured_output": "json_schema", "pairs_per_chunk": 1}
    capped = {**given, "max_tokens": CAP_TOKENS}
    biller = Biller(dice)
    with strange_server(biller) as server:
        command = ("run", corpus, "--config", config)
        config.write_text(json.dumps(given), "utf-8")
        biller.is_kind = True
        forge.run(*command, "-o", folder / "whole", url=server.url)
        expected = {row["id"] for row in rows(folder / "whole")}
        biller.is_kind, biller.spent = False, 0
        biller.end_start(interrupted=False)
        biller.sends.clear()
        config.write_text(json.dumps(capped), "utf-8")
        for _ in range(dice.randint(2, 5)):
            end = _disturbed(dice, forge, command, out, server.url, ordeal)
            biller.end_start(interrupted=end != "none")
        rolled_back = ordeal.counts["ledgers rolled back"]  # and with them what was spent
        if biller.spent > CAP_TOKENS and not rolled_back:
            ordeal.wrong.append(f"{biller.spent} tokens billed, and {CAP_TOKENS} were allowed")
        most = max(biller.sends.values(), default=0)
        if most > MOST_SENDS and not rolled_back:
            ordeal.wrong.append(f"a request that may be billed was sent {most} times")
        biller.is_kind = True
        config.write_text(json.dumps(given), "utf-8")
        code = forge.start(*command, "-o", out, url=server.url).wait()
        if code == 1:
            _recover(forge, out, ordeal)
            code = forge.start(*command, "-o", out, url=server.url).wait()
    found = [row["id"] for row in rows(out)]
    if code != 0:
        ordeal.wrong.append(f"the last start ended with {code}")
    if len(set(found)) != len(found):
        ordeal.wrong.append(f"{len(found) - len(set(found))} pairs stand twice")
    if set(found) - expected:
        ordeal.wrong.append("pairs that an undisturbed run has not")
    ordeal.counts.update({f"replies: {fate}": n for fate, n in biller.counts.items()})
    return ordeal


def _disturbed(
    dice: random.Random, forge: Forge, command: tuple[Any, ...], out: Path, url: str, ordeal: Ordeal
) -> str:
    """Make one start, perhaps with an older ledger; end it in some way, and return in which."""
    before = out.with_name("before")
    if before.exists() and dice.random() < 0.3:
        shutil.rmtree(out / ".run")
        shutil.copytree(before, out / ".run")
        ordeal.counts["ledgers rolled back"] += 1
    child = forge.start(*command, "-o", out, url=url)
    time.sleep(dice.uniform(0.1, 1.5))
    end = dice.choice(("double", "kill", "none"))
    numbers = {"double": (signal.SIGTERM, signal.SIGTERM), "kill": (signal.SIGKILL,)}.get(end, ())
    for number in numbers:
        child.kill(number)
    code = child.wait()
    ordeal.counts[f"ended by: {end}"] += 1
    if code == 1:
        _recover(forge, out, ordeal)
    elif code not in {0, 75, -signal.SIGKILL}:
        ordeal.wrong.append(f"a start ended with {code}: {child.stderr[-500:]}")
    if "Traceback" in child.stderr:
        ordeal.wrong.append(child.stderr[-1000:])
    if (out / ".run").exists() and not before.exists():
        shutil.copytree(out / ".run", before)
    return end


def _recover(forge: Forge, out: Path, ordeal: Ordeal) -> None:
    ordeal.counts["recovered"] += 1
    child = forge.start("recover", out, url="")
    code = child.wait()
    if code != 0:
        ordeal.wrong.append(f"recover ended with {code}: {child.stderr[-500:]}")
