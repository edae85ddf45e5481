"""Words of calls: error rate, what was said before a cut, what a log holds beyond the audio."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import soundfile
from factories import Dialogue, make_tracks
from hypothesis import given, settings
from hypothesis import strategies as st

import flexi_score as fs
from flexi_score.config import load_settings
from flexi_score.metrics import voice_agent
from flexi_score.metrics.words import word_errors
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import make_intervals

ALL = load_settings("voice-agent", {"voice_agent.min_events": 0})


def plain_distance(a, b):
    """Least number of words put in, left out or changed, by the recursion of its definition."""
    rows = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, rows[0] = rows[0], i
        for j, y in enumerate(b, 1):
            above, rows[j] = rows[j], min(above + (x != y), rows[j] + 1, rows[j - 1] + 1)
    return rows[-1]


words = st.lists(st.sampled_from(["a", "b", "c", "it's"]), max_size=7)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_word_errors_equal_the_plain_distance(pairs):
    errors, number = word_errors(*(pl.Series([" ".join(p[k]) for p in pairs]) for k in (0, 1)))
    for i, (wanted, said) in enumerate(pairs):
        assert number[i] == len(wanted)
        assert errors[i] == (plain_distance(wanted, said) if wanted else 0)


@pytest.mark.parametrize(
    ("wanted", "said", "errors", "number"),
    [
        ("Book it -- for two!", "book it, for TWO", 0, 4),  # case and punctuation
        ("It’s", "it's", 0, 1),
        ("我要两张票", "我要张票", 1, 5),  # a character a word
        ("one two", "", 2, 2),
        ("one two", None, 0, 0),  # not known
        ("", "one", 0, 0),
    ],
)
def test_word_errors_worked_out_on_paper(wanted, said, errors, number):
    found = word_errors(pl.Series([wanted]), pl.Series([said], dtype=pl.String))
    assert (found[0][0], found[1][0]) == (errors, number)


def cut_call():
    """The model speaks from 3 s, is interrupted at 5 s, stops at 5.4 s, and speaks from 9 s on."""
    said = [(3000 + 400 * i, 3400 + 400 * i, f"w{i}") for i in range(6)]
    return Dialogue(
        12_000,
        [(0, 2500), (5000, 8000)],
        [(3000, 5400), (9000, 11_000)],
        [(100, 900, "Please"), (1000, 2400, "tell"), (5100, 7900, "stop")],
        [*said, (9100, 9500, "sorry")],
        {"text_query": "Please tell me.", "text_interrupt": "Stop!"},
    )


def panel(dialogue, outside=None):
    tracks = make_tracks(
        [dialogue.user],
        [dialogue.model],
        [dialogue.duration],
        user_words=[dialogue.user_words],
        model_words=[dialogue.model_words],
        rows=[dialogue.row],
    )
    if outside is not None:
        start, end = np.array(outside, np.int64).reshape(-1, 2).T
        late = make_intervals(np.zeros(len(start), np.int64), start, end)
        said = replace(tracks.model_words, outside=late, checked=np.array([True]))
        tracks = replace(tracks, model_words=said)
    table = voice_agent.score(build_structure(tracks, ALL), np.arange(1), ALL, {})
    return {r["metric"]: r for r in table.iter_rows(named=True)}


def test_a_call_worked_out_on_paper():
    # "me" is left out of four words; six are said by the stop; of four words of the log outside
    # the speech two lie between the stop and the next speech.
    log = [(2600, 2800), (5500, 5900), (6000, 8800), (11_500, 11_800)]
    found = panel(cut_call(), log)
    assert found["user_word_errors"]["value"] == pytest.approx(1 / 4)
    assert found["words_before_cut"]["value"] == 6
    assert found["unspoken_words"]["value"] == 2
    assert found["unspoken_words"]["reason"] == "2 words never spoken after 1 interruption"


def test_acknowledgements_are_no_errors():
    call = cut_call()
    heard = [(100, 900, "Please"), (1000, 2400, "tell"), (3300, 3600, "mhm"), (5100, 7900, "stop")]
    nodding = replace(call, user=[(0, 2500), (3200, 3700), (5000, 8000)], user_words=heard)
    assert panel(nodding)["user_word_errors"]["value"] == pytest.approx(1 / 4)


def test_what_is_not_known_is_null():
    call = cut_call()
    without = panel(replace(call, user_words=None, model_words=None))
    for name in ("user_word_errors", "words_before_cut", "unspoken_words"):
        assert without[name]["value"] is None
        assert without[name]["status"] == "not_applicable"
    assert panel(replace(call, row={}))["user_word_errors"]["value"] is None
    assert panel(call)["unspoken_words"]["value"] is None  # nothing was held against audio
    assert panel(call, [])["unspoken_words"]["value"] == 0


def test_a_log_that_holds_more_than_the_audio(tmp_path):
    rate, call = 16_000, cut_call()
    audio = np.zeros((12 * rate, 2))
    rng = np.random.default_rng(0)
    for channel, spans in enumerate((call.user, call.model)):
        for a, b in spans:
            part = slice(a * rate // 1000, b * rate // 1000)
            audio[part, channel] = rng.normal(0, 0.1, part.stop - part.start)
    soundfile.write(tmp_path / "call.wav", audio, rate)
    row = {"id": "call", "audio": "call.wav", "text": {"query": "Please tell me."}}
    for side in ("user", "model"):
        text = "start,end\n" + "".join(f"{a / 1000},{b / 1000}\n" for a, b in getattr(call, side))
        (tmp_path / f"{side}.csv").write_text(text)
        log = list(getattr(call, f"{side}_words"))
        if side == "model":  # what was sent to the voice, and never said
            log[6:6] = [(6200, 6600, "and"), (6700, 7200, "furthermore")]
        chunks = [{"text": t, "timestamp": [a / 1000, b / 1000]} for a, b, t in log]
        (tmp_path / f"{side}.json").write_text(json.dumps({"text": "", "chunks": chunks}))
        row |= {f"{side}_speech": f"{side}.csv", f"{side}_words": f"{side}.json"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row))
    changes = {"voice_agent.min_events": 0, "extract.asr": "none", "health.gate": False}
    run = fs.score(tmp_path / "manifest.jsonl", settings=load_settings("voice-agent", changes))
    assert run.failures.is_empty(), run.failures.to_dicts()
    value = {r["metric"]: r["value"] for r in run.scores.iter_rows(named=True)}
    assert value["unspoken_words"] == 2
    assert value["words_before_cut"] == 6
