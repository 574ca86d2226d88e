"""``pairmill simulate``: a stand-in for a model's endpoint, to try a setup without paying."""

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
        typer.Option(min=0, max=65535, help=f"{_PORT}, if --config names none; 0: any."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="All that it can do, in YAML; flags win."),
    ] = None,
    rpm: Annotated[float | None, typer.Option(min=1, help="Requests a minute allowed.")] = None,
    tpm: Annotated[float | None, typer.Option(min=1, help="Tokens a minute allowed.")] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Calls worked on at once; others wait.")
    ] = None,
    latency_s: Annotated[
        float | None, typer.Option("--latency-s", min=0, help="Median seconds of an answer.")
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(help="Whose rate-limit headers: openai, groq ... or none.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=SHARE", help="Such as overloaded=0.1; may be given again."),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="How a real server misbehaves; or a FILE.yaml of yours."),
    ] = None,
    list_scenarios: Annotated[
        bool, typer.Option("--list-scenarios", help="Show the names of all scenarios.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Other chances, other answers.")] = None,
) -> None:
    """Serve a simulated model on 127.0.0.1: limits, delays and faults as asked for, at no cost.

    It speaks the OpenAI protocol and answers with pairs that really come from the text it is given.
    Point OPENAI_BASE_URL at the address that it prints, and see how your limits, settings and
    scripts behave before a real endpoint is paid. Its own report of what the client did is at
    /_sim/report. Ends on Ctrl-C. Needs the extra 'simulate'.
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
    """Names to shares. What is no number is refused by the settings, with its name."""
    return {name: share for name, _, share in (text.partition("=") for text in given)}
