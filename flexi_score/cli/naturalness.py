"""``flexi-score naturalness``: how likely a run is under a voice activity projection network."""

import math
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, SOME_FAILED, Quiet, TableOut, Threads, app
from flexi_score.cli.progress import WorkProgress
from flexi_score.cli.show import print_rows, write_table


@app.command
def naturalness(
    run: Annotated[Path, Parameter(name="RUN")],
    *,
    weights: Annotated[Path, Parameter(help="State dict of a stereo VAP network (.pt).")],
    out: TableOut = None,
    threads: Threads = 1,
    quiet: Quiet = False,
) -> int:
    """Print how likely what happened at each boundary of RUN is under a turn-taking network.

    At each end of a user's turn and each start of a model's turn: the log-likelihood of what
    followed in the next 2 s, and the share of the model in what was expected. WEIGHTS are those of
    voice activity projection (VAP); none come with flexi_score. It reads the audio of the run.

    Try:

        flexi-score naturalness calls.run --weights vap.pt --out naturalness.csv
    """
    import polars as pl
    from rich.console import Console

    from flexi_score.extraction.vap import PUBLISHED, STATES, load_vap
    from flexi_score.report.tables import DASH, counted
    from flexi_score.scoring.naturalness import naturalness as measure
    from flexi_score.scoring.run import Run

    vap = load_vap(weights, threads)
    with WorkProgress("recordings", quiet) as progress:
        table, problems = measure(Run.open(run), vap, progress)
    for problem in problems:
        print(problem, file=sys.stderr)
    numbers = ("Boundaries", "Mean log-likelihood", "Model next, 0.6 s", "to 2 s")
    means = table.group_by("system", "boundary", maintain_order=True).agg(
        pl.col("log_likelihood").count().alias("n"),
        pl.col("log_likelihood", "p_now", "p_future").mean(),
    )
    console = Console(highlight=False)
    rows = [
        (
            system,
            boundary.replace("_", " "),
            str(n),
            *(DASH if v is None else f"{v:.3f}" for v in values),
        )
        for system, boundary, n, *values in means.iter_rows()
    ]
    print_rows(console, ("System", "Boundary", *numbers), rows, right=numbers)
    known = "the published VAP" if vap.sha256 == PUBLISHED else "not the published VAP"
    console.print(
        f"{counted(table['recording'].n_unique(), 'recording')}. A guess among {STATES} states has "
        f"log-likelihood {-math.log(STATES):.3f}. Weights: {known}, "
        f"sha256 {vap.sha256}"
    )
    write_table(table, out)
    return SOME_FAILED if problems else OK
