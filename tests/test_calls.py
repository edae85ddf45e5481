"""Profiles voice-agent and eva: plain references, calls made by hand, what is hidden."""

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
import reference_calls as plain
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings

from flexi_score.config import load_settings
from flexi_score.metrics import eva, voice_agent
from flexi_score.metrics.exchanges import exchanges
from flexi_score.schema import SCORES
from flexi_score.segment.structure import build_structure

ALL = load_settings("voice-agent", {"voice_agent.min_events": 0})
EVA = load_settings("eva")
seeds = st.integers(0, 2**32 - 1)


def scores(dialogues, profile=ALL):
    module = eva if profile.profile == "eva" else voice_agent
    structure = build_structure(tracks_of(dialogues), profile)
    table = module.score(structure, np.arange(len(dialogues)), profile, {})
    assert table.schema == SCORES
    assert table["reason"].null_count() == 0
    assert table["rule"].null_count() == 0
    return {(r["metric"], int(r["recording"][1:])): r for r in table.iter_rows(named=True)}


def spoken(*spans, word="yes"):
    """Words for these spans: four of them each, so that none is a backchannel by its words."""
    return [
        (a + (b - a) * i // 4, a + (b - a) * (i + 1) // 4, word) for a, b in spans for i in range(4)
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(seeds, min_size=1, max_size=6))
def test_voice_agent_equals_the_plain_reference(found):
    dialogues = [random_dialogue(np.random.default_rng(seed)) for seed in found]
    table = scores(dialogues)
    for i, dialogue in enumerate(dialogues):
        for name, (a, b) in plain.voice_agent(dialogue, ALL).items():
            row = table[name, i]
            want = a / b if b > 0 else None
            assert row["value"] == pytest.approx(want), (name, dialogue, row["reason"])


@settings(max_examples=25, deadline=None)
@given(st.lists(seeds, min_size=1, max_size=6))
def test_eva_equals_the_plain_reference(found):
    dialogues = [random_dialogue(np.random.default_rng(seed)) for seed in found]
    table = scores(dialogues, EVA)
    for i, dialogue in enumerate(dialogues):
        want = plain.eva(dialogue, EVA, [])
        mean = sum(s for s, _, _ in want) / len(want) if want else None
        assert table["turn_taking", i]["value"] == pytest.approx(mean), (dialogue, want)
        latencies = [ms / 1000 for _, kind, ms in want if kind == "latency"]
        share = sum(latencies) / len(latencies) if latencies else None
        assert table["latency", i]["value"] == pytest.approx(share)
        missed = [kind == "missed" for _, kind, _ in want]
        assert table["missed_turns", i]["value"] == pytest.approx(
            sum(missed) / len(missed) if missed else None
        )


@settings(max_examples=25, deadline=None)
@given(st.lists(seeds, min_size=1, max_size=5))
def test_every_model_ipu_belongs_to_one_exchange_at_most(found):
    dialogues = [random_dialogue(np.random.default_rng(seed)) for seed in found]
    structure = build_structure(tracks_of(dialogues), ALL)
    parts = exchanges(structure, 2000)
    assert (parts.user.end > parts.user.start).all()
    assert (np.diff(parts.user.start) > 0).all()
    assert (parts.limit >= parts.user.end).all()
    inside = parts.of_speech >= 0
    owner = parts.of_speech[inside]
    assert (parts.speech.start[inside] >= parts.user.start[owner]).all()
    assert (parts.speech.start[inside] <= parts.limit[owner]).all()


# Calls worked out on paper


def test_a_call_worked_out_on_paper():
    # The user asks (0-2), is answered after 0.5 s, asks again (6-8) and waits 3 s; the model
    # answers (11-13). The user pauses (14-16, pause, 17-19), the model starts in it (16.5) and
    # gives way (17.3). Then nobody speaks until 24 s.
    user = [(0, 2000), (6000, 8000), (14000, 16000), (17000, 19000)]
    model = [(2500, 5500), (11000, 13000), (16500, 17300)]
    table = scores([Dialogue(24000, user, model, model_words=spoken(*model))])
    value = {name: row["value"] for (name, _), row in table.items()}
    assert value["unanswered_turns"] == 1 / 4  # the one from 17 s on
    assert value["awkward_silences"] == 2 / 4  # after 8 s and after 19 s
    assert value["awkward_silences_per_min"] == pytest.approx(2 / 0.4)
    assert value["false_interruptions"] == 1 / 4
    assert value["longest_monologue"] == 3.0
    assert value["dead_air"] == pytest.approx(3 / 19)  # 8-11; what follows the last IPU is no gap
    assert value["user_talk_over_s_per_min"] == pytest.approx(0.3 / 0.4)
    assert value["model_talk_over_s_per_min"] == 0


def test_a_stop_at_mhm_is_a_false_stop_and_a_resumption():
    user = [(0, 2000), (4000, 4300)]
    model = [(2500, 4600), (5300, 9000)]
    table = scores([Dialogue(12000, user, model)])
    assert table["false_stops", 0]["value"] == 1
    assert table["resumptions", 0]["value"] == 1
    talked_through = [Dialogue(12000, user, [(2500, 9000)])]
    assert scores(talked_through)["false_stops", 0]["value"] == 0


def test_a_wordless_sound_that_stops_the_model_is_a_false_stop():
    user = [(0, 2000), (4000, 5500)]
    words = spoken((0, 2000))
    table = scores([Dialogue(12000, user, [(2500, 4400)], user_words=words)])
    assert table["false_stops", 0]["value"] == 1
    assert table["resumptions", 0]["value"] == 0
    words = spoken(*user)
    table = scores([Dialogue(12000, user, [(2500, 4400)], user_words=words)])
    assert table["false_stops", 0]["status"] == "not_applicable"


def test_words_per_minute_counts_speech_only():
    table = scores([Dialogue(60000, [(0, 2000)], [(3000, 6000)], user_words=spoken((0, 2000)))])
    assert table["user_words_per_min", 0]["value"] == pytest.approx(4 / (2 / 60))
    assert table["model_words_per_min", 0]["status"] == "not_applicable"


def test_rates_on_few_events_are_hidden_and_times_are_not():
    few = load_settings("voice-agent")
    table = scores([Dialogue(12000, [(0, 2000)], [(2500, 9000)])], few)
    row = table["unanswered_turns", 0]
    assert (row["value"], row["status"]) == (None, "excluded")
    assert "voice_agent.min_events is 10" in row["reason"]
    assert table["dead_air", 0]["value"] == 0
    assert table["awkward_silences_per_min", 0]["value"] == 0


def test_a_silent_model_leaves_every_turn_unanswered():
    dialogues = [Dialogue(12000, [(0, 2000), (6000, 7000)], [])]
    row = scores(dialogues)["unanswered_turns", 0]
    assert (row["value"], row["status"]) == (1, "silent")
    row = scores(dialogues, EVA)["turn_taking", 0]
    assert (row["value"], row["status"]) == (0, "silent")


@pytest.mark.parametrize(
    ("latency", "plain_score", "tool_score"),
    # EVA, docs/metrics/turn_taking.md, table of the latency curve
    [
        (0, 0.5, 0.5),
        (200, 0.7, 0.7),
        (500, 1.0, 1.0),
        (2000, 1.0, 1.0),
        (2750, 0.5, 1.0),
        (3000, 1 / 3, 1.0),
        (3500, 0.0, 0.75),
        (4000, 0.0, 0.5),
        (5000, 0.0, 0.0),
        (-500, 0.0, 0.0),
    ],
)
def test_the_latency_curve_is_that_of_the_published_table(latency, plain_score, tool_score):
    at = np.array([float(latency)])
    assert eva.latency_score(at, np.array([False]), EVA) == pytest.approx(plain_score)
    assert eva.latency_score(at, np.array([True]), EVA) == pytest.approx(tool_score)


@pytest.mark.parametrize(
    ("user", "model", "score"),
    [
        # The model cuts in at 3.0 s and talks 0.5 s over the user: 0.5 * (1 - 0.25); it answers
        # 1 s after the user's end, which scores 1.
        ([(0, 5000)], [(3000, 3500), (6000, 9000)], 0.375),
        # Twice: two segments score 0.25 at most; 0.6 s of overlap 0.35.
        ([(0, 8000)], [(2000, 2300), (5000, 5300), (9000, 12000)], 0.25),
        # The user cuts in at 5.0 s, the model stops 0.6 s later: 1 - 0.6 / 2 (the answer to the
        # first turn, after 1 s, scores 1).
        ([(0, 2000), (5000, 8000)], [(3000, 5600), (9000, 12000)], (1 + 0.7) / 2),
    ],
)
def test_interrupted_exchanges_worked_out_on_paper(user, model, score):
    words = spoken(*model)  # so that no short segment is a backchannel
    table = scores([Dialogue(20000, user, model, model_words=words)], EVA)
    assert table["turn_taking", 0]["value"] == pytest.approx(score)


def test_a_last_turn_that_the_recording_cuts_short_is_left_out():
    answered = [(0, 2000), (6000, 8000)]
    short = scores([Dialogue(9000, answered, [(3000, 5000)])], EVA)
    assert short["turn_taking", 0]["value"] == 1
    long = scores([Dialogue(12000, answered, [(3000, 5000)])], EVA)
    assert long["turn_taking", 0]["value"] == 0.5
    assert long["missed_turns", 0]["value"] == 0.5


def test_profiles_are_scored_beside_the_conversation_statistics():
    from flexi_score.metrics import score_structure

    structure = build_structure(tracks_of([Dialogue(12000, [(0, 2000)], [(2500, 9000)])]), EVA)
    for profile in ("voice-agent", "eva"):
        names = score_structure(structure, load_settings(profile))["metric"].to_list()
        assert len(names) == len(set(names))
        assert {"model_response_latency", "longest_silence"} <= set(names)
        assert {"unanswered_turns", "turn_taking"} & set(names)


def test_tool_time_is_taken_out_of_the_latency():
    tracks = tracks_of([Dialogue(12000, [(0, 2000)], [(5000, 9000)])])
    tools = pl.Series([[{"start_ms": 2500, "end_ms": 4500}]])
    if "tools" not in tracks.recordings.columns:
        tracks.recordings.insert_column(0, tools.alias("tools"))
    else:
        tracks.recordings.replace_column(
            tracks.recordings.get_column_index("tools"), tools.alias("tools")
        )
    structure = build_structure(tracks, EVA)
    table = eva.score(structure, np.arange(1), EVA, {})
    value = dict(table.select("metric", "value").iter_rows())
    assert value["latency"] == 3.0
    assert value["latency_without_tools"] == 1.0
    assert value["turn_taking"] == 1.0  # 3 s with a tool call are on the plateau
