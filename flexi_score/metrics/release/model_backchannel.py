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

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.config import Settings
from flexi_score.metrics.registry import Metric
from flexi_score.metrics.release.common import (
    NO_MODEL_TRANSCRIPT,
    Case,
    Runs,
    count_where,
    decide,
    first_where,
    last_where,
    runs_of,
    take,
)
from flexi_score.metrics.release.distance import backchannel_distance, reference_known
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks

_SOURCE = "FLEXI release, model-backchannel script"

METRICS: tuple[Metric, ...] = (
    Metric(
        "release",
        "model_backchannel",
        "tor",
        "TOR",
        "",
        "down",
        "rate",
        "of the last speech segment: 1 where it is at least 1 s long or has more than 2 words; 1 "
        "too where any segment is longer than 3 s; 0 without segments",
        _SOURCE,
        "no transcript of the model",
    ),
    Metric(
        "release",
        "model_backchannel",
        "bcr",
        "BCR",
        "1/s",
        "up",
        "mean",
        "backchannels divided by the recording's duration",
        _SOURCE,
        "no transcript of the model, or no duration",
    ),
    Metric(
        "release",
        "model_backchannel",
        "backchannels",
        "Backchannels",
        "",
        "none",
        "sum",
        "segments shorter than 1 s with at most 2 words, after the last segment that is neither, "
        "up to the first segment longer than 3 s",
        _SOURCE,
        "no transcript of the model",
    ),
    Metric(
        "release",
        "model_backchannel",
        "jsd",
        "JSD",
        "",
        "down",
        "mean",
        "Jensen-Shannon distance (square root, natural log) between the backchannels on 0.2 s bins "
        "and the reference stretched to as many bins; 1 without backchannels",
        _SOURCE,
        "no transcript of the model, or no reference",
    ),
)


def score(
    tracks: Tracks, rec: NDArray[np.int64], settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """``tor bcr backchannels jsd`` of scenario model_backchannel.

    See :data:`flexi_score.metrics.release.Scorer`.
    """
    segments, words = runs_of(tracks.model_speech, rec), runs_of(tracks.model_words, rec)
    inside = words_inside(segments, words)
    tor, stop, kept = scan(segments, inside)
    count = count_where(segments, kept)
    duration = tracks.duration_ms[rec] / 1000
    has_reference = reference_known(tracks, rec)
    known = tracks.model_words.known[rec]
    distance = backchannel_distance(
        tracks, rec, segments, kept, known & has_reference & (count > 0) & (duration > 0)
    )
    last = np.where(stop >= 0, stop, segments.last)
    facts = {
        "segments": segments.count,
        "n": count,
        "duration": duration,
        "distance": distance,
        "start": take(segments.start, last),
        "end": take(segments.end, last),
        "length": take(segments.end, last) - take(segments.start, last),
        "words": np.append(inside, 0)[last],
    }
    silent = segments.count == 0
    failed = Case(~known, np.nan, "failed", NO_MODEL_TRANSCRIPT, code="no_model_transcript")
    no_length = Case(
        duration <= 0, np.nan, "excluded", "the recording has no duration", code="no_duration"
    )
    nothing = "the model has no speech segment"
    listed = "backchannels left: {n} of {segments} speech segments"
    tor_rows = decide(
        tracks,
        rec,
        "tor",
        facts,
        [
            failed,
            Case(silent, 0.0, "silent", f"{nothing}: no takeover", code="silent"),
            Case(
                stop >= 0,
                1.0,
                "scored",
                "segment [{start}, {end}] s is {length} s, longer than 3 s: a takeover",
                code="long_segment",
            ),
            Case(
                tor,
                1.0,
                "scored",
                "the last segment [{start}, {end}] s, {length} s with {words} words, takes over",
                code="takes_over",
            ),
            Case(
                True,
                0.0,
                "scored",
                "the last segment [{start}, {end}] s, {length} s with {words} words, is a "
                "backchannel",
                code="backchannel_last",
            ),
        ],
        decided_s=facts["start"],
        source="detected",
    )
    bcr = decide(
        tracks,
        rec,
        "bcr",
        facts,
        [
            failed,
            no_length,
            Case(silent, 0.0, "silent", f"{nothing}: no backchannel", code="silent"),
            Case(
                True,
                count / np.where(duration > 0, duration, 1),
                "scored",
                f"{listed}, in {{duration}} s",
                code="counted",
            ),
        ],
        source="detected",
    )
    number = decide(
        tracks,
        rec,
        "backchannels",
        facts,
        [
            failed,
            Case(silent, 0.0, "silent", f"{nothing}: no backchannel", code="silent"),
            Case(True, count, "scored", listed, code="counted"),
        ],
        source="detected",
    )
    jsd = decide(
        tracks,
        rec,
        "jsd",
        facts,
        [
            failed,
            no_length,
            Case(
                ~has_reference,
                np.nan,
                "excluded",
                "there is no reference to compare with",
                code="no_reference",
            ),
            Case(silent, 1.0, "silent", f"{nothing}: 1", code="silent"),
            Case(count == 0, 1.0, "scored", f"{listed}: 1", code="no_backchannel"),
            Case(
                np.isnan(distance),
                np.nan,
                "excluded",
                "the reference adds up to nothing or is not finite",
                code="bad_reference",
            ),
            Case(
                True,
                distance,
                "scored",
                f"{listed}; distance from the reference {{distance}}",
                code="compared",
            ),
        ],
        source="detected",
    )
    return pl.concat([tor_rows, bcr, number, jsd])


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


def _count_before(owner: Ints, time: Floats, of: Ints, limit: Floats, side: str) -> Ints:
    """How many of the sorted ``(owner, time)`` precede each ``(of, limit)``, over all owners.

    ``side`` "left" leaves out equal times, "right" counts them. The result of two calls for the
    same ``of`` may be subtracted: what belongs to earlier owners cancels.
    """
    # Ranks of all times make (owner, time) one sortable integer, exactly.
    ranks = np.unique(np.concatenate([time, limit]), return_inverse=True)[1].astype(np.int64)
    width = len(ranks) + 1
    keys = owner * width + ranks[: len(time)]
    asked = of * width + ranks[len(time) :]
    return np.searchsorted(keys, asked, "left" if side == "left" else "right").astype(np.int64)


def scan(segments: Runs, inside: Ints) -> tuple[Bools, Ints, Bools]:
    """The script's walk over the segments, for all recordings at once.

    Parameters
    ----------
    segments : Runs
    inside : ndarray of int64, shape (m,)
        Words in each segment.

    Returns
    -------
    tor : ndarray of bool, shape (k,)
    stop : ndarray of int64, shape (k,)
        Position of the first segment longer than 3 s, where the walk ends; -1 without one.
    kept : ndarray of bool, shape (m,)
        The segments left in the list of backchannels.
    """
    length = segments.end - segments.start
    stop = first_where(segments, length > 3)
    position = np.arange(len(length))
    walked = (stop < 0)[segments.owner] | (position < stop[segments.owner])
    takes = (length >= 1) | (inside > 2)
    clears = last_where(segments, walked & takes)
    kept = walked & (position > clears[segments.owner])
    last_takes = (segments.count > 0) & (clears == segments.last)
    return (stop >= 0) | last_takes, stop, kept
