"""Settings of the health gate."""

from flexi_score.config.fields import Group, choice, limit, number


class HealthSettings(Group):
    """What a capture must show to be scored, and what is worth a warning; null is never.

    A recording beyond a ``refuse`` limit is left out of every score, one beyond a ``warn`` limit
    is scored and named.
    """

    gate: bool = choice(True, "leave out what a refuse limit refuses", "flexi_score")
    allow_dead: bool = choice(
        False,
        "score a channel whose samples are all equal as silence; else it is a failed capture",
        "flexi_score",
    )
    copied_warn: float | None = limit(0.9, "", "likeness of the channels, |r|, at or above")
    copied_refuse: float | None = limit(0.98, "", "likewise, and leaves it out")
    copied_gain_db: float = number(
        12.0,
        "dB",
        "one channel that is alike but further below the other than this holds its leak",
        "flexi_score",
        0,
        120,
    )
    swapped_warn: float | None = limit(
        0.5, "", "evidence for the other channel minus that for the channel named, at or above"
    )
    swapped_refuse: float | None = limit(None, "", "likewise, and leaves it out")
    bleed_warn_db: float | None = limit(-20.0, "dB", "leak against its source, at or above")
    bleed_refuse_db: float | None = limit(None, "dB", "likewise, and leaves it out")
    bleed_left_warn_percent: float | None = limit(
        5.0,
        "%",
        "speech less than speech.bleed_clear_db over the line that parts it from a leak, at or "
        "above",
        "simulated leaks of -30 to -10 dB: below it 90 % of boundaries are within 25 ms",
    )
    bleed_left_refuse_percent: float | None = limit(None, "%", "likewise, and leaves it out")
    clipping_warn: float | None = limit(0.0005, "share", "clipped samples, at or above")
    clipping_refuse: float | None = limit(None, "share", "likewise, and leaves it out")
    level_low_warn_dbfs: float | None = limit(-60.0, "dBFS", "loudest half second, at or below")
    level_low_refuse_dbfs: float | None = limit(None, "dBFS", "likewise, and leaves it out")
    level_high_warn_dbfs: float | None = limit(-6.0, "dBFS", "loudest half second, at or above")
    level_high_refuse_dbfs: float | None = limit(None, "dBFS", "likewise, and leaves it out")
    snr_warn_db: float | None = limit(
        20.0, "dB", "loudest half second over the tenth percentile of 10 ms levels, at or below"
    )
    snr_refuse_db: float | None = limit(None, "dB", "likewise, and leaves it out")
    band_warn_hz: float | None = limit(
        4100.0,
        "Hz",
        "highest 250 Hz band within 40 dB of the strongest, at or below",
        "ITU-T G.711",
    )
    band_refuse_hz: float | None = limit(None, "Hz", "likewise, and leaves it out")
    length_warn_ms: float | None = limit(1000, "ms", "difference of a pair's ends, at or above")
    length_refuse_ms: float | None = limit(None, "ms", "likewise, and leaves it out")
    offset_warn_ms: float | None = limit(
        20, "ms", "a pair's leak comes before its source by this, at or above"
    )
    offset_refuse_ms: float | None = limit(None, "ms", "likewise, and leaves it out")
    drift_warn_ms: float | None = limit(
        20, "ms", "a pair's clocks part by this over the recording, at or above"
    )
    drift_refuse_ms: float | None = limit(None, "ms", "likewise, and leaves it out")
    dropouts_warn_ms: float | None = limit(
        20, "ms", "runs of 5 to 400 ms of exact zeros inside speech, in all, at or above"
    )
    dropouts_refuse_ms: float | None = limit(None, "ms", "likewise, and leaves it out")
    short_warn_s: float | None = limit(2.0, "s", "length of the recording, at or below")
    short_refuse_s: float | None = limit(0.5, "s", "likewise, and leaves it out")
    truncated_warn_ms: float | None = limit(
        30, "ms", "silence between a channel's last speech and its end, at or below"
    )
    truncated_refuse_ms: float | None = limit(None, "ms", "likewise, and leaves it out")
    silent_warn_dbfs: float | None = limit(
        -85.0, "dBFS", "a channel without speech that is this quiet may be muted, at or below"
    )
    silent_refuse_dbfs: float | None = limit(None, "dBFS", "likewise, and leaves it out")
