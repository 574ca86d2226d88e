"""``pairmill qc``: check a dataset that any tool made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pairmill.errors import EXIT_DONE, EXIT_FAILED

__all__ = ["qc"]


def qc(  # noqa: PLR0917 (typer makes the positional ones flags)
    pairs: Annotated[
        Path,
        typer.Argument(metavar="PAIRS", help="JSONL, JSON, Parquet, a folder of them, or a run."),
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
        str | None, typer.Option(help="The field of the instruction, if it is not found.")
    ] = None,
    answer_field: Annotated[
        str | None, typer.Option(help="The field of the answer, if it is not found.")
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Check a dataset: repeats, groundedness, leaks, refusals, personal data, variety and more."""
    from pairmill import api
    from pairmill.output.qc import failures
    from pairmill.output.qc_show import print_report

    report = api.qc(
        pairs,
        documents or [],
        text_field=text_field,
        instruction_field=instruction_field,
        answer_field=answer_field,
        examples=examples,
        near=near,
    )
    bad = failures(report, fail_on)
    print_report(report, as_json=as_json)
    sys.exit(EXIT_FAILED if bad else EXIT_DONE)
