"""An extraction from plan to archive: what is left to do, by whom, and what came of it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from flexi_score.archive import parts, store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import ExtractSettings, Settings, SpeechSettings
from flexi_score.errors import ArchiveError, SettingsError
from flexi_score.extraction.ledger import Outcome, Task, Writer, plan_tasks
from flexi_score.extraction.recordings import recordings_seconds
from flexi_score.extraction.workers import Setup, attempt_here, attempt_in_workers, choose_workers
from flexi_score.speech.archived import missing_speech

Progress = Callable[[Mapping[str, Any], float, str | None], None]
Executor = Literal["local", "ray"]


#: Recordings whose speech is detected at a time: their frames are held in memory.
_SPEECH_RECORDINGS: Final = 2000


@dataclass(frozen=True)
class Counts:
    """What came of an extraction: recordings done, failed, and not tried again."""

    done: int
    failed: int
    skipped: int


def extract_rows(
    rows: pl.DataFrame,
    archive: Path,
    settings: Settings,
    *,
    workers: int = 1,
    threads: int = 0,
    executor: Executor = "local",
    retry_failed: bool = False,
    repair: bool = False,
    positions: pl.Series | None = None,
    after_write: Callable[[], None] = lambda: None,
    progress: Progress = lambda row, seconds, error: None,
) -> Counts:
    """Extract every recording of a manifest that the archive does not hold yet.

    ``rows``: :data:`flexi_score.schema.RECORDINGS`. ``archive``: an open archive; it is written as
    the work goes on, by this process only. ``settings``: uses ``extract``; the archive also keeps
    the speech intervals of ``speech``. ``workers``: processes to work in: 1 is this one, 0 chooses.
    ``threads``: CPU threads of each model; 0 chooses. ``executor`` ({"local", "ray"}): where the
    workers run: on this machine, or as Ray actors. ``retry_failed``: whether to repeat failed
    attempts of which nothing has changed since. ``repair``: whether to move damaged parts of the
    archive aside, so that what was in them is made again. ``positions``: place of each row in its
    manifest, where `rows` is a part of it. ``after_write``: called after each writing to the
    archive. ``progress``: called after each recording: its row, its seconds, an error message or
    None. Raises ArchiveError if a part is damaged and is not to be moved aside, or nothing can be
    written. Raises PrerequisiteError, SettingsError if a model cannot be loaded.
    """
    check_parts(archive, repair=repair)
    tasks = plan_tasks(rows, archive, retry_failed=retry_failed, positions=positions)
    setup = Setup(settings.extract, archive, *_models_needed(rows, settings.extract), threads)
    writer = Writer(archive, after_write)
    counts = {"done": 0, "failed": 0, "skipped": 0}

    def take(outcome: Outcome) -> None:
        writer.add(outcome)
        kind = "skipped" if outcome.skipped else "failed" if outcome.error else "done"
        counts[kind] += 1
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
    return Counts(**counts)


def keep_speech(archive: Path, rows: pl.DataFrame, settings: SpeechSettings) -> None:
    """Add the speech intervals of these settings, so that scoring need not detect them again.

    Detected from the archived frames, many recordings at a time; no audio is read.

    ``rows``: :data:`flexi_score.schema.RECORDINGS`.
    """
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
    heard = rows.filter(pl.col("audio").is_not_null() | pl.col("user_audio").is_not_null())
    # A recogniser is not loaded where every channel brings its own transcript.
    bare = heard.filter(pl.col("user_words").is_null() | pl.col("model_words").is_null())
    return len(heard) > 0, settings.asr != "none" and len(bare) > 0
