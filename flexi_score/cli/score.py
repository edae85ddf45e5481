"""``flexi-score score``: the main job."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from flexi_score.cli.app import (
    OK,
    SOME_FAILED,
    ModelOptions,
    Profile,
    Quiet,
    ReadingOptions,
    SetOption,
    Threads,
    app,
    chosen_settings,
    folder_to_write,
)
from flexi_score.cli.extract import RetryFailed, Workers
from flexi_score.cli.judging import check_ready, print_estimate, tell_unrated
from flexi_score.cli.progress import ExtractionProgress, JudgeProgress

if TYPE_CHECKING:
    from flexi_score.scoring.run import Run


@app.command
def score(
    source: Annotated[str | Path, Parameter(name="INPUT")],
    *,
    out: Annotated[Path | None, Parameter(help="Run folder [INPUT's name + .run].")] = None,
    profile: Profile = "paper",
    set_: SetOption = None,
    judge: Annotated[
        Literal["none", "openai", "replay", "openai-batch"] | None,
        Parameter(
            help="Ratings: none, openai (asks for what is not kept), replay (kept replies, and "
            "ratings that came with the recordings), or openai-batch (half the price, in a day)."
        ),
    ] = None,
    base_url: Annotated[
        str | None, Parameter(help="Server of the judge, if not OpenAI's: any that speaks its API.")
    ] = None,
    rubric: Annotated[
        Literal["flexi_score", "release"] | None,
        Parameter(help="What the judge is told: our rubrics, or those of the FLEXI release."),
    ] = None,
    judge_repeats: Annotated[int | None, Parameter(help="Ask everything so often [1].")] = None,
    max_cost: Annotated[
        float | None, Parameter(help="Stop asking before this many US dollars are spent.")
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(negative="", help="Only say what judging would take; extracts, asks nobody."),
    ] = False,
    reference: Annotated[
        Path | None,
        Parameter(
            help="People's timing to hold the model's against: a run folder, or a CSV or Parquet "
            "file of kind, value_s[, conversation]."
        ),
    ] = None,
    models: ModelOptions = ModelOptions(),
    reading: ReadingOptions = ReadingOptions(),
    archive: Annotated[
        Path | None, Parameter(help="Where to keep what is extracted [the run folder's archive].")
    ] = None,
    workers: Workers = 0,
    threads: Threads = 0,
    retry_failed: RetryFailed = False,
    gate: Annotated[
        bool, Parameter(help="Leave out recordings that the health gate refuses.")
    ] = True,
    details: Annotated[
        bool, Parameter(negative="", help="Print every table, interval, count and the signature.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """Score INPUT: a manifest, a folder of recordings, one two-channel file, or an archive.

    A manifest, or the folder that holds it, may be at an fsspec URL (s3://, gs://, hf://).

    Try:

        flexi-score score sample_recordings
        flexi-score score manifest.jsonl --out run --asr none
        flexi-score score calls/ --vad pyannote --mono diarize
        flexi-score score run/archive --set ipu.min_silence_ms=180
        flexi-score score run/archive --dry-run
        flexi-score score run/archive --judge openai --max-cost 5
        flexi-score score run/archive --judge openai --base-url http://HOST/v1
        flexi-score score run/archive --judge replay
    """
    from flexi_score.archive import store
    from flexi_score.extraction.machine import usable_cpus
    from flexi_score.extraction.remote import is_url
    from flexi_score.output import make_folder
    from flexi_score.scoring import pipeline
    from flexi_score.scoring.engine import Work

    started = time.monotonic()
    changes = {
        "judge.mode": judge or ("openai" if dry_run else None),
        "judge.base_url": base_url,
        "judge.rubric": rubric,
        "judge.repeats": judge_repeats,
        "judge.max_cost_usd": max_cost,
        "conversation.reference": None if reference is None else str(reference),
        **models.changes(),
    }
    settings = chosen_settings(
        profile, [*(set_ or []), *([] if gate else ["health.gate=false"])], changes
    )
    remote = is_url(source)
    source_path = Path(str(source).rstrip("/").rpartition("/")[2] if remote else source)
    target = out or Path(f"{source_path.resolve().stem or 'flexi'}.run")
    folder_to_write(target, "--out")
    stored = not remote and store.is_archive(source_path)
    folder = source_path if stored else archive or target / "archive"
    folder_to_write(folder, "--archive")
    if dry_run:
        wanted = None
        if not stored:
            with ExtractionProgress(source, reading, quiet) as progress:
                _, manifest = pipeline.extract(
                    progress.manifest,
                    folder,
                    settings=settings,
                    workers=workers,
                    threads=threads,
                    progress=progress.advance,
                )
            wanted = manifest.rows["recording"]
        print_estimate(folder, settings, wanted)
        return OK
    check_ready(settings, folder)
    make_folder(target)
    with ExitStack() as shown:
        judge_progress = shown.enter_context(JudgeProgress(quiet))
        work = Work(workers=usable_cpus(), scratch=target, judging=judge_progress.advance)
        if stored:
            run = pipeline.score(source_path, settings=settings, work=work)
        else:
            progress = shown.enter_context(ExtractionProgress(source, reading, quiet))
            judge_progress.before = progress.stop
            run = pipeline.score(
                progress.manifest,
                settings=settings,
                archive=folder,
                work=work,
                threads=threads,
                workers=workers,
                retry_failed=retry_failed,
                progress=progress.advance,
            )
    run.write(target)
    _show(run, source_path, target, folder, details, started)
    unrated = tell_unrated(run, listed=judge is not None)
    return SOME_FAILED if unrated or len(run.failures) else OK


def _show(
    run: "Run", source: Path, target: Path, archive: Path, details: bool, started: float
) -> None:
    """The first screen on stdout, and what it leaves out where that is asked for."""
    from rich.console import Console

    from flexi_score.report.screen import print_screen
    from flexi_score.report.terminal import print_summary

    console = Console(highlight=False)
    print_screen(
        console,
        run,
        name="/".join(source.resolve().parts[-2 if source == archive else -1 :]),
        folder=target,
        archive=archive,
        elapsed_s=time.monotonic() - started,
    )
    if details:
        console.print()
        print_summary(
            console,
            run.summary,
            run.metrics,
            run.failures,
            run.info["signature"],
            few=run.settings.summary.few,
            health=run.health,
            boundary_error_s=run.settings.summary.boundary_error_s,
        )
