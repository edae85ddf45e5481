"""pause_handling as the release scores it.

Divergences from profile ``paper``
----------------------------------
1. A silent model is skipped instead of scoring 0. Moves ``tor`` up.
2. Any first word counts, an acknowledgement too; only the first is looked at, so a takeover in the
   pause after an earlier word is missed.
3. The window ends ``max(L - pause, 0)`` after the pause, not L after it.
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Latencies, mean_latency_of, metric_table
from flexi_score.metrics.release import common as c
from flexi_score.segment.tracks import Ints, Tracks

METRICS: Final = metric_table(
    "release",
    "pause_handling",
    """
    tor | TOR | rate | down | | empty: 0
      with x = max(L - pause length, 0), L the system's mean latency: 1 where the first model word
      starts in [pause start, pause end + x] and not after the user's last word; else 0
      null: the script skips samples without model words, user words or a pause; it prints 0 where
      all are skipped
    """,
    "FLEXI release, pause-handling script",
)


def score(tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies) -> pl.DataFrame:
    """``tor`` (:data:`flexi_score.metrics.release.Scorer`)."""
    model, user = c.runs_of(tracks.model_words, rec), c.runs_of(tracks.user_words, rec)
    start = c.annotation_s(tracks, rec, "pause_start_ms")
    end = c.annotation_s(tracks, rec, "pause_end_ms")
    mean = mean_latency_of(tracks.recordings["system"][rec], settings, latency_s)
    until = end + np.maximum(mean - (end - start), 0)
    first, last = c.take(model.start, model.first), c.take(user.end, user.last)
    inside = (start <= first) & (first <= until)
    facts = {"first": first, "last": last, "start": start, "end": end, "until": until, "mean": mean}
    skips = "and the release skips such a sample"
    after = "first word at {first} s, after the user's last word ends at {last} s"
    window = "[{start}, {until}] s (pause to {end} s, mean latency {mean} s)"
    no_latency = (
        "the release needs a mean latency: score turn_taking recordings of this system in "
        "the same run, or set pause_handling.mean_latency_s"
    )
    cases = (
        *c.no_transcript(tracks, rec, "model", "user"),
        c.excluded(
            np.isnan(start) | np.isnan(end),
            "no_pause",
            "the release needs pause, and there is none",
        ),
        c.excluded(model.count == 0, "silent", f"{c.SILENT_MODEL}, {skips}"),
        c.excluded(user.count == 0, "no_user_word", f"the user says no word, {skips}"),
        c.excluded(np.isnan(mean), "no_mean_latency", no_latency),
        c.scored(first > last, "after_user", after, 0),
        c.scored(inside, "in_window", f"first word at {{first}} s, in {window}", 1),
        c.scored(True, "outside_window", f"first word at {{first}} s, not in {window}", 0),
    )
    return c.decide(
        tracks,
        rec,
        facts,
        "tor",
        cases,
        reference_s=start,
        decided_s=first,
        margin_s=np.minimum(np.abs(first - start), np.abs(first - np.minimum(until, last))),
        source="annotation",
    )
