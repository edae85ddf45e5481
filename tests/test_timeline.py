"""One timeline or two: captures that lost the time at which the model spoke."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile as sf
from conftest import SAMPLES, Cli, write_jsonl

from flexi_score.audio.signal import SampleCounts
from flexi_score.capture.timeline import timeline_evidence
from flexi_score.segment.tracks import Tracks, make_intervals, make_words

#: user, model (ms); whether in two files; start and end of each channel; evidence; what is told.
CASES = {
    "replies from sample 0": (
        [(700, 4344)], [(50, 3300)], True, (0, 8500), (0, 3400), 1.0, "without the time",
    ),
    "replies one after the other": (
        [(700, 4344), (9000, 12000)], [(150, 3000), (3300, 8000)],
        True, (0, 16000), (0, 8200), 1.0, "without the time",
    ),
    "put where the user's file ends": (
        [(700, 4344)], [(4750, 8000)], True, (0, 4700), (4700, 8100), 1.0, "was put there",
    ),
    "the model's track ends early": (
        [(700, 4344), (7000, 8000)], [(5000, 6900)], True, (0, 8500), (0, 7000), 1.0, "until 8.0 s",
    ),
    "silences of a buffer dropped": (
        [(700, 3000), (9000, 12000), (20000, 23000), (30000, 33000)],
        [(100, 4000), (4300, 9000), (9200, 14000)],
        False, (0, 40000), (0, 40000), 1.0, "silences were dropped",
    ),
    "replies filled up with silence": (
        [(700, 4344)], [(50, 3300)], True, (0, 8500), (0, 8500), 0.6, "are these replies",
    ),
    "two files of speech alone": (
        [(100, 3700)], [(100, 3400)], True, (0, 3800), (0, 3500), 1.0, "without the time",
    ),
    "replies on a channel filled up with silence": (
        [(700, 4344)], [(50, 3300)], False, (0, 8500), (0, 8500), 0.6, "are these replies",
    ),
    "always the same latency": (
        [(0, 1000), (3000, 4000), (6000, 7000), (9000, 10000)],
        [(1500, 2500), (4505, 5500), (7500, 8000), (10502, 11000)],
        False, (0, 12000), (0, 12000), 0.6, "always answers 0.5 s",
    ),
    "a line that carries nothing any more": (
        [(700, 4344), (7500, 8000)], [(5000, 6500)], False, (0, 8500), (0, 8500), 0.6, "from 7.0 s",
    ),
    "a line that breaks off in mid-speech": (
        [(700, 4344)], [(5000, 6990)], False, (0, 8500), (0, 8500), 0.6, "the model was speaking",
    ),
    "one signal on both channels, by two clocks": (
        [(700, 4350), (5040, 6850), (7220, 8310)], [(700, 4352), (5041, 6852), (7223, 8313)],
        False, (0, 8500), (0, 8500), 1.0, "speak and pause at the same times",
    ),
    "two files of one session": (
        [(700, 4344)], [(5044, 8300)], True, (0, 8500), (0, 8500), 0.0, "nothing",
    ),
    "the user's file holds the query only": (
        [(100, 3000)], [(3600, 8000)], True, (0, 3100), (0, 9000), 0.0, "nothing",
    ),
    "a greeting before the user speaks": (
        [(2500, 4344)], [(100, 2000), (5000, 8000)], True, (0, 8500), (0, 8500), 0.0, "nothing",
    ),
    "a greeting talked into": (
        [(1500, 4344), (9000, 9500)], [(100, 2000), (5000, 8000)],
        False, (0, 12000), (0, 12000), 0.0, "nothing",
    ),
    "a file with its offset": (
        [(700, 4344)], [(5044, 8300)], True, (0, 8500), (4900, 8400), 0.0, "nothing",
    ),
    "a silent model": ([(700, 4344)], [], True, (0, 8500), (0, 8500), None, None),
    "no audio": ([(700, 4344)], [(50, 3300)], True, (0, -1), (0, -1), None, None),
}  # fmt: skip


def test_evidence_of_two_timelines() -> None:
    cases = list(CASES.values())
    n = len(cases)

    def speech(side: int):
        spans = [(i, start, end) for i, case in enumerate(cases) for start, end in case[side]]
        return make_intervals(*np.array(spans).T)

    def channel(side: int):
        return tuple(np.array([case[side][k] for case in cases]) for k in range(2))

    none = np.empty(0, np.int64)
    words = make_words(
        none, none, none, pl.Series([], dtype=pl.String), np.empty(0), np.zeros(n, bool)
    )
    tracks = Tracks(
        pl.DataFrame({"recording": list(CASES)}),
        np.array([max(case[3][1], case[4][1], 9000) for case in cases]),
        speech(0),
        speech(1),
        words,
        words,
    )
    paired = np.array([case[2] for case in cases])
    closed = np.array([1500 * name.startswith("a line") for name in CASES])
    value, told = timeline_evidence(tracks, paired, channel(3), channel(4), closed)
    for name, case, found, text in zip(CASES, cases, value, told, strict=True):
        *_, expected, part = case
        if expected is None:
            assert np.isnan(found), name
            assert text is None, name
        else:
            assert found == pytest.approx(expected), name
            assert part in text, (name, text)


def test_zeros_at_the_end_of_a_signal_are_counted_over_all_blocks() -> None:
    counts = SampleCounts()
    for block in ([1, 0, 0], [0, 0], [0, 2, 0], [], [0]):
        counts.add(np.array(block, np.float32))
    assert counts.n_zero_tail == 2
    counts.add(np.array([0.5], np.float32))
    assert counts.n_zero_tail == 0


def test_latencies_that_cannot_be_are_refused(tmp_path: Path, cli: Cli) -> None:
    x, rate = sf.read(SAMPLES / "calm_turn_taking_1.flac", dtype="float32")
    loud = np.flatnonzero(np.abs(x[:, 1]) > 0.05)
    sf.write(tmp_path / "u.wav", x[:, 0], rate)
    reply = x[loud[0] - rate // 20 : loud[-1] + rate // 5, 1]
    sf.write(tmp_path / "replies.wav", reply, rate)
    sf.write(tmp_path / "whole.wav", x[:, 1], rate)
    at = (loud[0] - rate // 20) / rate
    row = {"scenario": "turn_taking", "user_audio": "u.wav"}
    rows = [
        {**row, "id": "replies", "model_audio": "replies.wav"},
        {**row, "id": "offset", "model_audio": "replies.wav", "model_offset": at},
        {**row, "id": "whole", "model_audio": "whole.wav"},
    ]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    done = cli("score", manifest, "--asr", "none", "--out", tmp_path / "run", cwd=tmp_path)
    scores = pl.read_parquet(tmp_path / "run" / "scores.parquet")
    latency = {
        row["recording"]: row
        for row in scores.filter(pl.col("metric") == "latency").iter_rows(named=True)
    }
    assert latency["replies"]["status"] == "excluded", done.stderr
    assert "not on one timeline" in latency["replies"]["reason"]
    assert "user_offset and model_offset" in latency["replies"]["reason"]
    assert latency["whole"]["value"] > 0
    assert latency["offset"]["value"] == pytest.approx(latency["whole"]["value"], abs=0.03)
