"""From the tables of all batches to a run: what failed, the summary, and the facts of run.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.aggregate import (
    cluster_key,
    cluster_labels,
    metadata_labels,
    summarize,
    with_failures,
)
from flexi_score.aggregate.agreement import MARKED
from flexi_score.aggregate.people import (
    PEOPLE,
    add_people,
    people_frame,
    people_notes,
    read_reference,
    reference_file,
)
from flexi_score.aggregate.pooled import add_quantiles
from flexi_score.capture.confidence import unsure_notes
from flexi_score.capture.gate import unsure_recordings
from flexi_score.capture.silent import silent_notes
from flexi_score.config import Settings
from flexi_score.judge.rate import judge_facts, judge_info, judge_notes
from flexi_score.metrics import profile_metrics
from flexi_score.metrics.people import timings
from flexi_score.scoring.corrected import corrected_notes
from flexi_score.scoring.provenance import health_counts, run_info
from flexi_score.scoring.run import Run, hash_files
from flexi_score.scoring.spool import Spool
from flexi_score.segment.tracks import Tracks

#: Number under which the scores of what failed are kept: after those of all batches.
_LAST: Final = 999_999
#: What summaries look at, of manifest rows.
_OF_RECORDINGS: Final = "^(recording|system|scenario|metadata|estimated_by|duration_ms)$"


def reduce_run(
    spool: Spool,
    failures: pl.DataFrame,
    settings: Settings,
    facts: Mapping[str, str],
    *,
    archive: Path | None = None,
    tracks: Tracks | None = None,
) -> Run:
    """Add up the batches of a run; ``failures`` are those from before anything was scored."""
    metrics = profile_metrics(settings.profile)
    refused, health = (spool.scan(name).collect() for name in ("refused", "health"))
    failures = pl.concat([failures, spool.scan("failures").collect()])
    recordings = spool.scan("recordings").select(pl.col(_OF_RECORDINGS)).collect()
    # Sentences are most of the table, and are not added up.
    scores = spool.scan("scores").with_columns(reason=pl.lit(None, pl.String)).collect()
    scored = len(scores)
    scores = with_failures(scores, refused, metrics, status="excluded")
    scores = with_failures(scores, failures, metrics)
    spool.put(_LAST, {"scores": scores.slice(scored)})
    observed, events = spool.scan("observations").collect(), spool.scan("events")
    summary, people = summarize_run(scores, recordings, health, observed, events, settings)
    reference = settings.conversation.reference
    not_judged = spool.scan("not_judged").collect()
    # Of the questions, which are long, only those whose words are counted.
    marked = pl.when(pl.col("metric") == MARKED).then("question").alias("question")
    ratings = spool.scan("ratings").select(pl.exclude("question", "reply", "reason"), marked)
    rated = ratings.collect()
    facts = {**facts, **judge_facts(rated, settings)}
    if reference is not None:
        file = reference_file(reference)
        facts["people"] = f"{file.name}@{hash_files(file.parent, [file.name])[file.name][:8]}"
    info = run_info(settings, recordings, failures, facts)
    info |= health_counts(health, refused) | judge_info(rated, len(not_judged), settings)
    info["cluster"] = cluster_key(recordings, settings.summary)
    info["notes"] = [
        *silent_notes(health, recordings),
        *unsure_notes(health),
        *corrected_notes(health),
        *info["notes"],
        *judge_notes(info),
        *people_notes(people, reference),
    ]
    tables: dict[str, pl.DataFrame | pl.LazyFrame] = {
        name: spool.table(name)
        for name in ("scores", "events", "recordings", "statistics", "ratings")
    }
    tables |= {"summary": summary, "failures": failures, "health": health, "not_judged": not_judged}
    tables["people"] = people
    return Run(tables, settings, info, archive=archive, tracks=tracks, files=spool)


def summarize_run(
    scores: pl.DataFrame,
    recordings: pl.DataFrame,
    health: pl.DataFrame,
    observed: pl.DataFrame,
    events: pl.LazyFrame,
    settings: Settings,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Summary of a run (:data:`flexi_score.schema.SUMMARY`), and how far it is from people.

    ``events`` are read where people's timing is given.
    """
    shown = settings.summary
    clusters = sessions = None
    if (key := cluster_key(recordings, shown)) is not None:
        clusters = cluster_labels(scores, recordings, key)
        sessions = metadata_labels(recordings, key)
    metrics, unsure = profile_metrics(settings.profile), unsure_recordings(health)
    summary = summarize(scores, metrics, shown, clusters, unsure=unsure)
    summary = add_quantiles(summary, observed, shown, sessions)
    people = _people(events, recordings, sessions, settings)
    return add_people(summary, people, settings.extract.language), people


def _people(
    events: pl.LazyFrame,
    recordings: pl.DataFrame,
    sessions: pl.DataFrame | None,
    settings: Settings,
) -> pl.DataFrame:
    """Distances of the model's timing in conversations from people's, where these are given."""
    if settings.conversation.reference is None:
        return PEOPLE.to_frame()
    reference = read_reference(settings.conversation.reference)
    talks = recordings.filter(scenario="conversation").select("recording", "system")
    if sessions is not None:
        talks = talks.join(sessions.unique("recording"), on="recording", how="left")
    talks = talks.select(
        "recording", "system", unit=pl.coalesce(pl.col("^label$"), pl.col("recording"))
    )
    of_talks = events.drop("text").join(talks.lazy(), on="recording", how="semi")
    values = timings(of_talks.collect()).filter(speaker="model")
    values = talks.join(values, on="recording", how="left", maintain_order="left")
    return people_frame(values, reference, settings.summary)
