"""The command line: arguments in, exit code out.

Text for people goes to standard error, text for programs to standard output. Slow imports are
inside the commands that need them, so that ``pairmill --help`` is fast.
"""

from __future__ import annotations

import errno
import inspect as inspect_module
import os
import sys
import warnings
from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperGroup

from pairmill.commands.doctor import doctor
from pairmill.commands.estimate import estimate_like
from pairmill.commands.explain import explain
from pairmill.commands.export import export as export_command
from pairmill.commands.fetch import fetch
from pairmill.commands.flags import OTHERS, RunCode, flag, read_settings
from pairmill.commands.folders import Folder, work_folder
from pairmill.commands.health import health
from pairmill.commands.init import init
from pairmill.commands.inspect import inspect
from pairmill.commands.merge import merge
from pairmill.commands.qc import qc
from pairmill.commands.recipes import recipes
from pairmill.commands.recover import recover
from pairmill.commands.report import report
from pairmill.commands.simulate import simulate
from pairmill.commands.view import view
from pairmill.errors import EXIT_DONE, EXIT_FAILED, PairmillError, first_error
from pairmill.service.console import BestEffortStream, tell
from pairmill.startup import (
    hold_standard_streams,
    quit_on_signals,
    read_secret_files,
    settle_standard_streams,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from pairmill.config import Settings
    from pairmill.events import CallAnswered
    from pairmill.run.retry_rejected import RetryRequest

__all__ = ["app", "main"]

_NOT_TAKEN = frozenset({errno.ENOSPC, errno.EIO, errno.EBADF, errno.EAGAIN, errno.EINVAL})
_PATIENCE_S = 2.0  # for the reader of standard error, at the end


class _Commands(TyperGroup):
    """Commands whose switches have no type in ``--help``: they take no value."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            options: tuple[Any, ...] = (*command.params, command.get_help_option(ctx))
            for option in options:
                if getattr(option, "is_flag", False) and option.metavar is None:
                    option.metavar = ""
        return command


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn raw articles into an instruction-tuning dataset with language models.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from pairmill import __version__

        typer.echo(f"pairmill {__version__}")
        raise typer.Exit


@app.callback()
def _all_commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    del version


local = typer.Typer(no_args_is_help=True, help="The embedded model.")
app.add_typer(local, name="local")
app.add_typer(recipes, name="recipes")


def main() -> None:
    """Run the command line; every user error ends in one line and an exit code."""
    hold_standard_streams()
    warnings.showwarning = _warn
    # If standard error is not read within a moment, the command continues without it.
    sys.stderr = cast("TextIO", BestEffortStream(sys.stderr, patience_s=_PATIENCE_S))
    try:
        read_secret_files(os.environ)
        app()
    except (PairmillError, ExceptionGroup) as caught:
        error = first_error(caught)
        if error is None:
            raise
        tell(f"pairmill: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.errno not in _NOT_TAKEN or error.filename is not None:
            raise
        tell(f"pairmill: standard output: {error.strerror}")
        sys.exit(EXIT_FAILED)
    except SystemExit as end:
        if not end.code and not settle_standard_streams():
            tell("pairmill: standard output: not all of it could be written")
            sys.exit(EXIT_FAILED)
        raise
    finally:
        settle_standard_streams()


def _warn(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Print our own deprecation warnings in one line; warnings of libraries are hidden."""
    if issubclass(category, FutureWarning):
        typer.echo(f"pairmill: {message}", err=True)


@app.command()
def run(  # noqa: PLR0917 (typer makes the positional ones flags)
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT...", help="Files, folders, or - for standard input."),
    ] = None,
    output: Annotated[str | None, flag("output", "-o", "--output", metavar="DIR|URL")] = None,
    model: Annotated[str | None, flag("model")] = None,
    base_url: Annotated[str | None, flag("base_url")] = None,
    recipe: Annotated[str | None, flag("recipe")] = None,
    pairs_per_chunk: Annotated[int | None, flag("pairs_per_chunk", min=1, max=10)] = None,
    mode: Annotated[str | None, flag("mode")] = None,
    evolve: Annotated[str | None, flag("evolve")] = None,
    preference: Annotated[str | None, flag("preference")] = None,
    judge: Annotated[str | None, flag("judge")] = None,
    judge_model: Annotated[str | None, flag("judge_model")] = None,
    verify: Annotated[str | None, flag("verify")] = None,
    verify_model: Annotated[str | None, flag("verify_model")] = None,
    concurrency: Annotated[int | None, flag("concurrency", min=1)] = None,
    limit: Annotated[int | None, flag("limit", min=1)] = None,
    limit_per_document: Annotated[int | None, flag("limit_per_document", min=1)] = None,
    target_pairs: Annotated[int | None, flag("target_pairs", min=1)] = None,
    per_document: Annotated[int | None, flag("per_document", min=1)] = None,
    rpm: Annotated[float | None, flag("rpm")] = None,
    tpm: Annotated[float | None, flag("tpm")] = None,
    max_usd: Annotated[float | None, flag("max_usd")] = None,
    max_total_tokens: Annotated[int | None, flag("max_total_tokens")] = None,
    max_tokens: Annotated[int | None, typer.Option(hidden=True)] = None,
    max_hours: Annotated[float | None, flag("max_hours")] = None,
    text_field: Annotated[str | None, flag("text_field")] = None,
    seed: Annotated[int | None, flag("seed")] = None,
    export: Annotated[str | None, flag("export", metavar="FORMAT")] = None,
    status: Annotated[str | None, flag("status", metavar="[HOST:]PORT")] = None,
    partition: Annotated[str | None, flag("partition", metavar="INDEX/COUNT")] = None,
    engine: Annotated[str | None, flag("engine")] = None,
    partitions: Annotated[int | None, flag("partitions", min=1)] = None,
    ray_address: Annotated[str | None, flag("ray_address", metavar="ADDRESS")] = None,
    ray_cpus: Annotated[float | None, flag("ray_cpus")] = None,
    share: Annotated[str | None, flag("share", metavar="DIR|URL")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Settings in YAML; flags override it.", rich_help_panel=OTHERS
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, such as limits.grace_s=60; see docs/settings.md.",
            rich_help_panel=OTHERS,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Read the input, print the plan and the first prompt, and ask nothing.",
            rich_help_panel=OTHERS,
        ),
    ] = False,
    sources: Annotated[list[str] | None, flag("sources", "--source", metavar="MODULE:NAME")] = None,
    follow: Annotated[bool, flag("follow", "--follow")] = False,
    follow_idle_s: Annotated[float | None, flag("follow_idle_s", metavar="SECONDS")] = None,
    strict: Annotated[bool, flag("strict", "--strict")] = False,
    accept_change: Annotated[bool, flag("accept_change", "--accept-change")] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Print only the final result.", rich_help_panel=OTHERS),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Name every skipped piece of input.",
            rich_help_panel=OTHERS,
        ),
    ] = False,
) -> None:
    """Turn articles into instruction-answer pairs.

    Run the same command again and it goes on where it stopped.
    """
    given = {
        "inputs": tuple(inputs) if inputs else None,
        "output": output,
        "model": model,
        "base_url": base_url,
        "recipe": recipe,
        "pairs_per_chunk": pairs_per_chunk,
        "mode": mode,
        "evolve": evolve,
        "preference": preference,
        "judge": judge,
        "judge_model": judge_model,
        "verify": verify,
        "verify_model": verify_model,
        "concurrency": concurrency,
        "limit": limit,
        "limit_per_document": limit_per_document,
        "target_pairs": target_pairs,
        "per_document": per_document,
        "rpm": rpm,
        "tpm": tpm,
        "max_usd": max_usd,
        "max_total_tokens": max_total_tokens,
        "max_tokens": max_tokens,
        "max_hours": max_hours,
        "text_field": text_field,
        "seed": seed,
        "export": export,
        "status": status,
        "partition": partition,
        "engine": engine,
        "partitions": partitions,
        "ray_address": ray_address,
        "ray_cpus": ray_cpus,
        "share": share,
        "sources": tuple(sources) if sources else None,
        "follow": follow or None,
        "follow_idle_s": follow_idle_s,
        "strict": strict or None,
        "accept_change": accept_change or None,
    }
    from pairmill.errors import UsageError

    settings, advice = read_settings(config, assignments, given)
    if not settings.inputs:
        raise UsageError("nothing to read: name files or folders, or - for standard input")
    if dry_run:
        from pairmill.service.survey import print_plan

        for line in [] if quiet else advice:
            tell(line)
        print_plan(settings)
        exit_code = EXIT_DONE
    else:
        exit_code = _run(settings, verbosity=-1 if quiet else int(verbose), advice=advice)
    sys.exit(exit_code)


@app.command()
def retry(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR|URL", help="A run folder, or its URL.", parser=work_folder),
    ],
    reason: Annotated[str | None, typer.Option(help="Only units rejected for this reason.")] = None,
    model: Annotated[str | None, typer.Option(help="Ask this model instead.")] = None,
) -> None:
    """Ask again about the rejected chunks, and only about them."""
    import contextlib

    from pairmill.run.retry_rejected import prepare

    settings, again, place = prepare(folder, reason=reason, model=model)
    with contextlib.chdir(place) if place else contextlib.nullcontext():
        sys.exit(_run(settings, again))


@app.command()
def status(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show the progress of a run, also while it runs."""
    from pairmill.service.status import print_status

    print_status(folder, as_json=as_json)


@app.command()
def show(
    folder: Folder,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of pairs.")] = 3,
    seed: Annotated[int | None, typer.Option(help="Seed of the selection.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    run_code: RunCode = False,
) -> None:
    """Print a few random pairs beside their source text."""
    import secrets

    from pairmill.output.show import print_pairs
    from pairmill.output.source_texts import code_notice
    from pairmill.store.folder import read_folder

    chosen = secrets.randbelow(2**31) if seed is None else seed
    print_pairs(folder, count, chosen, as_json=as_json, run_code=run_code)
    if not run_code:
        for line in code_notice(read_folder(folder), "the texts of the pairs are not shown"):
            tell(line)


@local.command("path")
def local_path() -> None:
    """Print the path of the embedded model's file."""
    from pairmill.llm.local import model_path

    typer.echo(model_path())


@local.command("serve")
def local_serve(
    model: Annotated[str, typer.Option(help="local, or local:FILE.gguf")] = "local",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    slots: Annotated[int, typer.Option(min=1, help="Answers generated at the same time.")] = 4,
) -> None:
    """Serve the embedded model, OpenAI-compatible, on 127.0.0.1 until Ctrl-C."""
    from pairmill.llm.local import model_path, serve

    path = model_path(model)
    typer.echo(f"serving {path.name} on http://127.0.0.1:{port}/v1 until Ctrl-C", err=True)
    sys.exit(serve(path, port=port, slots=slots))


def _paragraphs(command: Callable[..., Any] | None) -> str:
    """Help of a command: its docstring, each paragraph as one line for the terminal to break."""
    text = inspect_module.getdoc(command) or ""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _pilot(settings: Settings, listen: Callable[[CallAnswered], None]) -> int:
    return _run(settings, listen=listen)


def _run(
    settings: Settings,
    again: RetryRequest | None = None,
    listen: Callable[[CallAnswered], None] | None = None,
    *,
    verbosity: int = 0,
    advice: Sequence[str] = (),
) -> int:
    quit_on_signals()
    from pairmill.run.tuning import check_open_files

    check_open_files()
    import time

    import anyio
    from rich.console import Console

    from pairmill.events import Bus, CallAnswered, Notice, RunOpened
    from pairmill.llm.retirement import check_model_is_named
    from pairmill.run.generate import check_export, engine_of, export_at_end
    from pairmill.run.tuning import keep_heap_compact, loop_options
    from pairmill.service.progress import show as show_progress
    from pairmill.service.tally import RunTally

    keep_heap_compact()
    run_session = engine_of(settings)
    check_export(settings)
    is_begun = (settings.output / ".run" / "settings.json").is_file()
    check_model_is_named(settings, os.environ, time.time(), is_begun=is_begun)
    stream = BestEffortStream(sys.stderr)
    console = Console(file=cast("IO[str]", stream), highlight=False)
    bus, tally = Bus(), RunTally(time.monotonic)
    tally.listen(bus)
    if listen is not None:
        bus.subscribe(listen, CallAnswered)

    def advise(_event: RunOpened) -> None:
        for line in advice:
            bus.emit(Notice(line))

    with show_progress(bus, tally, console, verbosity=verbosity) as tick:
        bus.subscribe(advise, RunOpened)  # a start that fails before says why, and no more
        summary = anyio.run(
            lambda: run_session(settings, bus, tick=tick, again=again),
            backend_options=loop_options(),
        )
    told = summary.lines() if verbosity >= 0 else summary.ending()
    for line in (*told, *export_at_end(settings, summary)):
        tell(line)
    return summary.exit_code


for command in (
    estimate_like(run, _pilot),
    doctor,
    inspect,
    fetch,
    health,
    merge,
    recover,
    report,
    explain,
    view,
    qc,
    simulate,
):
    app.command()(command)
app.command()(init)
app.command("export")(export_command)
for group in (app, local, recipes):
    for registered in group.registered_commands:  # else each line of a docstring ends a line
        registered.help = registered.help or _paragraphs(registered.callback)
