"""A stand-in for the library that takes pages apart: it does to a page what a hostile one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BLOCKS", "ENDS", "PAGE", "install"]

PAGE = "<!DOCTYPE html><html><body><p>text</p></body></html>"

BLOCKS = """
import os, pathlib, signal
class etree:
    def HTMLParser(**_):
        place = pathlib.Path(__file__).parent
        (place / "new").write_text(str(os.getpid()))
        (place / "new").rename(place / "pid")
        while True:
            signal.pause()
"""
"""It never comes back; the process's number is in a file ``pid`` beside it."""

ENDS = """
import os
class etree:
    def HTMLParser(**_):
        os._exit(3)
"""


def install(folder: Path, source: str) -> Path:
    """Put it into a folder of its own, for PYTHONPATH."""
    place = folder / "stand-in"
    place.mkdir()
    (place / "lxml.py").write_text(source, "utf-8")
    return place
