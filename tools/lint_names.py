"""Check four rules that ruff cannot: run by ``make lint``, exits 1 if one is broken.

1. No class name stands twice below ``src``: a reader who searches for it finds one thing.
2. No module reaches into another module's private names (``noqa: SLF001`` is only allowed where a
   class lists its own methods): what works on one value stands in one file.
3. A function's docstring says what it does or returns ("Return ...", "Count ...", "True if ..."),
   and is no noun phrase or question ("The ...", "What ...", "Whether ...").
4. No module has more than 600 lines, nor fewer than 40, except entries of registries and main
   functions of processes.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

_MOST_LINES, _LEAST_LINES = 600, 40
_ENTRIES = ("__init__.py", "__main__.py", "worker.py")  # processes and packages
_REGISTRIES = ("commands", "formats")  # folders of one file an entry
_NO_VERB = re.compile(r"(The|What|Whether|How|Where|Which|When|Who|An?)\b")


def classes(source: str) -> list[str]:
    """Names of the classes at the top level of a module's source."""
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]


def foreign_private_lines(source: str) -> list[int]:
    """Line numbers that silence SLF001 for a name which does not belong to a class of this module.

    ``OwnClass._name`` is fine; ``other._name`` is not.
    """
    own = set(classes(source))
    silenced = {
        number
        for number, line in enumerate(source.splitlines(), start=1)
        if "noqa:" in line and "SLF001" in line
    }
    allowed = {
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in own
    }
    return sorted(silenced - allowed)


def _is_question(docstring: str | None) -> bool:
    return bool(docstring and _NO_VERB.match(docstring))


def wordless_lines(source: str) -> list[int]:
    """Line numbers of functions whose docstrings begin like a noun phrase or a question."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _is_question(ast.get_docstring(node))
    ]


def size_problem(path: Path, source: str) -> str:
    """Describe why a module is too long or too short; "" if it is neither."""
    lines = source.count("\n")
    if lines > _MOST_LINES:
        return f"{path}: {lines} lines are too many: split it by subject"
    is_entry = path.name in _ENTRIES or path.parent.name in _REGISTRIES
    if lines < _LEAST_LINES and not is_entry:
        return f"{path}: {lines} lines are too few: move them to the module of their subject"
    return ""


def problems(root: Path) -> list[str]:
    """One line for each broken rule in the Python files below ``root``."""
    found: dict[str, list[str]] = defaultdict(list)
    lines: list[str] = []
    for path in sorted(root.rglob("*.py")):
        source = path.read_text("utf-8")
        for name in classes(source):
            found[name].append(str(path))
        lines += [
            f"{path}:{number}: the docstring does not say what the function does or returns"
            for number in wordless_lines(source)
        ]
        lines += [
            f"{path}:{number}: reaches into another module's private name (SLF001)"
            for number in foreign_private_lines(source)
        ]
    lines += [
        f"class {name} stands {len(paths)} times: {', '.join(paths)}"
        for name, paths in sorted(found.items())
        if len(paths) > 1
    ]
    return lines


def sizes(root: Path) -> list[str]:
    """One line for each Python file below ``root`` that is too long or too short."""
    found = (size_problem(path, path.read_text("utf-8")) for path in sorted(root.rglob("*.py")))
    return [line for line in found if line]


def main(arguments: list[str]) -> int:
    """Print the problems below the given folders; 1 if there are any."""
    folders = [Path(folder) for folder in arguments or ["src"]]
    lines = [line for folder in folders for line in (*problems(folder), *sizes(folder))]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
