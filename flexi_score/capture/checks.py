"""What is checked of a recording's capture: names, units, and what to do about it."""

from dataclasses import dataclass
from typing import Final, Literal

FINE, WARN, REFUSE = "fine", "warn", "refuse"


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
        The setting's stem, too.
    unit : str
    worse : {"above", "below"}
        On which side of a limit (which counts as beyond) the trouble lies.
    title : str
        What is wrong, in a few words.
    remedy : str
        What to do about it.
    """

    name: str
    unit: str
    worse: Literal["above", "below"]
    title: str
    remedy: str


#: In the order in which they are shown: what spoils most comes first.
CHECKS: Final = (
    Check(
        "copied",
        "",
        "above",
        "both channels carry the same signal",
        "capture user and model on a channel each; a mono mix cannot be taken apart here",
    ),
    Check(
        "swapped",
        "",
        "above",
        "user and model seem to be on each other's channels",
        'exchange them in the manifest: "channels": {"user": 1, "model": 0}, or exchange '
        "user_audio and model_audio",
    ),
    Check(
        "bleed",
        "dB",
        "above",
        "the other party is heard in this channel",
        "capture with headphones or echo cancellation; overlaps and boundaries are less certain",
    ),
    Check(
        "bleed_left",
        "%",
        "above",
        "own speech is hard to tell from the other party's",
        "capture with headphones or echo cancellation; outcomes of this recording count as near "
        "within summary.bleed_error_s",
    ),
    Check(
        "silent",
        "dBFS",
        "below",
        "a channel without speech",
        "make sure that this input was not muted or unconnected, then take it as silent",
    ),
    Check(
        "clipping",
        "share",
        "above",
        "samples are clipped",
        "lower the input gain and capture again; detection bears some, recognition less",
    ),
    Check(
        "level_low",
        "dBFS",
        "below",
        "the channel is very quiet",
        "raise the input gain; quantisation noise may hide soft speech",
    ),
    Check("level_high", "dBFS", "above", "the channel is very loud", "lower the input gain"),
    Check(
        "snr",
        "dB",
        "below",
        "speech stands little above the noise",
        "capture nearer to the mouth or in a quieter room; boundaries are less certain",
    ),
    Check(
        "band",
        "Hz",
        "below",
        "a narrow band: a telephone's ends at 3.4 to 4 kHz",
        "nothing if it was a telephone call; else capture at 16 kHz or more, without resampling",
    ),
    Check(
        "length",
        "ms",
        "above",
        "the two files end at different times",
        "give user_offset or model_offset where they start apart, or cut them to one length",
    ),
    Check(
        "offset",
        "ms",
        "above",
        "a leak is heard before its source: the files do not line up",
        "set user_offset or model_offset in the manifest",
    ),
    Check(
        "drift",
        "ms",
        "above",
        "the clocks of the two files run apart",
        "resample one file by the rate given, or capture both channels with one device",
    ),
    Check(
        "dropouts",
        "ms",
        "above",
        "runs of exact zeros inside speech: packets were lost",
        "capture before the network, or with concealment; boundaries may be torn",
    ),
    Check(
        "short",
        "s",
        "below",
        "the recording is very short",
        "make sure that it is whole; else leave it out of the manifest",
    ),
    Check(
        "truncated",
        "ms",
        "below",
        "speech is under way where the channel ends",
        "let the capture run on for a second or two after the last word",
    ),
)
