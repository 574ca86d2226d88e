"""A format of your own: fortune files, whose verses are parted by lines of ``%``.

    pairmill run fortunes/ --source examples.verses:VERSES

Any module that Python can import will do; see docs/sources.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pairmill.records import Document
from pairmill.sources.base import SourceFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pairmill.sources.base import Opener


def read_verses(opener: Opener) -> Iterator[Document]:
    """Yield a document for each verse."""
    data = opener.read_all()
    if data is None:  # it was too long, and has been reported
        return
    for number, verse in enumerate(data.decode("utf-8", "replace").split("\n%\n"), 1):
        if not verse.strip():
            opener.skip(f"#{number}", "empty verse")
            continue
        yield Document(id=f"{opener.name}-{number}", text=verse, source=f"{opener.label}#{number}")


VERSES = SourceFormat("verses", (".fortune",), read_verses, is_text=True)
