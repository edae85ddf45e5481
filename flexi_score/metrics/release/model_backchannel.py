"""model_backchannel as the release scores it.

Conventions
-----------
``Tracks.model_speech`` holds the segments that Silero's own defaults give. Words are entries of
the transcript, as the script counts them, whatever the language.

Divergences from profile ``paper``
----------------------------------
1. A takeover followed by "yeah" scores as no takeover: the last segment decides. Moves ``tor``
   down.
2. A takeover forgets the backchannels before it. Moves ``bcr`` down.
3. A segment of 3 words is no backchannel. Moves ``tor`` up.
4. The whole recording counts, not only the user's turn.
5. ``jsd`` is the square root of the divergence in natural log, at most 0.8326, but 1 where there
   are no backchannels.
"""

from functools import partial
from typing import Final, Literal

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.metrics.release import common as c
from flexi_score.metrics.release.common import Runs, first_where, last_where
from flexi_score.metrics.release.distance import backchannel_distance, reference_known
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks

METRICS: Final = metric_table(
    "release",
    "model_backchannel",
    """
    tor | TOR | rate | down
      of the last speech segment: 1 where it is at least 1 s long or has more than 2 words; 1 too
      where any segment is longer than 3 s; 0 without segments
      null: no transcript of the model

    bcr | BCR | mean | up | 1/s
      backchannels divided by the recording's duration
      null: no transcript of the model, or no duration

    backchannels | Backchannels | sum | none
      segments shorter than 1 s with at most 2 words, after the last segment that is neither, up
      to the first segment longer than 3 s
      null: no transcript of the model

    jsd | JSD | mean | down
      Jensen-Shannon distance (square root, natural log) between the backchannels on 0.2 s bins
      and the reference stretched to as many bins; 1 without backchannels
      null: no transcript of the model, or no reference
    """,
    "FLEXI release, model-backchannel script",
)


def score(tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies) -> pl.DataFrame:
    """``tor bcr backchannels jsd`` (:data:`flexi_score.metrics.release.Scorer`)."""
    segments, words = c.runs_of(tracks.model_speech, rec), c.runs_of(tracks.model_words, rec)
    inside = words_inside(segments, words)
    tor, stop, listed = scan(segments, inside)
    count = c.count_where(segments, listed)
    duration = tracks.duration_ms[rec] / 1000
    has_reference = reference_known(tracks, rec)
    computed = tracks.model_words.known[rec] & has_reference & (count > 0) & (duration > 0)
    distance = backchannel_distance(tracks, rec, segments, listed, computed)
    last = np.where(stop >= 0, stop, segments.last)
    start, end = c.take(segments.start, last), c.take(segments.end, last)
    facts = {
        "segments": segments.count,
        "n": count,
        "duration": duration,
        "distance": distance,
        "start": start,
        "end": end,
        "length": end - start,
        "words": np.append(inside, 0)[last],
    }
    no_segment = segments.count == 0
    failed = c.no_transcript(tracks, rec, "model")
    no_length = c.excluded(duration <= 0, "no_duration", "the recording has no duration")
    nothing = "the model has no speech segment"
    silent = c.silent(no_segment, "silent", f"{nothing}: no backchannel", 0)
    long = "segment [{start}, {end}] s is {length} s, longer than 3 s: a takeover"
    ending = "the last segment [{start}, {end}] s, {length} s with {words} words"
    left = "backchannels left: {n} of {segments} speech segments"
    rate = count / np.where(duration > 0, duration, 1)
    takeover = (
        *failed,
        c.silent(no_segment, "silent", f"{nothing}: no takeover", 0),
        c.scored(stop >= 0, "long_segment", long, 1),
        c.scored(tor, "takes_over", f"{ending}, takes over", 1),
        c.scored(True, "backchannel_last", f"{ending}, is a backchannel", 0),
    )
    counted = c.scored(True, "counted", f"{left}, in {{duration}} s", rate)
    jsd = (
        *failed,
        no_length,
        c.excluded(~has_reference, "no_reference", "there is no reference to compare with"),
        c.silent(no_segment, "silent", f"{nothing}: 1", 1),
        c.scored(count == 0, "no_backchannel", f"{left}: 1", 1),
        c.excluded(
            np.isnan(distance), "bad_reference", "the reference adds up to nothing or is not finite"
        ),
        c.scored(True, "compared", f"{left}; distance from the reference {{distance}}", distance),
    )
    row = partial(c.decide, tracks, rec, facts, source="detected")
    return pl.concat(
        [
            row("tor", takeover, decided_s=start),
            row("bcr", (*failed, no_length, silent, counted)),
            row("backchannels", (*failed, silent, c.scored(True, "counted", left, count))),
            row("jsd", jsd),
        ]
    )


def words_inside(segments: Runs, words: Runs) -> Ints:
    """How many words of the same recording overlap each segment; shape (m,).

    Of the words that start before a segment ends, those that end by its start do not overlap it.
    """
    started = _count_before(words.owner, words.start, segments.owner, segments.end, "left")
    order = np.lexsort((words.end, words.owner))
    ended = _count_before(
        words.owner[order], words.end[order], segments.owner, segments.start, "right"
    )
    return started - ended


def _count_before(
    owner: Ints, time: Floats, of: Ints, limit: Floats, side: Literal["left", "right"]
) -> Ints:
    """How many of the sorted ``(owner, time)`` precede each ``(of, limit)``, over all owners.

    ``side`` "left" leaves out equal times, "right" counts them. The result of two calls for the
    same ``of`` may be subtracted: what belongs to earlier owners cancels.
    """
    # Ranks of all times make (owner, time) one sortable integer, exactly.
    ranks = np.unique(np.concatenate([time, limit]), return_inverse=True)[1].astype(np.int64)
    width = len(ranks) + 1
    keys = owner * width + ranks[: len(time)]
    limits = of * width + ranks[len(time) :]
    return np.searchsorted(keys, limits, side).astype(np.int64)


def scan(segments: Runs, inside: Ints) -> tuple[Bools, Ints, Bools]:
    """The script's walk over the segments, for all recordings at once.

    Returns the takeovers; the first segment longer than 3 s, where the walk ends (-1 without one);
    and which segments are left in the list of backchannels.
    """
    length = segments.end - segments.start
    stop = first_where(segments, length > 3)
    position = np.arange(len(length))
    walked = (stop < 0)[segments.owner] | (position < stop[segments.owner])
    takes = (length >= 1) | (inside > 2)
    clears = last_where(segments, walked & takes)
    listed = walked & (position > clears[segments.owner])
    last_takes = (segments.count > 0) & (clears == segments.last)
    return (stop >= 0) | last_takes, stop, listed
