"""The verbs of scoring: extract recordings into an archive, check them, score them."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import polars as pl

from flexi_score.aggregate.people import read_reference
from flexi_score.archive import store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.silent import noisy_systems
from flexi_score.config import Settings, load_settings
from flexi_score.manifest import Manifest
from flexi_score.schema import FAILURES, HEALTH
from flexi_score.scoring import engine
from flexi_score.scoring.engine import Work
from flexi_score.scoring.inputs import Source, read_source
from flexi_score.scoring.prepare import Prepared
from flexi_score.scoring.run import Run
from flexi_score.segment.tracks import Tracks

#: Called after each recording: its row, its seconds, an error message or None.
Progress = Callable[[Mapping[str, Any], float, str | None], None]


class Extraction(TypedDict, total=False):
    """How recordings are extracted; none of it changes a number."""

    layout: str  # how to read a folder (``auto`` finds out)
    threads: int  # threads of each model, 0 for its own choice
    #: processes to work in: 1 (the default) is this one, 0 chooses by the machine and the amount of
    #: audio. More than one needs ``if __name__ == "__main__":`` in the calling program
    workers: int
    executor: Literal["local", "ray"]  # {"local", "ray"}: where the workers run
    #: only the i-th of n parts of the input, i from 1: by a hash of the recording's id
    shard: tuple[int, int] | None
    retry_failed: bool  # whether to repeat failed attempts of which nothing has changed since
    #: whether to move damaged parts of the archive aside and make again what was in them
    repair: bool
    after_write: Callable[[], None]  # called after each writing to the archive
    #: called after each recording: its row, its seconds, an error message or None
    progress: Progress


def extract(
    source: Source,
    archive: str | Path,
    *,
    settings: Settings | None = None,
    **how: Unpack[Extraction],
) -> tuple[Path, Manifest]:
    """Extract recordings into an archive; what it already holds is not done again.

    Parameters
    ----------
    source : path, Manifest, frame, Recording, or a list
        A manifest, a folder of recordings, one two-channel file, rows of a manifest
        (:func:`flexi_score.scoring.inputs.read_source`), or recordings in memory, whose samples are
        kept in the archive's folder ``memory``.
    archive : path
        Folder of the archive, made where it does not exist.
    settings : Settings, optional
        Uses the group ``extract``.
    **how
        :class:`Extraction`.

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
    layout, shard = how.get("layout", "auto"), how.get("shard")
    after_write = how.get("after_write", lambda: None)
    folder = store.open_archive(archive, create=True)
    manifest = read_source(source, folder / "memory", layout)
    # The extraction modules are the only heavy imports; scoring an archive never gets here.
    from flexi_score.extraction.ledger import keep_refused
    from flexi_score.extraction.run import check_parts, extract_rows, in_shard

    check_parts(folder, repair=how.get("repair", False))
    rows = manifest.rows.with_columns(manifest_position=pl.int_range(pl.len()))
    if shard is not None:
        rows = rows.filter(in_shard(rows, shard))
        refused = manifest.failures.filter(in_shard(manifest.failures, shard))
        manifest = replace(manifest, rows=rows.drop("manifest_position"), failures=refused)
    skipped = extract_rows(
        rows,
        folder,
        settings,
        workers=how.get("workers", 1),
        threads=how.get("threads", 0),
        executor=how.get("executor", "local"),
        retry_failed=how.get("retry_failed", False),
        after_write=after_write,
        progress=how.get("progress", lambda row, seconds, error: None),
    )
    keep_refused(folder, manifest.failures)
    after_write()
    if skipped:
        manifest.warnings.append(
            f"failed before, and nothing has changed since: {skipped}, not tried again; "
            "--retry-failed tries"
        )
    return folder, manifest


def score(
    source: Source,
    *,
    settings: Settings | None = None,
    archive: str | Path | None = None,
    work: Work | None = None,
    **how: Unpack[Extraction],
) -> Run:
    """Score recordings: extract what is missing, build their structure, compute the metrics.

    Parameters
    ----------
    source : path, Manifest, frame, Recording, or a list
        A manifest, a folder of recordings, one two-channel file, or an archive; rows of a manifest
        as a frame or a list of mappings; or recordings in memory
        (:class:`flexi_score.Recording`). Of an archive every recording is scored, and neither audio
        nor models are touched.
    settings : Settings, optional
        The defaults of profile ``paper`` if not given; see :func:`flexi_score.load_settings`.
    archive : path, optional
        Where to keep what is extracted, and what a judge replied; a temporary folder if not given,
        and then both are lost: the next run pays the judge again.
    work : Work, optional
        How scoring is done: batches, processes, callbacks.
    **how
        :class:`Extraction`.

    Returns
    -------
    Run
    """
    settings = settings or load_settings()
    if settings.conversation.reference is not None:
        read_reference(settings.conversation.reference)  # before the work, not after it
    with tempfile.TemporaryDirectory(prefix="flexi_score-") as temporary:
        reader, rows, failures = _archived(source, archive or temporary, settings, how)
        run = engine.score_archive(reader, rows, failures, settings, work)
    return run if run.archive is not None and run.archive.is_dir() else replace(run, archive=None)


def check(
    source: Source,
    *,
    settings: Settings | None = None,
    archive: str | Path | None = None,
    **how: Unpack[Extraction],
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Whether recordings were captured well enough to be scored.

    Parameters
    ----------
    source, settings, archive, **how
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
    with tempfile.TemporaryDirectory(prefix="flexi_score-") as temporary:
        reader, rows, failures = _archived(source, archive or temporary, settings, how)
        noisy = noisy_systems(reader, rows)
        loaded = (batch.load(settings) for batch in engine.batches(reader, rows, noisy))
        health, lost = zip(*((ready.health, ready.failures) for ready in loaded), strict=True)
    return pl.concat(health), pl.concat([failures, *lost])


def _archived(
    source: Source, archive: str | Path, settings: Settings, how: Extraction
) -> tuple[ArchiveReader, pl.DataFrame, pl.DataFrame]:
    """The archive of these recordings, extracted where it is none, their rows, and what failed."""
    if isinstance(source, str | Path) and store.is_archive(source):
        reader = ArchiveReader(source)
        return reader, reader.recordings(), reader.failures()
    folder, manifest = extract(source, archive, settings=settings, **how)
    reader = ArchiveReader(folder)
    wanted = manifest.rows.select("recording")
    rows = wanted.join(reader.recordings(), on="recording", how="inner", maintain_order="left")
    failed = wanted.join(reader.failures(), on="recording", how="inner", maintain_order="left")
    return reader, rows, pl.concat([manifest.failures, failed])


def score_tracks(
    tracks: Tracks,
    failures: pl.DataFrame | None = None,
    settings: Settings | None = None,
    *,
    refused: pl.DataFrame | None = None,
    work: Work | None = None,
) -> Run:
    """Score speech and words from any source, already in memory.

    Parameters
    ----------
    tracks : Tracks
    failures, refused : polars.DataFrame, optional
        :data:`flexi_score.schema.FAILURES`: recordings that are not in ``tracks`` because they
        failed, and because the health gate left them out (``excluded`` in the scores).
    settings : Settings, optional
    work : Work, optional
    """
    none = FAILURES.to_frame()
    ready = Prepared(tracks, none, none if refused is None else refused, HEALTH.to_frame())
    failures = none if failures is None else failures
    return engine.score_prepared(ready, failures, settings or load_settings(), work)
