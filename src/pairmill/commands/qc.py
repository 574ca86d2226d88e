"""``pairmill qc``: check a dataset that any tool made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pairmill.commands.flags import RunCode  # noqa: TC001 (typer reads it)
from pairmill.errors import EXIT_DONE, EXIT_FAILED

__all__ = ["qc"]


def qc(  # noqa: PLR0917 (typer makes the positional ones flags)
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS", help="JSONL, JSON, CSV, Parquet, Arrow, a folder of them, or a run."
        ),
    ],
    documents: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOCS",
            help="What the pairs were made from; a run folder knows by itself. May be repeated.",
        ),
    ] = None,
    text_field: Annotated[
        str | None, typer.Option(help="The documents' field that holds the text.")
    ] = None,
    instruction_field: Annotated[
        str | None,
        typer.Option(help="The field of the instruction, if it is not found: instances.0.input."),
    ] = None,
    answer_field: Annotated[
        str | None, typer.Option(help="The field of the answer, if it is not found.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="grounded: answers rest on documents or on a text of their own; general: any"
            " requests with replies. Else as the data looks.",
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Phrases of the prompt's own examples, one a line."),
    ] = None,
    near: Annotated[
        str,
        typer.Option(
            metavar="HOW", help="How repeats are told: words; embed: by like meaning too."
        ),
    ] = "words",
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="WHAT",
            help="Exit with 1 on: fail, warn (or worse), never, or figures by their keys, "
            "with commas between.",
        ),
    ] = "fail",
    rows: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write every finding there: file, line, check, number, excerpt."
        ),
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write the dataset there without the rows found bad."),
    ] = None,
    drop: Annotated[
        str,
        typer.Option(
            metavar="KEYS",
            help="With --clean: the figures whose rows go, with commas between; else repeats,"
            " ungrounded, leaked_terms, meta_text, refusals, wrong_language and secrets; none: only"
            " what people rejected.",
        ),
    ] = "",
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with the figures and the pairs there."),
    ] = None,
    run_code: RunCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check a dataset: repeats, groundedness, leaks, refusals, personal data, variety and more."""
    from pairmill import __version__
    from pairmill.output.qc.inputs import check_dataset
    from pairmill.output.qc.read import Fields
    from pairmill.output.qc.report import failures
    from pairmill.output.qc.show import Ticker, print_report

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
        typer.echo(line, err=True)
    sys.exit(EXIT_FAILED if bad else EXIT_DONE)
