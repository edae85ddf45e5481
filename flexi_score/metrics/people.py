"""Timing of a conversation's single events, to be held against people's.

Conventions
-----------
Every value belongs to the speaker whose choice it was:

- ``floor_offset``: floor-transfer offset of a turn of the speaker, signed (< 0: overlap);
- ``gap``: silence between the speakers that an IPU of the speaker ends;
- ``overlap``: stretch of both speaking that begins with an IPU of the speaker;
- ``pause``: silence between two IPUs of the speaker;
- ``backchannel``: start of a backchannel minus end of the other's last IPU that began before it,
  signed: below 0 it is spoken into the other's speech, else into a silence of the other.

A gap or overlap that both begin or end at once is one value of each.
"""

from dataclasses import replace
from typing import Final

import polars as pl

from flexi_score.config import PROFILES
from flexi_score.metrics.registry import Metric

KINDS: Final = ("floor_offset", "gap", "overlap", "pause", "backchannel")

TIMINGS: Final = pl.Schema(
    {"recording": pl.String, "speaker": pl.String, "kind": pl.String, "value_s": pl.Float64}
)

#: Published medians (s) of floor-transfer offsets, by language (ISO 639-1; "": any other). No
#: source prints a distribution; these are the numbers that are printed.
PUBLISHED: Final = {
    "en": (0.168, "Switchboard, 19 754 floor transfers (Roberts, Torreira & Levinson 2015)"),
    "ja": (0.0, "Japanese, answers to polar questions (Stivers et al. 2009)"),
    "da": (0.3, "Danish, answers to polar questions (Stivers et al. 2009)"),
    "lo": (0.3, "Lao, answers to polar questions (Stivers et al. 2009)"),
    "": (0.1, "ten languages, answers to polar questions (Stivers et al. 2009)"),
}

_LABELS: Final = {
    "floor_offset": "floor offsets",
    "gap": "gaps",
    "overlap": "overlaps",
    "pause": "pauses",
    "backchannel": "backchannel timing",
}
_NONE: Final = "no --reference, or it or the model has no such event"

ABOVE_PEOPLE: Final = Metric(
    "paper",
    "conversation",
    "model_floor_offset_above_people",
    "Model floor offset, median above people's",
    "s",
    "none",
    "mean",
    "median of the model's floor offsets minus the median that is published for people of the "
    "language (extract.language)",
    "; ".join(f"{source}: {median:g} s" for median, source in PUBLISHED.values()),
    "the model never takes the floor",
)

_PANEL: Final = (
    ABOVE_PEOPLE,
    *(
        metric
        for kind, label in _LABELS.items()
        for metric in (
            Metric(
                "paper",
                "conversation",
                f"model_{kind}_ks",
                f"Model {label}, Kolmogorov-Smirnov distance from people's",
                "0-1",
                "down",
                "mean",
                f"largest difference between the distribution functions of the model's {label} and "
                "of people's (--reference)",
                "Kolmogorov-Smirnov statistic of two samples",
                _NONE,
            ),
            Metric(
                "paper",
                "conversation",
                f"model_{kind}_wasserstein",
                f"Model {label}, Wasserstein distance from people's",
                "s",
                "down",
                "mean",
                f"area between the distribution functions of the model's {label} and of people's "
                "(--reference)",
                "Wasserstein-1 distance of two samples",
                _NONE,
            ),
        )
    ),
)

#: Of the summary alone: no recording has a value of its own.
METRICS: Final = tuple(replace(m, profile=profile) for profile in PROFILES for m in _PANEL)


def timings(events: pl.DataFrame) -> pl.DataFrame:
    """Times of single events, one row per event and speaker.

    Parameters
    ----------
    events : polars.DataFrame
        ``recording, speaker, kind, start_ms, end_ms, success, latency_ms`` of
        :data:`flexi_score.schema.EVENTS`.

    Returns
    -------
    polars.DataFrame
        :data:`TIMINGS`, in no order.

    Examples
    --------
    >>> import flexi_score as fs
    >>> events = fs.structure(user=[(0, 2)], model=[(2.3, 5)], duration=6)
    >>> timings(events).filter(kind="floor_offset").rows()
    [('recording', 'model', 'floor_offset', 0.3)]
    """
    ipus = events.filter(kind="ipu").select("recording", "speaker", "start_ms", "end_ms")
    of_kind = {kind: events.filter(kind=kind) for kind in ("gap", "overlap", "pause")}
    turns = events.filter((pl.col("kind") == "turn") & pl.col("success"))
    began = ipus.select("recording", "speaker", at="start_ms")
    length = pl.col("end_ms") - pl.col("start_ms")
    parts = [("floor_offset", turns, pl.col("latency_ms")), ("pause", of_kind["pause"], length)]
    for kind, edge in (("gap", "end_ms"), ("overlap", "start_ms")):
        silent = of_kind[kind].drop("speaker")
        joined = silent.join(began, left_on=["recording", edge], right_on=["recording", "at"])
        parts.append((kind, joined, length))
    said = events.filter(kind="backchannel").select(
        "recording", "speaker", "start_ms", other=_other(pl.col("speaker"))
    )
    others = ipus.rename({"speaker": "other"}).with_columns(began="start_ms")
    behind = said.sort("start_ms").join_asof(
        others.sort("start_ms"),
        on="start_ms",
        by=["recording", "other"],
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    parts.append(("backchannel", behind, pl.col("start_ms") - pl.col("end_ms")))
    return pl.concat(
        part.select(
            "recording", "speaker", kind=pl.lit(kind), value_s=value.cast(pl.Float64) / 1000
        )
        for kind, part, value in parts
    ).drop_nulls("value_s")


def _other(speaker: pl.Expr) -> pl.Expr:
    return pl.when(speaker == "user").then(pl.lit("model")).otherwise(pl.lit("user"))
