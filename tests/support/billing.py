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

from tests.support.cli import rejects, rows
from tests.support.corpus import write_corpus
from tests.support.strange import Answer, chat, strange_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.forge import Forge

__all__ = ["Ordeal", "answer_for", "billed_run"]

CHUNKS = 40
MOST_SENDS = 2  # of a request that may be billed
_CHARS_PER_TOKEN = 4
_CURSED = 0.15  # of the chunks: all their replies break, so that their sends are used up
_WORK_S = 20.0  # that a start may take to come to the work that it is to be ended at
_REPLY_S = (0.01, 0.08)
_COMMITTED_S = 0.5  # what was replied longer ago than this before a kill is in the ledger

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
_SHARES = (0.5, 0.3, 0.1)  # of the truth


@dataclass
class Ordeal:
    """What a billed run came to.

    Attributes:
        wrong: What should not have happened, in words; empty where all held.
        counts: What was done.
    """

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class _Sends:
    """Those of one request in one start: how many, and when the last reply was sent."""

    count: int = 0
    last_at: float = float("inf")  # while it is in flight


class Biller:
    """Answers, breaks, lies, and keeps the account."""

    def __init__(self, dice: random.Random, seed: int) -> None:
        self._dice = dice
        self._seed = seed
        self._lock = threading.Lock()
        self.is_kind = False
        self.asked = 0
        self.spent = 0
        self.sends: Counter[str] = Counter()  # less those that no ledger could know of
        self._sends_now: dict[str, _Sends] = {}
        self.counts: Counter[str] = Counter()

    def __call__(self, request: dict[str, Any], _key: str) -> Answer | bytes:
        text = "\n".join(str(message["content"]) for message in request["messages"])
        made = answer_for(text)
        with self._lock:
            self.asked += 1
            fate = self._fate(text)
            self.counts[fate] += 1
            wait_s = self._dice.uniform(*_REPLY_S)
            if fate in {"rate", "overload"}:  # refused, and not billed
                status, headers = (429, {"Retry-After": "0"}) if fate == "rate" else (503, {})
                return status, headers, b'{"error": {"message": "later"}}'
            sends = self._sends_now.setdefault(json.dumps(request, sort_keys=True), _Sends())
            sends.count += fate in _IN_VAIN
            sends.last_at = float("inf")
            self.spent += (len(text) + len(made)) // _CHARS_PER_TOKEN
            body = self._body(fate, text, made)
        time.sleep(wait_s)
        sends.last_at = time.monotonic()
        if fate == "silent":
            return b""
        if fate == "cut":
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            return head + body[: len(body) // 2]
        if fate == "gateway":
            return 504, {}, b"gateway time-out"
        return 200, {}, body

    def _fate(self, text: str) -> str:
        if self.is_kind:
            return "good"
        if random.Random(f"{self._seed} {text}").random() < _CURSED:
            return self._dice.choice(_IN_VAIN)
        return self._dice.choice(_FATES)

    def _body(self, fate: str, text: str, made: str) -> bytes:
        prompt, done = len(text) // _CHARS_PER_TOKEN, len(made) // _CHARS_PER_TOKEN
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": done}
        if fate == "lie":
            usage = self._dice.choice(_LIES)
        elif fate == "less":
            share = self._dice.choice(_SHARES)
            usage = {name: round(share * count) for name, count in usage.items()}
        elif fate == "thoughts":  # counted apart, in the sum alone
            self.spent += 500
            usage["total_tokens"] = prompt + done + 500
        return chat(made, usage=usage)

    def begin(self) -> None:
        """Forget what an undisturbed run was, and be unkind from now on."""
        self.is_kind, self.spent = False, 0
        self._sends_now.clear()
        self.sends.clear()
        self.counts.clear()

    def end_start(self, *, killed_at: float | None) -> None:
        """Add up a start's sends in vain, less the last of each that a kill made nobody's."""
        with self._lock:
            for request, sends in self._sends_now.items():
                is_lost = killed_at is not None and sends.last_at > killed_at - _COMMITTED_S
                self.sends[request] += max(0, sends.count - is_lost)
            self._sends_now.clear()


_IN_VAIN = ("silent", "cut", "gateway")
_FATES = [
    "good",
    "good",
    "good",
    "good",
    "lie",
    "less",
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
    """Disturb one run by broken replies, lies, double signals and rolled-back ledgers.

    Half of them have a cap, which each start comes to and the next one raises; without a cap, it is
    the chunks whose replies always break that keep a run from its end.
    """
    dice, ordeal = random.Random(seed), Ordeal()
    corpus, out = write_corpus(folder / "articles", CHUNKS, 10), folder / "out"
    config = folder / "settings.yaml"
    given: dict[str, Any] = {"concurrency": 6, "shard_bytes": 4096, "commit_interval_s": 0.02}
    given |= {"checks": "off", "structured_output": "json_schema", "pairs_per_chunk": 1}
    biller = Biller(dice, seed)
    with strange_server(biller) as server:
        command = ("run", corpus, "--config", config)
        config.write_text(json.dumps(given), "utf-8")
        biller.is_kind = True
        forge.run(*command, "-o", folder / "whole", url=server.url)
        expected = {row["id"]: row["chunk_id"] for row in rows(folder / "whole")}
        room = int(biller.spent * dice.uniform(0.8, 2.0))
        biller.begin()
        is_capped, rolls = dice.random() < 0.5, dice.random() < 0.3
        for start in range(1, dice.randint(4, 8)):
            cap = start * room if is_capped else None
            config.write_text(json.dumps({**given, "max_total_tokens": cap}), "utf-8")
            _disturb(dice, forge, (*command, "-o", out), server.url, biller, ordeal, rolls=rolls)
            if cap is not None and not ordeal.counts["ledgers rolled back"]:
                _check_bill(biller, cap, ordeal)
        _check_sends(biller, ordeal)
        biller.is_kind = True
        config.write_text(json.dumps(given), "utf-8")
        code = forge.start(*command, "-o", out, url=server.url).wait()
        if code == 1:
            _recover(forge, out, ordeal)
            code = forge.start(*command, "-o", out, url=server.url).wait()
    if code != 0:
        ordeal.wrong.append(f"the last start ended with {code}")
    _check_rows(out, expected, ordeal)
    ordeal.counts.update({f"replies: {fate}": n for fate, n in biller.counts.items()})
    return ordeal


def _check_bill(biller: Biller, cap: int, ordeal: Ordeal) -> None:
    """Whether the wallet kept to the cap of the last start and those before it."""
    ordeal.counts["starts held to their cap"] += 1
    if biller.spent > cap:
        ordeal.wrong.append(f"{biller.spent} tokens billed, and {cap} were allowed")


def _check_sends(biller: Biller, ordeal: Ordeal) -> None:
    """Whether no request broke more often than it may; with a ledger goes what it knew of them."""
    if ordeal.counts["ledgers rolled back"]:
        return
    sends = list(biller.sends.values())
    ordeal.counts["requests that broke once"] += sends.count(1)
    ordeal.counts["requests that broke twice"] += sends.count(MOST_SENDS)
    most = max(sends, default=0)
    if most > MOST_SENDS:
        ordeal.wrong.append(f"a request that may be billed was sent {most} times")


def _check_rows(out: Path, expected: dict[str, str], ordeal: Ordeal) -> None:
    found = [row["id"] for row in rows(out)]
    if len(set(found)) != len(found):
        ordeal.wrong.append(f"{len(found) - len(set(found))} pairs stand twice")
    if set(found) - set(expected):
        ordeal.wrong.append("pairs that an undisturbed run has not")
    ended = {expected.get(name, "") for name in found} | {it["chunk_id"] for it in rejects(out)}
    if set(expected.values()) - ended:
        lost = len(set(expected.values()) - ended)
        ordeal.wrong.append(f"{lost} chunks are neither written nor rejected")


def _disturb(
    dice: random.Random,
    forge: Forge,
    command: tuple[Any, ...],
    url: str,
    biller: Biller,
    ordeal: Ordeal,
    *,
    rolls: bool,
) -> None:
    """Make one start, perhaps with an older ledger, and end it in some way while it works."""
    out = command[-1]
    before = out.with_name("before")
    if rolls and before.exists() and dice.random() < 0.5:
        shutil.rmtree(out / ".run")
        shutil.copytree(before, out / ".run")
        ordeal.counts["ledgers rolled back"] += 1
    child = forge.start(*command, url=url)
    end = dice.choice(("double", "kill", "kill", "none"))
    asked, goal, until = biller.asked, dice.randint(2, CHUNKS), time.monotonic() + _WORK_S
    while end != "none" and biller.asked < asked + goal and time.monotonic() < until:
        if "the cap of" in child.stderr:
            break
        time.sleep(0.005)
    time.sleep(dice.uniform(0.0, 0.1))
    numbers = {"double": (signal.SIGTERM, signal.SIGTERM), "kill": (signal.SIGKILL,)}.get(end, ())
    killed_at = time.monotonic() if end == "kill" else None
    for number in numbers:
        child.kill(number)
    code = child.wait()
    ordeal.counts[f"ended by: {end}"] += 1
    ordeal.counts["starts that came to the cap"] += "raise max_total_tokens" in child.stderr
    ordeal.counts["starts that were ended at work"] += end != "none" and biller.asked > asked
    if code == 1:
        _recover(forge, out, ordeal)
    elif code not in {0, 75, -signal.SIGKILL}:
        ordeal.wrong.append(f"a start ended with {code}: {child.stderr[-500:]}")
    if "Traceback" in child.stderr:
        ordeal.wrong.append(child.stderr[-1000:])
    biller.end_start(killed_at=killed_at)
    if (out / ".run").exists() and not before.exists():
        shutil.copytree(out / ".run", before)


def _recover(forge: Forge, out: Path, ordeal: Ordeal) -> None:
    ordeal.counts["recovered"] += 1
    child = forge.start("recover", out, url="")
    code = child.wait()
    if code != 0:
        ordeal.wrong.append(f"recover ended with {code}: {child.stderr[-500:]}")
