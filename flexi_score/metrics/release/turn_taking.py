"""turn_taking as the release scores it.

Conventions
-----------
The turn ends at the annotation ``user_turn_end``. All words of the model count, from the first to
the last of the recording, whatever lies between them.

Divergences from profile ``paper``
----------------------------------
1. Two short acknowledgements 10 s apart count as a takeover: the length runs from the first word
   to the last. Moves ``tor`` up.
2. ``latency`` starts at the first word, also where that word is an acknowledgement that does not
   take the floor. Moves it down.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.config import Settings
from flexi_score.metrics.registry import Metric
from flexi_score.metrics.release.common import (
    NO_MODEL_TRANSCRIPT,
    SILENT_MODEL,
    Case,
    annotation_s,
    decide,
    runs_of,
    take,
)
from flexi_score.segment.tracks import Tracks

_SOURCE = "FLEXI release, turn-taking script"

METRICS: tuple[Metric, ...] = (
    Metric(
        "release",
        "turn_taking",
        "tor",
        "TOR",
        "",
        "up",
        "rate",
        "0 without model words, or where there are at most 3 and less than 1 s from the first "
        "start to the last end; else 1",
        _SOURCE,
        "no transcript of the model",
    ),
    Metric(
        "release",
        "turn_taking",
        "latency",
        "Latency",
        "s",
        "down",
        "mean",
        "first model word's start minus the user's turn end, where tor is 1 and it is not negative",
        _SOURCE,
        "no takeover, or one before the turn end; the script prints 0 for a mean of none",
        empty=0.0,
    ),
    Metric(
        "release",
        "turn_taking",
        "floor_offset",
        "Offset",
        "s",
        "none",
        "mean",
        "the same difference with its sign",
        _SOURCE,
        "no takeover",
    ),
    Metric(
        "release",
        "turn_taking",
        "jir",
        "JIR",
        "",
        "down",
        "rate",
        "1 where that difference is negative; the rate is over all samples, silent ones too",
        _SOURCE,
        "no transcript of the model, or no annotated turn end",
    ),
)


def score(
    tracks: Tracks, rec: NDArray[np.int64], settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """``tor latency floor_offset jir`` of scenario turn_taking.

    See :data:`flexi_score.metrics.release.Scorer`.
    """
    words = runs_of(tracks.model_words, rec)
    known = tracks.model_words.known[rec]
    end = annotation_s(tracks, rec, "user_turn_end_ms")
    first, last = take(words.start, words.first), take(words.end, words.last)
    length, silent = last - first, words.count == 0
    short = (length < 1) & (words.count <= 3)
    offset = first - end
    early = offset < 0
    facts = {
        "n": words.count,
        "first": first,
        "last": last,
        "length": length,
        "end": end,
        "offset": offset,
    }
    failed = Case(~known, np.nan, "failed", NO_MODEL_TRANSCRIPT, code="no_model_transcript")
    no_end = Case(
        np.isnan(end),
        np.nan,
        "excluded",
        "the release needs user_turn_end, and there is none",
        code="no_turn_end",
    )
    acknowledged = "{n} words within {length} s: an acknowledgement, no takeover"
    no_takeover = (
        Case(silent, np.nan, "not_applicable", f"{SILENT_MODEL}: no takeover", code="silent"),
        Case(short, np.nan, "not_applicable", acknowledged, code="acknowledgement"),
    )
    took = "words from {first} s to {last} s: {n} over {length} s, a takeover"
    tor = decide(
        tracks,
        rec,
        "tor",
        facts,
        [
            failed,
            Case(silent, 0.0, "silent", f"{SILENT_MODEL}: no takeover", code="silent"),
            Case(short, 0.0, "scored", acknowledged, code="acknowledgement"),
            Case(True, 1.0, "scored", took, code="takes_over"),
        ],
        reference_s=end,
        decided_s=first,
    )
    latency = decide(
        tracks,
        rec,
        "latency",
        facts,
        [
            failed,
            *no_takeover,
            no_end,
            Case(
                early,
                np.nan,
                "not_applicable",
                "first word at {first} s, before the turn end at {end} s: counted in jir",
                code="before_turn_end",
            ),
            Case(
                True, offset, "scored", "first word at {first} s, turn end at {end} s", code="timed"
            ),
        ],
        reference_s=end,
        decided_s=first,
        margin_s=offset,
        source="annotation",
    )
    signed = decide(
        tracks,
        rec,
        "floor_offset",
        facts,
        [
            failed,
            *no_takeover,
            no_end,
            Case(
                True, offset, "scored", "first word at {first} s, turn end at {end} s", code="timed"
            ),
        ],
        reference_s=end,
        decided_s=first,
        source="annotation",
    )
    jir = decide(
        tracks,
        rec,
        "jir",
        facts,
        [
            failed,
            no_end,
            Case(silent, 0.0, "silent", f"{SILENT_MODEL}: it does not jump in", code="silent"),
            Case(short, 0.0, "scored", acknowledged, code="acknowledgement"),
            Case(
                early,
                1.0,
                "scored",
                "first word at {first} s, before the turn end at {end} s",
                code="before_turn_end",
            ),
            Case(
                True,
                0.0,
                "scored",
                "first word at {first} s, not before the turn end at {end} s",
                code="not_before_turn_end",
            ),
        ],
        reference_s=end,
        decided_s=first,
        margin_s=np.abs(offset),
        source="annotation",
    )
    return pl.concat([tor, latency, signed, jir])
