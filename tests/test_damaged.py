"""Text files that were cut or changed in a byte: never another number without a word."""

import random
from itertools import pairwise

import pytest

from flexi_score.errors import TranscriptError
from flexi_score.formats import read_given
from flexi_score.formats.whose import Whose

TURNS = [(700, 2300, "so how do I"), (2900, 4344, "get there"), (5044, 7010, "take the rail")]
TURNS += [(7210, 8325, "and some cash"), (9120, 10480, "it is small"), (11000, 13075, "see you")]


def stamp(ms, mark):
    return f"00:00:{ms // 1000:02d}{mark}{ms % 1000:03d}"


FILES = {
    "a.srt": "".join(
        f"{i}\n{stamp(a, ',')} --> {stamp(b, ',')}\n{t}\n\n" for i, (a, b, t) in enumerate(TURNS, 1)
    ),
    "a.vtt": "WEBVTT\n\n"
    + "".join(f"{stamp(a, '.')} --> {stamp(b, '.')}\n{t}\n\n" for a, b, t in TURNS),
    "a.stm": "".join(f"call 1 user {a / 1000} {b / 1000} <o> {t}\n" for a, b, t in TURNS),
    "a.ctm": "".join(
        f"call 1 {a / 1000:.3f} {(b - a) / 1000:.3f} {t.split()[0]}\n" for a, b, t in TURNS
    ),
    "a.rttm": "".join(
        f"SPEAKER call 1 {a / 1000:.3f} {(b - a) / 1000:.3f} <NA> <NA> user <NA> <NA>\n"
        for a, b, _ in TURNS
    ),
    "a.tsv": "start\tend\ttext\n" + "".join(f"{a / 1000}\t{b / 1000}\t{t}\n" for a, b, t in TURNS),
    "a.txt": "".join(f"{a / 1000:.6f}\t{b / 1000:.6f}\t{t}\n" for a, b, t in TURNS),
}


def read(path):
    return read_given(path, "segments", Whose("user", shared=False), has_audio=False)


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("name", FILES)
def test_whole_files_have_no_notes(tmp_path, name):
    reading = read(write(tmp_path, name, FILES[name]))
    assert reading.table.rows() == [(a, b) for a, b, _ in TURNS]
    assert reading.notes == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_line_without_an_end_has_its_number(tmp_path, encoding, end):
    path = tmp_path / "a.rttm"
    text = FILES["a.rttm"].removesuffix("\n").replace("\n", end)
    path.write_bytes(text.encode(encoding))
    assert read(path).notes == [
        f"a.rttm: line {len(TURNS)}: is the last and has no line end; is the file cut short?"
    ]


def test_a_segment_without_duration_is_noted_with_its_line(tmp_path):
    text = FILES["a.rttm"].replace("0.700 1.600", "0.700 0")
    reading = read(write(tmp_path, "a.rttm", text))
    assert reading.table.rows() == [(a, b) for a, b, _ in TURNS[1:]]
    (note,) = reading.notes
    assert note.startswith("a.rttm: ")
    assert note.endswith("line 1: ends where it starts, so it is no speech (1)")


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_inside_a_line_is_refused_or_noted(tmp_path, name):
    text = FILES[name]
    for end in range(1, len(text)):
        if text[end - 1] == "\n":
            continue  # whole lines are missing: that cannot be seen in the file alone
        try:
            reading = read(write(tmp_path, name, text[:end]))
        except TranscriptError:
            continue
        last = text[:end].count("\n") + 1
        assert any(f"line {last}" in note for note in reading.notes), text[:end][-40:]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_character_is_refused_noted_or_leaves_the_times_in_order(tmp_path, name, seed):
    """What may pass in silence: a text, or a time that stays between its neighbours."""
    generator = random.Random(f"{name} {seed}")
    text = FILES[name]
    for _ in range(25):
        at = generator.randrange(len(text))
        flipped = text[:at] + chr(generator.randrange(32, 127)) + text[at + 1 :]
        try:
            reading = read(write(tmp_path, name, flipped))
        except TranscriptError:
            continue
        if reading.notes:
            continue
        found = reading.table.rows()
        assert len(found) == len(TURNS), flipped[max(at - 30, 0) : at + 30]
        assert all(b <= c + 250 for (_, b), (c, _) in pairwise(found)), found
        changed = [i for i, row in enumerate(found) if row != TURNS[i][:2]]
        assert len(changed) <= 1
        for i in changed:
            assert max(abs(found[i][k] - TURNS[i][k]) for k in (0, 1)) < 10_000


def test_damage_is_named_by_its_line(tmp_path):
    garbled = FILES["a.srt"].replace("00:00:05,044 -->", "00:00:05,044 --x")
    with pytest.raises(TranscriptError, match=r"line 9: found .*expected the times of a cue"):
        read(write(tmp_path, "a.srt", garbled))
    alone = FILES["a.srt"] + "7\n"
    with pytest.raises(TranscriptError, match="line 25: found '7', expected the times"):
        read(write(tmp_path, "a.srt", alone))
    late = FILES["a.tsv"].replace("5.044", "95.044").replace("7.01\t", "97.01\t")
    assert "line 4: starts at 95.044 s" in " ".join(read(write(tmp_path, "a.tsv", late)).notes)
    early = FILES["a.tsv"].replace("9.12\t10.48", "0.12\t0.48")
    assert (
        "line 6: starts before the entry above it" in read(write(tmp_path, "a.tsv", early)).notes[0]
    )


def test_passages_with_a_clock_of_their_own_are_refused(tmp_path):
    passage = "".join(f"{i / 2}\t{i / 2 + 0.4}\tword{i}\n" for i in range(8))
    with pytest.raises(TranscriptError, match="line 9: the clock starts again at 0 s"):
        read(write(tmp_path, "a.txt", passage * 2))


WORDS = [(0.7, 0.96), (0.98, 1.24), (1.5, 1.8), (2.1, 2.36), (2.4, 2.7), (3.0, 3.2)]


@pytest.mark.parametrize(
    ("per_second", "could_be"),
    [(12.5, "frames of 80 ms"), (25, "frames of 40 ms"), (50, "frames of 20 ms"), (1 / 60, "min")],
)
def test_words_counted_in_frames_or_minutes_are_refused(tmp_path, per_second, could_be):
    rows = [[round(t * per_second, 0 if per_second > 1 else 5) for t in row] for row in WORDS]
    text = "start,end,word\n" + "".join(f"{a},{b},w\n" for a, b in rows)
    with pytest.raises(TranscriptError, match=f"a word, which nobody speaks; .*{could_be}"):
        read(write(tmp_path, "a.csv", text))


def test_stretches_in_an_odd_unit_and_clocks_that_start_late_are_noted(tmp_path):
    frames = "start,end\n9,54\n63,86\n90,104\n"
    assert "are they frames" in read(write(tmp_path, "a.csv", frames)).notes[0]
    minutes = "start,end\n0.01,0.07\n0.09,0.11\n0.12,0.14\n"
    assert "minutes" in read(write(tmp_path, "a.csv", minutes)).notes[0]
    broadcast = "start,end\n3600.7,3604.3\n3605.0,3608.3\n"
    assert "first entry, at 3600.7 s" in read(write(tmp_path, "a.csv", broadcast)).notes[0]
    rounded = "start,end,text\n0,2,good morning to you\n3,5,how are you\n7,8,fine\n"
    assert read(write(tmp_path, "a.csv", rounded)).notes == []


def test_entries_without_any_duration_are_no_silence(tmp_path):
    path = write(tmp_path, "a.csv", "start,end,word\n0.7,0.7,yes\n1.5,1.5,please\n")
    with pytest.raises(TranscriptError, match="end where they start, so no speech"):
        read(path)
    path = write(tmp_path, "b.csv", "start,end,word\n0.7,0.7,yes\n1.5,1.8,please\n")
    assert len(read(path).table)
