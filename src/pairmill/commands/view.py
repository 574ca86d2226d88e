"""``pairmill view``: shows a dataset in a browser, to mark its pairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pairmill.commands.flags import RunCode  # noqa: TC001 (typer reads it)
from pairmill.commands.folders import local_only

__all__ = ["view"]


def view(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE",
            help="A run folder, or any dataset that 'qc' reads.",
            parser=local_only,
        ),
    ],
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Default: 8790, or the next free one; 0: any."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on. Any but loopback lets others on the network reach the"
            " page; they need the token, which is sent unencrypted.",
        ),
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="HOST",
            help="Another host name of this server, for example behind a tunnel.",
        ),
    ] = None,
    run_code: RunCode = False,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the default browser.")
    ] = False,
) -> None:
    """Serve a page to look through pairs, and to accept, reject, edit and note them.

    The data is never changed: your decisions are kept in marks.jsonl in the run folder, or in
    FILE.marks beside other data, and applied by export, report and qc. Works during a run.
    Prints the page's address; Ctrl-C ends it. Needs the extra 'view'.
    """
    from pairmill import __version__
    from pairmill.errors import ConfigError

    try:
        from pairmill.output.view.server import serve_view
    except ModuleNotFoundError as error:
        if error.name not in {"starlette", "uvicorn"}:
            raise
        raise ConfigError(
            "view needs the extra 'view': pip install 'pairmill[view]', in a clone '.[view]'"
        ) from None
    from pairmill.hosts import is_loopback

    def tell(address: str) -> None:
        typer.echo(address)
        typer.echo("open this address in a browser; Ctrl-C ends it", err=True)
        if not is_loopback(host):
            typer.echo(
                "others on the network can reach it, and what they send and see is not encrypted",
                err=True,
            )
        if open_browser:
            stack.enter_context(_opened(address))

    with ExitStack() as stack:
        serve_view(
            dataset,
            tell,
            version=__version__,
            host=host,
            port=port,
            names=tuple(name or ()),
            run_code=run_code,
        )


@contextmanager
def _opened(address: str) -> Iterator[None]:
    """Open an address in the default browser without exposing it in the process list."""
    import tempfile
    import webbrowser

    with tempfile.NamedTemporaryFile("w", suffix=".html", prefix="pairmill-view-") as page:
        page.write(f'<meta http-equiv="refresh" content="0;url={address}">')
        page.flush()
        webbrowser.open(Path(page.name).as_uri())
        yield
