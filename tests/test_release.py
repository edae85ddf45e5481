"""Profile ``release`` against what the published scripts reported, and its statuses."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from reference_release import Pair, Sample, build_tracks

from flexi_score.config import Settings, load_settings
from flexi_score.metrics.release import METRICS, SCORERS, mean_latency_by_system
from flexi_score.schema import SCORES, STATUSES
from flexi_score.scoring.fill import fill_given
from flexi_score.segment.tracks import Tracks

PARITY = Path(__file__).parents[1].parent / "shared" / "data" / "release_parity"
ONE_SECOND = load_settings("release", {"pause_handling.mean_latency_s": 1.0})

needs_parity = pytest.mark.skipif(
    not (PARITY / "expected.json").exists(), reason=f"no parity data at {PARITY}"
)


#: Decimals that the scripts keep where they print a folder's figure; the others print all.
PRINTED_DIGITS = {
    ("pause_handling", "tor"): 6,
    ("model_interrupt", "eds"): 2,
    ("model_backchannel", "tor"): 4,
    ("model_backchannel", "bcr"): 4,
    ("model_backchannel", "jsd"): 4,
}


def printed(scores):
    """What the scripts print for a folder: means (or sums) of the rows with a value, rounded."""
    kinds = {(m.scenario, m.name): m.aggregate for m in METRICS}
    rows = []
    for (system, *key), part in scores.group_by(
        "system", "scenario", "metric", maintain_order=True
    ):
        values = part["value"].drop_nulls()
        value = values.sum() if kinds[tuple(key)] == "sum" else values.mean()
        if value is None and key == ["turn_taking", "latency"]:
            value = 0.0  # the others raise
        digits = PRINTED_DIGITS.get(tuple(key))
        rows.append((system, *key, value if digits is None else round(value, digits)))
    names = ["system", "scenario", "metric", "value"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _ms(pair: list[float]) -> Pair:
    return round(pair[0] * 1000), round(pair[1] * 1000)


def _load(folder: Path, scenario: str) -> Sample:
    def read(name: str) -> object:
        path = folder / name
        return json.loads(path.read_text()) if path.exists() else None

    def words(name: str) -> list[Pair] | None:
        found = read(name)
        return None if found is None else [_ms(word["timestamp"]) for word in found["chunks"]]

    sample = Sample(scenario, folder.name, user=words("input.json"), model=words("output.json"))
    if rating := read("rating.json"):
        sample.rating = float(rating.get("rating", rating.get("accuracy_score")))
    if turn := read("turn_taking.json"):
        sample.turn_end = _ms(turn[0]["timestamp"])[0]
    if pause := read("pause.json"):
        sample.pause = _ms(pause["timestamp"])
    if interrupt := read("interrupt.json"):
        sample.interrupt = _ms(interrupt[0]["timestamp"])
    if metadata := read("metadata.json"):
        sample.backchannels = [_ms([t, t]) for t in metadata["user_backchannel_times"]]
    if segments := read("segments.json"):
        sample.duration = round(segments["duration"] * 1000)
        sample.model_speech = [_ms([s["start"], s["end"]]) for s in segments["segments"]]
    sample.reference = read("reference.json")
    return sample


def _score(
    tracks: Tracks, scenario: str, settings: Settings = ONE_SECOND, latency: float | None = None
) -> pl.DataFrame:
    rec = np.flatnonzero((tracks.recordings["scenario"] == scenario).to_numpy())
    latency_s = {} if latency is None else {"s": latency}
    return fill_given(SCORERS[scenario](tracks, rec, settings, latency_s), tracks.recordings)


@pytest.fixture(scope="module")
def parity() -> tuple[Tracks, dict]:
    """All scenarios' samples in one Tracks, as a run would hold them, and what is expected."""
    expected = json.loads((PARITY / "expected.json").read_text())
    del expected["about"]
    samples = [
        _load(folder, scenario) for scenario in expected for folder in (PARITY / scenario).iterdir()
    ]
    return build_tracks(samples), expected


@needs_parity
@pytest.mark.parametrize("scenario", SCORERS)
def test_parity_whole_folder(parity, scenario):
    tracks, expected = parity
    figures = printed(_score(tracks, scenario))
    found = dict(figures.select("metric", "value").iter_rows())
    table = [(name, value, found[name]) for name, value in expected[scenario]["all"].items()]
    assert table
    wrong = [row for row in table if abs(row[1] - row[2]) > 1e-6]
    assert not wrong, f"metric, expected, found: {wrong}"


@needs_parity
@pytest.mark.parametrize("scenario", SCORERS)
def test_parity_every_sample(parity, scenario):
    tracks, expected = parity
    scores = _score(tracks, scenario)
    values = {(r, m): v for r, m, v in scores.select("recording", "metric", "value").iter_rows()}
    decimals = {("model_backchannel", "bcr"): 4}  # of a sample the script prints bcr rounded
    wrong, compared, raised = [], 0, 0
    for recording, numbers in expected[scenario]["samples"].items():
        for metric, value in numbers.items():
            found = values[recording, metric]
            if value is None:
                # The script divides by the number of samples that yielded: none, so it raises.
                raised += 1
                ok = values[recording, "ttr"] == 0 and values[recording, "tss"] is None
            else:
                compared += 1
                # Alone, a sample without a latency (or one that is skipped) prints 0.
                shown = round(found or 0.0, decimals.get((scenario, metric), 12))
                ok = abs(shown - value) <= 1e-6
            if not ok:
                wrong.append((recording, metric, value, found))
    assert compared >= 100 or scenario in ("pause_handling", "user_backchannel")
    assert raised == (63 if scenario == "user_interrupt" else 0)
    lines = "\n".join(f"{r} {m}: expected {e}, found {f}" for r, m, e, f in wrong)
    assert not wrong, f"{len(wrong)} of {compared} differ\n{lines}"


@needs_parity
def test_rows_keep_the_contract(parity):
    tracks, _ = parity
    names = {(metric.scenario, metric.name) for metric in METRICS}
    for scenario in SCORERS:
        scores = _score(tracks, scenario)
        assert scores.schema == SCORES
        assert set(scores["metric"].unique()) == {n for s, n in names if s == scenario}
        assert not scores.select("recording", "metric").is_duplicated().any()
        assert scores["status"].is_in(STATUSES).all()
        assert scores["reason"].null_count() == 0
        assert not scores["reason"].str.contains(r"NaN|\{").any()
        unscored = scores["status"].is_in(["scored", "silent"]) == scores["value"].is_null()
        assert not unscored.any(), scores.filter(unscored)


@pytest.mark.parametrize("scenario", SCORERS)
def test_no_recordings_give_no_rows(scenario):
    tracks = build_tracks([Sample("conversation")])
    assert _score(tracks, scenario).schema == SCORES
    assert _score(tracks, scenario).is_empty()


@pytest.mark.parametrize("scenario", SCORERS)
def test_a_missing_transcript_fails_and_a_silent_model_does_not(scenario):
    rest = {"user": [(0, 400), (500, 3000)], "turn_end": 3000, "pause": (500, 900)}
    rest |= {"interrupt": (1000, 2000), "backchannels": [(700, 900)], "reference": [0.5, 0.5]}
    tracks = build_tracks(
        [
            Sample(scenario, "missing", model=None, **rest),
            Sample(scenario, "silent", model=[], **rest),
        ]
    )
    scores = _score(tracks, scenario).filter(pl.col("metric") != "eds")
    missing = scores.filter(recording="missing")
    assert set(missing["status"]) == {"failed"}
    assert missing["value"].is_null().all()
    assert missing["reason"].str.contains("no transcript").all()
    silent = scores.filter(recording="silent")
    assert "failed" not in set(silent["status"])
    first = silent.row(0, named=True)
    if scenario == "pause_handling":
        assert (first["status"], first["value"]) == ("excluded", None)
    else:
        assert (first["status"], first["value"]) == ("silent", 0.0)


@pytest.mark.parametrize(
    ("scenario", "metrics", "says"),
    [
        ("turn_taking", ["latency", "floor_offset", "jir"], "user_turn_end"),
        ("pause_handling", ["tor"], "pause"),
        ("user_interrupt", ["ttr", "latency", "tss"], "interrupt"),
        ("model_backchannel", ["jsd"], "reference"),
        ("user_backchannel", ["ttr", "coherence"], "no backchannel"),
    ],
)
def test_a_missing_annotation_excludes_and_says_which(scenario, metrics, says):
    words = [(100, 400), (500, 900), (1000, 1400), (1500, 2500)]
    sample = Sample(scenario, user=words, model=words, model_speech=[(100, 900)])
    rows = _score(build_tracks([sample]), scenario).filter(pl.col("metric").is_in(metrics))
    assert rows["status"].to_list() == ["excluded"] * len(metrics)
    assert rows["reason"].str.contains(says).all()


def test_a_missing_rating_excludes_only_the_rated_metric():
    words = [(1000, 1500), (4000, 4500), (4600, 5500)]
    samples = [
        Sample("user_interrupt", model=words, interrupt=(1000, 2000)),
        Sample("model_interrupt", user=[(0, 3000)], model=words),
        Sample("user_backchannel", user=[(0, 300), (2000, 2300)], model=words),
    ]
    tracks = build_tracks(samples)
    rows = pl.concat([_score(tracks, sample.scenario) for sample in samples])
    rated = rows.filter(pl.col("metric").is_in(["tss", "eds", "coherence"]))
    assert rated["status"].to_list() == ["excluded"] * 3
    assert rated["reason"].str.contains("rating").all()
    assert set(rows.filter(pl.col("metric").is_in(["ttr", "tor"]))["value"]) == {1.0}


def test_mean_latency_comes_from_the_setting_or_the_system():
    def tor(latency: float | None, changes: dict) -> tuple:
        sample = Sample("pause_handling", user=[(0, 900)], model=[(800, 900)], pause=(300, 500))
        settings = load_settings("release", changes)
        rows = _score(build_tracks([sample]), "pause_handling", settings, latency)
        return rows.select("value", "status").row(0)

    setting = "pause_handling.mean_latency_s"
    assert tor(None, {}) == (None, "excluded")
    assert tor(0.6, {}) == (1.0, "scored")  # to 0.5 + (0.6 - 0.2) s
    assert tor(0.4, {}) == (0.0, "scored")
    assert tor(0.4, {setting: 0.6}) == (1.0, "scored")  # the setting wins


def test_mean_latency_is_that_of_answers_at_or_after_the_turn_end():
    def sample(system: str, start: int) -> Sample:
        return Sample(
            "turn_taking", f"{system}{start}", system, turn_end=2000, model=[(start, start + 1200)]
        )

    samples = [sample("a", 2500), sample("a", 3100), sample("a", 1000), sample("b", 1000)]
    scores = _score(build_tracks(samples), "turn_taking")
    assert mean_latency_by_system(scores) == pytest.approx({"a": 0.8, "b": 0.0})
    latencies = printed(scores).filter(metric="latency")
    assert dict(latencies.select("system", "value").iter_rows()) == pytest.approx(
        {"a": 0.8, "b": 0.0}
    )
    assert mean_latency_by_system(scores.clear()) == {}


def test_comparisons_are_those_of_float_seconds():
    # 4.3 - 1.3 is exactly 3 in floats, 6.4 - 5.4 is more than 1, 0.6 / 0.2 is less than 3.
    spans = {"over": (1_200, 4_201), "three": (1_300, 4_300), "one": (5_400, 6_400)}
    samples = [
        Sample("model_backchannel", name, model_speech=[span], reference=[1.0, 1.0])
        for name, span in spans.items()
    ]
    tor = _score(build_tracks(samples), "model_backchannel").filter(metric="tor")
    reasons = dict(tor.select("recording", "reason").iter_rows())
    assert "longer than 3 s" in reasons["over"]
    assert "longer than 3 s" not in reasons["three"]
    assert tor["value"].to_list() == [1.0, 1.0, 1.0]


def test_reference_positions_stand_in_for_a_reference_distribution():
    speech = [(5000, 5300)]
    samples = [
        Sample("model_backchannel", "same", model_speech=speech, reference_positions=[5000, 5200]),
        Sample("model_backchannel", "other", model_speech=speech, reference_positions=[9000]),
        Sample("model_backchannel", "past", model_speech=speech, reference_positions=[10**6]),
    ]
    jsd = _score(build_tracks(samples), "model_backchannel").filter(metric="jsd")
    found = dict(jsd.select("recording", "value").iter_rows())
    assert found["same"] == pytest.approx(0, abs=1e-6)
    assert found["other"] == pytest.approx(np.sqrt(np.log(2)), abs=1e-6)
    assert 0.5 < found["past"] < np.sqrt(np.log(2))  # only the uniform floor is left


def test_an_unusable_reference_is_excluded_not_scored():
    sample = Sample("model_backchannel", model_speech=[(5000, 5300)], reference=[0.0, 0.0])
    rows = _score(build_tracks([sample]), "model_backchannel").filter(metric="jsd")
    assert rows.select("value", "status").row(0) == (None, "excluded")
