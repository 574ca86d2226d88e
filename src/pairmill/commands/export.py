"""``pairmill export``: writes a run folder as files for a trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairmill.commands.flags import RunCode  # noqa: TC001 (typer reads it)
from pairmill.commands.folders import local_run
from pairmill.service.console import tell

__all__ = ["export"]


def export(  # noqa: PLR0917 (typer makes the positional ones flags)
    source: Annotated[
        str, typer.Argument(metavar="DIR|URL", help="A run folder, or its URL; then -o is needed.")
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="messages, reasoning, alpaca, sharegpt, prompt_completion, preference, text,"
            " question or triplets.",
        ),
    ] = "messages",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Default: DIR-FORMAT, beside DIR."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Percent of the documents in train/validation/test.")
    ] = "90/5/5",
    file_type: Annotated[
        str, typer.Option("--format", help="jsonl, parquet or csv (formats of plain columns).")
    ] = "jsonl",
    min_score: Annotated[
        float | None,
        typer.Option(help="Drop pairs with a lower mean rating by the judge, or without one."),
    ] = None,
    min_truthfulness: Annotated[
        float | None,
        typer.Option(
            min=1, max=5, help="Drop pairs with a lower rating for truthfulness, or without one."
        ),
    ] = None,
    min_instruction_following: Annotated[
        float | None, typer.Option(min=1, max=5, help="Likewise for instruction following.")
    ] = None,
    min_honesty: Annotated[
        float | None, typer.Option(min=1, max=5, help="Likewise for honesty.")
    ] = None,
    min_helpfulness: Annotated[
        float | None, typer.Option(min=1, max=5, help="Likewise for helpfulness.")
    ] = None,
    keep_unscored: Annotated[
        bool, typer.Option("--keep-unscored", help="With --min-score: keep pairs without a rating.")
    ] = False,
    min_grounding: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Drop pairs with lower grounding in their text."),
    ] = None,
    min_support: Annotated[
        float | None, typer.Option(min=0, max=1, help="Drop pairs with less support by their text.")
    ] = None,
    verified: Annotated[
        bool,
        typer.Option("--verified", help="Drop pairs with a sentence that no verifier confirmed."),
    ] = False,
    drop_flag: Annotated[
        list[str] | None,
        typer.Option(metavar="FLAG", help="Drop pairs with this flag; '*': with any flag."),
    ] = None,
    near: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="Drop near-duplicate instructions (all are held in memory): words; embed: those"
            " with a similar meaning too.",
        ),
    ] = "words",
    exact: Annotated[
        bool, typer.Option("--exact", help="Drop only identical instructions, in constant memory.")
    ] = False,
    keep_parents: Annotated[
        bool,
        typer.Option("--keep-parents", help="Keep the parents of evolved pairs too."),
    ] = False,
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Columns of the rows, or fields of their recipe, to add to the format's:"
            " id,source,model.",
        ),
    ] = "",
    open_book: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="Percent of pairs whose prompt gets their own passage, among others.",
        ),
    ] = 0.0,
    unanswerable: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="Percent of these that lose their own passage: the texts then hold no answer.",
        ),
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    system: Annotated[
        str, typer.Option(metavar="TEXT", help="System message for rows that have none.")
    ] = "",
    fold_system: Annotated[
        bool,
        typer.Option(
            "--fold-system",
            help="In a format without a place for system texts, put each before its prompt.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Report what would be written, show a record, write nothing."
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Also replace an earlier export that was changed by hand."),
    ] = False,
    push: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub",
            metavar="OWNER/NAME",
            help="Push it to the Hugging Face hub too, as a private dataset (extra 'hub').",
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push-to-hub: make it public.")
    ] = False,
    marks: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="Marks set in 'pairmill view': apply; accepted: keep only pairs that were"
            " accepted or edited; ignore.",
        ),
    ] = "apply",
    keep_license: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Keep only pairs from texts under this licence: CC-BY-4.0, 'CC-BY-SA-*', unknown."
            " May be repeated.",
        ),
    ] = None,
    run_code: RunCode = False,
    license_id: Annotated[
        str,
        typer.Option("--license", help="Licence of the export as a whole, for its card."),
    ] = "unknown",
) -> None:
    """Write a dataset to train on: deduplicated, split by document, in one training format."""
    from pairmill import api
    from pairmill.errors import UsageError
    from pairmill.objects.url import is_store_url
    from pairmill.output.export_options import ExportOptions, ExportPolicy
    from pairmill.output.export_summary import summary_lines
    from pairmill.output.hub import check_repo_name, look_at_hub, push_lines, pushed_line
    from pairmill.output.marks.overlay import is_run_folder
    from pairmill.output.source_texts import code_notice
    from pairmill.output.split import parse_shares
    from pairmill.store.folder import read_folder

    if output is None and is_store_url(source):
        raise UsageError(f"{source}: give a folder for the export with -o")
    folder = local_run(source)
    aspects = {
        "truthfulness": min_truthfulness,
        "instruction_following": min_instruction_following,
        "honesty": min_honesty,
        "helpfulness": min_helpfulness,
    }
    options = ExportOptions(
        file_type=file_type,
        shares=parse_shares(split),
        seed=seed,
        policy=ExportPolicy(
            min_score=min_score,
            min_aspects=tuple(
                (name, least) for name, least in aspects.items() if least is not None
            ),
            keep_unscored=keep_unscored,
            min_grounding=min_grounding,
            min_support=min_support,
            verified=verified,
            drop_flags=frozenset(drop_flag or ()),
        ),
        license_id=license_id,
        licenses=tuple(keep_license or ()),
        keep_parents=keep_parents,
        open_book=open_book,
        unanswerable=unanswerable,
        system=system,
        fold_system=fold_system,
        dry_run=dry_run,
        replace_changed=replace,
        marks=marks,
        columns=tuple(name.strip() for name in columns.split(",") if name.strip()),
    )
    if public and push is None:
        raise UsageError("--public needs --push-to-hub OWNER/NAME")
    if push is not None:
        check_repo_name(push)
    target = None if push is None or dry_run else look_at_hub(push, public=public)
    summary = api.export(
        folder, to, output, near=near, exact=exact, options=options, run_code=run_code
    )
    lines = summary_lines(summary)
    if not run_code and is_run_folder(folder):
        missing = "kin by the texts of documents was not looked for"
        lines += code_notice(read_folder(folder), missing)
    if push is not None and dry_run:
        lines += push_lines(push, summary.sizes, public=public)
    for line in lines:
        tell(line)
    if target is not None:
        tell(pushed_line(target, api.push_to(summary.folder, target)))
