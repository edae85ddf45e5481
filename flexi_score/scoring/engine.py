"""The one engine: rows, batches, load, structure, timing, ratings, reduce, a run.

Recordings are scored a batch at a time, so that memory does not grow with their number; a small run
is one batch. A batch is loaded from the archive (speech, words, health), its structure is built and
its timing is scored. What a judge's rating decides is then ``pending``; the questions of the batch
are answered, and the ratings filled in. When all batches are done they are added up.

No recording's scores depend on others, but for two things. pause_handling needs the mean latency of
turn_taking, whose batches come first. And profiles ``tau`` and ``voice-agent`` hide rates on few
events of all recordings, so that they have one batch.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.silent import noisy_systems
from flexi_score.config import Settings
from flexi_score.errors import InputError
from flexi_score.judge.questions import Questions, build_questions
from flexi_score.judge.rate import REPLIES, Judging, Verdicts, find_ratings, no_verdicts
from flexi_score.metrics import mean_latencies, score_structure
from flexi_score.metrics.conversation import observations, statistics_frame
from flexi_score.output import output_error
from flexi_score.scoring.corrected import corrected_facts
from flexi_score.scoring.fill import fill_ratings, fill_references, marked_recordings
from flexi_score.scoring.prepare import Prepared, prepare
from flexi_score.scoring.processes import table_workers
from flexi_score.scoring.provenance import model_facts
from flexi_score.scoring.reduce import reduce_run
from flexi_score.scoring.run import Run
from flexi_score.scoring.spool import Spool
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import Tracks

if TYPE_CHECKING:
    from flexi_score.judge.dispatch import Progress

#: Recordings of a batch; a process takes about 1 GB for as many of 20 s.
BATCH: Final = 25_000
#: Profiles that hide rates on few events, counted over all recordings: they are one batch.
_WHOLE: Final = ("tau", "voice-agent")


@dataclass(frozen=True)
class Work:
    """How scoring is done; none of it changes a number.

    Attributes
    ----------
    batch : int
        Recordings scored at a time.
    workers : int
        Processes, where there are several batches. More than one needs
        ``if __name__ == "__main__":`` in the calling program.
    with_text : bool
        Whether events carry their words.
    scratch : path, optional
        Folder for the tables of batches, where there are several; by default the system's
        temporary folder. They take as much room as the run.
    progress : callable, optional
        Called with the number of recordings done, and of all.
    judging : callable, optional
        Called with the progress of the judge (:class:`flexi_score.judge.dispatch.Progress`).
    """

    batch: int = BATCH
    workers: int = 1
    with_text: bool = True
    scratch: Path | None = None
    progress: Callable[[int, int], None] | None = None
    judging: Judging | None = None


class Batch(NamedTuple):
    """Recordings that are scored together.

    ``noisy`` are systems whose model channels are never silent, of the whole run
    (:func:`flexi_score.capture.silent.noisy_systems`). ``ready`` is what was loaded already; else
    ``rows`` are loaded with ``reader`` (:data:`flexi_score.archive.tables.ARCHIVED`).
    """

    number: int
    rows: pl.DataFrame
    noisy: frozenset[str] = frozenset()
    reader: ArchiveReader | None = None
    ready: Prepared | None = None

    def load(self, settings: Settings) -> Prepared:
        """The batch as it can be scored."""
        if self.ready is not None:
            return self.ready
        assert self.reader is not None
        return prepare(self.reader, self.rows, settings, self.noisy)

    def tracks_of(self, recordings: pl.Series, settings: Settings) -> Tracks:
        """Speech and words of at least these of its recordings."""
        wanted = pl.col("recording").is_in(recordings.implode())
        return self._replace(rows=self.rows.filter(wanted)).load(settings).tracks


class _Job(NamedTuple):
    """One batch, what to do with it, and where its tables go."""

    batch: Batch
    settings: Settings
    latency_s: Mapping[str, float] | None
    with_text: bool
    spool: Spool


def score_archive(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    failures: pl.DataFrame,
    settings: Settings,
    work: Work | None = None,
    ready: Prepared | None = None,
) -> Run:
    """Score archived recordings: no audio, no models.

    ``ready``: what :func:`~flexi_score.scoring.prepare.prepare` makes of these rows, where that is
    known; of use where they are one batch.
    """
    work = work or Work()
    if not len(rows) and not len(failures):
        raise InputError(f"{reader.folder}: holds no recordings")
    facts = model_facts(reader, rows, settings.extract.asr) | corrected_facts(reader, rows)
    replies = reader.folder / REPLIES
    if len(rows) <= work.batch or settings.profile in _WHOLE:
        batch = Batch(0, rows, ready=ready or prepare(reader, rows, settings))
        return _one_batch(batch, failures, settings, facts, replies, work, reader.folder)
    scratch = work.scratch or Path(tempfile.gettempdir())
    try:
        spool = Spool(scratch)
        _score_batches(reader, rows, settings, work, spool)
        return reduce_run(spool, failures, settings, facts, archive=reader.folder)
    except OSError as error:
        raise output_error(scratch, error) from error


def score_prepared(
    ready: Prepared, failures: pl.DataFrame, settings: Settings, work: Work | None = None
) -> Run:
    """Score what is in memory, from any source; replies of a judge are not kept."""
    batch = Batch(0, ready.tracks.recordings, ready=ready)
    return _one_batch(batch, failures, settings, {}, None, work or Work(), None)


def find_questions(
    reader: ArchiveReader, rows: pl.DataFrame, settings: Settings, batch: int = BATCH
) -> Questions:
    """What a judge would be asked about archived recordings, and what cannot be asked."""
    parts = []
    for one in batches(reader, rows, noisy_systems(reader, rows), batch):
        structure = build_structure(one.load(settings).tracks, settings)
        parts.append(build_questions(structure, score_structure(structure, settings), settings))
    questions, not_judged = (pl.concat(tables) for tables in zip(*parts, strict=True))
    return Questions(questions, not_judged)


def _one_batch(
    batch: Batch,
    failures: pl.DataFrame,
    settings: Settings,
    facts: Mapping[str, str],
    replies: Path | None,
    work: Work,
    archive: Path | None,
) -> Run:
    spool = Spool()
    job = _Job(batch, settings, None, work.with_text, spool)
    _time_batch(job)
    if settings.judge.mode != "none":
        _judge([job], replies, work.judging)
        _fill_batch(job)
    tracks = batch.load(settings).tracks
    return reduce_run(spool, failures, settings, facts, archive=archive, tracks=tracks)


def _score_batches(
    reader: ArchiveReader, rows: pl.DataFrame, settings: Settings, work: Work, spool: Spool
) -> None:
    """Score all batches into the spool, those of turn_taking first."""
    first = (rows["scenario"] == "turn_taking").fill_null(False)
    latency_s: Mapping[str, float] = {}
    noisy = noisy_systems(reader, rows)
    done = number = 0
    with _mapper(work.workers) as over:
        for part in (rows.filter(first), rows.filter(~first)):
            if not len(part):
                continue
            if number:
                timed = spool.scan("scores").drop("reason").collect()
                latency_s = mean_latencies(timed, settings.profile)
            jobs = [
                _Job(batch, settings, latency_s, work.with_text, spool)
                for batch in batches(reader, part, noisy, work.batch, number)
            ]
            number += len(jobs)
            for count in over(_time_batch, jobs):
                done += count
                if work.progress is not None:
                    work.progress(done, len(rows))
            if settings.judge.mode != "none":
                _judge(jobs, reader.folder / REPLIES, work.judging)
                for _ in over(_fill_batch, jobs):
                    pass


def batches(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    noisy: frozenset[str],
    size: int = BATCH,
    number: int = 0,
) -> Iterator[Batch]:
    """Rows in batches; of no rows, one batch without any."""
    if len(rows) <= size:
        yield Batch(number, rows, noisy, reader)
        return
    for k, piece in enumerate(rows.iter_slices(size)):
        yield Batch(number + k, piece, noisy, reader.limited_to(piece))


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[[Callable[[_Job], int], list[_Job]], Iterator[int]]]:
    """Maps a function over jobs, here or in processes of their own."""
    if workers > 1:
        with table_workers(workers) as pool:
            yield pool.map
    else:
        yield map


def _time_batch(job: _Job) -> int:
    """Load a batch and score its timing; how many recordings it has."""
    ready = job.batch.load(job.settings)
    structure = build_structure(ready.tracks, job.settings)
    scores = score_structure(structure, job.settings, job.latency_s)
    events = observations(structure)
    verdicts = no_verdicts()
    tables = {
        "scores": scores,
        "events": events_frame(structure, with_text=job.with_text),
        "recordings": ready.tracks.recordings.with_columns(
            pl.Series("duration_ms", ready.tracks.duration_ms)
        ),
        "statistics": statistics_frame(structure, job.settings),
        "health": ready.health,
        # No other scenario's summary has quantiles of single events.
        "observations": events.filter(pl.col("scenario") == "conversation"),
        "failures": ready.failures,
        "refused": ready.refused,
        "ratings": verdicts.ratings,
        "not_judged": verdicts.not_judged,
    }
    if job.settings.judge.mode == "none":
        tables["scores"] = fill_ratings(scores, verdicts)
    else:
        questions = build_questions(structure, scores, job.settings)
        tables |= {"questions": questions.rows, "not_judged": questions.not_judged}
    job.spool.put(job.batch.number, tables)
    return len(job.batch.rows)


def _judge(jobs: Sequence[_Job], replies: Path | None, judging: Judging | None) -> None:
    """Have the questions of all batches answered, a batch at a time: the judge is asked from here.

    There is one budget, one number of requests under way, and one writer of replies.
    """
    spool, spent, now = jobs[0].spool, 0.0, 0.0

    def tell(progress: "Progress") -> None:
        nonlocal now
        now = progress.cost_usd or 0.0
        if judging is not None:
            judging(progress)

    # Batches of the API report their cost when they have ended: there is one sum for all of ours.
    whole = jobs[0].settings.judge.mode == "openai-batch"
    for share in [jobs] if whole else [[job] for job in jobs]:
        numbers = [job.batch.number for job in share]
        verdicts = find_ratings(
            Questions(*(spool.get(name, numbers) for name in ("questions", "not_judged"))),
            spool.get("recordings", numbers),
            replies,
            _within(share[0].settings, spent),
            tell,
        )
        spent, now = spent + now, 0.0
        for job in share:
            own = job.batch.rows.select("recording")
            tables = verdicts._asdict()
            spool.put(
                job.batch.number,
                {
                    name: table.join(own, on="recording", how="semi", maintain_order="left")
                    for name, table in tables.items()
                },
            )


def _within(settings: Settings, spent: float) -> Settings:
    """The settings with what is left of the money."""
    limit = settings.judge.max_cost_usd
    if limit is None:
        return settings
    left = settings.judge.model_copy(update={"max_cost_usd": max(limit - spent, 0.0)})
    return settings.model_copy(update={"judge": left})


def _fill_batch(job: _Job) -> int:
    """Put ratings in place of what is pending; how many recordings have a marked reference."""
    number = [job.batch.number]
    scores, ratings, not_judged = (
        job.spool.get(name, number) for name in ("scores", "ratings", "not_judged")
    )
    marked = marked_recordings(ratings)
    if len(marked):
        tracks = job.batch.tracks_of(marked, job.settings)
        scores = fill_references(scores, tracks, ratings, job.settings)
    scores = fill_ratings(scores, Verdicts(ratings, not_judged))
    job.spool.put(job.batch.number, {"scores": scores})
    return len(marked)
