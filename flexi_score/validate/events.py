"""Which events of the truth were found, and which were made up."""

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.schema import EVENT_KINDS, make_schema
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import Ints, select_tracks
from flexi_score.validate.match import match
from flexi_score.validate.paired import Paired, numbered

EVENT_COUNTS = make_schema({"recording speaker kind": pl.String, "truth found matched": pl.Int64})

#: Who can have events of each kind.
_SPEAKERS = {"gap": ("none",), "silence": ("none",), "overlap": ("both",)}


def event_counts(
    paired: Paired, events: pl.DataFrame, settings: Settings, collar_ms: int
) -> pl.DataFrame:
    """Events of truth and run, and how many are the same (:data:`EVENT_COUNTS`).

    The truth's events are those of its speech under the run's settings. Two are the same if kind
    and speaker are, and their starts and ends are at most ``collar_ms`` apart.
    """
    tracks = select_tracks(paired.truth, paired.both)
    names = tracks.recordings["recording"]
    origin = axis.origins(tracks.duration_ms)
    truth = numbered(events_frame(build_structure(tracks, settings), with_text=False), names)
    predicted = numbered(events, names)
    n = len(tracks)
    frames = []
    for kind in EVENT_KINDS:
        for speaker in _SPEAKERS.get(kind, ("user", "model")):
            sides = [_spans(side, kind, speaker, origin) for side in (truth, predicted)]
            matched, _ = match(sides[0], sides[1], collar_ms)
            frame = pl.DataFrame(
                {
                    "recording": names,
                    "truth": np.bincount(sides[0].rec, minlength=n),
                    "found": np.bincount(sides[1].rec, minlength=n),
                    "matched": np.bincount(sides[0].rec[matched], minlength=n),
                }
            )
            frames.append(
                frame.with_columns(kind=pl.lit(kind), speaker=pl.lit(speaker)).select(
                    pl.col(name).cast(dtype) for name, dtype in EVENT_COUNTS.items()
                )
            )
    return pl.concat(frames)


def _spans(events: pl.DataFrame, kind: str, speaker: str, origin: Ints) -> Spans:
    own = events.filter((pl.col("kind") == kind) & (pl.col("speaker") == speaker))
    own = own.sort("rec", "start_ms", "end_ms")
    rec, start, end = (own[name].to_numpy() for name in ("rec", "start_ms", "end_ms"))
    return Spans(rec, start + origin[rec], end + origin[rec])
