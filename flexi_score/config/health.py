"""Settings of the health gate: a table of checks, each with a limit to warn and one to refuse."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from flexi_score.config.fields import Group, choice


@dataclass(frozen=True)
class Check:
    """One check of how a recording was captured."""

    name: str  # ``health.NAME.warn`` and ``health.NAME.refuse`` set its limits
    unit: str
    #: {"above", "below"}: on which side of a limit the trouble lies; a value at the limit is beyond
    #: it
    worse: Literal["above", "below"]
    #: warn, refuse: default limits; None: never
    warn: float | None
    refuse: float | None
    value: str  # what is measured
    title: str  # what is wrong, in a few words
    remedy: str  # what to do about it
    source: str = "flexi_score"  # of the default limits


#: Below this mean probability of its words, a recording's recognised words are left out.
MIN_CONFIDENCE: Final = 0.5

#: In the order in which they are shown: what spoils most comes first.
CHECKS: Final = (
    Check(
        "copied",
        "",
        "above",
        0.9,
        0.98,
        "likeness of the channels, |r|",
        "both channels carry the same signal",
        "capture user and model on a channel each; a mono mix cannot be taken apart here",
    ),
    Check(
        "mixed",
        "dB",
        "above",
        -12.0,
        -6.0,
        "level at which a party was mixed into the other's channel, without delay",
        "a channel holds both parties",
        "capture user and model on a channel each, and keep them apart: no panning, no "
        "joint-stereo codec (Opus: two mono streams)",
        "simulated mixes: of -3 dB, speech of one party is still found on both channels",
    ),
    Check(
        "swapped",
        "",
        "above",
        0.5,
        None,
        "evidence for the other channel minus that for the channel named",
        "user and model seem to be on each other's channels",
        'exchange them in the manifest: "channels": {"user": 1, "model": 0}, or exchange '
        "user_audio and model_audio",
    ),
    Check(
        "timeline",
        "",
        "above",
        0.5,
        0.9,
        "evidence that user and model are not on one timeline",
        "user and model are not on one timeline",
        "capture both in one session, silence included, or give user_offset and model_offset from "
        "the times at which the recordings began; latencies cannot be had from replies alone",
    ),
    Check(
        "file",
        "",
        "above",
        1.0,
        None,
        "whether something is wrong with a file that is used all the same",
        "an audio file is not what its header says",
        "write the file again from its source, and make sure that it is whole",
    ),
    Check(
        "annotation",
        "ms",
        "above",
        301.0,  # distances are whole milliseconds, and 0.3 s is still right
        None,
        "distance of an annotated start from the nearest onset of the user's speech",
        "no speech starts where an annotation says it does",
        "give the time at which the speech itself starts, or leave the annotation out; latencies "
        "are measured from it",
    ),
    Check(
        "crosstalk",
        "dB",
        "above",
        -20.0,
        None,
        "crosstalk against its source",
        "the other party is heard in this channel",
        "capture with headphones or echo cancellation; overlaps and boundaries are less certain",
    ),
    Check(
        "crosstalk_left",
        "%",
        "above",
        5.0,
        None,
        "speech less than 18 dB above what may be left of crosstalk",
        "own speech is hard to tell from the other party's",
        "capture with headphones or echo cancellation; outcomes of this recording count as near "
        "within summary.crosstalk_error_s",
        "simulated crosstalk of -30 to -10 dB: below it 90 % of boundaries are within 25 ms",
    ),
    Check(
        "silent",
        "dBFS",
        "below",
        -85.0,
        None,
        "loudest half second of a channel without speech",
        "a channel without speech",
        "make sure that this input was not muted or unconnected, then take it as silent",
    ),
    Check(
        "clipping",
        "share",
        "above",
        0.0005,
        None,
        "clipped samples",
        "samples are clipped",
        "lower the input gain and capture again; detection bears some, recognition less",
    ),
    Check(
        "level_low",
        "dBFS",
        "below",
        -60.0,
        None,
        "loudest half second",
        "the channel is very quiet",
        "raise the input gain; quantisation noise may hide soft speech",
    ),
    Check(
        "level_high",
        "dBFS",
        "above",
        -6.0,
        None,
        "loudest half second",
        "the channel is very loud",
        "lower the input gain",
    ),
    Check(
        "snr",
        "dB",
        "below",
        20.0,
        None,
        "loudest half second over the tenth percentile of 10 ms levels",
        "speech stands little above the noise",
        "capture nearer to the mouth or in a quieter room; boundaries are less certain",
    ),
    Check(
        "band",
        "Hz",
        "below",
        4100.0,
        None,
        "highest 250 Hz band within 40 dB of the strongest, of channels with 2 s of speech or more",
        "a narrow band: a telephone's ends at 3.4 to 4 kHz",
        "nothing if it was a telephone call; else capture at 16 kHz or more, without resampling",
        "ITU-T G.711",
    ),
    Check(
        "length",
        "ms",
        "above",
        1000.0,
        None,
        "difference of a pair's ends",
        "the two files end at different times",
        "give user_offset or model_offset where they start apart, or cut them to one length",
    ),
    Check(
        "offset",
        "ms",
        "above",
        20.0,
        None,
        "time by which a pair's crosstalk comes before its source",
        "crosstalk is heard before its source: the files do not line up",
        "set user_offset or model_offset in the manifest",
    ),
    Check(
        "drift",
        "ms",
        "above",
        20.0,
        None,
        "time by which a pair's clocks part over the recording",
        "the clocks of the two files run apart",
        "resample one file by the rate given, or capture both channels with one device",
    ),
    Check(
        "dropouts",
        "ms",
        "above",
        20.0,
        None,
        "runs of 5 to 400 ms of exact zeros inside speech, in all",
        "runs of exact zeros inside speech: packets were lost",
        "capture before the network, or with concealment; boundaries may be torn",
    ),
    Check(
        "short",
        "s",
        "below",
        2.0,
        0.5,
        "length of the recording",
        "the recording is very short",
        "make sure that it is whole; else leave it out of the manifest",
    ),
    Check(
        "words",
        "",
        "below",
        MIN_CONFIDENCE,
        None,
        "mean probability that the recogniser gives the words of a recording",
        "the recogniser is not sure of the words, so they are left out",
        "--asr base, if they are of another language than English; or give transcripts",
        "real English calls and meetings 0.51 or more; Japanese, French, German, Spanish below 0.5",
    ),
    Check(
        "truncated",
        "ms",
        "below",
        None,
        None,
        "silence between a channel's last speech and its end",
        "speech is under way where the channel ends",
        "let the capture run on for a second or two after the last word",
        "no default: 9 of 30 real channels, all well captured, end in mid-speech",
    ),
)

Limit = Literal["warn", "refuse"]
LIMITS: Final[tuple[Limit, Limit]] = ("warn", "refuse")


class Limits(Group):
    """Limits of one check; None is never."""

    warn: float | None = Field(None, ge=-1e6, le=1e6)
    refuse: float | None = Field(None, ge=-1e6, le=1e6)


def _defaults() -> dict[str, Limits]:
    return {check.name: Limits(warn=check.warn, refuse=check.refuse) for check in CHECKS}


def limit_fields() -> dict[str, Any]:
    """Every limit as a field: ``{"health.snr.warn": ...}``."""
    effect = {"warn": "warns", "refuse": "leaves the recording out"}
    return {
        f"health.{check.name}.{limit}": Field(
            getattr(check, limit),
            ge=-1e6,
            le=1e6,
            description=f"{check.value}: at or {check.worse} this {effect[limit]}; null: never",
            json_schema_extra={"unit": check.unit, "source": check.source},
        )
        for check in CHECKS
        for limit in LIMITS
    }


class HealthSettings(Group):
    """What a capture must show to be scored, and what is worth a warning.

    A recording beyond a ``refuse`` limit is left out of every score, one beyond a ``warn`` limit
    is scored and named. ``health.CHECK.warn`` and ``health.CHECK.refuse`` set the limits of a
    check (:data:`CHECKS`); null is never.
    """

    gate: bool = choice(
        True,
        "leave out what a refuse limit refuses; without it a user's channel of zeros counts as "
        "silence, too",
        "flexi_score",
    )
    checks: dict[str, Limits] = Field(
        default_factory=_defaults,
        description="limits of each check: health.CHECK.warn and health.CHECK.refuse",
        json_schema_extra={"unit": "", "source": "flexi_score"},
    )

    @field_validator("checks", mode="before")
    @classmethod
    def _filled(cls, given: Any) -> Any:
        """Given limits over the defaults: a limit that is not named keeps its value."""
        if not isinstance(given, dict):
            return given
        unknown = sorted(set(given) - {check.name for check in CHECKS})
        if unknown:
            known = ", ".join(check.name for check in CHECKS)
            raise ValueError(f"health has no check {unknown[0]!r}; known: {known}")
        filled = {name: limits.model_dump() for name, limits in _defaults().items()}
        for name, limits in given.items():
            own = limits.model_dump() if isinstance(limits, Limits) else limits
            filled[name] = filled[name] | own
        return filled

    def limit(self, check: str, limit: Limit) -> float | None:
        """One limit of one check; None is never."""
        value: float | None = getattr(self.checks[check], limit)
        return value
