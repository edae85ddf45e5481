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

from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.metrics.release import common as c
from flexi_score.segment.tracks import Ints, Tracks

METRICS: Final = metric_table(
    "release",
    "turn_taking",
    """
    tor | TOR | rate | up
      0 without model words, or where there are at most 3 and less than 1 s from the first start
      to the last end; else 1
      null: no transcript of the model

    latency | Latency | mean | down | s | empty: 0
      first model word's start minus the user's turn end, where tor is 1 and it is not negative
      null: no takeover, or one before the turn end; the script prints 0 for a mean of none

    floor_offset | Offset | mean | none | s
      the same difference with its sign
      null: no takeover

    jir | JIR | rate | down
      1 where that difference is negative; the rate is over all samples, silent ones too
      null: no transcript of the model, or no annotated turn end
    """,
    "FLEXI release, turn-taking script",
)


def score(tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies) -> pl.DataFrame:
    """``tor latency floor_offset jir`` (:data:`flexi_score.metrics.release.Scorer`)."""
    words = c.runs_of(tracks.model_words, rec)
    end = c.annotation_s(tracks, rec, "user_turn_end_ms")
    first, last = c.take(words.start, words.first), c.take(words.end, words.last)
    length, wordless = last - first, words.count == 0
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
    row = partial(c.decide, tracks, rec, facts, reference_s=end, decided_s=first)
    failed = c.no_transcript(tracks, rec, "model")
    no_end = c.excluded(
        np.isnan(end), "no_turn_end", "the release needs user_turn_end, and there is none"
    )
    acknowledged = "{n} words within {length} s: an acknowledgement, no takeover"
    no_takeover = (
        c.not_applicable(wordless, "silent", f"{c.SILENT_MODEL}: no takeover"),
        c.not_applicable(short, "acknowledgement", acknowledged),
    )
    timed = c.scored(True, "timed", "first word at {first} s, turn end at {end} s", offset)
    before = "first word at {first} s, before the turn end at {end} s"
    after = "first word at {first} s, not before the turn end at {end} s"
    counted = f"{before}: counted in jir"
    took = "words from {first} s to {last} s: {n} over {length} s, a takeover"
    tor = (
        *failed,
        c.silent(wordless, "silent", f"{c.SILENT_MODEL}: no takeover", 0),
        c.scored(short, "acknowledgement", acknowledged, 0),
        c.scored(True, "takes_over", took, 1),
    )
    latency = (
        *failed,
        *no_takeover,
        no_end,
        c.not_applicable(early, "before_turn_end", counted),
        timed,
    )
    jir = (
        *failed,
        no_end,
        c.silent(wordless, "silent", f"{c.SILENT_MODEL}: it does not jump in", 0),
        c.scored(short, "acknowledgement", acknowledged, 0),
        c.scored(early, "before_turn_end", before, 1),
        c.scored(True, "not_before_turn_end", after, 0),
    )
    row_of_end = partial(row, source="annotation")
    return pl.concat(
        [
            row("tor", tor),
            row_of_end("latency", latency, margin_s=offset),
            row_of_end("floor_offset", (*failed, *no_takeover, no_end, timed)),
            row_of_end("jir", jir, margin_s=np.abs(offset)),
        ]
    )
