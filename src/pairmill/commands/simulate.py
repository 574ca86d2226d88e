"""``pairmill simulate``: serves a simulated endpoint, to try a setup at no cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["simulate"]

_PORT = 8099


def simulate(  # noqa: PLR0917 (typer makes the positional ones flags)
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help=f"Default: {_PORT}, or as in --config; 0: any free port."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="All settings in YAML; flags override it."),
    ] = None,
    rpm: Annotated[float | None, typer.Option(min=1, help="Requests a minute allowed.")] = None,
    tpm: Annotated[float | None, typer.Option(min=1, help="Tokens a minute allowed.")] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Calls served at once; others wait.")
    ] = None,
    latency_s: Annotated[
        float | None,
        typer.Option("--latency-s", min=0, help="Median duration of an answer, in seconds."),
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(help="Rate-limit headers of: openai, groq ... or none.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE", help="Share of a fault, such as overloaded=0.1; repeatable."
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Behaviour of a real server; or your own FILE.yaml."),
    ] = None,
    list_scenarios: Annotated[
        bool, typer.Option("--list-scenarios", help="List all scenarios.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of faults and answers.")] = None,
) -> None:
    """Serve a simulated model on 127.0.0.1, with limits, delays and faults, at no cost.

    It speaks the OpenAI protocol and answers with pairs made from the text in the prompt. Point
    OPENAI_BASE_URL at the address that it prints, and see how your limits, settings and scripts
    behave before you pay for a real endpoint. /_sim/report shows what the client did. Ctrl-C
    ends it. Needs the extra 'simulate'.
    """
    if list_scenarios:
        _print_scenarios()
        return
    from pairmill.simulator.cli import read_settings, run_endpoint
    from pairmill.simulator.settings import SimulatorSettings, from_mapping, to_mapping

    base = to_mapping(read_settings(config) if config else SimulatorSettings(port=_PORT))
    given = {
        "port": port,
        "slots": slots,
        "dialect": dialect,
        "seed": seed,
        "scenario": scenario,
    }
    values = {**base, **{name: value for name, value in given.items() if value is not None}}
    quota = {name: value for name, value in (("rpm", rpm), ("tpm", tpm)) if value is not None}
    if quota:
        values["quota"] = {**(values["quota"] or {}), **quota}
    if latency_s is not None:
        values["latency"] = {"shape": "lognormal", "seconds": latency_s}
    if fault:
        values["faults"] = {**values["faults"], "rates": _rates(fault)}
    sys.exit(run_endpoint(from_mapping(values)))


def _print_scenarios() -> None:
    from pairmill.simulator.scenarios import load_scenario, scenario_names

    names = scenario_names()
    width = max(map(len, names))
    for name in names:
        sys.stdout.write(f"{name:{width}}  {load_scenario(name).about}\n")


def _rates(given: list[str]) -> dict[str, Any]:
    """Parse names and shares. The settings reject a share that is not a number."""
    return {name: share for name, _, share in (text.partition("=") for text in given)}
