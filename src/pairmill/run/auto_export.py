"""``run --export FORMAT``: a run's default export, once the run has ended well."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pairmill import __version__
from pairmill.errors import EXIT_DONE, UsageError
from pairmill.sources.files import STANDARD_INPUT
from pairmill.sources.remote import is_remote

if TYPE_CHECKING:
    from pairmill.config import Settings
    from pairmill.run.summary import Summary

__all__ = ["check_export", "export_at_end"]


def check_export(settings: Settings) -> None:
    """Check, before anything is paid for, that the requested export can be made.

    Raises:
        UsageError: The format is unknown, or the export would be among the inputs.
        FolderError: Its place is taken by something else.
    """
    if settings.export is None:
        return
    from pairmill.output.export_place import check_replaceable, default_place

    place = default_place(settings.output, settings.export)
    for given in settings.inputs:
        if (
            given != STANDARD_INPUT
            and not is_remote(given)
            and place.is_relative_to(Path(given).resolve())
        ):
            raise UsageError(
                f"the export would go to {place}, and so be read as input by the next start;"
                " name an output outside of the inputs"
            )
    check_replaceable(place)


def export_at_end(settings: Settings, summary: Summary) -> list[str]:
    """Export a run that has ended well, like ``pairmill export``; return lines for people.

    Raises:
        PairmillError: It ended well but cannot be exported; the text says why.
    """
    if settings.export is None:
        return []
    if summary.exit_code != EXIT_DONE:
        return ["not exported, since the run has not come to its end"]
    from pairmill.output import export as exporting
    from pairmill.output.export_options import ExportOptions
    from pairmill.output.export_place import default_place
    from pairmill.output.export_summary import summary_lines
    from pairmill.output.related import related_documents
    from pairmill.output.repeats import near_repeats
    from pairmill.output.source_texts import read_source_texts

    done = exporting.export(
        settings.output,
        default_place(settings.output, settings.export),
        ExportOptions(shape=settings.export),
        find_repeats=near_repeats,
        find_related=related_documents,
        read_texts=partial(read_source_texts, settings.output, run_code=True),
        version=__version__,
    )
    return summary_lines(done)
