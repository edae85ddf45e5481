"""Settings of structure, scenarios and profiles."""

from pydantic import model_validator

from flexi_score.config.fields import Group, choice, ms, number


class IpuSettings(Group):
    """Speech to inter-pausal units."""

    min_silence_ms: int = ms(
        200, "shorter silences inside one channel are bridged", "dGSLM (Nguyen et al. 2022)"
    )
    min_speech_ms: int = ms(90, "shorter runs are dropped", "Heldner & Edlund 2010")
    word_reach_ms: int = ms(300, "a word this far outside every IPU still counts", "flexi_score")


class BackchannelSettings(Group):
    """What is too short to take the floor."""

    max_ms: int = ms(1000, "longest backchannel, first start to last end", "Full-Duplex-Bench")
    max_words: int = number(3, "words", "most words of a backchannel", "Full-Duplex-Bench", 0, 100)
    max_pause_ms: int = ms(
        2000,
        "an utterance that starts after the holder of the turn has been silent longer than this "
        "claims the floor, however short it is",
        "flexi_score",
    )


class TakeoverSettings(Group):
    """The group of model IPUs that counts as taking the floor (paper eq. 7)."""

    group_ms: int = ms(1000, "IPUs closer than this form one group", "flexi_score", 1)


class YieldSettings(Group):
    """When the model has yielded."""

    hold_ms: int = ms(500, "shortest silence that counts as a yield", "paper (b1 < b2)")
    late_window_ms: int = ms(
        2000, "after a short interruption, the model must fall silent within this", "tau-voice"
    )
    late_hold_ms: int = ms(1000, "shortest silence of such a late yield", "VAP")


class PauseHandlingSettings(Group):
    """Scenario pause_handling."""

    mean_latency_s: float | None = number(
        None,
        "s",
        "L, added to the pause; unset: the same system's mean turn_taking latency",
        "paper section 2.2",
        0,
        600,
    )


class ModelInterruptSettings(Group):
    """Scenario model_interrupt."""

    min_lead_ms: int = ms(500, "a takeover this long before the turn end interrupts", "release")


class UserBackchannelSettings(Group):
    """Scenario user_backchannel."""

    stop_window_ms: int = ms(
        1000, "a stop up to this long after the backchannel counts", "paper section 2.2"
    )
    resume_ms: int = ms(1000, "resumed if it speaks again within this", "paper section 2.2")


class ModelBackchannelSettings(Group):
    """Scenario model_backchannel."""

    window_ms: int = ms(200, "window of the backchannel distributions", "paper eq. 8", 1)


class ConversationSettings(Group):
    """Scenario conversation: the paper's levels of interaction, and people to compare with."""

    level_1_ms: int = ms(150, "a response below this is level 1", "FLEXI paper, section 1")
    level_2_ms: int = ms(400, "one below this is level 2, others 3", "FLEXI paper, section 1")
    reference: str | None = choice(
        None,
        "people's timing: a run folder, or a CSV or Parquet file of kind, value_s, conversation",
        "flexi_score",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "ConversationSettings":
        if self.level_1_ms > self.level_2_ms:
            raise ValueError("conversation.level_1_ms must not exceed conversation.level_2_ms")
        return self


class FdbSettings(Group):
    """Profile fdb-v1: segments of Full-Duplex-Bench v1.5's timing script."""

    user_merge_ms: int = ms(
        600, "user segments at most this far apart are one", "Full-Duplex-Bench v1.5, get_timing.py"
    )
    model_merge_ms: int = ms(
        500, "model segments, likewise", "Full-Duplex-Bench v1.5, get_timing.py"
    )
    stop_window_ms: int = ms(
        1000, "the model stops for the overlap up to this long after its end", "flexi_score"
    )


class TauSettings(Group):
    """Profile tau: windows of the tau-voice panel."""

    yield_window_ms: int = ms(2000, "the model yields if it stops within this", "tau-voice")
    stop_window_ms: int = ms(
        1000,
        "the model talks through what it should ignore if it does not stop within this",
        "tau-voice",
    )
    response_window_ms: int = ms(
        2000, "it leaves that unanswered if it does not start within this of its end", "tau-voice"
    )
    min_events: int = number(10, "events", "rates on fewer are hidden", "tau-voice", 0, 1_000_000)


class VoiceAgentSettings(Group):
    """Profile voice-agent: what counts as silence, and how many events a rate needs."""

    silence_ms: int = ms(
        2000, "a silence this long is awkward, and ends a user turn", "flexi_score; tau-voice", 1
    )
    min_events: int = number(10, "events", "rates on fewer are hidden", "tau-voice", 0, 1_000_000)


class EvaSettings(Group):
    """Profile eva: the curves of EVA's turn-taking score."""

    early_ms: int = number(
        -500, "ms", "a latency at or below this scores 0", "EVA (ServiceNow)", -60_000, 60_000
    )
    prompt_ms: int = ms(500, "a latency from this on scores 1", "EVA (ServiceNow)")
    slow_ms: int = ms(2000, "a latency above this scores less", "EVA (ServiceNow)")
    late_ms: int = ms(3500, "a latency from this on scores 0", "EVA (ServiceNow)")
    tool_slow_ms: int = ms(3000, "slow_ms with a tool call", "EVA (ServiceNow)")
    tool_late_ms: int = ms(5000, "late_ms with a tool call", "EVA (ServiceNow)")
    on_time_ms: int = ms(200, "a latency below this is early", "EVA (ServiceNow)")
    overlap_ms: int = ms(
        2000, "this much overlap with an interrupting model scores 0", "EVA (ServiceNow)", 1
    )
    yield_ms: int = ms(
        2000, "a model that talks on this long when interrupted scores 0", "EVA (ServiceNow)", 1
    )

    @model_validator(mode="after")
    def _ordered(self) -> "EvaSettings":
        if not self.early_ms < self.prompt_ms <= self.slow_ms < self.late_ms:
            raise ValueError("expected eva.early_ms < prompt_ms <= slow_ms < late_ms")
        if not self.prompt_ms <= self.tool_slow_ms < self.tool_late_ms:
            raise ValueError("expected eva.prompt_ms <= tool_slow_ms < tool_late_ms")
        return self
