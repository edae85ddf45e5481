"""The value of every health check, from what is known of recordings."""

from typing import Final

import polars as pl

from flexi_score.config import HealthSettings
from flexi_score.config.health import CHECKS, LIMITS
from flexi_score.schema import SPEAKERS

#: What is sounding in a channel without speech rises this far above its own floor.
SOUND_DB: Final = 20.0
#: One channel that is alike but further below the other than this holds its crosstalk, unless it is
#: exactly in step: what goes through the air comes later.
COPIED_GAIN_DB: Final = 12.0
IN_STEP_MS: Final = 1.0
#: Crosstalk as loud as this, of which nothing else remains, is a late copy.
LATE_COPY_DB: Final = -6.0
#: The band of less speech than this is that of a few sounds: "mhm" has nothing above 500 Hz.
BAND_SPEECH_MS: Final = 2000

#: A check, the channel it is of (None: the whole recording), its number, and the evidence in words.
_Measured = tuple[str, str | None, pl.Expr, pl.Expr]


def measure(facts: pl.DataFrame, settings: HealthSettings) -> pl.DataFrame:
    """The number of every check that can be made, with the evidence in words.

    Returns ``rec, recording, check, channel, value, detail``; channel is null for checks of the
    whole recording.
    """
    # A copy has no source that would be heard in it.
    in_step = pl.col("copy_lag_ms").abs() <= IN_STEP_MS
    alike = in_step | (pl.col("copy_gain_db").abs() <= COPIED_GAIN_DB)
    early = pl.when(alike).then(pl.col("copy_r").abs())
    late = {s: _late_copy(s) for s in SPEAKERS}
    likeness = pl.max_horizontal(early, *late.values())
    limits = (settings.limit("copied", name) for name in LIMITS)
    copy = likeness >= min((limit for limit in limits if limit is not None), default=2.0)
    table = facts.lazy().with_row_index("rec").with_columns(copy=copy.fill_null(False))
    both = pl.col("user_key").is_not_null() & pl.col("model_key").is_not_null()
    rows: list[_Measured] = [
        (
            "copied",
            None,
            likeness,
            pl.coalesce(
                *(
                    pl.when(late[s] > early.fill_null(0.0)).then(
                        _say(
                            f"the {s}'s channel is the other's at {{}} dB, {{}} ms late, and "
                            "nothing else",
                            (f"{s}_crosstalk_level_db", 1),
                            (f"{s}_crosstalk_lag_ms", 1),
                        )
                    )
                    for s in SPEAKERS
                ),
                _say(
                    "correlation {} at a lag of {} ms, the model {} dB against the user",
                    ("copy_r", 3),
                    ("copy_lag_ms", 1),
                    ("copy_gain_db", 1),
                ),
            ),
        ),
        (
            "mixed",
            None,
            pl.col("mixed_db"),
            _say("a party is in the other's channel at {} dB, without delay", ("mixed_db", 1)),
        ),
        ("swapped", None, pl.col("swapped"), pl.col("swapped_evidence")),
        ("timeline", None, pl.col("timeline"), pl.col("timeline_evidence")),
        ("annotation", "user", pl.col("annotation_ms"), pl.col("annotation_evidence")),
        # Both channels of one file have the same note.
        (
            "file",
            None,
            pl.when(pl.any_horizontal(pl.col("user_note", "model_note").is_not_null())).then(1.0),
            pl.concat_str(
                "user_note",
                pl.when(pl.col("paired") | pl.col("user_note").is_null()).then("model_note"),
                separator="; ",
                ignore_nulls=True,
            ),
        ),
        *_of_pair(),
        (
            "words",
            None,
            pl.col("word_confidence"),
            _say("a probability of {} on average", ("word_confidence", 2)),
        ),
        (
            "short",
            None,
            pl.when(both).then(pl.col("span_ms") / 1000),
            _say("{} s long", (pl.col("span_ms") / 1000, 2)),
        ),
    ]
    for speaker in SPEAKERS:
        rows += _of_channel(speaker)
    order = pl.Enum([check.name for check in CHECKS])
    return (
        pl.concat(_part(table, *row) for row in rows)
        .with_columns(pl.col("check").cast(order))
        .sort("rec", "check", maintain_order=True)
        .with_columns(pl.col("check").cast(pl.String))
        .collect()
    )


def _late_copy(speaker: str) -> pl.Expr:
    """Likeness of a channel to crosstalk that is all it holds."""
    level, depth = (pl.col(f"{speaker}_crosstalk_{name}_db") for name in ("level", "depth"))
    nothing_left = (level >= LATE_COPY_DB) & (pl.col(f"{speaker}_speech_ms") == 0)
    return pl.when(nothing_left).then((1 - 10 ** (-depth / 10)).sqrt())


def _of_pair() -> list[_Measured]:
    """Checks of a pair of files: their ends, and their clocks as crosstalk shows them."""
    shift = pl.col("model_offset_ms").fill_null(0) - pl.col("user_offset_ms").fill_null(0)
    ends = pl.col("model_duration_ms") - pl.col("user_duration_ms") + shift
    # Crosstalk is later than its source by the way it takes; what is earlier is the files' fault.
    early = pl.max_horizontal(
        -(pl.col("lag_into_model_ms") + shift), -(pl.col("lag_into_user_ms") - shift)
    )
    apart = pl.col("drift_ppm").abs() * pl.col("span_ms") / 1e6
    paired = pl.when("paired")
    lags = pl.concat_str(
        *(
            pl.when(pl.col(name).is_not_null()).then(_say(text, (pl.col(name) + sign * shift, 1)))
            for name, text, sign in (
                ("lag_into_model_ms", "the user is heard in the model's file {} ms late", 1),
                ("lag_into_user_ms", "the model is heard in the user's file {} ms late", -1),
            )
        ),
        separator=", ",
        ignore_nulls=True,
    )
    return [
        (
            "length",
            None,
            paired.then(ends.abs()),
            _say("the model's file ends {} ms after the user's", (ends, 0)),
        ),
        ("offset", None, paired.then(early), lags),
        (
            "drift",
            None,
            paired.then(apart),
            _say(
                "the model's clock is slow by {} ppm (by {} lags of crosstalk), {} ms over the "
                "recording",
                ("drift_ppm", 1),
                ("drift_lags", 0),
                (apart, 0),
            ),
        ),
    ]


def _of_channel(speaker: str) -> list[_Measured]:
    def c(name: str) -> pl.Expr:
        return pl.col(f"{speaker}_{name}")

    captured = c("key").is_not_null()
    speaks = pl.when(captured & (c("speech_ms") > 0))
    clipped = pl.max_horizontal(c("clipped_share"), c("flat_share").fill_null(0.0))
    above = c("active_dbfs") - c("noise_dbfs")
    level = _say(
        "its loudest half second is at {} dBFS, its floor at {} dBFS",
        (c("active_dbfs"), 1),
        (c("noise_dbfs"), 1),
    )
    left = c("offset_ms").fill_null(0) + c("duration_ms") - c("last_ms")
    return [
        (
            "crosstalk",
            speaker,
            pl.when(~pl.col("copy")).then(c("crosstalk_level_db")),
            _say(
                "the other party is heard at {} dB, {} ms late, and comes off by {} dB",
                (c("crosstalk_level_db"), 1),
                (c("crosstalk_lag_ms"), 1),
                (c("crosstalk_depth_db"), 1),
            ),
        ),
        (
            "crosstalk_left",
            speaker,
            pl.when(~pl.col("copy")).then(100 * c("crosstalk_doubt_share")),
            _say(
                "{} % of it stands less than 18 dB above what may be left of that",
                (100 * c("crosstalk_doubt_share"), 1),
            ),
        ),
        (
            "silent",
            speaker,
            pl.when(captured & ~pl.col("copy") & ~c("dead") & (c("speech_ms") == 0)).then(
                c("active_dbfs")
            ),
            _silence(speaker),
        ),
        (
            "clipping",
            speaker,
            speaks.then(clipped),
            _say(
                "{} % of its samples are at full scale or at one and the same peak of {} dBFS",
                (clipped * 100, 3),
                (c("peak_dbfs"), 1),
            ),
        ),
        ("level_low", speaker, speaks.then(c("active_dbfs")), level),
        ("level_high", speaker, speaks.then(c("active_dbfs")), level),
        ("snr", speaker, speaks.then(above), level),
        (
            "band",
            speaker,
            pl.when(captured & (c("speech_ms") >= BAND_SPEECH_MS)).then(c("band_hz")),
            _say("no energy of speech above {} Hz", (c("band_hz"), 0)),
        ),
        (
            "dropouts",
            speaker,
            speaks.then(c("dropout_ms")),
            _say(
                "{} runs of exact zeros inside speech, {} ms in all",
                (c("dropouts"), 0),
                (c("dropout_ms"), 1),
            ),
        ),
        (
            "truncated",
            speaker,
            speaks.then(left.clip(0)),
            _say("speech goes on to {} ms before the channel's end", (left.clip(0), 0)),
        ),
    ]


def _silence(speaker: str) -> pl.Expr:
    """Evidence of a party that said nothing, or of a capture that failed, in words."""
    other = next(s for s in SPEAKERS if s != speaker)
    c = {name: pl.col(f"{speaker}_{name}") for name in ("active_dbfs", "noise_dbfs", "zero_share")}
    alive = (
        pl.when(pl.col(f"{other}_speech_ms") > 0)
        .then(_say(f"; the {other} speaks for {{}} s", (pl.col(f"{other}_speech_ms") / 1000, 1)))
        .otherwise(pl.lit(f"; nor is there speech of the {other}"))
    )
    quiet = (
        pl.when(c["zero_share"] >= 0.5)
        .then(
            _say(
                "{} % of its samples are zero and the rest reach {} dBFS: digital silence, as of a "
                "party that sends nothing, or of a muted input",
                (c["zero_share"] * 100, 1),
                (c["active_dbfs"], 1),
            )
        )
        .when(c["active_dbfs"] - c["noise_dbfs"] >= SOUND_DB)
        .then(
            _say(
                "sound at up to {} dBFS over a floor of {} dBFS, none of it detected as speech",
                (c["active_dbfs"], 1),
                (c["noise_dbfs"], 1),
            )
        )
        .otherwise(
            _say(
                "a steady floor of {} dBFS, so the capture ran and the party said nothing",
                (c["active_dbfs"], 1),
            )
        )
    )
    return pl.concat_str(quiet, alive)


def _say(template: str, *values: tuple[str | pl.Expr, int]) -> pl.Expr:
    shown = []
    for value, digits in values:
        number = pl.col(value) if isinstance(value, str) else value
        number = number.cast(pl.Float64).round(digits)
        number = number.cast(pl.Int64) if digits == 0 else number
        shown.append(number.cast(pl.String).fill_null("-"))
    return pl.format(template, *shown)


def _part(
    table: pl.LazyFrame, check: str, channel: str | None, value: pl.Expr, detail: pl.Expr
) -> pl.LazyFrame:
    """The rows that have a number; of no others the evidence is put into words."""
    measured = table.with_columns(value=value.cast(pl.Float64).fill_nan(None))
    return measured.filter(pl.col("value").is_not_null()).select(
        "rec",
        "recording",
        check=pl.lit(check),
        channel=pl.lit(channel, pl.String),
        value="value",
        detail=detail,
    )
