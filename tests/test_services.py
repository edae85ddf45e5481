"""JSON of speech services, each written by hand after the service's own documented schema."""

import json

import pytest

from flexi_score.errors import TranscriptError
from flexi_score.formats import read_given, read_segments, read_words
from flexi_score.formats.services import vapi_tools
from flexi_score.formats.whose import Whose, parse_speakers

CHANNELS = {"user": 0, "model": 1}
HI, HELLO = [(700, 960, "hi"), (1000, 1250, "there")], [(5040, 5400, "hello")]

#: developers.deepgram.com/reference: pre-recorded audio, multichannel.
DEEPGRAM = {
    "metadata": {"channels": 2, "duration": 8.5},
    "results": {
        "channels": [
            {
                "alternatives": [
                    {
                        "transcript": "hi there",
                        "confidence": 0.99,
                        "words": [
                            {"word": "hi", "start": 0.7, "end": 0.96, "confidence": 0.9},
                            {"word": "there", "start": 1.0, "end": 1.25, "confidence": 0.9},
                        ],
                    }
                ]
            },
            {
                "alternatives": [
                    {"transcript": "hello", "words": [{"word": "hello", "start": 5.04, "end": 5.4}]}
                ]
            },
        ],
        "utterances": [{"start": 0.7, "end": 1.25, "channel": 0, "transcript": "hi there"}],
    },
}
#: docs.aws.amazon.com/transcribe: batch output with channel identification.
AWS = {
    "jobName": "job",
    "results": {
        "transcripts": [{"transcript": "hi there. hello"}],
        "items": [
            {
                "channel_label": "ch_0",
                "start_time": "0.7",
                "end_time": "0.96",
                "alternatives": [{"confidence": "1.0", "content": "hi"}],
                "type": "pronunciation",
            },
            {
                "channel_label": "ch_0",
                "start_time": "1.0",
                "end_time": "1.25",
                "alternatives": [{"confidence": "1.0", "content": "there"}],
                "type": "pronunciation",
            },
            {
                "channel_label": "ch_0",
                "alternatives": [{"confidence": "0.0", "content": "."}],
                "type": "punctuation",
            },
            {
                "channel_label": "ch_1",
                "start_time": "5.04",
                "end_time": "5.4",
                "alternatives": [{"confidence": "1.0", "content": "hello"}],
                "type": "pronunciation",
            },
        ],
    },
}
#: cloud.google.com/speech-to-text: channels are counted from 1, durations are text.
GOOGLE = {
    "results": [
        {
            "alternatives": [
                {
                    "transcript": "hi there",
                    "words": [
                        {"startTime": "0.700s", "endTime": "0.960s", "word": "hi"},
                        {"startTime": "1s", "endTime": "1.250s", "word": "there"},
                    ],
                }
            ],
            "channelTag": 1,
            "resultEndTime": "8.5s",
        },
        {
            "alternatives": [
                {"words": [{"startTime": "5.040s", "endTime": "5.400s", "word": "hello"}]}
            ],
            "channelTag": 2,
        },
    ]
}


def azure(times):
    """learn.microsoft.com, batch transcription: ISO durations, and ticks of 100 ns."""

    def spelled(start, end):
        if times == "ticks":
            return {"offsetInTicks": start * 10_000, "durationInTicks": (end - start) * 10_000}
        return {"offset": f"PT{start / 1000}S", "duration": f"PT{(end - start) / 1000}S"}

    def phrase(channel, words):
        return {
            "recognitionStatus": "Success",
            "channel": channel,
            **spelled(words[0][0], words[-1][1]),
            "nBest": [
                {"display": "x", "words": [{"word": w, **spelled(a, b)} for a, b, w in words]}
            ],
        }

    return {"recognizedPhrases": [phrase(0, HI), phrase(1, HELLO)]}


AZURE_TICKS, AZURE_ISO = azure("ticks"), azure("iso")
#: learn.microsoft.com, fast transcription: milliseconds.
AZURE_FAST = {
    "durationMilliseconds": 8500,
    "combinedPhrases": [{"channel": 0, "text": "hi there"}],
    "phrases": [
        {
            "channel": channel,
            "offsetMilliseconds": words[0][0],
            "durationMilliseconds": words[-1][1] - words[0][0],
            "text": "x",
            "words": [
                {"text": w, "offsetMilliseconds": a, "durationMilliseconds": b - a}
                for a, b, w in words
            ],
        }
        for channel, words in ((0, HI), (1, HELLO))
    ],
}
#: elevenlabs.io: speech to text of several channels.
SCRIBE = {
    "transcripts": [
        {
            "channel_index": channel,
            "language_code": "en",
            "words": [
                {"text": "(laughs)", "start": 0.1, "end": 0.4, "type": "audio_event"},
                *(
                    {"text": w, "start": a / 1000, "end": b / 1000, "type": "word"}
                    for a, b, w in words
                ),
                {"text": " ", "start": 6.0, "end": 8.0, "type": "spacing"},
            ],
        }
        for channel, words in ((0, HI), (1, HELLO))
    ]
}


@pytest.mark.parametrize(
    "content",
    [
        *("DEEPGRAM", "AWS", "GOOGLE", "AZURE_TICKS", "AZURE_ISO", "AZURE_FAST", "SCRIBE"),
        "ASSEMBLYAI_CHANNELS",
    ],
)
def test_services_that_label_channels(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(globals()[content]))
    for kind in ("words", "segments"):
        for speaker, said in (("user", HI), ("model", HELLO)):
            whose = Whose(speaker, channels=CHANNELS, shared=True)
            found = read_given(path, kind, whose, has_audio=False).table.rows()
            assert found == [entry[: 3 if kind == "words" else 2] for entry in said]
    with pytest.raises(TranscriptError, match="'channel 0', 'channel 1'"):
        read_given(path, "words", Whose("user", shared=True), has_audio=False)


def test_the_channel_of_elevenlabs_is_the_place_of_its_transcript(tmp_path):
    path = tmp_path / "a.json"
    bare = [{k: v for k, v in t.items() if k != "channel_index"} for t in SCRIBE["transcripts"]]
    path.write_text(json.dumps({"transcripts": bare}))
    whose = Whose("model", channels=CHANNELS, shared=True)
    assert read_given(path, "words", whose, has_audio=False).table.rows() == HELLO


#: docs.retellai.com: transcript_object of a call, tool calls among the turns.
RETELL = {
    "call_id": "c",
    "transcript_object": [
        {
            "role": "user",
            "content": "hi there",
            "words": [
                {"word": "hi", "start": 0.7, "end": 0.96},
                {"word": "there", "start": 1.0, "end": 1.25},
            ],
        },
        {"role": "tool_call_invocation", "name": "f", "arguments": "{}"},
        {
            "role": "agent",
            "content": "hello",
            "words": [{"word": "hello", "start": 5.04, "end": 5.4}],
        },
    ],
}
#: docs.vapi.ai: the artifact of a call, whose messages have epochs in ms beside secondsFromStart.
VAPI = {
    "artifact": {
        "messages": [
            {"role": "system", "message": "x", "time": 1744364968450, "secondsFromStart": 0},
            {
                "role": "user",
                "message": "hi there",
                "time": 1744364969150,
                "endTime": 1744364969700,
                "secondsFromStart": 0.7,
                "duration": 500,
            },
            {"role": "tool_calls", "toolCalls": [{"id": "c1"}], "secondsFromStart": 1.5},
            {"role": "tool_call_result", "toolCallId": "c1", "secondsFromStart": 3.25},
            {
                "role": "bot",
                "message": "hello",
                "time": 1744364973490,
                "endTime": 1744364973850,
                "secondsFromStart": 5.04,
                "duration": 360,
            },
        ]
    }
}
#: elevenlabs.io: speakers told apart, named by number.
SCRIBE_SPEAKERS = {
    "language_code": "en",
    "words": [
        {"text": w, "start": a / 1000, "end": b / 1000, "type": "word", "speaker_id": who}
        for who, words in (("speaker_0", HI), ("speaker_1", HELLO))
        for a, b, w in words
    ],
}
#: assemblyai.com: words in milliseconds.
ASSEMBLYAI = {
    "audio_duration": 8,
    "words": [
        {"text": w, "start": a, "end": b, "confidence": 0.9, "speaker": who}
        for who, words in (("A", HI), ("B", HELLO))
        for a, b, w in words
    ],
}
#: assemblyai.com/docs, multichannel: channels are counted from 1; a speaker within one is "1A".
ASSEMBLYAI_CHANNELS = {
    "audio_channels": 2,
    "audio_duration": 8,
    "words": [
        {"text": w, "start": a, "end": b, "channel": str(n), "speaker": f"{n}A"}
        for n, words in ((1, HI), (2, HELLO))
        for a, b, w in words
    ],
}
#: docs.aws.amazon.com/transcribe: batch output with speaker partitioning.
AWS_SPEAKERS = {
    "results": {
        "speaker_labels": {
            "segments": [
                {"items": [{"start_time": "0.7", "speaker_label": "spk_0"}]},
                {"items": [{"start_time": "1.0", "speaker_label": "spk_0"}]},
                {"items": [{"start_time": "5.04", "speaker_label": "spk_1"}]},
            ]
        },
        "items": [
            {k: v for k, v in i.items() if k != "channel_label"} for i in AWS["results"]["items"]
        ],
    }
}


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (RETELL, ""),
        (SCRIBE_SPEAKERS, "speaker_0=user,speaker_1=model"),
        (ASSEMBLYAI, "A=user,B=model"),
        (AWS_SPEAKERS, "spk_0=user,spk_1=model"),
    ],
    ids=["retell", "scribe", "assemblyai", "aws"],
)
def test_services_that_label_speakers(tmp_path, content, names):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    known = parse_speakers(names) if names else {}
    for speaker, said in (("user", HI), ("model", HELLO)):
        whose = Whose(speaker, known, shared=True)
        reading = read_given(path, "words", whose, has_audio=False)
        assert reading.table.rows() == said
    if names:
        with pytest.raises(TranscriptError, match="expected names"):
            read_given(path, "words", Whose("user", shared=True), has_audio=False)


def test_times_that_are_no_milliseconds_are_not_read_as_such(tmp_path):
    path = tmp_path / "a.json"
    said = [{"text": w, "start": a / 1000, "end": b / 1000} for a, b, w in HI]
    path.write_text(json.dumps({"audio_duration": 8, "words": said}))
    whose = Whose("user", shared=False)
    assert read_given(path, "words", whose, has_audio=False).table.rows() == HI


@pytest.mark.parametrize("content", [VAPI, VAPI["artifact"]])
def test_messages_of_vapi(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    for speaker, said in (("user", (700, 1250, "hi there")), ("model", (5040, 5400, "hello"))):
        whose = Whose(speaker, shared=True)
        assert read_given(path, "words", whose, has_audio=False).table.rows() == [said]
    assert vapi_tools(VAPI["artifact"]) == [[1.5, 3.25]]


#: ggml-org/whisper.cpp, -ojf: offsets in milliseconds, tokens that are parts of words.
WHISPER_CPP = {
    "result": {"language": "en"},
    "transcription": [
        {
            "timestamps": {"from": "00:00:00,700", "to": "00:00:01,250"},
            "offsets": {"from": 700, "to": 1250},
            "text": " hi there",
            "tokens": [
                {"text": "[_BEG_]", "offsets": {"from": 0, "to": 0}},
                {"text": " hi", "offsets": {"from": 700, "to": 960}},
                {"text": " th", "offsets": {"from": 1000, "to": 1100}},
                {"text": "ere", "offsets": {"from": 1100, "to": 1250}},
            ],
        },
        {"offsets": {"from": 2000, "to": 5000}, "text": " [BLANK_AUDIO]"},
    ],
}
#: alphacep/vosk-api, SetWords(true): one answer, and a list of them.
VOSK = {
    "result": [
        {"conf": 1.0, "end": 0.96, "start": 0.7, "word": "hi"},
        {"conf": 1.0, "end": 1.25, "start": 1.0, "word": "there"},
    ],
    "text": "hi there",
}
#: platform.openai.com: verbose_json with words and segments.
OPENAI = {
    "task": "transcribe",
    "duration": 8.5,
    "text": "hi there",
    "segments": [{"id": 0, "start": 0.0, "end": 8.5, "text": "hi there", "no_speech_prob": 0.1}],
    "words": [
        {"word": "hi", "start": 0.7, "end": 0.96},
        {"word": "there", "start": 1.0, "end": 1.25},
    ],
}


@pytest.mark.parametrize(
    "content",
    [
        WHISPER_CPP,
        VOSK,
        [VOSK, {"text": ""}],
        OPENAI,
        {**OPENAI, "segments": []},
        {**OPENAI, "segments": None} | {"segments": []},
    ],
)
def test_recognisers_of_one_speaker(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    whose = Whose("user", shared=False)
    assert read_given(path, "words", whose, has_audio=False).table.rows() == HI


@pytest.mark.parametrize(
    "content",
    [
        {"results": {"items": [{"type": "pronunciation"}]}},
        {"recognizedPhrases": [7]},
        {"transcription": [{"offsets": 3, "text": "x"}]},
        {"phrases": [None], "durationMilliseconds": 1},
        {"transcripts": [5]},
        {"results": [{"alternatives": [{"words": [{"startTime": 7}]}]}]},
    ],
)
def test_an_answer_that_is_not_whole_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(TranscriptError) as error:
        read_given(path, "words", Whose("user"), has_audio=False)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    "answer",
    [
        {"results": [{"type": "word", "start_time": 1, "alternatives": [{"content": "hello"}]}]},
        {"results": [{"alternatives": [{"transcript": "hello", "timestamps": [["hello", 1, 2]]}]}]},
        {"results": {"channels": [{"alternatives": [{"transcript": "hello"}]}]}},
    ],
)
def test_text_without_times_is_not_a_party_that_never_spoke(tmp_path, answer):
    """Speechmatics, Watson, Deepgram without words: shapes near those that are read."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(answer))
    for read in (read_words, read_segments):
        with pytest.raises(TranscriptError, match="has text, but no words with times"):
            read(path)


def test_milliseconds_by_name(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"text": "hello", "start_ms": 700, "end_ms": 960.5}]')
    assert read_words(path).rows() == [(700, 960, "hello")]
    path.write_text('[{"text": "hello", "start_ms": "700", "end_ms": " 960.5 "}]')
    assert read_words(path).rows() == [(700, 960, "hello")]
    path.write_text('[{"text": "hello", "start_ms": "x", "end_ms": 960}]')
    with pytest.raises(TranscriptError, match="start: found 'x', expected a number"):
        read_words(path)
    path.write_text('[{"text": "hello", "startMs": 700, "endMs": 960}]')
    with pytest.raises(TranscriptError, match="found keys 'text', 'startMs', 'endMs', expected"):
        read_words(path)
