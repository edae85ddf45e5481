"""An extraction from plan to archive: what is left to do, by whom, and what came of it."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from flexi_score.archive import parts, store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import ExtractSettings, Settings, SpeechSettings
from flexi_score.errors import ArchiveError, SettingsError
from flexi_score.extraction.extractor import Setup
from flexi_score.extraction.ledger import Outcome, Task, Writer, plan_tasks
from flexi_score.extraction.recordings import recordings_seconds
from flexi_score.extraction.workers import attempt_here, attempt_in_workers, choose_workers
from flexi_score.speech.archived import missing_speech

Progress = Callable[[Mapping[str, Any], float, str | None], None]
Executor = Literal["local", "ray"]


#: Recordings whose speech is detected at a time: their frames are held in memory.
_SPEECH_RECORDINGS: Final = 2000


def extract_rows(
    rows: pl.DataFrame,
    archive: Path,
    settings: Settings,
    *,
    workers: int = 1,
    threads: int = 0,
    executor: Executor = "local",
    retry_failed: bool = False,
    after_write: Callable[[], None] = lambda: None,
    progress: Progress = lambda row, seconds, error: None,
) -> int:
    """Extract every recording that the archive does not hold yet; returns how many were skipped.

    ``rows``: `RECORDINGS` and ``manifest_position``. The archive is written
    as the work goes on, by this process only; it also keeps the speech intervals of ``speech``.
    A recording that failed before, and of which nothing has changed, is skipped unless
    ``retry_failed``. The others: :class:`flexi_score.scoring.pipeline.Extraction`.
    """
    tasks = plan_tasks(rows, archive, retry_failed=retry_failed)
    setup = Setup(settings.extract, archive, *_models_needed(rows, settings.extract), threads)
    writer, skipped = Writer(archive, after_write), 0

    def take(outcome: Outcome) -> None:
        nonlocal skipped
        writer.add(outcome)
        skipped += outcome.skipped
        progress(outcome.task.row, outcome.seconds, outcome.error)

    try:
        if executor == "ray":
            from flexi_score.extraction.ray_executor import attempt_on_ray

            attempt_on_ray(tasks, setup, workers, take)
        else:
            _attempt_locally(tasks, setup, workers, take, rows)
    finally:
        writer.flush()
    keep_speech(archive, rows, settings.speech)
    after_write()
    return skipped


def keep_speech(archive: Path, rows: pl.DataFrame, settings: SpeechSettings) -> None:
    """Add the speech intervals of these settings, detected from the archived frames."""
    reader = ArchiveReader(archive)
    archived = reader.recordings().join(rows.select("recording"), on="recording", how="semi")
    for first in range(0, len(archived), _SPEECH_RECORDINGS):
        some = archived[first : first + _SPEECH_RECORDINGS]
        missing = missing_speech(reader.limited_to(some), some, settings)
        store.append(archive, "speech", missing)


def check_parts(archive: Path, *, repair: bool = False) -> list[Path]:
    """Check every part of an archive by its hash; those damaged are an error, or moved aside."""
    damaged = store.damaged_parts(archive)
    if damaged and not repair:
        raise ArchiveError("\n".join(parts.explain_damage(part) for part in damaged))
    return [parts.set_aside(part) for part in damaged]


def shard_of(recording: str, n_shards: int) -> int:
    """The shard that a recording belongs to, counted from 1: by a hash of its id."""
    digest = hashlib.sha256(recording.encode()).digest()
    return int.from_bytes(digest[:8], "big") % n_shards + 1


def parse_shard(text: str) -> tuple[int, int]:
    """``i/n`` as two numbers, 1 <= i <= n."""
    first, slash, last = text.partition("/")
    if slash and first.strip().isdigit() and last.strip().isdigit():
        number, of = int(first), int(last)
        if 1 <= number <= of:
            return number, of
    raise SettingsError(f"--shard {text!r}: expected i/n with i from 1 to n, as 1/4 ... 4/4")


def in_shard(table: pl.DataFrame, shard: tuple[int, int]) -> pl.Series:
    """Whether each row's ``recording`` belongs to shard i of n."""
    number, of = shard
    return pl.Series(
        [shard_of(name, of) == number for name in table["recording"]], dtype=pl.Boolean
    )


def _attempt_locally(
    tasks: list[Task],
    setup: Setup,
    workers: int,
    take: Callable[[Outcome], None],
    rows: pl.DataFrame,
) -> None:
    # Headers are read only where their answer matters.
    seconds = sum(recordings_seconds(rows)) if workers == 0 else 0.0
    n_workers = choose_workers(workers, len(tasks), seconds, setup.settings.device)
    if n_workers == 1:
        attempt_here(tasks, setup, take)
    else:
        attempt_in_workers(tasks, setup, n_workers, take)


def _models_needed(rows: pl.DataFrame, settings: ExtractSettings) -> tuple[bool, bool]:
    """Whether any recording needs the detector, and any the recogniser."""
    with_audio = rows.filter(pl.col("audio").is_not_null() | pl.col("user_audio").is_not_null())
    # A recogniser is not loaded where every channel brings its own transcript.
    bare = with_audio.filter(pl.col("user_words").is_null() | pl.col("model_words").is_null())
    return len(with_audio) > 0, settings.asr != "none" and len(bare) > 0
