"""``python -m minilib.pim``: run a model, print the table of all models, write a command trace, audit one."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from minilib.pim import (
    AIM_ENERGY,
    IDD_ENERGY,
    PRESETS,
    Asic,
    DramConfig,
    PimSystem,
    audit,
    figures,
    find_model,
    read_trace,
    table,
    write_trace,
)
from minilib.pim.engine import Record

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
console = Console(highlight=False)

Preset = Annotated[str, typer.Option(help="Timing: paper or aim.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Change an entry of the memory, for instance tRCD=14 or gbps=8.")]
Channels = Annotated[int | None, typer.Option(help="Channels of the package.")]
Ghz = Annotated[float, typer.Option(help="Clock of the ASIC in GHz.")]
Overlap = Annotated[bool, typer.Option(help="Let the ASIC work while the banks go on.")]
Heads = Annotated[str, typer.Option(help="concatenated or separate.")]
Page = Annotated[str, typer.Option(help="open or closed.")]
Values = Annotated[str, typer.Option("--v", help="Layout of the V cache: column or row.")]
Reserve = Annotated[int | None, typer.Option(help="Tokens of KV cache to reserve space for.")]
Energy = Annotated[str, typer.Option(help="Parameters of the energy: aim or currents.")]
MacReads = Annotated[float | None, typer.Option(help="Reads that an all-bank MAC costs.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def plain_errors(command: Callable) -> Callable:
    """What is wrong with the input is one sentence, not a traceback."""

    @wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError) as problem:
            typer.echo(str(problem), err=True)
            raise typer.Exit(2) from None

    return wrapped


def memory(preset: str, changes: list[str] | None, channels: int | None) -> DramConfig:
    """The preset with its changes."""
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose {' or '.join(PRESETS)}")
    entries: dict[str, float | int] = {} if channels is None else {"channels": channels}
    for change in changes or ():
        name, _, text = change.partition("=")
        try:
            value = float(text)
        except ValueError:
            raise ValueError(f"{name} must be a number, got {text!r}") from None
        entries[name] = int(value) if value.is_integer() and not name.startswith("t") else value
    return PRESETS[preset].with_(**entries)


def energy_model(name: str, mac_reads: float | None):
    """A parameter set by its name."""
    sets = {"aim": AIM_ENERGY, "currents": IDD_ENERGY}
    if name not in sets:
        raise ValueError(f"unknown energy parameters {name!r}; choose {' or '.join(sets)}")
    return sets[name] if mac_reads is None else sets[name].with_(mac_reads=mac_reads)


@app.command()
@plain_errors
def run(
    model: Annotated[str, typer.Option(help="gpt2-small … gpt3-xl")],
    tokens: Annotated[int, typer.Option(help="Tokens to generate.")] = 1024,
    start: Annotated[int, typer.Option(help="Tokens of context before the first of them.")] = 0,
    reserve: Reserve = None, preset: Preset = "paper", set_: Set = None, channels: Channels = None, asic_ghz: Ghz = 1.0,
    overlap: Overlap = True,
    heads: Heads = "concatenated", page: Page = "open", v: Values = "column", energy: Energy = "aim", mac_reads: MacReads = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Generate tokens with a growing context and print what it took."""
    dram = memory(preset, set_, channels)
    system = PimSystem(dram, Asic(ghz=asic_ghz), overlap=overlap, heads=heads, page=page, v=v)
    made = figures(system.generate(find_model(model), tokens, start=start, reserve=reserve), energy_model(energy, mac_reads))
    if json_:
        print(json.dumps(made))
        return
    for name, value in made.items():
        if isinstance(value, dict):
            value = "  ".join(f"{key} {number:.4g}" if isinstance(number, float) else f"{key} {number}" for key, number in value.items())
        elif isinstance(value, list):
            value = f"{value[0]:.1%} to {value[1]:.1%}"
        console.print(f"{name:22} {value:.5g}" if isinstance(value, float) else f"{name:22} {value}", soft_wrap=True)


@app.command("table")
@plain_errors
def table_(
    context: Annotated[int, typer.Option(help="Context length of the token.")] = 512,
    reserve: Reserve = None, preset: Preset = "paper", set_: Set = None, channels: Channels = None, asic_ghz: Ghz = 1.0,
    overlap: Overlap = True,
    energy: Energy = "aim", mac_reads: MacReads = None, json_: Json = False,
) -> None:  # fmt: skip
    """One token of all eight models."""
    system = PimSystem(memory(preset, set_, channels), Asic(ghz=asic_ghz), overlap=overlap)
    rows = table(system, context, energy=energy_model(energy, mac_reads), reserve=reserve)
    if json_:
        print(json.dumps(rows))
        return
    shown = Table("model", "µs/token", "row hits", "pin bytes ÷", "mJ/token", "W", "utilisation", "× T4 roofline", "T4 efficiency implied")
    for r in rows:
        if "does_not_fit" in r:
            shown.add_row(r["model"], "does not fit")
            continue
        low, high = r["t4_efficiency_implied"]
        shown.add_row(
            r["model"], f"{r['us_per_token']:.1f}", f"{r['hit_rate']:.2%}", f"{r['pin_reduction']:.0f}", f"{r['mj_per_token']:.2f}",
            f"{r['watts']:.1f}", f"{r['utilisation']:.2f}", f"{r['t4_ratio']:.1f}", f"{low:.0%}–{high:.0%}",
        )  # fmt: skip
    console.print(shown)
    for r in rows:
        if "does_not_fit" in r:
            console.print(r["does_not_fit"], soft_wrap=True)


@app.command()
@plain_errors
def trace(
    out: Annotated[str, typer.Option(help="The CSV file to write.")],
    model: Annotated[str, typer.Option(help="gpt2-small … gpt3-xl")] = "gpt2-small",
    context: Annotated[int, typer.Option(help="Context length of the token.")] = 64,
    reserve: Reserve = None, preset: Preset = "paper", set_: Set = None, channels: Channels = None,
) -> None:  # fmt: skip
    """Write every command of one token."""
    dram, shape = memory(preset, set_, channels), find_model(model)
    records: list[Record] = []
    PimSystem(dram).run(shape, context, reserve=reserve, trace=records)
    write_trace(out, records, dram, model=shape.name, context=context)
    console.print(f"{sum(r.n for r in records)} commands of {shape.name} in {len(records)} lines")


@app.command("audit")
@plain_errors
def audit_(file: Annotated[str, typer.Argument(help="A trace.")], json_: Json = False) -> None:
    """Check a trace against the timing of the memory; exit status 1 if a command breaks a rule."""
    result = audit(*read_trace(file))
    if json_:
        print(json.dumps({"commands": result.commands, "violations": result.violations}))
    else:
        console.print(f"{result.commands} commands, {len(result.violations) or 'no'} rule{'s' * (len(result.violations) != 1)} broken")
        for violation in result.violations:
            console.print(violation, soft_wrap=True)
    raise typer.Exit(0 if result.passed else 1)


if __name__ == "__main__":
    app(prog_name="python -m minilib.pim")
