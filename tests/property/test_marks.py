"""A file of marks is readable after a kill at any byte, and a torn line costs only itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from pairmill.output.marks.log import Action, MarksFile, new_action
from pairmill.output.marks.overlay import effective, fold
from pairmill.store.files import Disk

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

keys = st.lists(st.text(max_size=5), max_size=3)
texts = st.text(max_size=40)
actions = st.one_of(
    st.builds(lambda k: new_action("accept", k), keys),
    st.builds(lambda k: new_action("reject", k), keys),
    st.builds(lambda k, t: new_action("note", k, note=t), keys, texts),
    st.builds(lambda k, t: new_action("edit", k, edits=[(["answer"], t)]), keys, texts),
)
SEEN: Counter[str] = Counter()


class Quick(Disk):
    """A disk that is not waited for: what a kill leaves is looked at, not a power loss."""

    def sync(self, fd: int) -> None:
        pass

    def sync_folder(self, path: Path) -> None:
        pass


def read(path: Path) -> MarksFile:
    file = MarksFile(path)
    file.refresh()
    return file


@settings(max_examples=200, deadline=None)
@given(written=st.lists(actions, min_size=1, max_size=6), more=actions, cut=st.floats(0, 1))
def check_cut(folder: Path, written: list[Action], more: Action, cut: float) -> None:
    path = folder / "marks"
    path.unlink(missing_ok=True)
    for action in written:
        MarksFile(path, Quick()).append(action)
    data = path.read_bytes()
    watcher = read(path)
    kept = data[: int(cut * len(data))]
    path.write_bytes(kept)
    whole = kept.count(b"\n") + (not kept.endswith(b"\n") and data[len(kept) :][:1] == b"\n")
    is_torn = bool(kept) and not kept.endswith(b"\n") and data[len(kept) :][:1] != b"\n"
    SEEN["torn" if is_torn else "whole"] += 1
    assert read(path).actions == written[:whole]
    MarksFile(path, Quick()).append(more)
    after = read(path)
    assert after.actions == [*written[:whole], more]
    assert after.unreadable == is_torn
    watcher.refresh()  # one that had read on: it comes to the same
    if len(path.read_bytes()) < len(data):
        assert watcher.actions == after.actions
    fold(effective(after.actions))


def test_a_file_cut_anywhere_keeps_every_whole_action(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    check_cut(tmp_path_factory.mktemp("marks"))
    assert SEEN["torn"] > 20
    assert SEEN["whole"] > 5
