"""``flexi-score agree``: the judge's ratings against human labels."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from flexi_score.cli.app import OK, TableOut, app
from flexi_score.cli.show import plain_console, print_rows, write_table

if TYPE_CHECKING:
    import polars as pl


@app.command
def agree(
    run: Annotated[Path, Parameter(name="RUN")],
    labels: Annotated[Path, Parameter(name="LABELS.csv")],
    /,
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", help="Print the table as JSON.")
    ] = False,
    out: TableOut = None,
) -> int:
    """Hold the judge's ratings of RUN against human labels of the same recordings.

    LABELS.csv has the columns recording, metric (tss, eds, coherence, rating), rater and value (0
    to 5). By metric and system: quadratically weighted kappa, Krippendorff's alpha (ordinal, the
    judge as one more rater; and of the raters alone) and the mean absolute error, with bootstrap
    intervals over recordings.

    Try:

        flexi-score agree run labels.csv
        flexi-score agree run labels.csv --json
    """
    from flexi_score.aggregate.agreement import agreement_table
    from flexi_score.aggregate.labels import read_labels, read_ratings
    from flexi_score.scoring.run import Run

    stored = Run.open(run)
    ratings, human = read_ratings(run), read_labels(labels)
    table = agreement_table(ratings, human, stored.settings.summary)
    rated = ratings.filter(ratings["value"].is_not_null())
    lost = human.join(rated, on=["recording", "metric"], how="anti")
    if len(lost):
        named = ", ".join(f"{row['recording']} {row['metric']}" for row in lost.head(5).to_dicts())
        more = ", ..." if len(lost) > 5 else ""
        print(
            f"{labels}: {len(lost)} labels have no rating in {run}: {named}{more}", file=sys.stderr
        )
    if as_json:
        print(json.dumps(table.to_dicts(), indent=1))
    else:
        _show(table, stored.settings.summary.confidence)
    write_table(table, out)
    return OK


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
