"""What the page needs to draw a recording: its events, words, scores and annotations, as JSON.

The tables of all recordings that are drawn are encoded at once, column by column. In the page a
recording's JSON stays a piece of text until somebody opens that recording.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.tables import UNSEEN
from flexi_score.schema import RATINGS, SPEAKERS, STATUSES

#: Codes of events in the page; a ``silence`` is a pause, a gap, or the edge of the recording.
KINDS: Final = ("ipu", "turn", "pause", "gap", "overlap", "backchannel", "interruption")
WHO: Final = (*SPEAKERS, "both", "none")
#: Rows of events of all drawn recordings together: some 20 MB of the page.
MOST_EVENTS: Final = 300_000
#: Characters of one text of a judge's question or reply.
_MOST_TEXT: Final = 8_000

#: Like :data:`flexi_score.report.tables.UNSEEN`, but lines stay lines.
STEERING: Final = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+"

#: What the reference moment of a scenario is.
REFERENCES: Final = {
    "turn_taking": "user turn ends",
    "pause_handling": "pause starts",
    "user_interrupt": "interruption starts",
    "model_interrupt": "user turn ends",
    "user_backchannel": "backchannel starts",
    "model_backchannel": "user turn ends",
}
#: Labels of annotations that are one moment or span, and their columns.
ANNOTATIONS: Final = (
    ("user turn ends", "user_turn_end_ms", None),
    ("pause", "pause_start_ms", "pause_end_ms"),
    ("interruption", "interrupt_start_ms", "interrupt_end_ms"),
)
_TEXTS: Final = (
    ("query", "text_query"),
    ("context", "text_context"),
    ("interruption", "text_interrupt"),
    ("statement", "text_statement"),
)


def timelines(
    recordings: pl.DataFrame,
    events: pl.DataFrame,
    scores: pl.DataFrame,
    metrics: Sequence[Metric],
    *,
    words: pl.DataFrame | None = None,
    health: pl.DataFrame | None = None,
    ratings: pl.DataFrame | None = None,
    most_events: int = MOST_EVENTS,
) -> dict[str, str]:
    """JSON of each recording.

    ``recordings``: those to draw, in order: at least ``recording`` of
    :data:`flexi_score.schema.RECORDINGS`; annotations, texts, ``metadata`` and ``duration_ms``
    where there are such columns. ``events`` and ``scores``: :data:`flexi_score.schema.EVENTS` and
    :data:`flexi_score.schema.SCORES`, of any recordings. ``metrics``: of one profile; scores name
    their metric by its place here, or in full. ``words``: ``recording, speaker, start_ms, end_ms,
    text``. ``health`` and ``ratings``: :data:`flexi_score.schema.HEALTH` and
    :data:`flexi_score.schema.RATINGS`. ``most_events``: recordings past this many rows of events,
    counted in order, are left out. Returns by recording: ``{"d": duration in ms, "ev": events, "w":
    words, "sc": scores, "an": annotations, "h": health, "j": ratings, "tx": texts}``, columns of
    each as lists.
    """
    names = recordings["recording"]
    events = _of(events, names)
    ends = dict(events.group_by("recording").agg(pl.col("end_ms").max()).iter_rows())
    events = events.filter(pl.col("kind").is_in(KINDS))
    names = names.filter(_counted(names, events) <= most_events)
    events = _of(events, names).sort("start_ms", "end_ms")
    parts = {
        "ev": _encoded(
            events.select(
                "recording",
                k=_code("kind", KINDS),
                p=_code("speaker", WHO),
                a=pl.col("start_ms"),
                b=pl.col("end_ms"),
                ok=pl.col("success"),
                l=pl.when(pl.col("kind") == "turn").then("latency_ms"),
                x=pl.when(pl.col("kind") == "ipu").then(clean("text")),
            )
        ),
        "sc": _encoded(_scores(_of(scores, names), metrics)),
    }
    if words is not None:
        parts["w"] = _encoded(
            _of(words, names)
            .sort("start_ms", "end_ms")
            .select(
                "recording",
                p=_code("speaker", WHO),
                a=pl.col("start_ms"),
                b=pl.col("end_ms"),
                t=clean("text"),
            )
        )
    if health is not None:
        bad = _of(health, names).filter(pl.col("verdict") != "fine")
        texts = [clean(name).alias(name) for name in ("check", "channel", "detail", "remedy")]
        parts["h"] = _encoded(bad.select("recording", "verdict", *texts))
    if ratings is not None:
        parts["j"] = _encoded(rating_rows(_of(ratings, names)))
    out = {}
    for row in recordings.filter(names_in("recording", names)).iter_rows(named=True):
        name = row["recording"]
        duration = row.get("duration_ms") or ends.get(name) or 0
        rest = {"d": duration, "an": noted_spans(row), "tx": _texts(row)}
        text = [json.dumps(rest, ensure_ascii=False)[1:-1]]
        text += [f'"{key}":{part[name]}' for key, part in parts.items() if name in part]
        out[name] = ",".join(text)
    return {name: f"{{{text}}}" for name, text in out.items()}


def clean(column: str) -> pl.Expr:
    """A column of text on one line, without characters that reorder or hide their neighbours."""
    return pl.col(column).str.replace_all(UNSEEN.pattern, " ")


def names_in(column: str, names: pl.Series) -> pl.Expr:
    """Whether a column holds one of these names."""
    return pl.col(column).is_in(names.cast(pl.String).implode())


def rating_rows(ratings: pl.DataFrame) -> pl.DataFrame:
    """Ratings as the page shows them: ``recording`` and the texts, bounded, line by line."""
    absent = [
        pl.lit(None, kind).alias(name)
        for name, kind in RATINGS.items()
        if name not in ratings.columns
    ]
    bounded = [
        pl.col(name).str.slice(0, _MOST_TEXT).str.replace_all(STEERING, " ").alias(name)
        for name in ("question", "reply", "reason", "problem")
    ]
    return ratings.with_columns(absent).select(
        "recording",
        *(clean(name) for name in ("metric", "rubric", "model", "status")),
        "repeat",
        "value",
        *bounded,
    )


def _of(table: pl.DataFrame, names: pl.Series) -> pl.DataFrame:
    return table.filter(names_in("recording", names))


def _counted(names: pl.Series, events: pl.DataFrame) -> pl.Series:
    """Rows of events of these recordings and all before them."""
    counts = events.group_by("recording").len()
    joined = names.to_frame("recording").join(
        counts, on="recording", how="left", maintain_order="left"
    )
    return joined["len"].fill_null(0).cum_sum()


def _code(column: str, names: Sequence[str]) -> pl.Expr:
    codes = {name: number for number, name in enumerate(names)}
    return pl.col(column).replace_strict(codes, default=len(names) - 1, return_dtype=pl.Int8)


def _scores(scores: pl.DataFrame, metrics: Sequence[Metric]) -> pl.DataFrame:
    positions = pl.DataFrame(
        [(m.scenario, m.name, k) for k, m in enumerate(metrics)],
        schema={"scenario": pl.String, "metric": pl.String, "m": pl.Int64},
        orient="row",
    )
    known = scores.join(positions, on=["scenario", "metric"], how="left", maintain_order="left")
    general = positions.filter(pl.col("scenario") == "conversation").select("metric", general="m")
    known = known.join(general, on="metric", how="left", maintain_order="left")
    return known.select(
        "recording",
        m=pl.coalesce("m", "general"),
        n=clean("metric"),
        v=pl.col("value").cast(pl.Float64).fill_nan(None).round(4),
        s=_code("status", (*STATUSES,)),
        y=clean("reason"),
        f=pl.col("reference_ms"),
        t=pl.col("decided_ms"),
        g=pl.col("margin_s").cast(pl.Float64).fill_nan(None).round(4),
        o=clean("source"),
    )


def _encoded(table: pl.DataFrame) -> dict[str, str]:
    """JSON of each recording's rows: an object with one list per column."""
    columns = [name for name in table.columns if name != "recording"]
    if table.is_empty():
        return {}
    lists = table.group_by("recording", maintain_order=True).agg(columns)
    encoded = lists.select("recording", pl.struct(columns).struct.json_encode().alias("json"))
    return dict(encoded.iter_rows())


def noted_spans(row: Mapping[str, Any]) -> list[list[Any]]:
    """Label, start and end (null: a moment) of what the manifest says of a recording."""
    spans: list[list[Any]] = []
    for label, start, end in ANNOTATIONS:
        if row.get(start) is not None:
            spans.append([label, row[start], row.get(end) if end else None])
    for span in row.get("backchannels") or ():
        spans.append(["backchannel", span["start_ms"], span["end_ms"]])
    for moment in row.get("reference_backchannels_ms") or ():
        spans.append(["a listener would answer", moment, None])
    return spans


def _texts(row: Mapping[str, Any]) -> list[list[str]]:
    """What the manifest says in words: texts for the judge, and metadata."""
    texts = [[label, _line(row[key])] for label, key in _TEXTS if row.get(key)]
    try:
        more = json.loads(row.get("metadata") or "{}")
    except ValueError:
        more = {}
    pairs = more.items() if isinstance(more, dict) else ()
    return texts + [[_line(key), _line(value)] for key, value in list(pairs)[:50]]


def _line(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return UNSEEN.sub(" ", text)[:_MOST_TEXT]
