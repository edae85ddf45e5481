"""Metrics in words: what a row is called, and what an outcome of 1 or of 0 means.

The registry has the paper's acronyms and the exact definitions; here is what a reader sees first.
A metric without a line here is shown by its registry label.
"""

from dataclasses import dataclass
from typing import Final

from flexi_score.metrics.registry import Metric


@dataclass(frozen=True)
class Wording:
    """A metric in words."""

    label: str  # what the model does, without the acronym: ``takes its turn``
    acronym: str = ""  # as in the paper's tables; empty where it has none
    name: str = ""  # the acronym spelled out
    #: yes, no: what an outcome of 1 and of 0 means; empty for metrics that are no rates
    yes: str = ""
    no: str = ""

    @property
    def full(self) -> str:
        """Words, then the acronym: ``takes its turn (TOR)``."""
        return f"{self.label} ({self.acronym})" if self.acronym else self.label


_TAKEOVER: Final = ("TOR", "takeover rate")
_TERMINATION: Final = ("TTR", "turn termination rate")

#: By scenario and metric. Profiles share the names, so they share the words.
WORDING: Final[dict[tuple[str, str], Wording]] = {
    ("turn_taking", "tor"): Wording(
        "takes its turn", *_TAKEOVER, "takes its turn", "leaves its turn"
    ),
    ("turn_taking", "latency"): Wording("answers after"),
    ("turn_taking", "floor_offset"): Wording(
        "starts after, signed", "FTO", "floor-transfer offset"
    ),
    ("turn_taking", "jir"): Wording(
        "starts too early", "JIR", "jump-in rate", "starts too early", "waits for the end"
    ),
    ("pause_handling", "tor"): Wording(
        "takes the pause", *_TAKEOVER, "takes the pause", "leaves the pause"
    ),
    ("user_interrupt", "ttr"): Wording("yields", *_TERMINATION, "yields", "does not yield"),
    ("user_interrupt", "tor"): Wording(
        "answers", *_TAKEOVER, "answers the interruption", "does not answer"
    ),
    ("user_interrupt", "stop_latency"): Wording("stops after"),
    ("user_interrupt", "latency"): Wording("latency"),
    ("user_interrupt", "response_latency"): Wording("answers after"),
    ("user_interrupt", "tss"): Wording("answers the new topic", "TSS", "topic shift score"),
    ("model_interrupt", "tor"): Wording(
        "speaks up in time", *_TAKEOVER, "speaks up in time", "does not speak up in time"
    ),
    ("model_interrupt", "lead"): Wording("before the user's end"),
    ("model_interrupt", "eds"): Wording("sees the emergency", "EDS", "emergency detection score"),
    ("user_backchannel", "ttr"): Wording(
        "stops for it", *_TERMINATION, "stops for the backchannel", "talks on"
    ),
    ("user_backchannel", "resumed"): Wording(
        "speaks on after stopping", "", "", "speaks on", "does not speak on"
    ),
    ("user_backchannel", "coherence"): Wording("continues coherently", "Coh.", "coherence"),
    ("user_backchannel", "acceptable"): Wording(
        "stops acceptably", "", "", "acceptable stop", "not acceptable"
    ),
    ("model_backchannel", "tor"): Wording(
        "takes the turn", *_TAKEOVER, "takes the turn", "leaves the turn"
    ),
    ("model_backchannel", "bcr"): Wording("backchannels", "BCR", "backchannel rate"),
    ("model_backchannel", "backchannels"): Wording("backchannels in all"),
    ("conversation", "model_response_latency"): Wording("answers after"),
    ("conversation", "model_overlapped_starts"): Wording("starts before the user ends"),
    ("conversation", "model_stop_latency"): Wording("interrupted, it stops after"),
    ("conversation", "user_interruption_success"): Wording("user's interruptions that win"),
    ("conversation", "model_interruptions_per_min"): Wording("interrupts the user"),
    ("conversation", "model_backchannels_per_min"): Wording("gives backchannels"),
    ("conversation", "model_talk_share"): Wording("share of the talking"),
    ("conversation", "overlap_s_per_min"): Wording("both speak"),
    ("conversation", "gap_s_per_min"): Wording("nobody speaks, between turns"),
    ("conversation", "longest_silence"): Wording("longest silence"),
    ("model_backchannel", "jsd"): Wording("off human timing", "JSD", "Jensen-Shannon divergence"),
}


def wording(scenario: str, metric: str, known: Metric | None = None) -> Wording:
    """The words of a metric; its registry label, or its name, where there are none.

    ``known``: the registry's entry.

    Examples
    --------
    >>> wording("user_interrupt", "ttr").full
    'yields (TTR)'
    >>> wording("user_interrupt", "new_metric").full
    'new_metric'
    """
    words = WORDING.get((scenario, metric))
    return words or Wording(metric if known is None else known.label)
