"""``flexi-score turns``: ends of turns and interruptions against human labels."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, TableOut, app
from flexi_score.cli.show import print_rows, write_table


@app.command
def turns(
    predictions: Annotated[Path, Parameter(name="PREDICTIONS")],
    labels: Annotated[Path, Parameter(name="LABELS")],
    /,
    *,
    out: TableOut = None,
    items: Annotated[
        Path | None, Parameter(help="Also write every event and span (.csv or .parquet).")
    ] = None,
) -> int:
    """Hold PREDICTIONS of turn ends and interruptions against the annotators of LABELS.

    PREDICTIONS is a run folder (its turns and interruptions), or the JSON of a submission to
    TurnBench. LABELS is a folder in TurnBench's layout. By TurnBench's rules: recall from 0.25 s
    before to 3 s after, false positives in mid-turn pauses and at backchannels, latency; the
    average penalty time of SID-Bench; and how far the annotators agree.

    Try:

        flexi-score turns run turnbench-dev
        flexi-score turns predictions.json turnbench-dev --items items.csv
    """
    from rich.console import Console

    from flexi_score.config import SummarySettings
    from flexi_score.report.tables import counted
    from flexi_score.validate.turn_measures import turn_measures
    from flexi_score.validate.turns import read_labels, read_predictions, turn_items

    labelled = read_labels(labels)
    single, agreement = turn_items(labelled, read_predictions(predictions))
    settings = SummarySettings()
    table = turn_measures(single, agreement, settings)
    numbers = ("Value", f"{settings.confidence:.0%} interval", "Of")
    rows = []
    for row in table.iter_rows(named=True):
        limits = (row["ci_low"], row["ci_high"])
        value = "–" if row["value"] is None else f"{row['value']:.3f} {row['unit']}".strip()
        span = "–" if None in limits else f"[{limits[0]:.3f}, {limits[1]:.3f}]"
        names = (row["task"].replace("_", " "), row["measure"].replace("_", " "))
        rows.append((*names, value, span, f"{row['denominator']:g}"))
    console = Console(highlight=False)
    print_rows(console, ("Task", "Measure", *numbers), rows, right=numbers)
    number = counted(labelled["recording"].n_unique(), "conversation")
    console.print(
        f"{number}. Agreed: labels that a majority of the annotators backs; f1: of pairs."
    )
    if items is not None:
        items.unlink(missing_ok=True)  # rather none than that of other predictions
    write_table(table, out)
    write_table(single, items)
    return OK
