from __future__ import annotations

from typing import TYPE_CHECKING

from tools.lint_names import problems, sizes

if TYPE_CHECKING:
    from pathlib import Path


def test_a_class_name_that_stands_twice_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("class Lease:\n    pass\n")
    (tmp_path / "two.py").write_text("class Lease:\n    pass\nclass Gate:\n    pass\n")
    (found,) = problems(tmp_path)
    assert found.startswith("class Lease stands 2 times: ")


def test_a_reach_into_another_modules_private_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "class Gate:\n    pass\n\nTABLE = [Gate._end]  # noqa: SLF001\n"
        "def undo(gate):\n    gate._undo()  # noqa: SLF001 (one unit)\n"
    )
    (found,) = problems(tmp_path)
    assert found.startswith(f"{tmp_path / 'one.py'}:6: ")


def test_a_docstring_that_does_not_say_what_a_function_does_is_found(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        'class Gate:\n    """A gate."""\n\n    def width(self):\n        """The width."""\n'
        'def then():\n    """Theorise."""\n'
    )
    (found,) = problems(tmp_path)
    assert found.startswith(f"{tmp_path / 'one.py'}:4: the docstring")


def test_a_module_too_long_or_too_short_for_its_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x = 1\n" * 601)
    (tmp_path / "right.py").write_text("x = 1\n" * 600)
    (tmp_path / "short.py").write_text("x = 1\n" * 39)
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "entry.py").write_text("x = 1\n")
    assert [line.split(": ")[0] for line in sizes(tmp_path)] == [
        str(tmp_path / "long.py"),
        str(tmp_path / "short.py"),
    ]


def test_the_package_keeps_all_rules() -> None:
    from pathlib import Path

    assert problems(Path("src")) == []
