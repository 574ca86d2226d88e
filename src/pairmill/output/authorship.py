"""Measures whether a run's answers can be attributed to their authors, for report and card."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pairmill.chunking.reader import read_chunks
from pairmill.errors import PairmillError
from pairmill.output.rows import complete_lines, parse, published_shards, said_in
from pairmill.output.source_texts import find_inputs
from pairmill.quality.attribution import attribute, why_not
from pairmill.quality.trust import VoiceFigures, parse_figures
from pairmill.store.files import atomic_write
from pairmill.store.superseded import read_superseded

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.store.folder import RunFolder

__all__ = ["keep_voice", "note_voice", "why_no_voice"]

_MOST_ROWS = 20_000
_MOST_ANSWERS = 6_000  # characters of a document's answers
_MOST_TEXT = 12_000  # characters of a document
_MOST_DOCUMENTS = 8  # of an author
_MOST_AUTHORS = 50


def keep_voice(folder: RunFolder) -> None:
    """Measure it and keep it in the folder's state; or why it cannot be measured.

    Raises:
        FolderError: A shard cannot be read.
        StorageError: The disk refused.
    """
    if not folder.state.is_dir():
        return
    settings, _ = find_inputs(folder, run_code=False)
    if settings is None:
        return
    answers = _answers(folder)
    try:
        texts = _texts(settings, set(answers))
    except (OSError, ValueError, PairmillError):
        if not folder.read_voice():  # inputs move; an earlier figure stays
            _keep_reason(folder, settings, "the inputs cannot be read again")
        return
    said = {author: {name: answers[name] for name in found} for author, found in texts.items()}
    found = attribute(texts, said)
    if found is None:
        _keep_reason(folder, settings, why_not(texts, said))
    else:
        figures = VoiceFigures(
            voice=settings.voice,
            authors=found.authors,
            documents=found.documents,
            answers=found.answers,
            sources=found.sources,
        )
        atomic_write(folder.voice, figures.model_dump_json().encode())


def note_voice(folder: RunFolder, settings: Settings, few: str) -> None:
    """Keep why the voice cannot be measured as soon as that is known; what was measured stays.

    Args:
        folder: The run's.
        settings: The run's.
        few: The reason; "" if there are enough authors, so that an earlier reason is forgotten.

    Raises:
        StorageError: The disk refused.
    """
    if few and not folder.read_voice():
        _keep_reason(folder, settings, few)
    elif not few and why_no_voice(folder):
        folder.voice.unlink(missing_ok=True)


def why_no_voice(folder: RunFolder) -> str:
    """Return why the voice could not be measured; "" if it was, or if that was not tried."""
    known = parse_figures(b"", folder.read_voice())
    return known.voice.unmeasured if known and known.voice else ""


def _keep_reason(folder: RunFolder, settings: Settings, reason: str) -> None:
    """Keep why the voice cannot be measured, if people may look for the figure.

    Raises:
        StorageError: The disk refused.
    """
    is_heard = settings.voice == "author" and settings.style_card != "off"
    if is_heard and settings.recipe_name == "backtranslate" and settings.mode != "verbatim":
        figures = VoiceFigures(voice=settings.voice, unmeasured=reason)
        atomic_write(folder.voice, figures.model_dump_json().encode())


def _answers(folder: RunFolder) -> dict[str, str]:
    """Return document to its answers, from the first rows."""
    found: defaultdict[str, str] = defaultdict(str)
    left = _MOST_ROWS
    superseded = read_superseded(folder.path)
    for shard in published_shards(folder.path):
        for line in complete_lines(shard):
            row = parse(line, shard)
            name = row.get("document_id")
            if row.get("chunk_id") in superseded:
                continue
            if isinstance(name, str) and len(found[name]) < _MOST_ANSWERS:
                found[name] += f" {said_in(row)}"
            left -= 1
            if not left:
                return found
    return found


def _texts(settings: Settings, wanted: set[str]) -> dict[str, dict[str, str]]:
    """Author to document to its text, for documents with answers; bounded, in order of reading."""
    found: dict[str, dict[str, str]] = {}
    for chunk in read_chunks(settings, lambda _: None):
        if not chunk.author or chunk.document_id not in wanted:
            continue
        if chunk.author not in found and len(found) >= _MOST_AUTHORS:
            continue
        texts = found.setdefault(chunk.author, {})
        if chunk.document_id not in texts and len(texts) >= _MOST_DOCUMENTS:
            continue
        text = texts.get(chunk.document_id, "")
        if len(text) < _MOST_TEXT:
            texts[chunk.document_id] = f"{text} {chunk.text}"
    return found
