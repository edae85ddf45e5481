"""Whose voice labels name, in every format, and what is refused because they leave it open."""

import json
from itertools import pairwise

import pytest

from flexi_score.errors import InputError, TranscriptError
from flexi_score.formats import read_given, read_segments
from flexi_score.formats.nonspeech import are_speech
from flexi_score.formats.whose import Whose, choose_label, parse_speakers

USER, MODEL = [(700, 4300)], [(5000, 8300)]


def turns(first, second):
    """The same two turns in every format, labelled so."""
    return {
        "turns.json": json.dumps(
            [
                {"start": 0.7, "end": 4.3, "text": "hi there", "speaker": first},
                {"start": 5.0, "end": 8.3, "text": "hello", "speaker": second},
            ]
        ),
        "role.json": json.dumps(
            [
                {"role": first, "words": [{"text": "hi", "start": 0.7, "end": 4.3}]},
                {"role": second, "words": [{"text": "hello", "start": 5.0, "end": 8.3}]},
            ]
        ),
        "id.json": json.dumps(
            {
                "words": [
                    {"text": "hi", "start": 0.7, "end": 4.3, "speaker_id": first},
                    {"text": "hello", "start": 5.0, "end": 8.3, "speaker_id": second},
                ]
            }
        ),
        "spk.csv": f"start,end,spk,text\n0.7,4.3,{first},hi\n5.0,8.3,{second},hello\n",
        "role.tsv": f"role\tstart\tend\n{first}\t0.7\t4.3\n{second}\t5.0\t8.3\n",
        "prefix.srt": (
            f"1\n00:00:00,700 --> 00:00:04,300\n{first}: hi\n\n"
            f"2\n00:00:05,000 --> 00:00:08,300\n{second}: hello\n"
        ),
        "prefix.vtt": (
            f"WEBVTT\n\n00:00.700 --> 00:04.300\n{first}: hi\n\n"
            f"00:05.000 --> 00:08.300\n{second}: hello\n"
        ),
        "voice.vtt": (
            f"WEBVTT\n\n00:00.700 --> 00:04.300\n<v {first}>hi\n\n"
            f"00:05.000 --> 00:08.300\n<v {second}>hello\n"
        ),
        "labels.txt": f"0.7\t4.3\t{first}\n5.0\t8.3\t{second}\n",
        "prefix.txt": f"0.7\t4.3\t{first}: hi\n5.0\t8.3\t{second}: hello\n",
        "a.rttm": (
            f"SPEAKER call 1 0.7 3.6 <NA> <NA> {first} <NA> <NA>\n"
            f"SPEAKER call 1 5.0 3.3 <NA> <NA> {second} <NA> <NA>\n"
        ),
        "a.TextGrid": '"ooTextFile"\n"TextGrid"\n0\n9\n<exists>\n2\n'
        f'"IntervalTier"\n"{first}"\n0\n9\n1\n0.7\n4.3\n"hi"\n'
        f'"IntervalTier"\n"{second}"\n0\n9\n1\n5.0\n8.3\n"hello"\n',
    }


FORMS = list(turns("", ""))


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def rows(path, speaker, **known):
    whose = Whose(speaker, shared=True, **known)
    return read_given(path, "segments", whose, has_audio=False).table.rows()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("user", "model"), [("user", "model"), ("Customer", "Agent"), ("Human 1", "AI Assistant")]
)
def test_usual_names_of_the_parties_are_understood(tmp_path, form, user, model):
    if "rttm" in form:
        model = model.replace(" ", "_")
        user = user.replace(" ", "_")
    path = write(tmp_path, form, turns(user, model)[form])
    assert rows(path, "user") == USER
    assert rows(path, "model") == MODEL
    swapped = write(tmp_path, form, turns(model, user)[form])
    assert rows(swapped, "user") == MODEL


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("first", "second"),
    [("A", "B"), ("SPEAKER_00", "SPEAKER_01"), ("Jane", "Agent"), ("SPEAKER_00", "SPEAKER_00")],
)
def test_labels_that_do_not_say_who_speaks_are_refused_until_they_are_told(
    tmp_path, form, first, second
):
    if form == "a.TextGrid" and first == second:
        pytest.skip("tiers of one name are a fault of their own")
    path = write(tmp_path, form, turns(first, second)[form])
    with pytest.raises(TranscriptError) as error:  # one of the two refuses the recording
        _ = [rows(path, speaker) for speaker in ("model", "user")]
    assert str(path) in str(error.value)
    if first == second:
        return
    names = parse_speakers(f"{first}=model,{second}=user")
    assert rows(path, "user", names=names) == MODEL
    assert rows(path, "model", names=names) == USER


def test_a_refusal_names_the_labels_and_the_option(tmp_path):
    path = write(tmp_path, "a.csv", turns("A", "B")["spk.csv"])
    with pytest.raises(TranscriptError) as error:
        rows(path, "user")
    for part in ("'A', 'B'", '--speakers "A=user,B=model"', '"speakers": {"A": "user"'):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("label", "party"),
    [
        ("USER", "user"),
        ("caller_2", "user"),
        ("Voice Agent", "model"),
        ("assistant (AI)", "model"),
        ("Customer Service", None),
        ("user agent", None),
        ("SPEAKER_01", None),
        ("channel 1", None),
        ("", None),
    ],
)
def test_parties_by_name(label, party):
    assert Whose("user").party_of(label) == party


def test_channels_of_a_transcript_are_those_of_the_recording(tmp_path):
    path = write(
        tmp_path,
        "a.json",
        '[{"start": 0.7, "end": 4.3, "channel": 0, "transcript": "hi"},'
        ' {"start": 5.0, "end": 8.3, "channel": 1, "transcript": "yo"}]',
    )
    assert rows(path, "user", channels={"user": 1, "model": 0}) == MODEL
    assert rows(path, "user", channels={"user": 0, "model": 1}) == USER
    with pytest.raises(TranscriptError, match="'channel 0', 'channel 1'"):
        rows(path, "user")


def test_a_label_mapped_to_none_is_left_out(tmp_path):
    path = write(tmp_path, "a.csv", "speaker,start,end\nuser,1,2\nagent,3,4\nIVR,0,1\n")
    with pytest.raises(TranscriptError, match="'IVR'"):
        rows(path, "user")
    assert rows(path, "user", names={"ivr": "none"}) == [(1000, 2000)]


def test_a_file_for_one_party_that_has_only_the_other_is_refused(tmp_path):
    path = write(tmp_path, "a.csv", "speaker,start,end\nagent,1,2\n")
    whose = Whose("user", shared=False)
    with pytest.raises(TranscriptError, match="given for the user but has only speakers 'agent'"):
        read_given(path, "segments", whose, has_audio=False)
    assert read_segments(path, "model").rows() == [(1000, 2000)]
    assert rows(path, "user") == []  # for both: the user never spoke


def test_a_file_without_labels_serves_one_party_only(tmp_path):
    for name, text in (
        ("a.txt", "1\t2\thello\n"),
        ("a.csv", "start,end\n1,2\n"),
        ("a.json", "[[1, 2]]"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nhello\n"),
    ):
        path = write(tmp_path, name, text)
        assert read_segments(path, "user").rows() == [(1000, 2000)]
        with pytest.raises(TranscriptError, match="given for both user and model"):
            rows(path, "user")


def test_two_voices_in_one_cue_are_refused(tmp_path):
    text = "1\n00:00:01,000 --> 00:00:02,000\nUser: hi\nAgent: hello\n"
    with pytest.raises(TranscriptError, match=r"line 2: one cue has 'User', 'Agent'"):
        rows(write(tmp_path, "a.srt", text), "user")


def test_names_with_spaces_in_an_rttm(tmp_path):
    text = (
        "SPEAKER my call 1 0.7 3.6 <NA> <NA> Jane Doe <NA> <NA>\n"
        "SPEAKER my call 1 5.0 3.3 <NA> <NA> Voice Agent <NA> <NA>\n"
    )
    path = write(tmp_path, "a.rttm", text)
    assert rows(path, "model", names={"jane doe": "user"}) == MODEL


@pytest.mark.parametrize("text", ["", "agent", "agent=bot", "=user", "a=user,b"])
def test_malformed_speakers_are_refused(text):
    with pytest.raises(InputError, match="expected labels and parties"):
        parse_speakers(text)


def test_choosing_needs_no_entries(tmp_path):
    assert choose_label(tmp_path, "speakers", [], Whose("user", shared=True)) == []


# What is no speech


@pytest.mark.parametrize(
    "text",
    [
        "sil", "sp", "<sil>", "<p:>", "[BLANK_AUDIO]", "(music)", "[Music]", "♪", "♪ la la ♪",
        "*laughs*", "[ Silence ]", "(upbeat music)", "[background noise]", "Thanks for watching!",
        "Subtitles by the Amara.org community", "[Musik]", "(risas)", "【音楽】", "%sil", "{SL}",
        "[no speech]", "(0.8)", "(.)",
    ],
)  # fmt: skip
def test_marks_of_silence_and_sound_are_no_speech(tmp_path, text):
    assert are_speech(tmp_path, [text, "hello there you all", "a", "b", "c"])[0] is False


@pytest.mark.parametrize(
    "text",
    [
        "hello", "(yeah)", "[inaudible]", "[crosstalk]", "-", "", None, "silence is golden",
        "(( ))", "( )", "<unk>", "%hesitation", "((hello))", "[ __ ]",
    ],
)  # fmt: skip
def test_speech_that_looks_like_a_mark_stays(tmp_path, text):
    assert are_speech(tmp_path, [text, "hello there you all", "a", "b", "c"])[0] is True


def test_labels_of_a_segmentation(tmp_path):
    assert are_speech(tmp_path, ["silent", "sounding", "silent"]) == [False, True, False]
    assert are_speech(tmp_path, ["S", "x", "S"]) == [False, True, False]
    assert are_speech(tmp_path, ["S", "NS", "S"]) == [True, False, True]
    assert are_speech(tmp_path, ["0", "1", "0"]) == [False, True, False]
    assert are_speech(tmp_path, ["pause", "no"], labels=False) == [True, True]
    with pytest.raises(TranscriptError, match="every label is 'S'"):
        are_speech(tmp_path, ["S", "S"])


def test_two_unknown_labels_that_tile_a_tier_are_refused(tmp_path):
    text = "0\t1\tu\n1\t2\tv\n2\t3\tu\n"
    with pytest.raises(TranscriptError, match="'u' and 'v' take turns without a gap"):
        read_segments(write(tmp_path, "a.txt", text))


@pytest.mark.parametrize("label", ["stille", "...", "other"])
def test_a_label_in_every_gap_is_silence(tmp_path, label):
    """Whatever its language: nobody says one thing between all that is said."""
    said = {0.7: (2.0, "how are you"), 2.5: (3.1, "today"), 4.0: (5.0, "well then")}
    marks = [0.0, *(t for start, (end, _) in said.items() for t in (start, end)), 6.0]
    rows = [(a, b, said[a][1] if a in said else label) for a, b in pairwise(marks)]
    path = write(tmp_path, "a.txt", "".join(f"{a}\t{b}\t{text}\n" for a, b, text in rows))
    read = read_given(path, "segments", Whose("user"), has_audio=False)
    assert read.table.rows() == [(700, 2000), (2500, 3100), (4000, 5000)]
    known = label == "stille"
    assert [label in note for note in read.notes] == ([] if known else [True])
    # A word a stretch: which of them are silence cannot be told, but it is asked.
    rows.insert(2, (2.0, 2.0, "indeed"))
    path = write(tmp_path, "a.txt", "".join(f"{a}\t{b}\t{text}\n" for a, b, text in rows))
    notes = read_given(path, "segments", Whose("user"), has_audio=False).notes
    assert known or f"4 of them labelled '{label}'" in notes[0]


def test_channels_counted_from_one_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("start,end,speaker\n0.5,2,Channel 1\n2.5,4,Channel 2\n")
    both = {"user": 0, "model": 1}
    with pytest.raises(TranscriptError, match="up to 1, counted from 0; say who is who"):
        read_given(path, "segments", Whose("user", channels=both, shared=True), has_audio=True)
    names = {"channel 1": "user", "channel 2": "model"}
    whose = Whose("user", names, channels=both, shared=True)
    assert read_given(path, "segments", whose, has_audio=True).table.rows() == [(500, 2000)]
    whose = Whose("user", channels={"user": 1, "model": 2}, shared=True)
    assert read_given(path, "segments", whose, has_audio=True).table.rows() == [(500, 2000)]


def test_the_advice_names_the_party_that_has_no_label(tmp_path):
    path = write(tmp_path, "a.csv", "start,end,speaker\n0.5,2,client\n2.5,4,operator\n")
    with pytest.raises(TranscriptError, match='--speakers "operator=model"'):
        read_given(path, "segments", Whose("user", shared=True), has_audio=True)


def test_who_speaks_by_other_names_of_the_column(tmp_path):
    table = "Start Time,End Time,Speaker Name\n0.5,2,User\n2.5,4,Voice Agent\n"
    items = [{"start": 0.5, "end": 2, "source": "user"}, {"start": 2.5, "end": 4, "source": "bot"}]
    for path in (write(tmp_path, "a.csv", table), write(tmp_path, "a.json", json.dumps(items))):
        assert rows(path, "user") == [(500, 2000)]
        assert rows(path, "model") == [(2500, 4000)]
    # Where it names no party it is something else, as the recogniser.
    path = write(tmp_path, "b.json", '[{"start": 0.5, "end": 2, "source": "whisper"}]')
    assert read_segments(path, "user").rows() == [(500, 2000)]
