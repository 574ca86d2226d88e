"""Change one operator or number at a time, and see whether a test notices: ``make mutants``.

For the modules that carry promises, a sample of all such changes, drawn by SEED. Each is made in a
copy of the package, and the tests that are named for its module run against it until one fails. A
change that no test notices is a mutant that survived: it is printed, to be looked at by a person.
Some cannot be noticed, since the program means the same.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pairmill"
END_S = 300
_UNCHANGED = -1

_LIMITS = "tests/unit/llm/limits"
_JOURNAL = ("tests/unit/store/test_journal.py", "tests/property/test_journal.py")

MODULES = {
    "llm/limits/windows.py": (f"{_LIMITS}/test_windows.py", f"{_LIMITS}/test_quota.py"),
    "llm/limits/quota.py": (
        f"{_LIMITS}/test_quota.py",
        f"{_LIMITS}/test_gate.py",
        f"{_LIMITS}/test_gate_share.py",
        "tests/unit/llm/test_usage_lies.py",
        "tests/property/test_gate.py",
    ),
    "llm/limits/gate.py": (
        f"{_LIMITS}/test_gate.py",
        f"{_LIMITS}/test_gate_share.py",
        f"{_LIMITS}/test_fixed_limit.py",
        "tests/property/test_gate.py",
    ),
    "llm/limits/lease.py": (f"{_LIMITS}/test_gate.py", "tests/property/test_gate.py"),
    "llm/limits/pacing.py": (f"{_LIMITS}/test_pacing.py",),
    "llm/limits/held_pace.py": (f"{_LIMITS}/test_pacing.py", f"{_LIMITS}/test_quota_tracker.py"),
    "llm/limits/concurrency.py": (
        f"{_LIMITS}/test_concurrency.py",
        f"{_LIMITS}/test_fixed_limit.py",
        f"{_LIMITS}/test_gate.py",
        f"{_LIMITS}/test_pacing.py",
    ),
    "llm/budget.py": (
        "tests/unit/llm/test_budget.py",
        "tests/unit/llm/test_usage_lies.py",
        "tests/property/test_caps.py",
    ),
    "llm/prices.py": ("tests/unit/llm/test_prices.py", "tests/unit/llm/test_budget.py"),
    "llm/token_estimate.py": (
        "tests/unit/llm/test_token_estimate.py",
        "tests/unit/llm/test_usage_lies.py",
    ),
    "llm/router.py": ("tests/unit/llm/test_router.py", "tests/unit/llm/test_usage_lies.py"),
    "llm/structured_output.py": ("tests/unit/llm/test_structured_output.py",),
    "llm/retry.py": ("tests/unit/llm/test_retry.py", "tests/unit/llm/test_client.py"),
    "store/chain.py": ("tests/unit/store", "tests/property/test_journal.py"),
    "store/charges.py": ("tests/unit/store", "tests/unit/run/test_spending.py"),
    "store/journal.py": _JOURNAL,
    "store/shards.py": ("tests/unit/store/test_shards.py", *_JOURNAL),
    "store/sqlite/ledger.py": ("tests/unit/store", "tests/property/test_journal.py"),
    "store/sqlite/small_tables.py": ("tests/unit/store",),
    "run/asking.py": ("tests/unit/run/test_asking.py", "tests/unit/run/test_suspects.py"),
    "run/merge.py": ("tests/unit/run/test_merge.py",),
    "run/spending.py": ("tests/unit/run/test_spending.py", "tests/property/test_caps.py"),
    "run/suspects.py": ("tests/unit/run/test_asking.py", "tests/unit/run/test_suspects.py"),
    "share/member.py": ("tests/unit/share", "tests/property/test_share.py"),
    "share/record.py": ("tests/unit/share", "tests/property/test_share.py"),
    "store/recovery.py": ("tests/unit/store",),
    "store/sqlite/rebuild.py": ("tests/unit/store",),
    "recipes/repair.py": ("tests/unit/recipes",),
    "quality/duplicates.py": (
        "tests/unit/quality/test_duplicates.py",
        "tests/property/test_quality.py",
    ),
    "quality/canary.py": ("tests/unit/quality/test_canary.py",),
    "output/split.py": ("tests/unit/output/test_split.py", "tests/property/test_split.py"),
}

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class Change(ast.NodeTransformer):
    """Makes the change with one number, and counts how many there are."""

    def __init__(self, wanted: int = _UNCHANGED) -> None:
        self.count = 0
        self.line = 0
        self._wanted = wanted

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        node.ops = [self._swapped(op, node.lineno) for op in node.ops]  # type: ignore[misc]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        node.op = self._swapped(node.op, node.lineno)  # type: ignore[assignment]
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        node.op = self._swapped(node.op, node.lineno)  # type: ignore[assignment]
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Not) and self._is_it(node.lineno):
            return node.operand
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = node.value
        if type(value) is bool:
            return ast.Constant(not value) if self._is_it(node.lineno) else node
        if type(value) in {int, float} and self._is_it(node.lineno):
            return ast.Constant(value + 1 if type(value) is int else value * 1.5 or 1.0)  # type: ignore[operator]
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg != "strict":  # of zip: what it is handed is as long, or there was an error
            node.value = self.visit(node.value)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = [self.visit(part) for part in node.body]  # whether it is frozen, no test says
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:  # an annotation does nothing
            node.value = self.visit(node.value)
        return node

    def _swapped(self, op: ast.AST, line: int) -> ast.AST:
        other = _SWAPPED.get(type(op))
        return other() if other is not None and self._is_it(line) else op

    def _is_it(self, line: int) -> bool:
        self.count += 1
        if self.count - 1 != self._wanted:
            return False
        self.line = line
        return True


def main() -> int:
    """Draw, try and count; the exit code says only whether it could be done."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--sample", type=int, default=60, help="changes in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--module", action="append", help="these alone; may be given again")
    given = parser.parse_args()
    modules = [name for name in MODULES if not given.module or name in given.module]
    every = [(name, number) for name in modules for number in range(_changes(name))]
    drawn = random.Random(given.seed).sample(every, min(given.sample, len(every)))
    killed: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "tests", copy / "tests")
        shutil.copytree(PACKAGE, copy / "pairmill")
        for part in ("docs", "examples", "pyproject.toml", "README.md"):
            (copy / part).symlink_to(ROOT / part)
        for name in sorted({name for name, _ in drawn}):
            if _try(copy, name, _UNCHANGED)[1]:
                _say(f"{name}: its tests fail as it stands, so they would kill any mutant")
                return 1
        for name, number in sorted(drawn):
            line, died = _try(copy, name, number)
            tried[name] += 1
            killed[name] += died
            if not died:
                _say(f"survived: {name}:{line}, change {number}")
    _say("| module | killed | of |\n|---|---|---|")
    for name in tried:
        _say(f"| {name} | {killed[name]} | {tried[name]} |")
    share = sum(killed.values()) / max(1, sum(tried.values()))
    _say(f"| all | {sum(killed.values())} | {sum(tried.values())} ({share:.0%}) |")
    return 0


def _changes(name: str) -> int:
    counter = Change()
    counter.visit(ast.parse((PACKAGE / name).read_text("utf-8")))
    return counter.count


def _try(copy: Path, name: str, number: int) -> tuple[int, bool]:
    """Make a change in the copy, and return its line and whether a test noticed."""
    source = (PACKAGE / name).read_text("utf-8")
    change = Change(number)
    tree = ast.fix_missing_locations(change.visit(ast.parse(source)))
    (copy / "pairmill" / name).write_text(ast.unparse(tree), "utf-8")
    command = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not model"]
    try:
        code = subprocess.run(
            [sys.executable, "-m", "pytest", *command, *MODULES[name]],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "CI": "1"},
            capture_output=True,
            timeout=END_S,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        code = 1  # it hangs, which is noticed
    finally:
        (copy / "pairmill" / name).write_text(source, "utf-8")
    return change.line, code != 0


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
