"""Settings of summaries."""

from flexi_score.config.fields import Group, choice, number


class SummarySettings(Group):
    """How recordings are added up."""

    confidence: float = number(0.95, "", "level of the intervals", "convention", 0.5, 0.9999)
    resamples: int = number(2000, "", "bootstrap resamples for means", "Efron", 100, 1_000_000)
    seed: int = number(0, "", "seed of the bootstrap", "flexi_score", 0, 2**31 - 1)
    few: int = number(10, "recordings", "rows on fewer are marked", "tau-voice", 0, 10_000)
    boundary_error_s: float = number(
        0.025,
        "s",
        "outcomes no further than this from their threshold are counted as near",
        "flexi_score validate on the sample recordings: all 232 boundaries are off by less, 90 % "
        "of them by 7 ms or less; leaves room for noise and crosstalk",
        0,
        60,
    )
    crosstalk_error_s: float = number(
        0.15,
        "s",
        "the same for recordings that the health check crosstalk_left warns of",
        "simulated crosstalk of -30 to -10 dB",
        0,
        60,
    )
    cluster: str | None = choice(
        "auto",
        "metadata key whose recordings are resampled together; auto: conversation(_id) or "
        "session(_id), where the manifest has one; null: none",
        "flexi_score",
    )
