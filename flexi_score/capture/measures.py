"""The value of every health check, from what is known of recordings."""

import re
from collections.abc import Callable
from typing import Final

import polars as pl

from flexi_score.config import HealthSettings
from flexi_score.config.health import CHECKS, LIMITS, Check
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

_EVIDENCE: Final = {check.name: check.evidence for check in CHECKS}
#: A fact that evidence quotes, and its decimals.
_FACT: Final = re.compile(r"\{(\w+):(\d)\}")


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
    shift = pl.col("model_offset_ms").fill_null(0) - pl.col("user_offset_ms").fill_null(0)
    # Crosstalk is later than its source by the way it takes; what is earlier is the files' fault.
    ahead = pl.max_horizontal(
        -(pl.col("lag_into_model_ms") + shift), -(pl.col("lag_into_user_ms") - shift)
    )
    table = facts.lazy().with_row_index("rec")
    table = table.with_columns(
        *(column for speaker in SPEAKERS for column in _derived(speaker)),
        copy=copy.fill_null(False),
        span_s=pl.col("span_ms") / 1000,
        ends_ms=pl.col("model_duration_ms") - pl.col("user_duration_ms") + shift,
        apart_ms=pl.col("drift_ppm").abs() * pl.col("span_ms") / 1e6,
    )
    both = pl.all_horizontal(pl.col("user_key", "model_key").is_not_null())
    paired = pl.when("paired")
    noted = pl.any_horizontal(pl.col("user_note", "model_note").is_not_null())
    values: dict[str | None, dict[str, pl.Expr]] = {s: _of_channel(s) for s in SPEAKERS}
    values["user"]["annotation"] = pl.col("annotation_ms")
    values[None] = {
        "copied": likeness,
        "mixed": pl.col("mixed_db"),
        "swapped": pl.col("swapped"),
        "timeline": pl.col("timeline"),
        "file": pl.when(noted).then(1.0),
        "length": paired.then(pl.col("ends_ms").abs()),
        "offset": paired.then(ahead),
        "drift": paired.then("apart_ms"),
        "words": pl.col("word_confidence"),
        "short": pl.when(both).then("span_s"),
    }
    # Both channels of one file have the same note.
    note = pl.when(pl.col("paired") | pl.col("user_note").is_null()).then("model_note")
    late_copy = (
        pl.when(late[s] > early.fill_null(0.0)).then(
            _say(
                f"the {s}'s channel is the other's at {{crosstalk_level_db:1}} dB, "
                "{crosstalk_lag_ms:1} ms late, and nothing else",
                s,
            )
        )
        for s in SPEAKERS
    )
    details: dict[str | None, dict[str, pl.Expr]] = {s: {"silent": _silence(s)} for s in SPEAKERS}
    details["user"]["annotation"] = pl.col("annotation_evidence")
    details[None] = {
        "copied": pl.coalesce(*late_copy, _say(_EVIDENCE["copied"])),
        "swapped": pl.col("swapped_evidence"),
        "timeline": pl.col("timeline_evidence"),
        "file": pl.concat_str("user_note", note, separator="; ", ignore_nulls=True),
        "offset": _lags(shift),
    }
    parts = []
    for check in CHECKS:
        for channel in (None, *SPEAKERS):
            if (value := values[channel].get(check.name)) is not None:
                detail = details[channel].get(check.name)
                detail = _say(check.evidence, channel) if detail is None else detail
                parts.append(_part(table, check, channel, value, detail))
    return pl.concat(parts).sort("rec", maintain_order=True).collect()


def _late_copy(speaker: str) -> pl.Expr:
    """Likeness of a channel to crosstalk that is all it holds."""
    level, depth = (pl.col(f"{speaker}_crosstalk_{name}_db") for name in ("level", "depth"))
    nothing_left = (level >= LATE_COPY_DB) & (pl.col(f"{speaker}_speech_ms") == 0)
    return pl.when(nothing_left).then((1 - 10 ** (-depth / 10)).sqrt())


def _lags(shift: pl.Expr) -> pl.Expr:
    """At which lags the parties of two files are heard in each other's, in words."""
    model, user = pl.col("lag_into_model_ms") + shift, pl.col("lag_into_user_ms") - shift
    return pl.concat_str(
        pl.format("the user is heard in the model's file {} ms late", _shown(model, 1)),
        pl.format("the model is heard in the user's file {} ms late", _shown(user, 1)),
        separator=", ",
        ignore_nulls=True,
    )


def _derived(speaker: str) -> list[pl.Expr]:
    """What checks of one channel and their evidence go by, beside the facts."""
    c = _columns(speaker)
    clipped = pl.max_horizontal(c("clipped_share"), c("flat_share").fill_null(0.0))
    left = c("offset_ms").fill_null(0) + c("duration_ms") - c("last_ms")
    return [
        clipped.alias(f"{speaker}_clipped"),
        (100 * clipped).alias(f"{speaker}_clipped_percent"),
        (100 * c("zero_share")).alias(f"{speaker}_zero_percent"),
        (100 * c("crosstalk_doubt_share")).alias(f"{speaker}_doubt_percent"),
        left.clip(0).alias(f"{speaker}_left_ms"),
    ]


def _of_channel(speaker: str) -> dict[str, pl.Expr]:
    """The number of each check of one channel."""
    c = _columns(speaker)
    captured, no_copy = c("key").is_not_null(), pl.when(~pl.col("copy"))
    speaks = pl.when(captured & (c("speech_ms") > 0))
    mute = captured & ~pl.col("copy") & ~c("dead") & (c("speech_ms") == 0)
    return {
        "crosstalk": no_copy.then(c("crosstalk_level_db")),
        "crosstalk_left": no_copy.then(c("doubt_percent")),
        "silent": pl.when(mute).then(c("active_dbfs")),
        "clipping": speaks.then(c("clipped")),
        "level_low": speaks.then(c("active_dbfs")),
        "level_high": speaks.then(c("active_dbfs")),
        "snr": speaks.then(c("active_dbfs") - c("noise_dbfs")),
        "band": pl.when(captured & (c("speech_ms") >= BAND_SPEECH_MS)).then(c("band_hz")),
        "dropouts": speaks.then(c("dropout_ms")),
        "truncated": speaks.then(c("left_ms")),
    }


def _columns(speaker: str) -> Callable[[str], pl.Expr]:
    return lambda name: pl.col(f"{speaker}_{name}")


def _silence(speaker: str) -> pl.Expr:
    """Evidence of a party that said nothing, or of a capture that failed, in words."""
    other = next(s for s in SPEAKERS if s != speaker)
    c = _columns(speaker)
    alive = (
        pl.when(pl.col(f"{other}_speech_ms") > 0)
        .then(
            pl.format(
                f"; the {other} speaks for {{}} s", _shown(pl.col(f"{other}_speech_ms") / 1000, 1)
            )
        )
        .otherwise(pl.lit(f"; nor is there speech of the {other}"))
    )
    zeros = (
        "{zero_percent:1} % of its samples are zero and the rest reach {active_dbfs:1} dBFS: "
        "digital silence, as of a party that sends nothing, or of a muted input"
    )
    quiet = (
        pl.when(c("zero_share") >= 0.5)
        .then(_say(zeros, speaker))
        .when(c("active_dbfs") - c("noise_dbfs") >= SOUND_DB)
        .then(
            _say(
                "sound at up to {active_dbfs:1} dBFS over a floor of {noise_dbfs:1} dBFS, none of "
                "it detected as speech",
                speaker,
            )
        )
        .otherwise(
            _say(
                "a steady floor of {active_dbfs:1} dBFS, so the capture ran and the party said "
                "nothing",
                speaker,
            )
        )
    )
    return pl.concat_str(quiet, alive)


def _say(evidence: str, speaker: str | None = None) -> pl.Expr:
    """Evidence with its facts, those of a channel where there is a speaker."""
    head = f"{speaker}_" if speaker else ""
    shown = [_shown(pl.col(head + name), int(digits)) for name, digits in _FACT.findall(evidence)]
    return pl.format(_FACT.sub("{}", evidence), *(value.fill_null("-") for value in shown))


def _shown(number: pl.Expr, digits: int) -> pl.Expr:
    number = number.cast(pl.Float64).round(digits)
    return (number.cast(pl.Int64) if digits == 0 else number).cast(pl.String)


def _part(
    table: pl.LazyFrame, check: Check, channel: str | None, value: pl.Expr, detail: pl.Expr
) -> pl.LazyFrame:
    """The rows that have a number; of no others the evidence is put into words."""
    measured = table.with_columns(value=value.cast(pl.Float64).fill_nan(None))
    return measured.filter(pl.col("value").is_not_null()).select(
        "rec",
        "recording",
        check=pl.lit(check.name),
        channel=pl.lit(channel, pl.String),
        value="value",
        detail=detail,
    )
