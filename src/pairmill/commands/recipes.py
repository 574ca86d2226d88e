"""``pairmill recipes``: list, show, new, check and try."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["recipes"]

recipes = typer.Typer(no_args_is_help=True, help="Recipes: how units of text become rows.")

Named = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A name, a file, or package.module:name.")
]


@recipes.command("list")
def list_recipes(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """List all named recipes, and what they do."""
    import shutil

    import orjson

    from pairmill.service.recipes import described, list_lines

    if as_json:
        typer.echo(orjson.dumps({"recipes": described()}, option=orjson.OPT_INDENT_2))
        return
    for line in list_lines(shutil.get_terminal_size((80, 24)).columns):
        typer.echo(line)


@recipes.command()
def show(recipe: Named) -> None:
    """Print a recipe: its file, or the prompts of a Python recipe."""
    from pairmill.service.recipes import source_of

    typer.echo(source_of(recipe))


@recipes.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to create.")],
    like: Annotated[
        str | None, typer.Option(metavar="NAME", help="Copy this recipe instead of a skeleton.")
    ] = None,
) -> None:
    """Write a recipe file to begin with: a commented skeleton that works unchanged."""
    from pairmill.service.recipes import write_new

    write_new(file, like)
    typer.echo(f"wrote {file}; next: pairmill recipes check {file}", err=True)


@recipes.command()
def check(
    recipe: Named,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings that name its models.")
    ] = None,
) -> None:
    """Check a recipe without a call: mistakes, calls per unit, the columns that it adds."""
    from pairmill.config import load
    from pairmill.service.recipes import check_lines

    for line in check_lines(load(config, {"recipe": recipe})):
        typer.echo(line)


@recipes.command("try")
def try_recipe(
    recipe: Named,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files or folders.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=50, help="Units.")] = 3,
    model: Annotated[str | None, typer.Option(help="Model name at the endpoint, or local.")] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible endpoint.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in YAML; flags override it.")
    ] = None,
) -> None:
    """Run a recipe on a few units; print prompt, raw answer, rows and findings; keep nothing."""
    import tempfile

    import anyio

    from pairmill.config import load
    from pairmill.run.try_recipe import try_units
    from pairmill.service.recipes import print_unit

    with tempfile.TemporaryDirectory(prefix="pairmill-try-") as scratch:
        given = {
            "inputs": tuple(inputs),
            "recipe": recipe,
            "model": model,
            "base_url": base_url,
            "output": Path(scratch) / "run",
        }
        anyio.run(try_units, load(config, given), count, print_unit)
