"""``flexi-score report``: what a run folder shows, in other forms."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flexi_score.cli.app import OK, app


@app.command
def report(
    run: Annotated[Path, Parameter(name="RUN")],
    *,
    figures: Annotated[
        Path | None, Parameter(help="Write plots, timelines and LaTeX tables into this folder.")
    ] = None,
    formats: Annotated[
        str, Parameter(help="Of figures: svg, pdf, png, separated by commas.")
    ] = "svg,pdf,png",
    recordings: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="Whose timelines to draw, by commas or repeated [one a system and scenario].",
        ),
    ] = None,
    archive: Annotated[
        Path | None, Parameter(help="Envelopes and words of timelines [RUN/archive].")
    ] = None,
) -> int:
    """Show the run folder RUN again, or write its figures.

    Try:

        flexi-score report run --figures figures
        flexi-score report run --figures figures --formats pdf --recordings call-17,call-18
    """
    from flexi_score.runs import read_run

    stored = read_run(run)
    if figures is not None:
        from flexi_score.report.figures import write_figures

        known = set(stored.recordings["recording"])
        names = None if recordings is None else [
            name
            for text in recordings
            for name in ([text] if text in known else text.split(","))
            if name
        ]  # fmt: skip
        written = write_figures(
            stored, figures, formats=[kind.strip() for kind in formats.split(",")],
            recordings=names, archive=archive,
        )  # fmt: skip
        print(f"{figures}: {len(written)} files: figures, captions.txt, tables.tex")
        return OK
    from rich.console import Console

    from flexi_score.metrics import profile_metrics
    from flexi_score.report.terminal import print_summary

    print_summary(
        Console(highlight=False), stored.summary, profile_metrics(stored.settings.profile),
        stored.failures, str(stored.info.get("signature", "")), few=stored.settings.summary.few,
    )  # fmt: skip
    return OK
