"""``flexi-score check``: was it captured well enough to be scored?"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import (
    OK,
    SOME_FAILED,
    ModelOptions,
    Quiet,
    ReadingOptions,
    SetOption,
    Threads,
    app,
    chosen_settings,
)
from flexi_score.cli.progress import ExtractionProgress
from flexi_score.cli.show import write_table


@app.command
def check(
    source: Annotated[Path, Parameter(name="INPUT")],
    *,
    archive: Annotated[
        Path | None, Parameter(help="Where to keep what is extracted; else it is not kept.")
    ] = None,
    out: Annotated[
        Path | None, Parameter(help="Also write every check (.parquet or .csv).")
    ] = None,
    set_: SetOption = None,
    models: ModelOptions = ModelOptions(),
    reading: ReadingOptions = ReadingOptions(),
    threads: Threads = 0,
    quiet: Quiet = False,
) -> int:
    """Say which recordings of INPUT (or of an archive) were captured badly, and what to do.

    Exit code 1 if some are refused or failed. Nothing is recognised unless --asr or --archive is
    given: then the words, too, show whether user and model are on each other's channels.

    Try:

        flexi-score check sample_recordings
        flexi-score check calls/ --out health.csv
        flexi-score check run/archive --set health.snr.refuse=10
    """
    from rich.console import Console

    from flexi_score.archive import store
    from flexi_score.report.health import count_verdicts, recordings_table
    from flexi_score.report.tables import counted, plain
    from flexi_score.report.terminal import print_table
    from flexi_score.scoring import pipeline

    stored = store.is_archive(source)
    if not stored and archive is None and models.asr is None:
        models = replace(models, asr="none")
    settings = chosen_settings("paper", set_, models.changes())
    if stored:
        health, failures = pipeline.check(source, settings=settings)
    else:
        with ExtractionProgress(source, reading, quiet) as progress:
            health, failures = pipeline.check(
                progress.manifest,
                settings=settings,
                archive=archive,
                threads=threads,
                progress=progress.advance,
            )
    print_table(Console(highlight=False), recordings_table(health))
    for row in failures.iter_rows(named=True):
        print(f"{plain(row['recording'])}: {plain(row['reason'])}", file=sys.stderr)
    counts = count_verdicts(health)
    print(
        f"{counted(sum(counts.values()), 'recording')} checked: {counts['fine']} fine, "
        f"{counts['warn']} to look at, {counts['refuse']} refused; {len(failures)} failed"
    )
    write_table(health, out)
    return SOME_FAILED if counts["refuse"] or len(failures) else OK
