"""The whole way: manifest, extract, archive, segment, score, aggregate, report."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from flexi_score.aggregate import cluster_labels, metadata_labels, summarize, with_failures
from flexi_score.aggregate.pooled import add_quantiles
from flexi_score.archive import store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.gate import unsure_recordings
from flexi_score.capture.silent import silent_notes
from flexi_score.config import Settings, load_settings
from flexi_score.errors import InputError
from flexi_score.judge.rate import (
    REPLIES,
    Judging,
    explain,
    judge_facts,
    judge_info,
    judge_notes,
    rate,
)
from flexi_score.manifest import Manifest, read_input
from flexi_score.metrics import profile_metrics, score_structure
from flexi_score.metrics.conversation import observations, statistics_frame
from flexi_score.schema import FAILURES, HEALTH
from flexi_score.scoring.prepare import prepare
from flexi_score.scoring.provenance import health_counts, model_facts, run_info
from flexi_score.scoring.run import Run
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import Tracks

Progress = Callable[[Mapping[str, Any], float, str | None], None]


def _quiet(row: Mapping[str, Any], seconds: float, error: str | None) -> None:
    return None


def extract(
    source: str | Path | Manifest,
    archive: str | Path,
    *,
    settings: Settings | None = None,
    layout: str = "auto",
    threads: int = 0,
    workers: int = 1,
    executor: Literal["local", "ray"] = "local",
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    repair: bool = False,
    after_write: Callable[[], None] = lambda: None,
    progress: Progress = _quiet,
) -> tuple[Path, Manifest]:
    """Extract recordings into an archive; what it already holds is not done again.

    Parameters
    ----------
    source : path or Manifest
        A manifest, a folder of recordings, or one two-channel file.
    archive : path
        Folder of the archive, made where it does not exist.
    settings : Settings, optional
        Uses the group ``extract``.
    layout : str
        How to read a folder (``auto`` finds out).
    threads : int
        Threads of each model, 0 for its own choice.
    workers : int
        Processes to work in: 1 is this one, 0 chooses by the machine and the amount of audio.
        More than one needs ``if __name__ == "__main__":`` in the calling program.
    executor : {"local", "ray"}
        Where the workers run.
    shard : (i, n), optional
        Only the i-th of n parts of the input, i from 1: by a hash of the recording's id.
    retry_failed : bool
        Whether to repeat failed attempts of which nothing has changed since.
    repair : bool
        Whether to move damaged parts of the archive aside and make again what was in them.
    after_write : callable
        Called after each writing to the archive.
    progress : callable
        Called after each recording: its row, its seconds, an error message or None.

    Returns
    -------
    archive : Path
    manifest : Manifest
        What was read, with the rows that could not be.

    Raises
    ------
    InputError, PrerequisiteError, SettingsError, ArchiveError
        What stops the whole run. A recording that fails is written into the archive's failures.
    """
    settings = settings or Settings()
    manifest = source if isinstance(source, Manifest) else read_input(source, layout)
    folder = store.open_archive(archive, create=True)
    # The extraction modules are the only heavy imports; scoring an archive never gets here.
    from flexi_score.extraction.ledger import keep_refused
    from flexi_score.extraction.run import extract_rows, in_shard

    positions = pl.Series(range(len(manifest.rows)), dtype=pl.Int64)
    if shard is not None:
        mine = in_shard(manifest.rows, shard)
        positions = positions.filter(mine)
        refused = manifest.failures.filter(in_shard(manifest.failures, shard))
        manifest = replace(manifest, rows=manifest.rows.filter(mine), failures=refused)
    counts = extract_rows(
        manifest.rows,
        folder,
        settings,
        workers=workers,
        threads=threads,
        executor=executor,
        retry_failed=retry_failed,
        repair=repair,
        positions=positions,
        after_write=after_write,
        progress=progress,
    )
    keep_refused(folder, manifest.failures)
    after_write()
    if counts.skipped:
        manifest.warnings.append(
            f"{counts.skipped} recordings failed before and nothing has changed since: not tried "
            "again; --retry-failed tries them"
        )
    return folder, manifest


def score(
    source: str | Path | Manifest,
    *,
    settings: Settings | None = None,
    archive: str | Path | None = None,
    layout: str = "auto",
    threads: int = 0,
    workers: int = 1,
    retry_failed: bool = False,
    progress: Progress = _quiet,
    with_text: bool = True,
    judging: Judging | None = None,
) -> Run:
    """Score recordings: extract what is missing, build their structure, compute the metrics.

    Parameters
    ----------
    source : path or Manifest
        A manifest, a folder of recordings, one two-channel file, or an archive. Of an archive
        every recording is scored, and neither audio nor models are touched.
    settings : Settings, optional
        The defaults of profile ``paper`` if not given; see :func:`flexi_score.load_settings`.
    archive : path, optional
        Where to keep what is extracted, and what a judge replied; a temporary folder if not given,
        and then both are lost: the next run pays the judge again.
    layout, threads, workers, retry_failed, progress
        As in :func:`extract`.
    with_text : bool
        Whether events carry their words.
    judging : callable, optional
        Told how the judge gets on: see :func:`flexi_score.judge.ask.ask`. Its replies are kept in
        the archive.

    Returns
    -------
    Run
    """
    settings = settings or load_settings()
    if not isinstance(source, Manifest) and store.is_archive(source):
        reader = ArchiveReader(source)
        rows, failures = reader.recordings(), reader.failures()
        return score_rows(
            reader, rows, failures, settings, source=source, with_text=with_text, judging=judging
        )
    if archive is None:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="flexi_score-") as temporary:
            return score(
                source,
                settings=settings,
                archive=temporary,
                layout=layout,
                threads=threads,
                workers=workers,
                progress=progress,
                with_text=with_text,
                judging=judging,
            )
    folder, manifest = extract(
        source,
        archive,
        settings=settings,
        layout=layout,
        threads=threads,
        workers=workers,
        retry_failed=retry_failed,
        progress=progress,
    )
    reader = ArchiveReader(folder)
    wanted = manifest.rows.select("recording")
    rows = wanted.join(reader.recordings(), on="recording", how="inner", maintain_order="left")
    failed = wanted.join(reader.failures(), on="recording", how="inner", maintain_order="left")
    failures = pl.concat([manifest.failures, failed])
    return score_rows(
        reader, rows, failures, settings, source=manifest.root, with_text=with_text, judging=judging
    )


def score_rows(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    failures: pl.DataFrame,
    settings: Settings,
    *,
    source: str | Path = "",
    with_text: bool = True,
    judging: Judging | None = None,
) -> Run:
    """Score archived recordings (no audio, no models)."""
    ready = prepare(reader, rows, settings)
    failures = pl.concat([failures, ready.failures])
    if not len(ready.tracks) and not len(failures):
        raise InputError(f"{source}: holds no recordings")
    run = score_tracks(
        ready.tracks,
        failures,
        settings,
        facts=model_facts(reader, rows),
        with_text=with_text,
        health=ready.health,
        refused=ready.refused,
        replies=reader.folder / REPLIES,
        judging=judging,
    )
    return replace(run, archive=reader.folder)


def score_tracks(
    tracks: Tracks,
    failures: pl.DataFrame,
    settings: Settings,
    *,
    facts: Mapping[str, str] | None = None,
    with_text: bool = True,
    health: pl.DataFrame | None = None,
    refused: pl.DataFrame | None = None,
    replies: Path | None = None,
    judging: Judging | None = None,
) -> Run:
    """Score speech and words from any source, already in memory.

    ``refused`` (:data:`flexi_score.schema.FAILURES`) are recordings that are not in ``tracks``
    because the health gate left them out; they appear in the scores as ``excluded``. ``replies`` is
    the file that keeps what the judge replies.
    """
    structure = build_structure(tracks, settings)
    metrics = profile_metrics(settings.profile)
    structure, verdicts = rate(structure, settings, replies, judging)
    scores = explain(score_structure(structure, settings), verdicts)
    facts = {**(facts or {}), **judge_facts(verdicts.ratings, settings)}
    refused = FAILURES.to_frame() if refused is None else refused
    scores = with_failures(scores, refused, metrics, status="excluded")
    scores = with_failures(scores, failures, metrics)
    health = HEALTH.to_frame() if health is None else health
    clusters = sessions = None
    if settings.summary.cluster is not None:
        clusters = cluster_labels(scores, tracks.recordings, settings.summary.cluster)
        sessions = metadata_labels(tracks.recordings, settings.summary.cluster)
    unsure = unsure_recordings(health)
    summary = summarize(scores, metrics, settings.summary, clusters, unsure=unsure)
    summary = add_quantiles(summary, observations(structure), settings.summary, sessions)
    info = run_info(settings, tracks.recordings, failures, facts)
    info |= health_counts(health, refused)
    info |= judge_info(verdicts.ratings, len(verdicts.unasked), settings)
    info["notes"] = silent_notes(health, tracks.recordings) + info["notes"] + judge_notes(info)
    tables = {
        "scores": scores,
        "events": events_frame(structure, with_text=with_text),
        "summary": summary,
        "recordings": tracks.recordings.with_columns(duration_ms=pl.Series(tracks.duration_ms)),
        "statistics": statistics_frame(structure, settings),
        "failures": failures,
        "health": health,
        "ratings": verdicts.ratings,
        "not_judged": verdicts.unasked,
    }
    return Run(tables, settings, info, tracks=tracks)


def check(
    source: str | Path | Manifest,
    *,
    settings: Settings | None = None,
    archive: str | Path | None = None,
    layout: str = "auto",
    threads: int = 0,
    progress: Progress = _quiet,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Whether recordings were captured well enough to be scored.

    Parameters
    ----------
    source, settings, archive, layout, threads, progress
        As :func:`score`. With ``extract.asr=none`` nothing is recognised, which leaves swapped
        channels to annotations and transcripts.

    Returns
    -------
    health : polars.DataFrame
        :data:`flexi_score.schema.HEALTH`.
    failures : polars.DataFrame
        Recordings that could not be used at all.
    """
    settings = settings or load_settings()
    run = score(
        source,
        settings=settings,
        archive=archive,
        layout=layout,
        threads=threads,
        progress=progress,
        with_text=False,
    )
    return run.health, run.failures
