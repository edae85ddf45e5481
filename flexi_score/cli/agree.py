"""``flexi-score agree``: the judge's ratings against human labels."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from flexi_score.cli.app import OK, TableOut, app
from flexi_score.cli.show import plain_console, print_rows, write_table

if TYPE_CHECKING:
    import polars as pl


@app.command
def agree(
    run: Annotated[Path, Parameter(name="RUN")],
    labels: Annotated[Path | None, Parameter(name="LABELS.csv")] = None,
    /,
    *,
    second: Annotated[
        str | None, Parameter(help="Have this model rate the same, and hold the judge against it.")
    ] = None,
    probe: Annotated[
        bool,
        Parameter(negative="", help="Ask the judge again with padded answers and swapped fields."),
    ] = False,
    judge: Annotated[
        Literal["openai", "replay"],
        Parameter(help="For --second and --probe: ask, or only replay kept replies."),
    ] = "openai",
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print the table as JSON.")
    ] = False,
    out: TableOut = None,
) -> int:
    """Hold the judge's ratings of RUN against people's, another model's, or its own once more.

    LABELS.csv has the columns recording, metric (tss, eds, coherence, rating), rater and value (0
    to 5). By metric and system: quadratically weighted kappa, Krippendorff's alpha (ordinal, the
    judge as one more rater; and of the raters alone) and the mean absolute error, with bootstrap
    intervals over recordings. --second counts a model as one more rater. --probe: how far ratings
    shift where words of no content follow the answer, and where the fields come in reverse order.

    Try:

        flexi-score agree run labels.csv
        flexi-score agree run --second gpt-4.1-2025-04-14
        flexi-score agree run --probe
    """
    import polars as pl

    from flexi_score.aggregate.agreement import agreement_table
    from flexi_score.aggregate.labels import read_labels, read_ratings
    from flexi_score.errors import SettingsError
    from flexi_score.scoring.run import Run

    if labels is None and second is None and not probe:
        raise SettingsError("nothing to agree with: give LABELS.csv, --second MODEL or --probe")
    stored = Run.open(run)
    ratings = read_ratings(run)
    sources = [] if labels is None else [read_labels(labels)]
    settings = stored.settings.judge.model_copy(update={"mode": judge})
    chosen = stored.settings.model_copy(update={"judge": settings})
    probes = None
    if second is not None or probe:
        from flexi_score.judge.probe import probe_table, second_rater
        from flexi_score.judge.rate import REPLIES

        if stored.archive is None:
            raise SettingsError(f"{run}: its archive, which keeps replies, is not there")
        store = stored.archive / REPLIES
        if second is not None:
            sources.append(second_rater(ratings, store, chosen, second))
        if probe:
            probes = probe_table(ratings, store, chosen)
    table = agreement_table(ratings, pl.concat(sources), chosen.summary) if sources else None
    if labels is not None:
        _tell_lost(ratings, sources[0], labels, run)
    tables = [t for t in (table, probes) if t is not None]
    if as_json:
        print(json.dumps([row for t in tables for row in t.to_dicts()], indent=1))
    else:
        if table is not None:
            _show(table, chosen.summary.confidence)
        if probes is not None:
            _show_probes(probes)
    write_table(pl.concat(tables, how="diagonal_relaxed"), out)
    return OK


def _tell_lost(ratings: "pl.DataFrame", human: "pl.DataFrame", labels: Path, run: Path) -> None:
    rated = ratings.filter(ratings["value"].is_not_null())
    lost = human.join(rated, on=["recording", "metric"], how="anti")
    if len(lost):
        named = ", ".join(f"{row['recording']} {row['metric']}" for row in lost.head(5).to_dicts())
        more = ", ..." if len(lost) > 5 else ""
        print(
            f"{labels}: {len(lost)} labels have no rating in {run}: {named}{more}", file=sys.stderr
        )


def _show_probes(table: "pl.DataFrame") -> None:
    numbers = ("Recordings", "As asked", "Probed", "Shift", "Interval")
    rows = [
        (
            row["metric"],
            row["probe"],
            str(row["recordings"]),
            *(f"{row[name]:.2f}" for name in ("plain", "probed", "shift")),
            "–" if row["ci_low"] is None else f"[{row['ci_low']:.2f}, {row['ci_high']:.2f}]",
        )
        for row in table.to_dicts()
    ]
    print_rows(plain_console(), ("Metric", "Probe", *numbers), rows, right=numbers)


def _show(table: "pl.DataFrame", confidence: float) -> None:
    measures = {"kappa": "kappa", "alpha": "alpha", "mae": "mean absolute error"}
    lines = []
    for row in table.to_dicts():
        counts = [
            f"{row[name]} {name if row[name] != 1 else name.removesuffix('s')}"
            for name in ("recordings", "labels", "raters")
        ]
        values = [
            *((label, _number(row[name]), _limits(row, name)) for name, label in measures.items()),
            ("humans' own alpha", _number(row["human_alpha"]), ""),
            ("mean of the judge", f"{row['judge_mean']:.2f}", ""),
            ("mean of the humans", f"{row['human_mean']:.2f}", ""),
        ]
        heads = [f"{row['metric']}, {row['system']}", *counts, "", ""]
        lines += [(head, *cells) for head, cells in zip(heads, values, strict=True)]
        lines.append(("", "", "", ""))
    console = plain_console()
    limits = f"{confidence:.0%} interval"
    print_rows(console, ("", "Measure", "Value", limits), lines, right=("Value", limits))
    console.print(
        "Kappa: quadratic weights, the judge against every label. Alpha: ordinal, the judge as one "
        "more rater. –: not defined (no variation, or too few ratings).",
        markup=False,
    )


def _limits(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if low is None else f"[{_number(low)}, {_number(high)}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
