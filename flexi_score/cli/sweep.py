"""``flexi-score sweep``: one archive under many settings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flexi_score.cli.app import (
    OK,
    UNUSABLE,
    Profile,
    Quiet,
    SetOption,
    app,
    chosen_settings,
    folder_to_write,
)
from flexi_score.cli.progress import WorkProgress
from flexi_score.cli.show import print_rows

if TYPE_CHECKING:
    from rich.console import Console

    from flexi_score.sweep import Sweep

#: Values of a setting that a table in the terminal has room for.
_MOST_VALUES = 8
_MOST_FLIPS = 20


@app.command
def sweep(
    archive: Annotated[Path, Parameter(name="ARCHIVE")],
    *,
    out: Annotated[
        Path | None, Parameter(help="Folder of the results [sweep, beside the archive].")
    ] = None,
    grid: Annotated[
        list[str] | None,
        Parameter(name="--grid", negative="", help="name=value,value,...; repeatable."),
    ] = None,
    list_: Annotated[
        Path | None, Parameter(name="--list", help="Combinations, one a row (.csv, .jsonl, .json).")
    ] = None,
    profile: Profile = "paper",
    set_: SetOption = None,
    workers: Annotated[int, Parameter(help="Processes; 0: one a CPU core.")] = 0,
    quiet: Quiet = False,
) -> int:
    """Score an archive under every combination of settings, without audio.

    Shows each metric against each setting, how far it moves, and which orders of systems turn.
    Writes sweep.parquet (every value), flips.parquet, sensitivity.parquet and sweep.svg.

    Try:

        flexi-score sweep run/archive --grid ipu.min_silence_ms=100,200
        flexi-score sweep run/archive --grid speech.threshold=0.4,0.5,0.6 \\
            --grid yield.hold_ms=300,500,800 --out sweep
    """
    from flexi_score.errors import SettingsError
    from flexi_score.extraction.machine import usable_cpus
    from flexi_score.sweep import combinations, parse_grid, read_list, write_sweep
    from flexi_score.sweep import sweep as run_sweep

    out = out or archive.absolute().with_name("sweep")
    folder_to_write(out, "--out")
    try:
        chosen_settings(profile, set_)  # a typing error shows before any work
    except SettingsError as error:
        raise SettingsError(f"{error}; --grid takes several values of a setting") from error
    from flexi_score.config import parse_assignments

    rows = [] if list_ is None else read_list(list_)
    changes = combinations(parse_grid(grid or []), rows)
    with WorkProgress("combinations", quiet) as progress:
        result = run_sweep(
            archive,
            changes,
            profile=profile,
            base=parse_assignments(set_ or []),
            workers=workers if workers > 0 else usable_cpus(),
            progress=progress,
        )
    folder = write_sweep(result, out)
    _print(result)
    print(f"{folder}: sweep.parquet, flips.parquet, sensitivity.parquet, sweep.svg, sweep.json")
    return OK if result.table["n"].sum() else UNUSABLE


def _print(result: "Sweep") -> None:
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


def _print_setting(console: "Console", result: "Sweep", name: str) -> None:
    """Each metric against one setting: the mean over the others, and its range."""
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
    rows = []
    stirs = {key[:2] for key, change in moved.items() if change}
    still: dict[str, None] = {}
    for key, part in effects.group_by(["scenario", "metric", "system"], maintain_order=True):
        if not part["value"].count():
            continue
        if key[:2] not in stirs:
            still[f"{key[0]}.{key[1]}"] = None
            continue
        by_setting = dict(zip(part[name], part["value"], strict=True))
        cells = [_number(by_setting.get(values[i])) for i in shown]
        rows.append((f"{key[0]}.{key[1]}", str(key[2]), *cells, _number(moved.get(key))))
    if rows:
        columns = [*(_number(values[i]) for i in shown), "range"]
        print_rows(
            console,
            ["metric", "system", *columns],
            rows,
            title=f"{name}{others}{more}",
            whole=["metric"],
            right=columns,
        )
    if still:
        console.print(f"{name} does not move {', '.join(still)}", markup=False)
    console.print()


def _print_flips(console: "Console", result: "Sweep") -> None:
    from flexi_score.sweep import flips

    changed = flips(result.table, result.names, result.metrics)
    if result.table["system"].n_unique() < 2:
        return
    if not len(changed):
        console.print("No order of two systems turns within this sweep.")
        return
    rows = [
        (
            f"{row['scenario']}.{row['metric']}",
            row["setting"],
            f"{row['low']} and {row['high']}",
            row["before"],
            row["after"],
            f"{row['times']}/{row['of']}",
        )
        for row in changed.head(_MOST_FLIPS).iter_rows(named=True)
    ]
    print_rows(
        console,
        ("metric", "setting", "between", "better before", "after", "times"),
        rows,
        title="Orders of systems that turn",
        whole=("metric", "setting"),
    )
    if len(changed) > _MOST_FLIPS:
        console.print(f"{len(changed) - _MOST_FLIPS} more are in flips.parquet")
    console.print()


def _number(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
