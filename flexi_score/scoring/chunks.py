"""Scoring archives that are larger than memory: a run folder written chunk by chunk.

A million recordings have seventy million events. They are scored some ten thousand at a time; each
chunk's tables go to the disk, and are put together at the end. Values and counts are those of
:func:`flexi_score.score`; the rows of scores and events come chunk by chunk, those of turn_taking
first, because pause_handling needs the mean latency of all of them.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from flexi_score.aggregate import cluster_labels, metadata_labels, summarize, with_failures
from flexi_score.aggregate.agreement import MARKED
from flexi_score.aggregate.pooled import add_quantiles
from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.gate import unsure_recordings
from flexi_score.capture.silent import noisy_systems, silent_notes
from flexi_score.config import Settings, load_settings
from flexi_score.errors import InputError, OutputError
from flexi_score.judge.questions import UNASKED, Questions
from flexi_score.judge.rate import (
    REPLIES,
    Judging,
    Verdicts,
    explain,
    find_ratings,
    judge_facts,
    judge_info,
    judge_notes,
    no_verdicts,
    with_ratings,
)
from flexi_score.metrics import mean_latencies, profile_metrics, score_structure
from flexi_score.metrics.conversation import observations, statistics_frame
from flexi_score.report.write import write_run
from flexi_score.schema import RATINGS
from flexi_score.scoring.asked import CHUNK, questions_of
from flexi_score.scoring.prepare import prepare
from flexi_score.scoring.processes import table_workers
from flexi_score.scoring.provenance import health_counts, model_facts, run_info
from flexi_score.scoring.run import Run
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure

if TYPE_CHECKING:
    from flexi_score.judge.asking import Progress

#: Recordings from which on the command line works in chunks.
MANY: Final = 50_000
#: Number of the part that holds the scores of what failed: after those of all chunks.
_LAST: Final = 999_999
#: What summaries and the page look at, of manifest rows.
_OF_RECORDINGS: Final = "^(recording|system|scenario|metadata|estimated_by|duration_ms)$"

_TABLES: Final = (
    "scores",
    "events",
    "recordings",
    "statistics",
    "health",
    "observations",
    "failures",
    "refused",
    "asked",
    "unasked",
    "ratings",
)


class _Job(NamedTuple):
    """One chunk."""

    reader: ArchiveReader
    rows: pl.DataFrame
    settings: Settings
    latency_s: Mapping[str, float] | None
    place: Path
    number: int
    with_text: bool
    noisy: frozenset[str]


def can_score_in_chunks(settings: Settings) -> bool:
    """Whether no recording's scores depend on others, but for the mean latency."""
    # These profiles hide rates on few events, counted over all recordings.
    return settings.profile not in ("tau", "voice-agent")


def score_in_chunks(
    archive: str | Path,
    out: str | Path,
    *,
    settings: Settings | None = None,
    chunk: int = CHUNK,
    workers: int = 1,
    with_text: bool = True,
    progress: Callable[[int, int], None] | None = None,
    judging: Judging | None = None,
) -> Run:
    """Score every recording of an archive into a run folder, in memory that does not grow with it.

    Parameters
    ----------
    archive, out : path
    settings : Settings, optional
        Not of profile ``tau``.
    chunk : int
        Recordings scored at a time.
    workers : int
        Processes; more than one needs ``if __name__ == "__main__":`` in the calling program.
    with_text : bool
        Whether events carry their words.
    progress : callable, optional
        Called with the number of recordings done, and of all.
    judging : callable, optional
        Told how the judge gets on with each chunk.

    Raises
    ------
    InputError, ArchiveError
        If there is nothing to score, or it cannot be read.
    OutputError
        Naming the file that cannot be written.
    """
    settings = settings or load_settings()
    if not can_score_in_chunks(settings):
        raise InputError(f"profile {settings.profile} cannot be scored in chunks")
    reader, out = ArchiveReader(archive), Path(out)
    rows, failures = reader.recordings(), reader.failures()
    if not len(rows) and not len(failures):
        raise InputError(f"{reader.folder}: holds no recordings")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".chunks-", dir=out) as place:
            for table in _TABLES:
                (Path(place) / table).mkdir()
            facts = model_facts(reader, rows)
            _score_all(
                reader, rows, settings, Path(place), chunk, workers, with_text, progress, judging
            )
            del rows
            return _put_together(reader.folder, Path(place), out, failures, settings, facts)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error})") from error


def _score_all(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    settings: Settings,
    place: Path,
    chunk: int,
    workers: int,
    with_text: bool,
    progress: Callable[[int, int], None] | None,
    judging: Judging | None,
) -> None:
    """Score all chunks into ``place``, turn_taking first."""
    noisy = noisy_systems(reader, rows)
    first = (rows["scenario"] == "turn_taking").fill_null(False)
    latency_s: Mapping[str, float] | None = {}
    number = done = 0
    with _mapper(workers if len(rows) > chunk else 1) as over:
        for part in (rows.filter(first), rows.filter(~first)):
            # An archive that holds failures only has one chunk of nothing.
            size = len(part) if len(rows) or number else 1
            jobs = [
                _Job(
                    reader.limited_to(piece),
                    piece,
                    settings,
                    latency_s,
                    place,
                    number + k,
                    with_text,
                    noisy,
                )
                for k, piece in enumerate(part[i : i + chunk] for i in range(0, size, chunk))
            ]
            number += len(jobs)
            if settings.judge.mode != "none":
                for _ in over(_ask_chunk, jobs):
                    pass
                _judge_all(jobs, judging)
            for count in over(_score_chunk, jobs):
                done += count
                if progress is not None:
                    progress(done, len(rows))
            if jobs and latency_s == {}:
                scored = _scan(place, "scores").drop("reason").collect()
                latency_s = mean_latencies(scored, settings.profile)


def _judge_all(jobs: Sequence[_Job], judging: Judging | None) -> None:
    """Have the questions of all chunks answered, a chunk at a time: the judge is asked from here.

    There is one budget, one number of requests under way, and one writer of what is kept.
    """
    spent = now = 0.0

    def tell(progress: "Progress") -> None:
        nonlocal now
        now = progress.cost_usd or 0.0
        if judging is not None:
            judging(progress)

    # Batches tell their cost when they have ended: what they may cost is one sum over all chunks.
    whole = jobs and jobs[0].settings.judge.mode == "openai-batch"
    for share in [jobs] if whole else [[job] for job in jobs]:
        asked, unasked = (
            pl.concat([pl.read_parquet(_part(job.place, name, job.number)) for job in share])
            for name in ("asked", "unasked")
        )
        verdicts = find_ratings(
            Questions(asked, unasked),
            pl.concat([job.rows for job in share]),
            share[0].reader.folder / REPLIES,
            _within(share[0].settings, spent),
            tell,
        )
        spent, now = spent + now, 0.0
        for job in share:
            mine = job.rows.select("recording")
            for name, table in verdicts._asdict().items():
                own = table.join(mine, on="recording", how="semi", maintain_order="left")
                own.write_parquet(_part(job.place, name, job.number))


def _within(settings: Settings, spent: float) -> Settings:
    """The settings with what is left of the money."""
    limit = settings.judge.max_cost_usd
    if limit is None:
        return settings
    left = settings.judge.model_copy(update={"max_cost_usd": max(limit - spent, 0.0)})
    return settings.model_copy(update={"judge": left})


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[[Callable[[_Job], int], list[_Job]], Iterator[int]]]:
    """Maps a function over jobs, here or in processes of their own."""
    if workers > 1:
        with table_workers(workers) as pool:
            yield pool.map
    else:
        yield map


def _ask_chunk(job: _Job) -> int:
    questions = questions_of(job.reader, job.rows, job.settings, job.noisy)
    for name, table in questions._asdict().items():
        table.write_parquet(_part(job.place, name, job.number), compression="lz4")
    return len(questions.asked)


def _score_chunk(job: _Job) -> int:
    ready = prepare(job.reader, job.rows, job.settings, job.noisy)
    structure = build_structure(ready.tracks, job.settings)
    verdicts = no_verdicts()
    if job.settings.judge.mode != "none":
        verdicts = Verdicts(
            *(pl.read_parquet(_part(job.place, name, job.number)) for name in Verdicts._fields)
        )
        structure = with_ratings(structure, verdicts, job.settings)
    events = observations(structure)
    duration_ms = pl.Series("duration_ms", ready.tracks.duration_ms)
    tables = {
        "scores": explain(score_structure(structure, job.settings, job.latency_s), verdicts),
        "events": events_frame(structure, with_text=job.with_text),
        "recordings": ready.tracks.recordings.with_columns(duration_ms),
        "statistics": statistics_frame(structure, job.settings),
        "health": ready.health,
        # No other scenario's summary has quantiles of single events.
        "observations": events.filter(pl.col("scenario") == "conversation"),
        "failures": ready.failures,
        "refused": ready.refused,
    }
    for name, table in tables.items():
        table.write_parquet(_part(job.place, name, job.number), compression="lz4")
    return len(job.rows)


def _part(place: Path, table: str, number: int) -> Path:
    return place / table / f"{number:06d}.parquet"


def _scan(place: Path, table: str) -> pl.LazyFrame:
    return pl.scan_parquet(sorted((place / table).glob("*.parquet")), glob=False)


def _put_together(
    archive: Path,
    place: Path,
    out: Path,
    failures: pl.DataFrame,
    settings: Settings,
    facts: Mapping[str, str],
) -> Run:
    """The run folder, from the tables of all chunks."""
    metrics = profile_metrics(settings.profile)
    refused, health = (_scan(place, name).collect() for name in ("refused", "health"))
    failures = pl.concat([failures, _scan(place, "failures").collect()])
    recordings = _scan(place, "recordings").select(pl.col(_OF_RECORDINGS)).collect()
    scores = _scan(place, "scores").with_columns(reason=pl.lit(None, pl.String)).collect()
    scored = len(scores)
    scores = with_failures(scores, refused, metrics, status="excluded")
    scores = with_failures(scores, failures, metrics)
    scores.slice(scored).write_parquet(_part(place, "scores", _LAST))
    cluster = settings.summary.cluster
    clusters = None if cluster is None else cluster_labels(scores, recordings, cluster)
    sessions = None if cluster is None else metadata_labels(recordings, cluster)
    unsure = unsure_recordings(health)
    summary = summarize(scores, metrics, settings.summary, clusters, unsure=unsure)
    events = _scan(place, "observations").collect()
    summary = add_quantiles(summary, events, settings.summary, sessions)
    ratings, unasked = _kept(place, "ratings", RATINGS), _kept(place, "unasked", UNASKED).collect()
    # Of the questions, which are long, only those whose words are counted.
    asked = pl.when(pl.col("metric") == MARKED).then("question").alias("question")
    told = ratings.select(pl.exclude("question", "reply", "reason"), asked).collect()
    info = run_info(settings, recordings, failures, {**facts, **judge_facts(told, settings)})
    info |= health_counts(health, refused) | judge_info(told, len(unasked), settings)
    info["notes"] = silent_notes(health, recordings) + info["notes"] + judge_notes(info)
    tables: dict[str, pl.DataFrame | pl.LazyFrame] = {
        name: _scan(place, name) for name in ("scores", "events", "recordings", "statistics")
    }
    tables |= {
        "summary": summary,
        "failures": failures,
        "health": health,
        "ratings": ratings,
        "not_judged": unasked,
    }
    write_run(Run(tables, settings, info, archive=archive), out)
    return Run.open(out)


def _kept(place: Path, table: str, schema: pl.Schema) -> pl.LazyFrame:
    """A table that only a judge fills."""
    some = any((place / table).iterdir())
    return _scan(place, table) if some else schema.to_frame().lazy()
