"""``flexi-score score`` and ``extract``: the main job."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from flexi_score.cli.app import (
    OK,
    SOME_FAILED,
    Asr,
    Language,
    Layout,
    Quiet,
    SetOption,
    Threads,
    app,
    chosen_settings,
)


@app.command
def score(
    source: Annotated[Path, Parameter(name="INPUT")],
    *,
    out: Annotated[Path | None, Parameter(help="Run folder [INPUT's name + .run].")] = None,
    profile: Annotated[
        str, Parameter(help="Definitions: paper, release, fdb-v1 or tau.")
    ] = "paper",
    set_: SetOption = None,
    judge: Annotated[str | None, Parameter(help="none, or replay (kept ratings).")] = None,
    asr: Asr = None,
    language: Language = None,
    layout: Layout = "auto",
    archive: Annotated[
        Path | None, Parameter(help="Where to keep what is extracted [the run folder's archive].")
    ] = None,
    threads: Threads = 0,
    gate: Annotated[
        bool, Parameter(help="Leave out recordings that the health gate refuses.")
    ] = True,
    quiet: Quiet = False,
) -> int:
    """Score INPUT: a manifest, a folder of recordings, one two-channel file, or an archive.

    Try:

        flexi-score score sample_recordings
        flexi-score score manifest.jsonl --out run --asr none
        flexi-score score run/archive --set ipu.min_silence_ms=180
    """
    from flexi_score import archive as store
    from flexi_score import pipeline

    changes = [*(set_ or []), *([] if gate else ["health.gate=false"])]
    settings = chosen_settings(profile, changes, judge=judge, asr=asr, language=language)
    target = out or Path(f"{source.resolve().stem or 'flexi'}.run")
    if store.is_archive(source):
        run = pipeline.score(source, settings=settings)
    else:
        with _Progress(source, layout, quiet) as progress:
            run = pipeline.score(
                progress.manifest, settings=settings, archive=archive or target / "archive",
                layout=layout, threads=threads, progress=progress.advance,
            )  # fmt: skip
    pipeline.write(run, target)
    _show(run, target)
    return SOME_FAILED if len(run.failures) else OK


def _show(run: Any, target: Path) -> None:
    from rich.console import Console

    from flexi_score.report.terminal import print_summary

    console = Console(highlight=False)
    few = run.settings.summary.few
    print_summary(
        console, run.summary, run.metrics, run.failures, run.info["signature"], few=few,
        health=run.health, boundary_error_s=run.settings.summary.boundary_error_s,
    )  # fmt: skip
    console.print(f"{target}: summary.md, report.html, scores.parquet, events.parquet, run.json",
                  markup=False)  # fmt: skip


@app.command
def extract(
    source: Annotated[Path, Parameter(name="INPUT")],
    *,
    archive: Annotated[Path, Parameter(help="Folder of the archive; made where there is none.")],
    set_: SetOption = None,
    asr: Asr = None,
    language: Language = None,
    layout: Layout = "auto",
    threads: Threads = 0,
    quiet: Quiet = False,
) -> int:
    """Extract speech and words of INPUT into an archive, to be scored any time without audio.

    Try:

        flexi-score extract calls/ --archive calls.archive
    """
    from flexi_score import archive as store
    from flexi_score import pipeline

    settings = chosen_settings("paper", set_, asr=asr, language=language)
    with _Progress(source, layout, quiet) as progress:
        pipeline.extract(
            progress.manifest, archive, settings=settings, threads=threads,
            progress=progress.advance,
        )  # fmt: skip
    held, failed = store.read_recordings(archive), store.read_failures(archive)
    refused = len(progress.manifest.failures)
    print(f"{archive}: {len(held)} recordings; {len(failed) + refused} failed")
    for row in [*progress.manifest.failures.iter_rows(named=True), *failed.iter_rows(named=True)]:
        print(f"  {row['recording']}: {row['reason']}", file=sys.stderr)
    return SOME_FAILED if len(failed) + refused else OK


class _Progress:
    """A bar on stderr, by seconds of audio; plain lines where stderr is no terminal."""

    def __init__(self, source: Path, layout: str, quiet: bool) -> None:
        from flexi_score.manifest import read_input

        self.manifest = read_input(source, layout)
        self._quiet = quiet
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> "_Progress":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        for warning in self.manifest.warnings:
            print(warning, file=sys.stderr)
        if not self._quiet:
            from flexi_score.extract.recordings import recordings_seconds

            names = self.manifest.rows["recording"].to_list()
            found = recordings_seconds(self.manifest.rows)
            self._seconds = dict(zip(names, found, strict=True))
        self._bar = Progress(
            TextColumn("extract"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[count]}"), TextColumn("left"), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True, disable=self._quiet,
        )  # fmt: skip
        total = sum(self._seconds.values()) or 1.0
        self._task = self._bar.add_task("extract", total=total, count="")
        self._done = 0
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, row: Any, seconds: float, error: str | None) -> None:
        """One recording is done."""
        self._done += 1
        name = row["recording"]
        count = f"{self._done}/{len(self.manifest.rows)} recordings"
        self._bar.update(self._task, advance=self._seconds.get(name, 0.0), count=count)
        if error is not None and not self._quiet:
            self._bar.console.print(f"{name}: {error}", markup=False, highlight=False)
