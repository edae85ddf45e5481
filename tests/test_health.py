"""The health gate: one made example of every defect, and nothing on what is sound."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import polars as pl
import pytest
import soundfile as sf
from conftest import SAMPLES, SHARED_DATA, Cli, read_jsonl, write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal as dsp

from flexi_score.archive import store, tables
from flexi_score.archive.reader import ArchiveReader
from flexi_score.audio.dropouts import ZeroRuns
from flexi_score.capture.audio_measures import crosstalk_lags, likeness, mixed_db
from flexi_score.capture.gate import FINE, REFUSE, WARN, judge
from flexi_score.capture.silent import (
    dead_failures,
    dead_health,
    find_dead,
    noisy_systems,
    silent_notes,
)
from flexi_score.config import HealthSettings, load_settings
from flexi_score.config.health import CHECKS, LIMITS
from flexi_score.errors import SettingsError
from flexi_score.schema import HEALTH
from flexi_score.scoring import pipeline
from flexi_score.segment.tracks import select_tracks

RATE = 16_000
SETTINGS = load_settings("paper", {"extract.asr": "none"})
Samples = np.ndarray
Row = dict[str, Any]


def _sample(name: str = "eager_turn_taking_2") -> Samples:
    data, rate = sf.read(SAMPLES / f"{name}.flac", dtype="float32")
    assert rate == RATE
    return data


def _stereo(folder: Path, name: str, data: Samples, rate: int = RATE, **row: Any) -> Row:
    sf.write(folder / f"{name}.wav", data, rate, subtype="PCM_16")
    return {"id": name, "audio": f"{name}.wav", **row}


def _pair(folder: Path, name: str, user: Samples, model: Samples, **row: Any) -> Row:
    for side, data in (("user", user), ("model", model)):
        sf.write(folder / f"{name}_{side}.wav", data, RATE, subtype="PCM_16")
    return {"id": name, "user_audio": f"{name}_user.wav", "model_audio": f"{name}_model.wav", **row}


def _noise(n: int, dbfs: float, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, 10 ** (dbfs / 20), n).astype(np.float32)


def _copied(folder: Path) -> Row:
    mono = _sample().sum(axis=1)
    return _stereo(folder, "copied", np.stack([mono, -0.6 * mono], axis=1))


def _panned(folder: Path) -> Row:
    mono = _sample().sum(axis=1)
    return _stereo(folder, "panned", np.stack([mono, 0.1 * mono], axis=1))


def _late_copy(folder: Path) -> Row:
    mono = _sample().sum(axis=1)
    late = np.concatenate([np.zeros(round(0.2 * RATE), np.float32), mono])[: len(mono)]
    return _stereo(folder, "late_copy", 0.9 * np.stack([mono, 0.8 * late], axis=1))


def _mixed(folder: Path) -> Row:
    """Both parties on both channels, panned."""
    data = _sample()
    return _stereo(folder, "mixed", 0.5 * (data + 10 ** (-4 / 20) * data[:, ::-1]))


def _swapped(folder: Path) -> Row:
    truth = {row["id"]: row for row in read_jsonl(SAMPLES / "truth.jsonl")}
    end = truth["eager_turn_taking_2"]["user_speech"][-1][1] / 1000
    data = np.ascontiguousarray(_sample()[:, ::-1])
    return _stereo(folder, "swapped", data, annotations={"user_turn_end": end})


def _crosstalk(folder: Path) -> Row:
    data = _long()
    late = round(0.08 * RATE)
    data[late:, 1] += 10 ** (-12 / 20) * data[:-late, 0]
    return _stereo(folder, "crosstalk", data)


def _crosstalk_left(folder: Path) -> Row:
    """A loudspeaker in a hall: a tail of 0.6 s, most of it longer than any filter."""
    data = _sample("eager_model_interrupt_1")
    t = np.arange(round(0.6 * RATE)) / RATE
    hall = np.random.default_rng(3).standard_normal(len(t)) * 10 ** (-3 * t / 0.6)
    hall *= 10 ** (-6 / 20) / np.sqrt(np.sum(hall**2))
    data[:, 0] += dsp.oaconvolve(data[:, 1], hall)[: len(data)].astype(np.float32)
    return _stereo(folder, "crosstalk_left", 0.8 * data)


def _clipping(folder: Path) -> Row:
    data = _sample()
    data[:, 0] = np.clip(
        data[:, 0], -0.15 * np.abs(data[:, 0]).max(), 0.15 * np.abs(data[:, 0]).max()
    )
    return _stereo(folder, "clipping", data)


def _low(folder: Path) -> Row:
    data = _sample()
    level = np.sqrt(
        np.sort((data[: len(data) // 160 * 160, 0].reshape(-1, 160) ** 2).mean(axis=1))[-50:].mean()
    )
    data[:, 0] *= 10 ** (-64 / 20) / level
    sf.write(folder / "low.wav", data, RATE, subtype="PCM_24")
    return {"id": "low", "audio": "low.wav"}


def _high(folder: Path) -> Row:
    data = _sample()
    # Soft limiting: loud, with hardly a sample at full scale.
    data[:, 1] = 0.95 * np.tanh(data[:, 1] / np.abs(data[:, 1]).max() * 30)
    data[:, 1] *= 1 + 0.02 * np.sin(np.arange(len(data)) / 500)
    return _stereo(folder, "high", data)


def _noisy(folder: Path) -> Row:
    data = _sample()
    data[:, 0] += _noise(len(data), -38)
    return _stereo(folder, "noisy", data)


def _telephone(folder: Path) -> Row:
    data = dsp.resample_poly(_sample(), 1, 2, axis=0)
    return _stereo(folder, "telephone", data.astype(np.float32), RATE // 2)


def _uneven(folder: Path) -> Row:
    data = _sample()
    return _pair(folder, "uneven", data[:, 0], np.append(data[:, 1], _noise(3 * RATE, -75)))


def _long() -> Samples:
    """A dialogue of half a minute: both parties speak by turns."""
    names = ("eager_turn_taking_2", "calm_turn_taking_1", "calm_pause_handling_1")
    return np.concatenate([_sample(name) for name in names])


def _offset(folder: Path) -> Row:
    data = _long()
    user, model = data[:, 0].copy(), data[:, 1].copy()
    model += 0.1 * np.roll(user, round(0.02 * RATE))
    # The model's file began 300 ms late.
    return _pair(folder, "offset", user[: -round(0.3 * RATE)], model[round(0.3 * RATE) :])


def _drift(folder: Path) -> Row:
    data = np.concatenate([_long()] * 2)
    user = data[:, 0].astype(np.float64)
    model = data[:, 1] + 0.1 * np.roll(user, round(0.06 * RATE))
    # The model's clock is slow by 500 ppm: it hears everything ever later, on its own count.
    slow = np.interp(np.arange(len(model)) * (1 - 500e-6), np.arange(len(model)), model)
    return _pair(folder, "drift", data[:, 0], slow.astype(np.float32))


def _dropouts(folder: Path) -> Row:
    data = _sample()
    level = np.convolve(data[:, 1] ** 2, np.ones(1600) / 1600, "same")
    loud = np.flatnonzero(level > 0.3 * level.max())
    for at in loud[:: len(loud) // 6][:5]:
        data[at : at + 320, 1] = 0
    return _stereo(folder, "dropouts", data)


def _short(folder: Path) -> Row:
    data = _sample()
    start = int(np.argmax(np.abs(data[:, 0]) > 0.1 * np.abs(data[:, 0]).max()))
    data = np.concatenate([data[start : start + RATE, :], _sample()[:1600, :] * 0.5])
    data += _noise(2 * len(data), -80).reshape(-1, 2)
    return _stereo(folder, "short", data)


def _tiny(folder: Path) -> Row:
    return _stereo(folder, "tiny", _noise(RATE * 2 // 5 * 2, -70).reshape(-1, 2))


def _muted(folder: Path) -> Row:
    data = _sample("calm_turn_taking_2")
    data[:, 1] = 0
    data[::4000, 1] = 1 / 32768
    return _stereo(folder, "muted", data)


def dead_model(folder: Path) -> Row:
    """The model's input was never connected."""
    data = _sample()
    data[:, 1] = 0
    return _stereo(folder, "dead", data)


def silent_model(folder: Path) -> Row:
    """The model's line was open, and it said nothing."""
    return _stereo(folder, "silent_model", _sample("calm_turn_taking_2"))


#: Maker, the check that fires, its channel, and where its number must lie.
DEFECTS: tuple[tuple[Callable[[Path], Row], str, str | None, float, float, str], ...] = (
    (_copied, "copied", None, 0.999, 1.0, REFUSE),
    (_panned, "copied", None, 0.999, 1.0, REFUSE),
    (_late_copy, "copied", None, 0.99, 1.0, REFUSE),
    (_mixed, "mixed", None, -4.1, -3.9, REFUSE),
    (_swapped, "swapped", None, 1.0, 1.0, WARN),
    (_crosstalk, "crosstalk", "model", -14.0, -10.0, WARN),
    (_crosstalk_left, "crosstalk_left", "user", 5.0, 100.0, WARN),
    (_clipping, "clipping", "user", 0.001, 0.2, WARN),
    (_low, "level_low", "user", -66.0, -62.0, WARN),
    (_high, "level_high", "model", -5.0, 0.0, WARN),
    (_noisy, "snr", "user", 5.0, 20.0, WARN),
    (_telephone, "band", "user", 3500.0, 4000.0, WARN),
    (_uneven, "length", None, 3000.0, 3000.0, WARN),
    (_offset, "offset", None, 279.0, 281.0, WARN),
    (_drift, "drift", None, 36.0, 38.0, WARN),
    (_dropouts, "dropouts", "model", 95.0, 105.0, WARN),
    (_short, "short", None, 1.1, 1.1, WARN),
    (_tiny, "short", None, 0.4, 0.4, REFUSE),
    (_muted, "silent", "model", -120.0, -85.0, WARN),
)

#: Those that are refused.
EXCLUDED = {"copied", "panned", "late_copy", "mixed", "tiny"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("defects")
    rows = [maker(folder) for maker, *_ in DEFECTS]
    write_jsonl(folder / "manifest.jsonl", rows)
    pipeline.extract(folder / "manifest.jsonl", folder / "archive", settings=SETTINGS)
    return folder, folder / "archive"


@pytest.fixture(scope="module")
def health(made: tuple[Path, Path]) -> pl.DataFrame:
    found, failures = pipeline.check(made[1], settings=SETTINGS)
    assert not len(failures)
    assert found.schema == HEALTH
    return found


@pytest.mark.parametrize("defect", DEFECTS, ids=[d[0].__name__.strip("_") for d in DEFECTS])
def test_each_defect_fires_its_own_check_with_its_number(
    health: pl.DataFrame, defect: tuple[Any, ...]
) -> None:
    maker, check, channel, low, high, verdict = defect
    mine = health.filter(pl.col("recording") == maker.__name__.strip("_"))
    fired = mine.filter(pl.col("verdict") != FINE)
    here = fired.filter(
        (pl.col("check") == check) & pl.col("channel").eq_missing(pl.lit(channel, pl.String))
    )
    assert len(here) == 1, fired.rows()
    row = here.row(0, named=True)
    assert low - 1e-6 <= row["value"] <= high + 1e-6, row
    assert row["verdict"] == verdict
    assert row["remedy"]
    assert row["detail"]
    others = {check, *ALSO.get(maker.__name__, ())}
    assert set(fired["check"]) <= others, fired.select("check", "channel", "value", "detail").rows()


#: What else is wrong with a made example, and why.
ALSO: dict[str, tuple[str, ...]] = {
    "_copied": ("mixed", "timeline"),
    "_panned": ("timeline",),
    "_mixed": ("copied",),
    "_crosstalk_left": ("crosstalk",),
    "_drift": ("crosstalk", "offset", "length"),  # it is measured by crosstalk
    "_offset": ("crosstalk",),
}


def test_sound_recordings_fire_nothing(sample_archive: Path) -> None:
    found, failures = pipeline.check(sample_archive, settings=SETTINGS)
    assert not len(failures)
    bad = found.filter(pl.col("verdict") != FINE)
    assert bad.select("recording", "check", "value", "detail").rows() == []
    assert found["recording"].n_unique() == 27
    silent = found.filter(pl.col("check") == "silent")
    assert set(silent["recording"]) == {"calm_turn_taking_2", "calm_model_backchannel_2"}
    for detail in silent["detail"]:
        assert "the capture ran and the party said nothing" in detail


def test_real_calls_fire_only_what_is_so(tmp_path: Path) -> None:
    calls = SHARED_DATA / "real_calls"
    if not calls.is_dir():
        pytest.skip("the real calls are not here")
    rows = [{"id": p.stem, "audio": str(p)} for p in sorted(calls.glob("*.wav"))]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    found, _ = pipeline.check(manifest, settings=SETTINGS, archive=tmp_path / "a")
    bad = found.filter(pl.col("verdict") != FINE)
    # The agent's side of these telephone calls is narrow; windows cut out of calls are no fault.
    assert set(bad["check"]) <= {"band"}
    assert set(bad["channel"]) == {"model"}
    assert set(bad["verdict"]) == {WARN}
    lost = found.filter((pl.col("check") == "dropouts") & (pl.col("value") > 0))
    assert lost["value"].max() <= 10.0


def test_what_is_refused_is_excluded_with_the_reason_and_no_gate_overrides(
    made: tuple[Path, Path], tmp_path: Path, cli: Cli
) -> None:
    done = cli("score", made[1], "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    scores = pl.read_parquet(tmp_path / "run" / "scores.parquet")
    gone = scores.filter(pl.col("recording").is_in(list(EXCLUDED)))
    assert set(gone["recording"]) == EXCLUDED
    assert set(gone["status"]) == {"excluded"}
    assert gone["value"].null_count() == len(gone)
    assert gone["reason"].str.contains("--no-gate").all()
    info = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert info["excluded"] == len(EXCLUDED)
    assert info["health"]["copied.refuse"] == 3
    summary = pl.read_parquet(tmp_path / "run" / "summary.parquet")
    assert (summary["excluded"] >= 3).any()
    text = (tmp_path / "run" / "summary.md").read_text("utf-8")
    assert "Health of the recordings" in text
    assert "5 recordings left out by the health gate (--no-gate scores them)" in done.stdout
    assert pl.read_parquet(tmp_path / "run" / "health.parquet").schema == HEALTH
    done = cli("score", made[1], "--no-gate", "--out", tmp_path / "all")
    assert done.returncode == 0, done.stderr
    scores = pl.read_parquet(tmp_path / "all" / "scores.parquet")
    assert "excluded" not in set(scores.filter(pl.col("recording") == "copied")["status"])


def test_check_prints_problems_first_and_its_exit_code_says_so(
    made: tuple[Path, Path], sample_archive: Path, tmp_path: Path, cli: Cli
) -> None:
    done = cli("check", made[1], "--out", tmp_path / "health.csv")
    assert done.returncode == 1
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    first = next(line for line in lines if line[0] in EXCLUDED)
    assert "refuse" in first
    named = [line[0] for line in lines if line[0] in {d[0].__name__.strip("_") for d in DEFECTS}]
    assert set(named[: len(EXCLUDED)]) == EXCLUDED
    assert f"{len(EXCLUDED)} refused" in done.stdout
    assert len(pl.read_csv(tmp_path / "health.csv")) > 100
    done = cli("check", sample_archive)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "27 fine, 0 to look at, 0 refused; 0 failed" in done.stdout
    dead = _sample()
    dead[:, 0] = 0
    manifest = write_jsonl(tmp_path / "m.jsonl", [_stereo(tmp_path, "dead", dead)])
    done = cli("check", manifest, "-q")
    assert done.returncode == 1
    assert "dead" in done.stdout
    assert "user channel is dead" in done.stderr


def test_an_archive_from_before_the_gate_is_scored_and_filled_in(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    import shutil

    old = tmp_path / "archive"
    shutil.copytree(made[1], old)
    shutil.rmtree(old / "health")
    found, failures = pipeline.check(old, settings=SETTINGS)
    assert not len(failures)
    found = found.filter(pl.col("recording") != "late_copy")  # its crosstalk tells it
    assert not set(found["check"]) & {"copied", "band", "dropouts", "offset", "drift"}
    assert {"level_low", "snr", "short"} <= set(found["check"])
    assert "low" in set(found.filter(pl.col("verdict") == WARN)["recording"])
    # With the audio at hand, the next extraction measures what is missing, and nothing else.
    parts = {p.name for p in (old / "channels").iterdir()}
    pipeline.extract(made[0] / "manifest.jsonl", old, settings=SETTINGS)
    assert {p.name for p in (old / "channels").iterdir()} == parts
    again, _ = pipeline.check(old, settings=SETTINGS)
    first, _ = pipeline.check(made[1], settings=SETTINGS)
    assert again.equals(first)


def test_offsets_of_a_pair_are_taken_into_account(made: tuple[Path, Path], tmp_path: Path) -> None:
    row = next(r for r in read_jsonl(made[0] / "manifest.jsonl") if r["id"] == "offset")
    row = row | {f"{s}_audio": str(made[0] / row[f"{s}_audio"]) for s in ("user", "model")}
    manifest = write_jsonl(tmp_path / "m.jsonl", [row | {"model_offset": 0.3}])
    found, _ = pipeline.check(manifest, settings=SETTINGS, archive=made[1])
    offset = found.filter(pl.col("check") == "offset").row(0, named=True)
    assert offset["verdict"] == FINE
    assert offset["value"] == pytest.approx(-20, abs=1)


def test_swapped_channels_are_known_by_what_is_said(tmp_path: Path) -> None:
    rows = {row["id"]: row for row in read_jsonl(SAMPLES / "manifest.jsonl")}
    data = np.ascontiguousarray(_sample("calm_pause_handling_1")[:, ::-1])
    row = _stereo(tmp_path, "s", data, text=rows["calm_pause_handling_1"]["text"])
    manifest = write_jsonl(tmp_path / "m.jsonl", [row])
    found, _ = pipeline.check(manifest, archive=tmp_path / "a")
    swapped = found.filter(pl.col("check") == "swapped").row(0, named=True)
    assert swapped["verdict"] == WARN
    assert swapped["value"] > 0.7
    assert "text: " in swapped["detail"]
    # Without words nothing is known, and nothing is said.
    found, _ = pipeline.check(tmp_path / "a", settings=SETTINGS)
    assert "swapped" not in set(found["check"])


def test_a_limit_that_cannot_be_is_named_as_it_is_set() -> None:
    with pytest.raises(SettingsError, match=r"^setting health\.snr\.warn: .* \(found 'loud'\)$"):
        load_settings("paper", {"health.snr.warn": "loud"})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(CHECKS),
            st.one_of(st.integers(-200, 200).map(float), st.sampled_from([4100.0, 0.98, 0.5])),
        ),
        max_size=30,
    ),
    st.dictionaries(
        st.sampled_from([f"health.{check.name}.{x}" for check in CHECKS for x in LIMITS]),
        st.one_of(st.none(), st.integers(-200, 200).map(float)),
        max_size=10,
    ),
)
def test_verdicts_equal_one_comparison_a_number(
    numbers: list[tuple[Any, float]], changes: dict[str, float | None]
) -> None:
    settings = load_settings("paper", changes).health
    measured = pl.DataFrame(
        [(f"r{i}", check.name, None, value, "so") for i, (check, value) in enumerate(numbers)],
        schema={
            "recording": pl.String,
            "check": pl.String,
            "channel": pl.String,
            "value": pl.Float64,
            "detail": pl.String,
        },
        orient="row",
    )
    judged = judge(measured, settings)
    assert judged["recording"].to_list() == measured["recording"].to_list()
    for (check, value), row in zip(numbers, judged.iter_rows(named=True), strict=True):
        assert row["verdict"] == _verdict(check, value, settings)
        assert (row["remedy"] is None) == (row["verdict"] == FINE)
        if row["verdict"] != FINE:
            gap = value - row["threshold"]
            assert gap >= 0 if check.worse == "above" else gap <= 0


def _verdict(check: Any, value: float, settings: HealthSettings) -> str:
    limits = settings.checks[check.name]
    for verdict, limit in ((REFUSE, limits.refuse), (WARN, limits.warn)):
        if limit is None:
            continue
        if (value >= limit) if check.worse == "above" else (value <= limit):
            return verdict
    return FINE


@hypothesis.settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(60, 5000))
def test_dropouts_do_not_depend_on_the_blocks(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    data = rng.normal(0, 0.1, 12_000).astype(np.float32)
    data[data == 0] = 0.1
    expected = []
    at = int(rng.integers(80, 500))
    while at < 11_000:
        length = int(rng.choice([20, 79, 80, 160, 320, 3000, 6400, 7000]))
        end = min(at + length, len(data))
        data[at:end] = 0
        if 80 <= length <= 6400 and end + 80 <= len(data):
            expected.append(length)
        at = end + int(rng.integers(80, 2000))
    runs = ZeroRuns(RATE)
    for start in range(0, len(data), size):
        runs.add(data[start : start + size])
    count, total_ms = runs.dropouts(-20.0)
    assert (count, total_ms) == (len(expected), pytest.approx(sum(expected) / 16))


def test_quiet_gaps_are_no_dropouts() -> None:
    fade = np.logspace(0, -3, 800)
    ramp = np.concatenate([fade, np.zeros(800), fade[::-1]])
    data = np.tile(ramp, 5) * _noise(12_000, -10)
    runs = ZeroRuns(RATE)
    runs.add(data.astype(np.float32))
    assert runs.dropouts(-13.0) == (0, 0.0)


def test_a_mix_is_measured_from_a_copy_down_to_crosstalk() -> None:
    data = _long().astype(np.float64)
    for db in (0.0, -1.0, -3.0, -6.0, -10.0, -20.0):
        other = 10 ** (db / 20) * data[:, ::-1]
        ways = {"both": data + other, "one": data + other * [1, 0], "inverted": data - other}
        for mix in ways.values():
            chunks = [(mix[a : a + 64_000, 0], mix[a : a + 64_000, 1]) for a in (0, 64_000)]
            found = mixed_db(chunks, likeness(chunks)[1])
            assert found == pytest.approx(db, abs=0.1)
    plain = [(data[a : a + 64_000, 0], data[a : a + 64_000, 1]) for a in (0, 64_000)]
    assert mixed_db(plain, 0.0) is None
    assert mixed_db([(np.zeros(64_000), np.zeros(64_000))], 0.0) is None


def test_lags_are_not_claimed_where_there_is_no_crosstalk() -> None:
    data = _long().astype(np.float64)
    chunks = [
        (data[a : a + 64_000, 0], data[a : a + 64_000, 1])
        for a in range(0, len(data) - 64_000, 64_000)
    ]
    starts = list(range(0, 64_000 * len(chunks), 64_000))
    assert crosstalk_lags(starts, chunks) == (None, None, None, 0)


def test_selected_tracks_score_as_if_alone(made: tuple[Path, Path]) -> None:
    from flexi_score.metrics import score_structure
    from flexi_score.scoring.load import load_tracks
    from flexi_score.segment.structure import build_structure

    rows = ArchiveReader(made[1]).recordings()
    tracks, _ = load_tracks(ArchiveReader(made[1]), rows, SETTINGS)
    keep = np.arange(len(tracks)) % 3 != 1
    some = select_tracks(tracks, keep)
    alone, _ = load_tracks(ArchiveReader(made[1]), rows.filter(pl.Series(keep)), SETTINGS)
    mine, theirs = (score_structure(build_structure(t, SETTINGS), SETTINGS) for t in (some, alone))
    assert mine.equals(theirs)


def _archive_of_levels(folder: Path, models: list[tuple[str, bool, float]]) -> ArchiveReader:
    """Recordings of one system: id, whether the model's channel is dead, its silent frames."""
    archive = store.open_archive(folder, create=True)
    rows, channels = [], []
    for name, dead, share in models:
        row = dict.fromkeys(tables.ARCHIVED.names())
        row |= {"recording": name, "system": "s", "scenario": "turn_taking", "duration_ms": 1000}
        row |= {"user_key": f"u{name}", "model_key": f"m{name}"}
        rows.append(row)
        peak = -120.0 if dead else -3.0
        channels.append({"key": f"u{name}", "dead": False, "peak_dbfs": -3.0})
        channels.append(
            {"key": f"m{name}", "dead": dead, "peak_dbfs": peak, "silent_frames": share}
        )
    store.append(archive, "recordings", rows)
    store.append(archive, "channels", channels)
    return ArchiveReader(archive)


@pytest.mark.parametrize(
    ("others", "failed"),
    [
        ([], False),  # nothing is known of the line: a model that never answers
        ([0.4, 0.3, 0.0], False),  # the line is digitally silent between words
        ([0.0, 0.0, 0.3], True),  # it carries noise
    ],
)
def test_zeros_of_a_model_are_silence_unless_its_line_carries_noise(
    tmp_path: Path, others: list[float], failed: bool
) -> None:
    models = [("x", True, 1.0), *((f"o{i}", False, s) for i, s in enumerate(others))]
    reader = _archive_of_levels(tmp_path / "a", models)
    rows = reader.recordings()
    noisy = noisy_systems(reader, rows)
    assert noisy == (frozenset({"s"}) if failed else frozenset())
    dead = find_dead(reader, rows, noisy, SETTINGS)
    assert dead.select("recording", "channel", "failed").rows() == [("x", "model", failed)]
    assert len(dead_failures(dead)) == failed
    notes = silent_notes(dead_health(dead), rows)
    assert len(notes) == (not failed and not others)


def _worded(folder: Path, confidence: dict[str, tuple[float | None, int]]) -> ArchiveReader:
    """One recording of three words per channel that has been recognised so surely."""
    archive = store.open_archive(folder, create=True)
    row = dict.fromkeys(tables.ARCHIVED.names())
    row |= {"recording": "x", "system": "s", "scenario": "turn_taking", "duration_ms": 3000}
    row |= {f"{side}_words_key": side for side in confidence}
    words = [
        {"start_ms": 500 * i, "end_ms": 500 * i + 400, "text": word}
        for i, word in enumerate(("we'll", "do", "this"))
    ]
    store.append(archive, "recordings", [row])
    store.append(
        archive,
        "words",
        [
            {
                "key": side,
                "source": "file" if value is None else "tiny.en@1a5a,en",
                "words": words,
                "confidence": value,
                "n_words": None if value is None else count,
            }
            for side, (value, count) in confidence.items()
        ],
    )
    return ArchiveReader(archive)


@pytest.mark.parametrize(
    ("confidence", "known"),
    [
        ({"user": (0.3, 3), "model": (0.3, 3)}, {"user": False, "model": False}),
        ({"user": (0.9, 3), "model": (0.9, 3)}, {"user": True, "model": True}),
        ({"user": (0.1, 1), "model": (0.9, 30)}, {"user": True, "model": True}),
        ({"user": (None, 3), "model": (0.3, 3)}, {"user": True, "model": False}),
    ],
)
def test_words_the_recogniser_is_not_sure_of_are_left_out(
    tmp_path: Path, confidence: dict[str, tuple[float | None, int]], known: dict[str, bool]
) -> None:
    from flexi_score.scoring.load import load_words

    reader = _worded(tmp_path / "a", confidence)
    settings = load_settings()
    for side in ("user", "model"):
        words = load_words(reader, reader.recordings(), settings)[side]
        assert words.known.tolist() == [known[side]]
        assert len(words.rec) == 3 * known[side]


def test_a_run_says_once_that_words_were_left_out(tmp_path: Path) -> None:
    sure = _worded(tmp_path / "sure", {"model": (0.9, 3)}).folder
    unsure = _worded(tmp_path / "unsure", {"model": (0.2, 3)}).folder
    assert not any("not sure" in note for note in pipeline.score(sure).info["notes"])
    run = pipeline.score(unsure)
    assert next(note for note in run.info["notes"] if "not sure" in note).startswith("1 recording:")
    bare = pipeline.score(unsure, settings=SETTINGS)  # --asr none: nothing is left out
    assert not any("not sure" in note for note in bare.info["notes"])
