"""``flexi-score score`` and ``extract``: the main job."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from flexi_score.cli.app import (
    OK,
    SOME_FAILED,
    Asr,
    Channels,
    Judge,
    Language,
    Layout,
    Mono,
    Quiet,
    RawAudio,
    SetOption,
    SourceName,
    SpeakerNames,
    SystemName,
    Threads,
    Vad,
    app,
    chosen_settings,
    cores,
    folder_to_write,
)

Workers = Annotated[
    int, Parameter(help="Processes that extract; 0 chooses by the machine and the audio.")
]
RetryFailed = Annotated[
    bool, Parameter(negative="", help="Try again what failed before, though nothing changed.")
]


@app.command
def score(
    source: Annotated[Path, Parameter(name="INPUT")],
    *,
    out: Annotated[Path | None, Parameter(help="Run folder [INPUT's name + .run].")] = None,
    profile: Annotated[
        str, Parameter(help="Definitions: paper, release, fdb-v1 or tau.")
    ] = "paper",
    set_: SetOption = None,
    judge: Judge = None,
    base_url: Annotated[
        str | None, Parameter(help="Server of the judge, if not OpenAI's: any that speaks its API.")
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
    asr: Asr = None,
    language: Language = None,
    vad: Vad = None,
    mono: Mono = None,
    layout: Layout = "auto",
    channels: Channels = None,
    source_name: SourceName = None,
    speakers: SpeakerNames = None,
    system: SystemName = None,
    raw: RawAudio = None,
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
    from contextlib import ExitStack

    from flexi_score.archive import store
    from flexi_score.cli.judging import JudgeProgress, check_ready, judge_changes, tell_unrated
    from flexi_score.output import make_folder
    from flexi_score.scoring import pipeline
    from flexi_score.scoring.engine import Work

    started = time.monotonic()
    changes = [*(set_ or []), *([] if gate else ["health.gate=false"])]
    settings = chosen_settings(
        profile,
        changes,
        judge=judge or ("openai" if dry_run else None),
        asr=asr,
        language=language,
        vad=vad,
        mono=mono,
        more=judge_changes(base_url, judge_repeats, max_cost)
        | {"conversation.reference": None if reference is None else str(reference)},
    )
    reading = {"layout": layout, "channels": channels, "source": source_name, "system": system}
    reading["raw_audio"] = raw
    reading["speakers"] = speakers
    target = out or Path(f"{source.resolve().stem or 'flexi'}.run")
    folder_to_write(target, "--out")
    folder = source if store.is_archive(source) else archive or target / "archive"
    folder_to_write(folder, "--archive")
    if dry_run:
        return _dry_run(source, folder, settings, reading, workers, threads, quiet)
    check_ready(settings, folder)
    make_folder(target)
    with ExitStack() as shown:
        asking = shown.enter_context(JudgeProgress(quiet))
        work = Work(workers=cores(), scratch=target, judging=asking.advance)
        if store.is_archive(source):
            run = pipeline.score(source, settings=settings, work=work)
        else:
            progress = shown.enter_context(_Progress(source, reading, quiet))
            asking.after(progress.stop)
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
    _show(run, source, target, folder, details, started)
    unrated = tell_unrated(run, listed=judge is not None)
    return SOME_FAILED if unrated or len(run.failures) else OK


def _dry_run(
    source: Path, folder: Path, settings: Any, reading: Any, workers: int, threads: int, quiet: bool
) -> int:
    """Extract what is missing, and say what judging it would take."""
    from flexi_score.archive import store
    from flexi_score.cli.judging import print_estimate
    from flexi_score.scoring import pipeline

    wanted = None
    if not store.is_archive(source):
        with _Progress(source, reading, quiet) as progress:
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


def _show(
    run: Any, source: Path, target: Path, archive: Path, details: bool, started: float
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


@app.command
def extract(
    source: Annotated[str, Parameter(name="INPUT")],
    *,
    archive: Annotated[str, Parameter(help="Folder of the archive; made where there is none.")],
    set_: SetOption = None,
    asr: Asr = None,
    language: Language = None,
    vad: Vad = None,
    mono: Mono = None,
    layout: Layout = "auto",
    channels: Channels = None,
    source_name: SourceName = None,
    speakers: SpeakerNames = None,
    system: SystemName = None,
    raw: RawAudio = None,
    workers: Workers = 0,
    threads: Threads = 0,
    executor: Annotated[
        Literal["local", "ray"], Parameter(help="Where workers run: here, or as Ray actors.")
    ] = "local",
    shard: Annotated[
        str | None, Parameter(help="Only part i of n of the recordings, as 2/8; see merge.")
    ] = None,
    retry_failed: RetryFailed = False,
    repair: Annotated[
        bool, Parameter(negative="", help="Move damaged parts aside; make again what they held.")
    ] = False,
    quiet: Quiet = False,
) -> int:
    """Extract speech and words of INPUT into an archive, to be scored any time without audio.

    Try:

        flexi-score extract calls/ --archive calls.archive
        flexi-score extract calls/ --archive calls.archive --workers 8 --asr base
        flexi-score extract calls.jsonl --archive part2.archive --shard 2/8
        flexi-score extract s3://b/calls.jsonl --archive s3://b/calls --executor ray

    INPUT (a manifest) and the archive may be fsspec URLs.
    """
    from contextlib import ExitStack

    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.report.tables import counted
    from flexi_score.scoring import pipeline

    settings = chosen_settings("paper", set_, asr=asr, language=language, vad=vad, mono=mono)
    folder_to_write(Path(archive), "--archive")
    reading = {"layout": layout, "channels": channels, "source": source_name, "system": system}
    reading["raw_audio"] = raw
    reading["speakers"] = speakers
    part = _shard(shard)
    with ExitStack() as opened:
        folder, after_write = opened.enter_context(_local(archive))
        with _Progress(source, reading, quiet, part) as progress:
            _, manifest = pipeline.extract(
                progress.manifest,
                folder,
                settings=settings,
                threads=threads,
                workers=workers,
                executor=executor,
                shard=part,
                retry_failed=retry_failed,
                repair=repair,
                after_write=after_write,
                progress=progress.advance,
            )
        reader = ArchiveReader(folder)
        held, failed = reader.recordings(), reader.failures()
    failed = failed.join(manifest.failures, on="recording", how="anti", maintain_order="left")
    refused = len(manifest.failures)
    print(f"{archive}: {counted(len(held), 'recording')}; {len(failed) + refused} failed")
    for row in [*manifest.failures.iter_rows(named=True), *failed.iter_rows(named=True)]:
        print(f"  {row['recording']}: {row['reason']}", file=sys.stderr)
    return SOME_FAILED if len(failed) + refused else OK


def _local(archive: str) -> Any:
    """The folder of an archive, or of its copy where it is at a URL; and what to do on writing."""
    from contextlib import nullcontext

    from flexi_score.extraction.remote import is_url, mirror_archive

    if is_url(archive):
        return mirror_archive(archive)
    return nullcontext((Path(archive), lambda: None))


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    from flexi_score.extraction.run import parse_shard

    return parse_shard(text)


class _Progress:
    """A bar on stderr, by seconds of audio; plain lines where stderr is no terminal."""

    def __init__(
        self,
        source: str | Path,
        reading: dict[str, Any],
        quiet: bool,
        shard: tuple[int, int] | None = None,
    ) -> None:
        from flexi_score.extraction.remote import is_url, read_remote_manifest
        from flexi_score.manifest import read_input

        remote = is_url(source)
        read: Any = read_remote_manifest if remote else read_input
        self.manifest = read(str(source), **reading)
        self._rows = self.manifest.rows
        if shard is not None:
            from flexi_score.extraction.run import in_shard

            self._rows = self._rows.filter(in_shard(self._rows, shard))
        self._quiet = quiet
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> "_Progress":
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._told = len(self.manifest.warnings)
        for warning in self.manifest.warnings:
            print(warning, file=sys.stderr)
        # The bar is there before headers are read and models loaded: both take seconds.
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=self._quiet,
        )
        number = f"0/{len(self._rows)} recordings"
        self._task = self._bar.add_task("loading models", total=None, count=number)
        self._done = 0
        self._bar.start()
        if not self._quiet:
            from flexi_score.extraction.recordings import recordings_seconds

            names = self._rows["recording"].to_list()
            found = recordings_seconds(self._rows)
            self._seconds = dict(zip(names, found, strict=True))
        return self

    def stop(self) -> None:
        """Make room for another bar."""
        self._bar.stop()

    def __exit__(self, *_: object) -> None:
        self.stop()
        for warning in self.manifest.warnings[self._told :]:
            print(warning, file=sys.stderr)

    def advance(self, row: Any, seconds: float, error: str | None) -> None:
        """One recording is done."""
        self._done += 1
        name = row["recording"]
        count = f"{self._done}/{len(self._rows)} recordings"
        self._bar.update(
            self._task,
            description="extracting",
            total=sum(self._seconds.values()) or 1.0,
            advance=self._seconds.get(name, 0.0),
            count=count,
        )
        if error is not None and not self._quiet:
            self._bar.console.print(f"{name}: {error}", markup=False, highlight=False)
