"""Who is who: names of the two parties, and which channel known sources put each on.

The user is whoever talks to the system under test, the model is that system. Swapped, every
metric is exchanged, so nothing here guesses: a name that is not known stays unknown.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from flexi_score.errors import InputError
from flexi_score.formats.spelling import nearest
from flexi_score.schema import SPEAKERS, Speaker

USER_NAMES: Final = ("user", "caller", "customer", "input", "human")
MODEL_NAMES: Final = ("model", "agent", "assistant", "output", "bot", "system")
#: Role of a party's name in lower case.
ROLE_OF: Final[Mapping[str, Speaker]] = {
    **dict.fromkeys(USER_NAMES, SPEAKERS[0]),
    **dict.fromkeys(MODEL_NAMES, SPEAKERS[1]),
}

#: How it is known who is on which channel (column ``roles``): by the manifest or the names of
#: files; by ``--channels``; by ``--source``; or not at all, and channel 0 was taken as the user's.
STATED, OPTION, SOURCE, ASSUMED = "stated", "option", "source", "assumed"


class Source(NamedTuple):
    """What a platform's two-channel recordings are like.

    Attributes
    ----------
    channels : mapping of Speaker to int, or None
        None where its documentation promises no order.
    about : str
        Which recordings are meant, in words.
    evidence : str
        Where that is documented.
    """

    channels: Mapping[Speaker, int] | None
    about: str
    evidence: str


_USER_LEFT: Final[Mapping[Speaker, int]] = {"user": 0, "model": 1}
_MODEL_LEFT: Final[Mapping[Speaker, int]] = {"user": 1, "model": 0}
SOURCES: Final[Mapping[str, Source]] = {
    "livekit": Source(
        _MODEL_LEFT,
        "egress with audio_mixing DUAL_CHANNEL_AGENT: agents left, all others right",
        "livekit/egress, tests of audio mixing",
    ),
    "twilio": Source(
        _USER_LEFT,
        "dual-channel call recordings: the first leg left. Where the model's call came first, "
        "--channels model,user",
        "twilio.com/docs/flex/developer/insights/enable-dual-channel-recordings",
    ),
    "twilio-conference": Source(
        _USER_LEFT,
        "dual-channel conferences: who joined first left, everyone else right. Where the model "
        "joined first, --channels model,user",
        "twilio.com/docs/flex/developer/insights/enable-dual-channel-recordings",
    ),
    "vapi": Source(_USER_LEFT, "stereoRecordingUrl: customer left, assistant right", "vapi.ai"),
    "pipecat": Source(
        _USER_LEFT,
        "AudioBufferProcessor with num_channels=2: user left, bot right",
        "docs.pipecat.ai/server/utilities/audio/audio-buffer-processor",
    ),
    "azure": Source(
        _USER_LEFT,
        "merged stereo voice recordings: user left, agent right",
        "learn.microsoft.com/javascript/api/@azure/ai-projects/voicerecordingchannellayout",
    ),
    "sarvam": Source(
        _USER_LEFT,
        "call recordings: user left, agent right",
        "docs.sarvam.ai/voice-agents/monitor/call-recordings",
    ),
    "freeswitch": Source(
        _USER_LEFT,
        "RECORD_STEREO: leg A left, leg B right. Where the model calls, --channels model,user",
        "developer.signalwire.com/freeswitch/Channel-Variables-Catalog/RECORD_STEREO_16352883",
    ),
    "retell": Source(None, "recording_multi_channel_url: a channel each", "docs.retellai.com"),
    "daily": Source(
        None, "raw tracks: a file for each participant, its start in its name", "docs.daily.co"
    ),
}


#: What is read of services' JSON: who labels whose words how, the unit of their times, and after
#: which description of the schema its test file was written by hand. No service was asked.
SERVICES: Final = {
    "AssemblyAI": (
        "channel (from 1), else speaker (A, B)",
        "milliseconds",
        "assemblyai.com/docs, multichannel transcription",
    ),
    "AWS Transcribe": (
        "channel_label, else speaker_label (spk_0)",
        "seconds, as text",
        "docs.aws.amazon.com, channel-id-output-batch",
    ),
    "Azure batch": (
        "channel, else speaker",
        "ticks of 100 ns or ISO 8601 durations",
        "learn.microsoft.com, batch-transcription-get",
    ),
    "Azure fast": (
        "channel, else speaker",
        "milliseconds",
        "learn.microsoft.com, fast-transcription-create",
    ),
    "Deepgram": (
        "channel, else speaker (0, 1)",
        "seconds",
        "developers.deepgram.com, multichannel and utterances",
    ),
    "ElevenLabs Scribe": (
        "channel (its place among transcripts), else speaker_id (speaker_0)",
        "seconds",
        "elevenlabs.io API, speech-to-text response models",
    ),
    "Google": (
        "channelTag (from 1), else speakerTag",
        "seconds, as 1.200s",
        "cloud.google.com/speech-to-text, SpeechRecognitionResult",
    ),
    "OpenAI": (
        "speaker of diarized_json, else nobody: a file for each party",
        "seconds",
        "developers.openai.com, audio transcriptions",
    ),
    "Retell": (
        "role (agent, user)",
        "seconds, approximate by its own words",
        "RetellAI/retell-python-sdk, types/call_response.py",
    ),
    "Vapi": (
        "role (bot, user)",
        "seconds and milliseconds",
        "docs.vapi.ai, artifact.messages, and calls published by users",
    ),
    "Vosk": ("nobody: a file for each party", "seconds", "alphacep/vosk-api, SetWords"),
    "whisper.cpp": (
        "nobody: a file for each party",
        "milliseconds",
        "ggml-org/whisper.cpp, -oj and -ojf",
    ),
}


def source_channels(name: str) -> Mapping[Speaker, int]:
    """Channels of the user and the model in a source's two-channel files.

    Raises
    ------
    InputError
        For an unknown source, or one that promises no order.
    """
    source = SOURCES.get(name.lower())
    if source is None:
        near = nearest(name.lower(), SOURCES)
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(f"unknown source {name!r}; known: {', '.join(SOURCES)}{hint}")
    if source.channels is None:
        raise InputError(
            f"source {name}: its documentation promises no order of the channels ({source.about}); "
            "listen to one recording and say --channels user,model or --channels model,user"
        )
    return source.channels


def parse_channels(names: str | Sequence[str]) -> dict[Speaker, int]:
    """Channels from the names of the parties, channel by channel.

    Parameters
    ----------
    names : str or sequence of str
        ``model,user`` or ``mix,user,model``: what is on channel 0, 1, ...; other names than the
        parties' are channels that are not used.

    Returns
    -------
    dict of Speaker to int

    Raises
    ------
    InputError
        Where not exactly one is the user's and one the model's.

    Examples
    --------
    >>> parse_channels("mix,customer,agent")
    {'user': 1, 'model': 2}
    """
    listed = names.split(",") if isinstance(names, str) else list(names)
    roles = [ROLE_OF.get(str(name).strip().lower()) for name in listed]
    if sorted(role for role in roles if role) != sorted(SPEAKERS):
        raise InputError(
            f"channels {','.join(map(str, listed))!r}: expected what is on channel 0, 1, ..., one "
            "of them the user and one the model, as model,user or mix,user,model"
        )
    return {speaker: roles.index(speaker) for speaker in SPEAKERS}
