"""``flexi-score doctor``, ``models``, ``metrics`` and ``settings``: what there is."""

from typing import Annotated, Any

from cyclopts import Parameter

from flexi_score.cli.app import OK, app

#: Columns from which on a table of settings has room for their names.
_WIDE = 120


@app.command
def doctor() -> int:
    """Say what is installed, which models are present, and what to do about what is missing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from flexi_score.extraction.doctor import diagnose

    # Plain lines: paths and commands are for copying, and a table would break them.
    console = Console(highlight=False, soft_wrap=True)
    for check in diagnose():
        said = Text("ok  " if check.ok else "--  ", style="" if check.ok else "yellow")
        said.append(check.name, style="bold").append(f": {check.found}", style="not bold")
        console.print(said)
        if not check.ok and check.advice:
            console.print(Text(f"      {check.advice}"))
    from flexi_score.formats.layouts import LAYOUTS

    layouts = Table(box=None, pad_edge=False)
    for heading in ("layout", "how a folder of recordings is read"):
        layouts.add_column(heading, overflow="fold")
    for name, (_, line) in LAYOUTS.items():
        layouts.add_row(Text(name), Text(line))
    console.print()
    console.print(layouts)
    return OK


@app.command
def models(
    names: Annotated[list[str] | None, Parameter(name="NAME")] = None,
    /,
    *,
    fetch: Annotated[bool, Parameter(negative="", help="Fetch what is missing.")] = False,
) -> int:
    """List the model weights, and verify (or fetch) them by their sha256.

    Try:

        flexi-score models --fetch base
    """
    from flexi_score.extraction.weights import main as weights_main

    return weights_main([*(["--fetch"] if fetch else ["--verify"]), *(names or [])])


@app.command
def metrics(
    *,
    profile: Annotated[str | None, Parameter(help="Only this profile.")] = None,
    rubric: Annotated[
        str | None, Parameter(help="Instead: what the judge is told for tss, eds, coherence, ...")
    ] = None,
) -> int:
    """Print every metric: unit, direction, definition, source, and what null means.

    Try:

        flexi-score metrics --profile paper
        flexi-score metrics --rubric tss
    """
    from rich.console import Console

    from flexi_score.metrics import METRICS

    if rubric is not None:
        return _show_rubric(rubric)

    arrow = {"up": "higher is better", "down": "lower is better", "none": "no better direction"}
    console = Console(highlight=False, soft_wrap=True)
    for metric in METRICS:
        if profile in (None, metric.profile):
            unit = f" ({metric.unit})" if metric.unit else ""
            head = f"{metric.profile}  {metric.scenario}.{metric.name}{unit}"
            console.print(f"[bold]{head}[/bold]  {arrow[metric.direction]}")
            console.print(f"  {metric.definition}", markup=False)
            console.print(f"  source: {metric.source}", markup=False)
            if metric.judged:
                console.print(f"  judged: flexi-score metrics --rubric {metric.name}")
            console.print(f"  null: {metric.null_means}\n", markup=False)
    return OK


def _show_rubric(name: str) -> int:
    import json

    from flexi_score.judge.rubrics import load_rubric

    rubric = load_rubric(name)
    print(f"rubric {rubric.name}, version {rubric.version}\n\n{rubric.instructions}\n")
    print(f"schema of the reply: {json.dumps(rubric.schema)}")
    return OK


@app.command
def settings(*, profile: Annotated[str, Parameter(help="paper or release")] = "paper") -> int:
    """List every setting: value, unit, meaning, source."""
    from textwrap import fill

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from flexi_score.config import flatten, load_settings, setting_names

    values = flatten(load_settings(profile))
    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "value", "unit", "meaning", "source"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "setting")
    console = Console(highlight=False)
    wide = console.width >= _WIDE
    for name, field in setting_names().items():
        extra: Any = field.json_schema_extra or {}
        unit, source = extra.get("unit", ""), extra.get("source", "")
        cells = [name, str(values[name]), unit, field.description or "", source]
        if wide:
            table.add_row(*map(Text, cells))
            continue
        # As a table the names would be broken: they are for copying.
        console.print(
            Text(f"{name}={values[name]}", style="bold").append(
                f"  {unit}".rstrip(), style="not bold"
            ),
            soft_wrap=True,
        )
        meaning = f"{field.description} [{source}]"
        console.print(
            Text(fill(meaning, console.width, initial_indent="    ", subsequent_indent="    "))
        )
    if wide:
        console.print(table)
    return OK
