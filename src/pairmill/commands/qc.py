"""``pairmill qc``: checks a dataset made by any tool."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pairmill.commands.flags import RunCode  # noqa: TC001 (typer reads it)
from pairmill.commands.folders import local_run
from pairmill.errors import EXIT_DONE, EXIT_FAILED
from pairmill.service.console import tell

__all__ = ["qc"]


def qc(  # noqa: PLR0917 (typer makes the positional ones flags)
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="JSONL, JSON, CSV, Parquet, Arrow, a folder of them, or a run, also by its URL.",
            parser=local_run,
        ),
    ],
    documents: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOCS",
            help="Documents the pairs were made from; not needed for a run folder. Repeatable.",
        ),
    ] = None,
    text_field: Annotated[
        str | None, typer.Option(help="Field of the documents that holds the text.")
    ] = None,
    instruction_field: Annotated[
        str | None,
        typer.Option(help="Field of the instruction, if not detected, such as instances.0.input."),
    ] = None,
    answer_field: Annotated[
        str | None, typer.Option(help="Field of the answer, if not detected.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="grounded: answers are based on documents or a text in the row; general: any"
            " requests with replies. Default: detected.",
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File with phrases of the prompt's own examples, one per line."
        ),
    ] = None,
    near: Annotated[
        str,
        typer.Option(
            metavar="HOW", help="How duplicates are found: words; embed: by similar meaning too."
        ),
    ] = "words",
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Exit with 1 on: fail, warn (or worse), never, or figures by their keys, "
            "separated by commas.",
        ),
    ] = "fail",
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write every finding to this file: file, line, check, number, excerpt.",
        ),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write the dataset without bad rows to this place."),
    ] = None,
    drop: Annotated[
        str,
        typer.Option(
            metavar="KEYS",
            help="With --clean: figures whose rows are removed, separated by commas; default:"
            " repeats, ungrounded, leaked_terms, meta_text, refusals, wrong_language and secrets;"
            " none: only rows that people rejected.",
        ),
    ] = "",
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write an HTML page with figures and pairs to this file."
        ),
    ] = None,
    run_code: RunCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check a dataset: repeats, groundedness, leaks, refusals, personal data, variety and more."""
    from pairmill import __version__
    from pairmill.output.check_dataset import check_dataset
    from pairmill.output.qc.read import Fields
    from pairmill.output.qc.report import Ticker, failures, print_report

    report, written = check_dataset(
        pairs,
        documents or [],
        text_field=text_field,
        fields=Fields(instruction_field, answer_field),
        examples=examples,
        near=near,
        profile=profile,
        rows=rows,
        clean=clean,
        drop=drop,
        html=html,
        run_code=run_code,
        version=__version__,
        progress=Ticker(),
    )
    bad = failures(report, fail_on)
    print_report(report, as_json=as_json)
    for line in written:
        tell(line)
    sys.exit(EXIT_FAILED if bad else EXIT_DONE)
