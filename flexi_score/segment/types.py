"""What a structure consists of, for all recordings at once."""

from dataclasses import dataclass

from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks

USER, MODEL, NOBODY = 0, 1, -1

CLAIM, BACKCHANNEL, FAILED = 0, 1, 2


@dataclass(frozen=True)
class Speaker:
    """IPUs of one speaker and the groups they form."""

    ipus: Spans
    ipu_words: Floats  # shape (k,): words in each IPU, NaN where the recording has no transcript
    #: shape (w,): index of the IPU of each word of the track, -1 where it lies in none
    ipu_word: Ints
    group: Ints  # shape (k,): group of each IPU
    groups: Spans
    group_words: Floats  # shape (g,)
    #: shape (g,): longer than a backchannel may be: a *takeover* in the sense of paper eq. 7
    long: Bools
    role: Ints  # shape (k,): CLAIM, BACKCHANNEL or FAILED
    holder: Ints  # shape (k,): who held the turn when the IPU began: USER, MODEL or NOBODY

    @property
    def takeovers(self) -> Spans:
        """Groups that are neither silence nor a backchannel (paper eq. 7)."""
        return self.groups.take(self.long)

    @property
    def speech(self) -> Spans:
        """IPUs that are no backchannels."""
        return self.ipus.take(self.role != BACKCHANNEL)


@dataclass(frozen=True)
class Labelled:
    """Spans with a speaker each (USER, MODEL, NOBODY)."""

    spans: Spans
    speaker: Ints


@dataclass(frozen=True)
class Turns(Labelled):
    """Turns, sorted by start.

    ``n_ipus``; ``took_floor``: false for a failed attempt; ``offset_ms``: floor-transfer offset to
    the turn before it, NaN where there is none.
    """

    n_ipus: Ints
    took_floor: Bools
    offset_ms: Floats


@dataclass(frozen=True)
class Interruptions(Labelled):
    """Interrupting IPUs: ``success``, and ``stop_ms`` until the other stops."""

    success: Bools
    stop_ms: Ints


@dataclass(frozen=True)
class Structure:
    """Structure of all recordings, on the common axis (:mod:`flexi_score.segment.axis`)."""

    tracks: Tracks
    origin: Ints
    duration_ms: Ints
    user: Speaker
    model: Speaker
    turns: Turns
    backchannels: Labelled
    interruptions: Interruptions
    silences: Spans
    pauses: Labelled
    gaps: Spans
    overlaps: Spans

    def __len__(self) -> int:
        return len(self.origin)
