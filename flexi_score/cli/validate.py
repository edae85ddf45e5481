"""``flexi-score validate``: a run against human or simulated truth."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from flexi_score.cli.app import GATE_TRIPPED, OK, SOME_FAILED, SetOption, app, chosen_settings

if TYPE_CHECKING:
    from flexi_score.scoring.run import Run
    from flexi_score.segment.tracks import Tracks


@app.command
def validate(
    source: Annotated[Path, Parameter(name="RUN")],
    truth: Annotated[Path, Parameter(name="TRUTH")],
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="Folder for validation.md, .json, .parquet and .svg.")
    ] = None,
    by: Annotated[
        list[str] | None,
        Parameter(
            name="--by",
            negative="",
            help="Group by this (A,B crosses two); repeatable [all keys of the condition].",
        ),
    ] = None,
    level: Annotated[
        Literal["ipu", "speech"],
        Parameter(help="Compare ipu, or speech (before bridging; needs the archive)."),
    ] = "ipu",
    collar_ms: Annotated[
        int, Parameter(help="Events are the same if start and end are this near.")
    ] = 200,
    boundary_collar_ms: Annotated[
        int, Parameter(help="Boundaries further apart than this are not matched.")
    ] = 500,
    archive: Annotated[
        Path | None, Parameter(help="Archive of the run, for --level speech [RUN/archive].")
    ] = None,
    profile: Annotated[str, Parameter(help="Where RUN is an archive: definitions.")] = "paper",
    set_: SetOption = None,
    max_error: Annotated[
        float | None,
        Parameter(help="Exit 3 if false alarm plus miss exceed this (% of true speech)."),
    ] = None,
    max_boundary_ms: Annotated[
        float | None, Parameter(help="Exit 3 if the 90th percentile of boundary errors exceeds it.")
    ] = None,
) -> int:
    """Compare RUN (a run folder, or an archive to be scored now) with TRUTH.

    TRUTH: a .jsonl of truth rows, or TextGrid, ELAN or RTTM files named after their recordings.
    Detection error, boundary errors, precision and recall of events, confusion of outcomes, errors
    of metrics; overall and by condition.

    Try:

        flexi-score validate run sample_recordings/truth.jsonl --out validation
        flexi-score validate run/archive truth.jsonl --set speech.boundaries=false
        flexi-score validate run annotations/ --by system --max-error 6
    """
    from rich.console import Console

    from flexi_score.archive import store
    from flexi_score.errors import SettingsError
    from flexi_score.scoring import pipeline
    from flexi_score.scoring.run import Run
    from flexi_score.validate import read_truth
    from flexi_score.validate import validate as compare
    from flexi_score.validate.report import print_validation, write_validation

    wanted = read_truth(truth)
    if store.is_archive(source):
        run = pipeline.score(source, settings=chosen_settings(profile, set_))
        speech = run.tracks
    else:
        if set_ or profile != "paper":
            raise SettingsError(
                f"{source}: a run is compared as it was scored; to change settings, give its "
                "archive as RUN"
            )
        run = Run.open(source)
        speech = _speech(run, archive or source / "archive") if level == "speech" else None
    result = compare(
        run,
        wanted,
        by=by,
        collar_ms=collar_ms,
        boundary_collar_ms=boundary_collar_ms,
        speech=speech if level == "speech" else None,
    )
    if out is not None:
        write_validation(result, out)
    console = Console(highlight=False)
    print_validation(console, result)
    if out is not None:
        console.print(f"{out}: validation.md, .json, .parquet, .svg", markup=False)
    limits = (
        (max_error, "detection", "error", "speech", "%"),
        (max_boundary_ms, "boundary", "p90_abs", "any", " ms"),
    )
    tripped = False
    for limit, part, measure, item, unit in limits:
        value = None if limit is None else result.value(part, measure, item)
        # What could not be measured has not been shown to be within a limit.
        if limit is not None and (value is None or value > limit):
            measured = "not measured" if value is None else f"{value:.2f}{unit}"
            print(
                f"tripped: {part} {measure} is {measured}, limit {limit:g}{unit}", file=sys.stderr
            )
            tripped = True
    if tripped:
        return GATE_TRIPPED
    return SOME_FAILED if result.info["unreadable_truth"] else OK


def _speech(run: "Run", archive: Path) -> "Tracks":
    """Speech of a stored run before it was made into IPUs, from its archive."""
    import polars as pl

    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.scoring.load import load_tracks

    reader = ArchiveReader(archive)
    rows = reader.recordings()
    rows = rows.filter(pl.col("recording").is_in(run.recordings["recording"].implode()))
    return load_tracks(reader, rows, run.settings)[0]
