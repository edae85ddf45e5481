"""``flexi-score report``: what a run folder shows, again and in other forms."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, SOME_FAILED, Open, app
from flexi_score.cli.show import split_names


@app.command
def report(
    run: Annotated[Path, Parameter(name="RUN")],
    *,
    out: Annotated[Path | None, Parameter(help="The page [RUN/report.html].")] = None,
    embed_audio: Annotated[
        str | None,
        Parameter(help="Put sound into the page: of N recordings, or of those named: ID,ID."),
    ] = None,
    timelines: Annotated[
        int | None, Parameter(help="Recordings that get a timeline, closest decisions first.")
    ] = None,
    rows: Annotated[
        int | None, Parameter(help="Recordings that the page lists, closest decisions first.")
    ] = None,
    open_: Open = False,
    figures: Annotated[
        Path | None,
        Parameter(help="Instead: write plots, timelines and LaTeX tables into this folder."),
    ] = None,
    formats: Annotated[
        str, Parameter(help="Of figures: svg, pdf, png, separated by commas.")
    ] = "svg,pdf,png",
    recordings: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="Whose timelines are figures, by commas or repeated [one a system and scenario].",
        ),
    ] = None,
    archive: Annotated[
        Path | None, Parameter(help="Envelopes and words of timelines [RUN/archive].")
    ] = None,
) -> int:
    """Build the page of the run folder RUN again, or write its figures.

    The page opens offline and loads nothing. Sound that is not inside is linked where its files
    are; inside it takes some 450 kB a minute. Exit code 1 if some could not be put in.

    Try:

        flexi-score report sample_recordings.run --open
        flexi-score report run --embed-audio 20 --out to_share.html
        flexi-score report run --embed-audio call-17,call-18 --timelines 2000
        flexi-score report run --figures figures
        flexi-score report run --figures figures --formats pdf --recordings ID,ID
    """
    from flexi_score.report.tables import counted

    if figures is not None:
        from flexi_score.report.figures import write_figures
        from flexi_score.scoring.run import Run

        stored = Run.open(run)
        known = set(stored.recordings["recording"])
        names = None if recordings is None else split_names(recordings, known)
        written = write_figures(
            stored, figures, formats=split_names([formats]), recordings=names, archive=archive
        )
        print(f"{figures}: {counted(len(written), 'file')}: figures, captions.txt, tables.tex")
        return OK
    from flexi_score.report.build import build_report
    from flexi_score.report.html import MAX_RECORDINGS, MAX_TIMELINES

    some = embed_audio or "0"
    made = build_report(
        run,
        out,
        archive=archive,
        embed=int(some) if some.isdigit() else split_names([some]),
        max_timelines=MAX_TIMELINES if timelines is None else timelines,
        max_recordings=MAX_RECORDINGS if rows is None else rows,
    )
    for problem in made.problems:
        print(problem, file=sys.stderr)
    print(
        f"{made.path}: {made.n_bytes / 1e6:.1f} MB, {counted(made.drawn, 'timeline')}, "
        f"sound of {counted(made.embedded, 'recording')} inside"
    )
    if open_:
        import webbrowser

        webbrowser.open(made.path.resolve().as_uri())
    return SOME_FAILED if made.problems else OK
