"""Which samples come out differently under profiles ``paper`` and ``release``, and why.

The causes are a table, asked in order; the first that fits a sample is named, and both profiles'
own reasons follow it. A sample that no cause fits is said to differ by definition, nothing more.

Defects of the published scripts that cannot show in a pair of score rows are not looked for: a
missing file that shifts the later pairs (here a sample is found by its name), a judge that cannot
be reached or read (here such a rating is absent, so unscored), ratings under another key, and
stereo averaged to mono before recognition.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

DIFFERENCES: Final = pl.Schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        "metric": pl.String,  # as profile paper names it
        "paper": pl.Float64,  # null where that profile leaves the sample unscored
        "release": pl.Float64,
        "why": pl.String,
    }
)

#: Metrics of the release that paper knows under another name.
PAPER_NAMES: Final = {("user_interrupt", "latency"): "stop_latency"}

#: Metrics in seconds: word and speech boundaries differ by a little without any change of outcome.
IN_SECONDS: Final = ("latency", "floor_offset", "lead", "stop_latency")


@dataclass(frozen=True)
class Cause:
    """One known difference: where it can show, the rows it fits, and what to say."""

    scenario: str  # "" for every scenario
    metrics: tuple[str, ...]  # () for every metric
    fits: pl.Expr
    why: str


_PAPER, _RELEASE = pl.col("paper"), pl.col("release")
_UNSCORED_BY_PAPER, _UNSCORED_BY_RELEASE = _PAPER.is_null(), _RELEASE.is_null()
_MORE = (_RELEASE > _PAPER).fill_null(False)
_LESS = (_RELEASE < _PAPER).fill_null(False)
_BOTH = _PAPER.is_not_null() & _RELEASE.is_not_null()


def _release_rule(*codes: str) -> pl.Expr:
    return pl.col("release_rule").is_in(codes).fill_null(False)


#: Of each scenario ("": of all), in order of precedence: metrics ("": all), which rows, and why.
_TABLE: Final[dict[str, tuple[tuple[str, pl.Expr, str], ...]]] = {
    "": (
        (
            "",
            pl.col("release_status") == "failed",
            "the release scores word times only, and a transcript is missing",
        ),
        (
            "",
            pl.col("paper_status") == "failed",
            "profile paper has no value for this recording, while the release needs only "
            "transcripts",
        ),
        (
            "tss eds coherence",
            _UNSCORED_BY_RELEASE & _release_rule("not_judged"),
            "no rating came with the recording, which is the only one that the release knows",
        ),
    ),
    "turn_taking": (
        (
            "tor",
            _MORE,
            "the release measures from the first word to the last, across any silence, so that "
            "short acknowledgements, however far apart, add up to a takeover",
        ),
        (
            "tor",
            _LESS,
            "the release sees less than 1 s and at most 3 words by word times, where paper "
            "measures speech",
        ),
        (
            "latency floor_offset",
            _BOTH & (pl.col("release_decided_ms") < pl.col("paper_decided_ms")),
            "the release starts at the first word of all, paper at the speech that takes the floor",
        ),
        (
            "latency",
            _UNSCORED_BY_RELEASE & _release_rule("before_turn_end"),
            "the release looks only at the first word of all, which comes before the turn ends",
        ),
        (
            "latency floor_offset",
            ~_BOTH & _release_rule("silent", "acknowledgement", "takes_over"),
            "the profiles disagree on whether the model takes over",
        ),
        (
            "latency",
            _UNSCORED_BY_PAPER,
            "the first word of all comes after the turn ends, where paper finds no takeover to "
            "time",
        ),
        (
            "jir",
            _MORE,
            "the release counts any first word before the turn ends, also one that does not take "
            "the floor",
        ),
    ),
    "pause_handling": (
        (
            "tor",
            _UNSCORED_BY_RELEASE & _release_rule("silent"),
            "the release skips a silent model, while paper scores it 0: saying nothing in a pause "
            "is right",
        ),
        ("tor", _UNSCORED_BY_RELEASE, "the release skips the sample"),
        (
            "tor",
            _MORE,
            "the release counts any first word in the window, an acknowledgement too, while paper "
            "wants a takeover",
        ),
        (
            "tor",
            _LESS,
            "the release looks only at the first word of all, up to the user's last word, in a "
            "window that a mean latency shorter than the pause does not lengthen",
        ),
    ),
    "user_interrupt": (
        (
            "ttr stop_latency",
            (pl.col("paper_status") == "not_applicable")
            & _release_rule("quiet_before", "never_quiet")
            & _RELEASE.is_not_null(),
            "the model says nothing during the interruption: the release counts it as yielded "
            "with a latency of 0, paper has no yield to time there",
        ),
        (
            "ttr",
            pl.col("paper_rule") == "not_mid_turn",
            "the model does not hold the turn when the user interrupts: paper counts the sample "
            "apart, the release scores it all the same",
        ),
        (
            "ttr",
            _MORE & _release_rule("quiet_before", "never_quiet"),
            "no word overlaps the interruption, which the release counts as yielded",
        ),
        (
            "ttr",
            _MORE,
            "the model does not stop by paper's rule, yet the release says yielded: it asks only "
            "for less than 3 s of overlapping words and a pause of more than 1 s after them, so a "
            "model that talks straight through a short interruption passes",
        ),
        (
            "ttr",
            _LESS & _release_rule("never_stops", "never_quiet"),
            "the model stops, but no word of it starts more than 1 s later, and the release needs "
            "one to see a yield",
        ),
        (
            "ttr",
            _LESS,
            "the model stops after 3 s or more of overlapping words, which the release calls not "
            "yielded however long the interruption is",
        ),
        (
            "stop_latency",
            _UNSCORED_BY_RELEASE & _release_rule("never_stops", "never_quiet"),
            "the model stops, but no word of it starts more than 1 s later, and the release times "
            "only samples with such a word",
        ),
        (
            "stop_latency",
            _UNSCORED_BY_PAPER,
            "the release times every sample with a later pause, also where paper sees no yield",
        ),
        (
            "stop_latency",
            _BOTH,
            "the release counts from the model's first overlapping word to its last, paper from "
            "the start of the interruption to the stop",
        ),
        (
            "tss",
            _UNSCORED_BY_PAPER & _release_rule("no_reply"),
            "the release counts a yield without a reply as 0, paper leaves it out",
        ),
        (
            "tss",
            _UNSCORED_BY_PAPER | _UNSCORED_BY_RELEASE,
            "the profiles disagree on whether the model yielded and answered, or on the rating",
        ),
    ),
    "model_interrupt": (
        (
            "tor",
            _MORE,
            "the release counts any first word, an acknowledgement too, and takes the end of the "
            "user's last word as the turn's end",
        ),
        (
            "tor",
            _LESS,
            "the release compares the first word with the end of the user's last word, paper the "
            "takeover with the turn's end",
        ),
        (
            "lead",
            _UNSCORED_BY_PAPER,
            "the release times any first word, where paper finds no takeover",
        ),
        (
            "lead",
            _BOTH,
            "the release goes from the first word to the end of the user's last word, paper from "
            "the takeover to the turn's end",
        ),
        (
            "eds",
            _UNSCORED_BY_PAPER,
            "the release averages every rating that is present, whatever the model did",
        ),
    ),
    "user_backchannel": (
        (
            "ttr coherence",
            pl.col("release_status") == "excluded",
            "the release finds no backchannel in the user's words and skips the sample",
        ),
        (
            "ttr",
            _UNSCORED_BY_PAPER,
            "no backchannel falls into the model's speech: paper leaves the sample out, the "
            "release scores it all the same",
        ),
        (
            "coherence",
            ~_BOTH & (pl.col("paper_status") != "excluded"),
            "the profiles disagree on whether the model was cut",
        ),
        (
            "ttr",
            _MORE & (pl.col("release_decided_ms") < pl.col("release_reference_ms")),
            "the silence that the release finds began before the backchannel",
        ),
        (
            "ttr",
            _MORE,
            "the release counts a silence of more than 1.5 s however long after the backchannel "
            "it begins",
        ),
        (
            "ttr",
            _LESS,
            "the release sees only silences of more than 1.5 s between two words, neither a "
            "shorter stop nor one for good",
        ),
    ),
    "model_backchannel": (
        (
            "tor",
            _LESS & (pl.col("release_decided_ms") > pl.col("paper_decided_ms")),
            "in the release the last segment alone decides, so a takeover followed by a short "
            "acknowledgement, or made of short segments, scores as none",
        ),
        (
            "tor",
            _MORE,
            "the release also counts segments after the user's turn, and 3 words or exactly 1 s "
            "as a takeover",
        ),
        (
            "bcr backchannels",
            _LESS,
            "in the release a takeover forgets the backchannels before it, and 3 words are too "
            "many",
        ),
        (
            "bcr backchannels",
            _MORE,
            "the release counts every short segment of the model, also outside the user's turn",
        ),
        (
            "jsd",
            _UNSCORED_BY_PAPER,
            "the release compares with whatever reference there is, also one without backchannels",
        ),
        (
            "jsd",
            _BOTH & ((_PAPER == 1) != (_RELEASE == 1)),
            "the profiles disagree on whether there are backchannels at all, without which both "
            "say 1",
        ),
        (
            "jsd",
            _BOTH,
            "the release reports the Jensen-Shannon distance in natural log (0 to 0.8326), paper "
            "the divergence in base 2 (0 to 1)",
        ),
    ),
}

CAUSES: Final = tuple(
    Cause(scenario, tuple(metrics.split()), fits, why)
    for scenario, causes in _TABLE.items()
    for metrics, fits, why in causes
)

FALLBACK: Final = "definitions differ"


def explain_differences(
    paper_scores: pl.DataFrame, release_scores: pl.DataFrame, *, tolerance_s: float = 0.1
) -> pl.DataFrame:
    """The samples whose outcome changes between the two profiles, and why.

    ``paper_scores`` and ``release_scores``: rows of :data:`flexi_score.schema.SCORES` for the same
    recordings. ``tolerance_s``: metrics in seconds must differ by more than this to be listed; the
    others by any amount. Returns ``recording, system, scenario, metric, paper, release, why``,
    sorted by scenario, metric, system and recording. Null in ``paper`` or ``release`` means
    unscored by that profile. Metrics that only one profile has are left out.
    """
    keys = ["recording", "system", "scenario", "metric"]
    renamed = release_scores.with_columns(_paper_name())
    both = _side(paper_scores, "paper").join(_side(renamed, "release"), on=keys)
    tolerance = pl.when(pl.col("metric").is_in(IN_SECONDS)).then(tolerance_s).otherwise(1e-9)
    differ = (_PAPER.is_null() != _RELEASE.is_null()) | (
        (_PAPER - _RELEASE).abs() > tolerance
    ).fill_null(False)
    reasons = [pl.when(_where(cause)).then(pl.lit(cause.why)) for cause in CAUSES]
    why = pl.format(
        "{} (paper: {}; release: {})",
        pl.coalesce(*reasons, pl.lit(FALLBACK)),
        pl.col("paper_reason").fill_null("no reason given"),
        pl.col("release_reason").fill_null("no reason given"),
    )
    return (
        both.filter(differ)
        .with_columns(why.alias("why"))
        .sort("scenario", "metric", "system", "recording")
        .select(DIFFERENCES.names())
        .cast(DIFFERENCES)
    )


def _side(scores: pl.DataFrame, profile: str) -> pl.DataFrame:
    """Keys, the value under the profile's name, and the rest with that name before it."""
    names = ("status", "rule", "reason", "reference_ms", "decided_ms")
    return scores.select(
        "recording",
        "system",
        "scenario",
        "metric",
        pl.col("value").alias(profile),
        *[pl.col(name).alias(f"{profile}_{name}") for name in names],
    )


def _paper_name() -> pl.Expr:
    metric = pl.col("metric")
    for (scenario, release_name), paper_name in PAPER_NAMES.items():
        here = (pl.col("scenario") == scenario) & (pl.col("metric") == release_name)
        metric = pl.when(here).then(pl.lit(paper_name)).otherwise(metric)
    return metric.alias("metric")


def _where(cause: Cause) -> pl.Expr:
    fits = cause.fits
    if cause.scenario:
        fits = fits & (pl.col("scenario") == cause.scenario)
    if cause.metrics:
        fits = fits & pl.col("metric").is_in(cause.metrics)
    return fits
