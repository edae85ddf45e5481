"""Which speech has words that a metric reads (``--asr needed``).

Timing looks at words for one purpose: an utterance of at most ``backchannel.max_ms`` is no
backchannel if it holds more than ``backchannel.max_words`` words. A group of IPUs that long, or
what is left of a group after a yield, consists of IPUs that are no longer themselves. So it is
enough to hear the IPUs that are not longer than ``extract.asr_needed_max_ms``, whatever groups
they will form under other settings and without what turns out to be crosstalk.

The words of an archive must not depend on settings that can be changed later, so the IPUs are
those of the default settings, and stretches that are short to the detector alone are heard, too.
"""

import numpy as np
from numpy.typing import NDArray

from flexi_score.archive.tables import ENVELOPE_MS
from flexi_score.audio.levels import ChannelLevels
from flexi_score.config import IpuSettings, SpeechSettings
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Intervals
from flexi_score.speech.boundaries import place_boundaries
from flexi_score.speech.frames import Frames
from flexi_score.speech.hysteresis import speech_segments


def short_speech(
    speech: Intervals,
    probabilities: NDArray[np.uint16],
    levels: ChannelLevels,
    duration_ms: int,
    max_ms: int,
) -> Intervals:
    """The speech of one channel whose words matter to timing, sorted and disjoint.

    ``speech``: what full recognition would hear. ``max_ms``: ``extract.asr_needed_max_ms``.
    """
    frames = np.array([0, len(probabilities)], np.int64)
    length = np.array([duration_ms], np.int64)
    detected = speech_segments(probabilities, frames, length, SpeechSettings())
    envelope = Frames.single(levels.envelope_cdb, ENVELOPE_MS)
    placed = place_boundaries(detected, envelope, length)
    short = [_short(track, max_ms) for track in (speech, placed)]
    both = Spans(
        np.concatenate([spans.rec for spans in short]),
        np.concatenate([spans.start for spans in short]),
        np.concatenate([spans.end for spans in short]),
    )
    joined = axis.bridge(both.take(np.argsort(both.start, kind="stable")), 0)
    return Intervals(joined.rec, joined.start, joined.end)


def _short(track: Intervals, max_ms: int) -> Spans:
    ipus = axis.bridge(Spans(track.rec, track.start_ms, track.end_ms), IpuSettings().min_silence_ms)
    return ipus.take(ipus.end - ipus.start <= max_ms)
