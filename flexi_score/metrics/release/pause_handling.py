"""pause_handling as the release scores it.

Divergences from profile ``paper``
----------------------------------
1. A silent model is skipped instead of scoring 0. Moves ``tor`` up.
2. Any first word counts, an acknowledgement too; only the first is looked at, so a takeover in the
   pause after an earlier word is missed.
3. The window ends ``max(L - pause, 0)`` after the pause, not L after it.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.config import Settings
from flexi_score.metrics.registry import Metric
from flexi_score.metrics.release.common import (
    NO_MODEL_TRANSCRIPT,
    NO_USER_TRANSCRIPT,
    SILENT_MODEL,
    Case,
    annotation_s,
    decide,
    runs_of,
    take,
)
from flexi_score.segment.tracks import Tracks

METRICS: tuple[Metric, ...] = (
    Metric(
        "release",
        "pause_handling",
        "tor",
        "TOR",
        "",
        "down",
        "rate",
        "with x = max(L - pause length, 0), L the system's mean latency: 1 where the first model "
        "word starts in [pause start, pause end + x] and not after the user's last word; else 0",
        "FLEXI release, pause-handling script",
        "the script skips samples without model words, user words or a pause; it prints 0 where "
        "all are skipped",
        empty=0.0,
    ),
)


def score(
    tracks: Tracks, rec: NDArray[np.int64], settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """``tor`` of scenario pause_handling; see :data:`~flexi_score.metrics.release.Scorer`."""
    model, user = runs_of(tracks.model_words, rec), runs_of(tracks.user_words, rec)
    start = annotation_s(tracks, rec, "pause_start_ms")
    end = annotation_s(tracks, rec, "pause_end_ms")
    given = settings.pause_handling.mean_latency_s
    system = tracks.recordings["system"].gather(rec)
    if given is None:
        by_system = pl.DataFrame(
            {"system": list(latency_s), "latency": list(latency_s.values())},
            schema={"system": pl.String, "latency": pl.Float64},
        )
        joined = (
            system.alias("system")
            .to_frame()
            .join(by_system, on="system", how="left", maintain_order="left")
        )
        mean_latency = np.asarray(joined["latency"].to_numpy(), np.float64)
    else:
        mean_latency = np.full(len(rec), given)
    extra = np.maximum(mean_latency - (end - start), 0)
    until = end + extra
    first, last = take(model.start, model.first), take(user.end, user.last)
    inside = (start <= first) & (first <= until)
    margin = np.minimum(np.abs(first - start), np.abs(first - np.minimum(until, last)))
    facts = {
        "first": first,
        "last": last,
        "start": start,
        "end": end,
        "until": until,
        "mean": mean_latency,
    }
    return decide(
        tracks,
        rec,
        "tor",
        facts,
        [
            Case(
                ~tracks.model_words.known[rec],
                np.nan,
                "failed",
                NO_MODEL_TRANSCRIPT,
                code="no_model_transcript",
            ),
            Case(
                ~tracks.user_words.known[rec],
                np.nan,
                "failed",
                NO_USER_TRANSCRIPT,
                code="no_user_transcript",
            ),
            Case(
                np.isnan(start) | np.isnan(end),
                np.nan,
                "excluded",
                "the release needs pause, and there is none",
                code="no_pause",
            ),
            Case(
                model.count == 0,
                np.nan,
                "excluded",
                f"{SILENT_MODEL}, and the release skips such a sample",
                code="silent",
            ),
            Case(
                user.count == 0,
                np.nan,
                "excluded",
                "the user says no word, and the release skips such a sample",
                code="no_user_word",
            ),
            Case(
                np.isnan(mean_latency),
                np.nan,
                "excluded",
                "the release needs a mean latency: score turn_taking recordings of this system in "
                "the same run, or set pause_handling.mean_latency_s",
                code="no_mean_latency",
            ),
            Case(
                first > last,
                0.0,
                "scored",
                "first word at {first} s, after the user's last word ends at {last} s",
                code="after_user",
            ),
            Case(
                inside,
                1.0,
                "scored",
                "first word at {first} s, in [{start}, {until}] s (pause to {end} s, mean latency "
                "{mean} s)",
                code="in_window",
            ),
            Case(
                True,
                0.0,
                "scored",
                "first word at {first} s, not in [{start}, {until}] s (pause to {end} s, mean "
                "latency {mean} s)",
                code="outside_window",
            ),
        ],
        reference_s=start,
        decided_s=first,
        margin_s=margin,
        source="annotation",
    )
