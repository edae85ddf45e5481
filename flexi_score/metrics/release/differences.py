"""Which samples come out differently under profiles ``paper`` and ``release``, and why.

The causes are a table, asked in order; the first that fits a sample is named, and both profiles'
own reasons follow it. A sample that no cause fits is said to differ by definition, nothing more.

Defects of the published scripts that cannot show in a pair of score rows are not looked for: a
missing file that shifts the later pairs (here a sample is found by its name), a judge that cannot
be reached or read (here such a rating is absent, so unscored), ratings under another key, and
stereo averaged to mono before recognition.
"""

import re
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


#: Scenario and metrics of each (``any``: of all), which rows it fits, in SQL, and what to say.
_CAUSES: Final = """
any | any | release_status = 'failed'
  the release scores word times only, and a transcript is missing
any | any | paper_status = 'failed'
  profile paper has no value for this recording, while the release needs only transcripts
any | tss eds coherence | release is null and release_rule = 'not_judged'
  no rating came with the recording, which is the only one that the release knows
turn_taking | tor | release > paper
  the release measures from the first word to the last, across any silence, so that short
  acknowledgements, however far apart, add up to a takeover
turn_taking | tor | release < paper
  the release sees less than 1 s and at most 3 words by word times, where paper measures speech
turn_taking | latency floor_offset | paper is not null and release is not null
    and release_decided_ms < paper_decided_ms
  the release starts at the first word of all, paper at the speech that takes the floor
turn_taking | latency | release is null and release_rule = 'before_turn_end'
  the release looks only at the first word of all, which comes before the turn ends
turn_taking | latency floor_offset | (paper is null or release is null)
    and release_rule in ('silent', 'acknowledgement', 'takes_over')
  the profiles disagree on whether the model takes over
turn_taking | latency | paper is null
  the first word of all comes after the turn ends, where paper finds no takeover to time
turn_taking | jir | release > paper
  the release counts any first word before the turn ends, also one that does not take the floor
pause_handling | tor | release is null and release_rule = 'silent'
  the release skips a silent model, while paper scores it 0: saying nothing in a pause is right
pause_handling | tor | release is null
  the release skips the sample
pause_handling | tor | release > paper
  the release counts any first word in the window, an acknowledgement too, while paper wants a
  takeover
pause_handling | tor | release < paper
  the release looks only at the first word of all, up to the user's last word, in a window that
  a mean latency shorter than the pause does not lengthen
user_interrupt | ttr stop_latency | paper_status = 'not_applicable' and release is not null
    and release_rule in ('quiet_before', 'never_quiet')
  the model says nothing during the interruption: the release counts it as yielded with a
  latency of 0, paper has no yield to time there
user_interrupt | ttr | paper_rule = 'not_mid_turn'
  the model does not hold the turn when the user interrupts: paper counts the sample apart, the
  release scores it all the same
user_interrupt | ttr | release > paper and release_rule in ('quiet_before', 'never_quiet')
  no word overlaps the interruption, which the release counts as yielded
user_interrupt | ttr | release > paper
  the model does not stop by paper's rule, yet the release says yielded: it asks only for less
  than 3 s of overlapping words and a pause of more than 1 s after them, so a model that talks
  straight through a short interruption passes
user_interrupt | ttr | release < paper and release_rule in ('never_stops', 'never_quiet')
  the model stops, but no word of it starts more than 1 s later, and the release needs one to
  see a yield
user_interrupt | ttr | release < paper
  the model stops after 3 s or more of overlapping words, which the release calls not yielded
  however long the interruption is
user_interrupt | stop_latency | release is null and release_rule in ('never_stops', 'never_quiet')
  the model stops, but no word of it starts more than 1 s later, and the release times only
  samples with such a word
user_interrupt | stop_latency | paper is null
  the release times every sample with a later pause, also where paper sees no yield
user_interrupt | stop_latency | paper is not null and release is not null
  the release counts from the model's first overlapping word to its last, paper from the start
  of the interruption to the stop
user_interrupt | tss | paper is null and release_rule = 'no_reply'
  the release counts a yield without a reply as 0, paper leaves it out
user_interrupt | tss | paper is null or release is null
  the profiles disagree on whether the model yielded and answered, or on the rating
model_interrupt | tor | release > paper
  the release counts any first word, an acknowledgement too, and takes the end of the user's
  last word as the turn's end
model_interrupt | tor | release < paper
  the release compares the first word with the end of the user's last word, paper the takeover
  with the turn's end
model_interrupt | lead | paper is null
  the release times any first word, where paper finds no takeover
model_interrupt | lead | paper is not null and release is not null
  the release goes from the first word to the end of the user's last word, paper from the
  takeover to the turn's end
model_interrupt | eds | paper is null
  the release averages every rating that is present, whatever the model did
user_backchannel | ttr coherence | release_status = 'excluded'
  the release finds no backchannel in the user's words and skips the sample
user_backchannel | ttr | paper is null
  no backchannel falls into the model's speech: paper leaves the sample out, the release scores
  it all the same
user_backchannel | coherence | (paper is null or release is null) and paper_status <> 'excluded'
  the profiles disagree on whether the model was cut
user_backchannel | ttr | release > paper and release_decided_ms < release_reference_ms
  the silence that the release finds began before the backchannel
user_backchannel | ttr | release > paper
  the release counts a silence of more than 1.5 s however long after the backchannel it begins
user_backchannel | ttr | release < paper
  the release sees only silences of more than 1.5 s between two words, neither a shorter stop
  nor one for good
model_backchannel | tor | release < paper and release_decided_ms > paper_decided_ms
  in the release the last segment alone decides, so a takeover followed by a short
  acknowledgement, or made of short segments, scores as none
model_backchannel | tor | release > paper
  the release also counts segments after the user's turn, and 3 words or exactly 1 s as a
  takeover
model_backchannel | bcr backchannels | release < paper
  in the release a takeover forgets the backchannels before it, and 3 words are too many
model_backchannel | bcr backchannels | release > paper
  the release counts every short segment of the model, also outside the user's turn
model_backchannel | jsd | paper is null
  the release compares with whatever reference there is, also one without backchannels
model_backchannel | jsd | (paper = 1) <> (release = 1)
  the profiles disagree on whether there are backchannels at all, without which both say 1
model_backchannel | jsd | paper is not null and release is not null
  the release reports the Jensen-Shannon distance in natural log (0 to 0.8326), paper the
  divergence in base 2 (0 to 1)
"""


def _read(text: str) -> tuple[Cause, ...]:
    causes = []
    for entry in re.split(r"\n(?=\w)", text.strip()):
        # A condition goes on in lines that are set further in than the sentence.
        head, *lines = entry.replace("\n    ", " ").splitlines()
        scenario, metrics, fits = (cell.strip() for cell in head.split("|"))
        causes.append(
            Cause(
                "" if scenario == "any" else scenario,
                () if metrics == "any" else tuple(metrics.split()),
                pl.sql_expr(fits),
                " ".join(line.strip() for line in lines),
            )
        )
    return tuple(causes)


CAUSES: Final = _read(_CAUSES)

FALLBACK: Final = "definitions differ"


def explain_differences(
    paper_scores: pl.DataFrame, release_scores: pl.DataFrame, *, tolerance_s: float = 0.1
) -> pl.DataFrame:
    """The samples whose outcome changes between the two profiles, and why.

    ``tolerance_s``: metrics in seconds must differ by more than this to be listed; the others by
    any amount. Metrics that only one profile has are left out.
    """
    keys = ["recording", "system", "scenario", "metric"]
    renamed = release_scores.with_columns(_paper_name())
    both = _side(paper_scores, "paper").join(_side(renamed, "release"), on=keys)
    tolerance = pl.when(pl.col("metric").is_in(IN_SECONDS)).then(tolerance_s).otherwise(1e-9)
    paper, release = pl.col("paper"), pl.col("release")
    differ = (paper.is_null() != release.is_null()) | (
        (paper - release).abs() > tolerance
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
