"""``flexi-score sweep``: one archive under many settings."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from flexi_score.cli.app import (
    OK,
    UNUSABLE,
    Quiet,
    SetOption,
    app,
    chosen_settings,
    cores,
    folder_to_write,
)

#: Values of a setting that a table in the terminal has room for.
_MOST_VALUES = 8
_MOST_FLIPS = 20


@app.command
def sweep(
    archive: Annotated[Path, Parameter(name="ARCHIVE")],
    *,
    out: Annotated[Path, Parameter(help="Folder of the results.")],
    grid: Annotated[
        list[str] | None,
        Parameter(name="--grid", negative="", help="name=value,value,...; repeatable."),
    ] = None,
    list_: Annotated[
        Path | None, Parameter(name="--list", help="Combinations, one a row (.csv, .jsonl, .json).")
    ] = None,
    profile: Annotated[
        str, Parameter(help="Definitions: paper, release, fdb-v1 or tau.")
    ] = "paper",
    set_: SetOption = None,
    workers: Annotated[int, Parameter(help="Processes; 0: one a CPU core.")] = 0,
    quiet: Quiet = False,
) -> int:
    """Score an archive under every combination of settings, without audio.

    Shows each metric against each setting, how far it moves, and which orders of systems turn.
    Writes sweep.parquet (every value), flips.parquet, sensitivity.parquet and sweep.svg.

    Try:

        flexi-score sweep run/archive --grid ipu.min_silence_ms=100,200 --out sweep
        flexi-score sweep run/archive --grid speech.threshold=0.4,0.5,0.6 \\
            --grid yield.hold_ms=300,500,800 --out sweep
    """
    from flexi_score.sweep import combinations, parse_grid, read_list, write_sweep
    from flexi_score.sweep import sweep as run_sweep

    folder_to_write(out, "--out")
    chosen_settings(profile, set_)  # a typing error shows before any work
    from flexi_score.config import parse_assignments

    rows = [] if list_ is None else read_list(list_)
    changes = combinations(parse_grid(grid or []), rows)
    count = workers if workers > 0 else cores()

    def show(done: int, total: int) -> None:
        print(f"{done} of {total} combinations", file=sys.stderr)

    result = run_sweep(
        archive,
        changes,
        profile=profile,
        base=parse_assignments(set_ or []),
        workers=count,
        progress=None if quiet else show,
    )
    folder = write_sweep(result, out)
    _print(result)
    print(f"{folder}: sweep.parquet, flips.parquet, sensitivity.parquet, sweep.svg, sweep.json")
    return OK if result.table["n"].sum() else UNUSABLE


def _print(result: Any) -> None:
    import polars as pl
    from rich.console import Console

    console = Console(highlight=False)
    changes = result.table.group_by("scenario", "metric", "system").agg(pl.col("value").n_unique())
    if (changes["value"] == 1).all():
        console.print(f"Nothing changed: no metric moves with {', '.join(result.names)}.")
        return
    for name in result.names:
        _print_setting(console, result, name)
    _print_flips(console, result)


def _print_setting(console: Any, result: Any, name: str) -> None:
    """Each metric against one setting: the mean over the others, and its range."""
    from rich.table import Table
    from rich.text import Text

    from flexi_score.sweep import main_effects, sensitivity

    values = result.table[name].unique().sort().to_list()
    step = max(1, -(-(len(values) - 1) // (_MOST_VALUES - 1)))
    shown = sorted({*range(0, len(values), step), len(values) - 1})
    effects = main_effects(result.table, name)
    moved = {
        (r["scenario"], r["metric"], r["system"]): r["range"]
        for r in sensitivity(result.table, result.names).iter_rows(named=True)
        if r["setting"] == name
    }
    more = f", {len(shown)} of {len(values)} values" if len(shown) < len(values) else ""
    others = " (means over the other settings)" if len(result.names) > 1 else ""
    table = Table(title=f"{name}{others}{more}", box=None, title_justify="left", pad_edge=False)
    table.add_column("metric", no_wrap=True)
    table.add_column("system", overflow="fold")
    for i in shown:
        table.add_column(_number(values[i]), justify="right")
    table.add_column("range", justify="right")
    stirs = {key[:2] for key, change in moved.items() if change}
    still: dict[str, None] = {}
    for key, part in effects.group_by(["scenario", "metric", "system"], maintain_order=True):
        if not part["value"].count():
            continue
        if key[:2] not in stirs:
            still[f"{key[0]}.{key[1]}"] = None
            continue
        found = dict(zip(part[name], part["value"], strict=True))
        cells = [_number(found.get(values[i])) for i in shown]
        table.add_row(
            Text(f"{key[0]}.{key[1]}"), Text(str(key[2])), *cells, _number(moved.get(key))
        )
    if table.row_count:
        console.print(table)
    if still:
        console.print(f"{name} does not move {', '.join(still)}", markup=False)
    console.print()


def _print_flips(console: Any, result: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    from flexi_score.sweep import flips

    found = flips(result.table, result.names, result.metrics)
    if result.table["system"].n_unique() < 2:
        return
    if not len(found):
        console.print("No order of two systems turns within this sweep.")
        return
    table = Table(
        title="Orders of systems that turn", box=None, title_justify="left", pad_edge=False
    )
    for heading in ("metric", "setting", "between", "better before", "after", "times"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("metric", "setting"))
    for row in found.head(_MOST_FLIPS).iter_rows(named=True):
        table.add_row(
            Text(f"{row['scenario']}.{row['metric']}"),
            row["setting"],
            Text(f"{row['low']} and {row['high']}"),
            Text(row["before"]),
            Text(row["after"]),
            f"{row['times']}/{row['of']}",
        )
    console.print(table)
    if len(found) > _MOST_FLIPS:
        console.print(f"{len(found) - _MOST_FLIPS} more are in flips.parquet")
    console.print()


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
