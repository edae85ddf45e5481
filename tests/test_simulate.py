"""The simulator: its truth is exact, its conditions are what was asked for, its seeds hold."""

import json
import shutil
import stat
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import reference_paper as plain
import soundfile as sf
from conftest import SAMPLES, SHARED_DATA, Cli, read_jsonl
from factories import Dialogue, make_tracks
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from flexi_score.config import Settings, load_settings
from flexi_score.errors import InputError, PrerequisiteError
from flexi_score.manifest import read_input
from flexi_score.metrics import profile_metrics
from flexi_score.schema import FAILURES, SCENARIOS
from flexi_score.scoring.pipeline import score_tracks
from flexi_score.simulate import (
    CLEAN,
    Clip,
    Clips,
    Condition,
    Mix,
    Say,
    Scene,
    apply_condition,
    make_clip,
    measure_speech,
    mix_scene,
    parse_condition,
    random_scenes,
    read_clips,
    read_plan,
    write_scenes,
)
from flexi_score.simulate.channel import make_condition
from flexi_score.simulate.clips import MS, active_level, cut_clip, read_mono
from flexi_score.simulate.codec import CODECS, pass_codec
from flexi_score.simulate.noise import KINDS, room_response
from flexi_score.simulate.queries import write_queries
from flexi_score.simulate.scenarios import floor_offset_s
from flexi_score.simulate.texts import read_texts
from flexi_score.simulate.write import annotations_of

RATE = 16_000
EXACT_MS = 5
DEFAULTS = load_settings()
ANNOTATIONS = ("user_turn_end", "pause", "interrupt", "backchannels", "reference_backchannels")


def voice(seed: int, *spans_ms: tuple[int, int], pitch: float = 140.0) -> np.ndarray:
    """A synthetic voice that speaks in these spans, over 0.3 s of silence at both ends."""
    rng = np.random.default_rng(seed)
    n = (spans_ms[-1][1] + 300) * MS
    t = np.arange(n) / RATE
    tone = sum(np.sin(2 * np.pi * k * pitch * t) / k for k in range(1, 12))
    tone = tone * (0.7 + 0.3 * np.sin(2 * np.pi * 4 * t)) + 0.2 * rng.standard_normal(n)
    on = np.zeros(n)
    for a, b in spans_ms:
        on[a * MS : b * MS] = 1
    return 0.1 * tone * on


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of the sample recordings' voices, one folder per voice."""
    root = tmp_path_factory.mktemp("clips")
    rows = {row["id"]: row for row in read_jsonl(SAMPLES / "manifest.jsonl")}
    for truth in read_jsonl(SAMPLES / "truth.jsonl"):
        row = rows.get(truth["id"])
        if row is None:
            continue
        audio, rate = sf.read(SAMPLES / row["audio"])
        for k, who in enumerate(("user", "model")):
            spans = truth[f"{who}_speech"]
            # Some silence around, for the trimming to find; whole utterances, up to a long pause.
            groups: list[list[int]] = []
            for a, b in spans:
                if groups and a - groups[-1][1] < 500:
                    groups[-1][1] = b
                else:
                    groups.append([a, b])
            for number, (a, b) in enumerate(groups):
                place = root / row[f"{who}_voice"]
                place.mkdir(exist_ok=True)
                low, high = max(a - 150, 0) * MS, (b + 150) * MS
                name = f"{truth['id']}_{number}"
                sf.write(place / f"{name}.wav", audio[low:high, k], rate)
                (place / f"{name}.json").write_text(json.dumps([a - low // MS, b - low // MS]))
    return root


@pytest.fixture(scope="module")
def clips(folder: Path) -> Clips:
    return read_clips(folder)


@pytest.fixture(scope="module")
def mixes(clips: Clips) -> list[Mix]:
    return [mix_scene(scene, clips) for scene in random_scenes(14, clips, 3, SCENARIOS)]


Q = make_clip(voice(1, (300, 1700), (2000, 3100)), "q")
R = make_clip(voice(2, (300, 2300), pitch=210), "r")


def one_scene(**changes: Any) -> tuple[Scene, Clips]:
    """Two short turns of synthetic voices."""
    library = {"q": Q, "r": R}
    says = (Say("user", "q", "q", 0.6), Say("model", "r", "r", "q.end+0.35"))
    return replace(Scene("one", says, "turn_taking"), **changes), Clips(library)


# Clips


def test_clips_are_trimmed_to_what_the_samples_say_is_speech(folder: Path, clips: Clips) -> None:
    assert len(clips) >= 50
    assert not clips.rejected
    assert len({clip.voice for clip in clips.by_name.values()}) >= 8
    errors = []
    for path in folder.rglob("*.json"):
        start, end = json.loads(path.read_text())
        clip = clips[path.relative_to(folder).with_suffix("").as_posix()]
        assert clip.speech[0][0] == 0
        assert clip.speech[-1][1] == clip.duration_ms
        assert active_level(clip.audio) == pytest.approx(1, rel=0.02)
        errors.append(abs(clip.duration_ms - (end - start)))
    # The samples were measured without their noise floor, which in one lies at the threshold.
    assert np.median(errors) <= 3
    assert np.quantile(errors, 0.9) <= 2 * EXACT_MS


def test_inner_silences_are_recorded_and_kept() -> None:
    clip = make_clip(voice(1, (300, 900), (1100, 1700), (1740, 2000)))
    assert len(clip.speech) == 2  # the last silence is too short to be one
    (a, b), (c, d) = clip.speech
    assert [a, b, c, d] == pytest.approx([0, 600, 800, 1700], abs=EXACT_MS)
    assert not np.any(clip.audio[(b + 10) * MS : (c - 10) * MS])


def test_clicks_and_breaths_are_no_speech() -> None:
    audio = voice(1, (300, 1500))
    audio[100 * MS : 110 * MS] = 0.3  # a click of 10 ms
    audio[1700 * MS : 1760 * MS] += 0.003 * np.random.default_rng(1).standard_normal(60 * MS)
    audio = np.concatenate([audio, np.zeros(RATE)])
    assert make_clip(audio).duration_ms == pytest.approx(1200, abs=EXACT_MS)


def test_a_cut_clip_ends_where_it_says(clips: Clips) -> None:
    long = [clip for clip in clips.by_name.values() if clip.duration_ms > 2500]
    assert len(long) > 10
    for clip in long:
        cut = cut_clip(clip, 1200)
        assert 1200 < cut.duration_ms <= 1601
        assert cut.speech[-1][1] == cut.duration_ms
        measured = measure_speech(np.concatenate([cut.audio, np.zeros(RATE)]))
        assert abs(measured[-1][1] - cut.duration_ms) <= EXACT_MS


def test_unusable_clips_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_clips(tmp_path / "none")
    with pytest.raises(InputError, match="holds no audio"):
        read_clips(tmp_path)
    sf.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(
        InputError, match=r"none of its 1 clips can be used.*silent\.wav: no speech"
    ):
        read_clips(tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    sf.write(tmp_path / "good.flac", voice(1, (300, 900)), RATE)
    found = read_clips(tmp_path)
    assert sorted(found.by_name) == ["good"]
    assert sorted(found.rejected) == ["broken", "silent"]
    with pytest.raises(InputError, match="no speech"):
        found["silent"]
    with pytest.raises(InputError, match="did you mean 'good'"):
        found["goood"]


def test_stereo_and_other_rates_become_mono_at_16_khz(tmp_path: Path) -> None:
    audio = signal.resample_poly(voice(1, (300, 900)), 3, 1)
    sf.write(tmp_path / "wide.wav", np.stack([audio, audio], 1), 48_000)
    clip = read_clips(tmp_path)["wide"]
    assert clip.duration_ms == pytest.approx(600, abs=EXACT_MS)


# Truth


def ms(seconds: Any) -> int:
    return round(seconds * 1000)


def edges(spans: Any) -> np.ndarray:
    return np.array(spans, float).reshape(-1)


def test_truth_is_what_the_clean_channels_hold(mixes: list[Mix]) -> None:
    checked = 0
    for mix in mixes:
        for k, who in enumerate(("user", "model")):
            truth = (mix.facts.user, mix.facts.model)[k]
            says = [say for say in mix.scene.says if say.who == who]
            bounds = [0, *(t for span in truth for t in span), mix.facts.duration_ms]
            for number, (start, end) in enumerate(truth):
                # A window that holds this span alone, and the level at which its clip was placed.
                low = (bounds[2 * number] + start) // 2
                high = (end + bounds[2 * number + 3]) // 2
                say = max((s for s in says if ms(s.at) <= start), key=lambda s: s.at)
                level = 10 ** ((mix.scene.levels_db[k] + say.gain_db) / 20)
                found = measure_speech(mix.audio[k, low * MS : high * MS], level)
                assert abs(found[0][0] + low - start) <= EXACT_MS, (mix.scene.id, start)
                assert abs(found[-1][1] + low - end) <= EXACT_MS, (mix.scene.id, end)
                checked += 1
            outside = np.ones(mix.audio.shape[1], bool)
            for start, end in truth:
                outside[start * MS : end * MS] = False
            # What lies outside is silences inside clips: no louder than a breath.
            loudest = 10 ** ((mix.scene.levels_db[k] - 20) / 20)
            assert np.sqrt(np.mean(mix.audio[k][outside] ** 2)) < loudest / 3
    assert checked > 60


@pytest.mark.parametrize("ppm", [-3000.0, 250.0, 4000.0])
def test_drift_moves_the_truth_with_the_sound(ppm: float) -> None:
    scene, library = one_scene(tail_s=2.0)
    quiet = {"floor_db": None, "drift_ppm": ppm}
    condition = make_condition({"name": "d", "files": "pair", "user": quiet, "model": quiet})
    mix = mix_scene(scene, library)
    capture = apply_condition(mix, condition)
    for k, truth in enumerate((capture.facts.user, capture.facts.model)):
        before = (mix.facts.user, mix.facts.model)[k]
        assert edges(truth) == pytest.approx(edges(before) * (1 + ppm * 1e-6), abs=0.5)
        assert edges(measure_speech(capture.audio[k])) == pytest.approx(edges(truth), abs=EXACT_MS)
    end = mix.facts.user_turn_end
    assert end is not None
    assert capture.facts.user_turn_end == round(end * (1 + ppm * 1e-6))


def test_offset_moves_the_truth_with_the_sound() -> None:
    scene, library = one_scene(tail_s=2.0)
    condition = parse_condition("offset:140+user.offset:-250")
    mix = mix_scene(scene, library)
    capture = apply_condition(mix, condition)
    assert condition.files == "pair"
    for k, moved in enumerate((-250, 140)):
        truth = (capture.facts.user, capture.facts.model)[k]
        assert edges(truth).tolist() == [
            t + moved for t in edges((mix.facts.user, mix.facts.model)[k])
        ]
        assert edges(measure_speech(capture.audio[k])) == pytest.approx(edges(truth), abs=EXACT_MS)
    with pytest.raises(InputError, match="offset of 4000 ms cuts its speech"):
        apply_condition(mix, parse_condition("offset:4000"))


# Conditions


@pytest.mark.parametrize("kind", [*KINDS, "babble"])
@pytest.mark.parametrize("snr_db", [15.0, 3.0])
def test_noise_has_the_ratio_asked_for(kind: str, snr_db: float, clips: Clips) -> None:
    scene, library = one_scene(levels_db=(-30.0, -24.0))
    mix = mix_scene(scene, library)
    condition = make_condition(
        {"name": "n", "user": {"noise": kind, "snr_db": snr_db, "floor_db": None}}
    )
    capture = apply_condition(mix, condition, 4, clips=clips)
    noise = capture.audio[0] - mix.audio[0]
    measured = 20 * np.log10(active_level(mix.audio[0]) / active_level(noise))
    assert measured == pytest.approx(snr_db, abs=0.5)
    assert not np.array_equal(noise, 0 * noise)
    other = apply_condition(mix, condition, 5, clips=clips).audio[0] - mix.audio[0]
    assert not np.allclose(noise, other)


def test_noise_from_files(tmp_path: Path) -> None:
    sf.write(tmp_path / "fan.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), RATE)
    scene, library = one_scene()
    mix = mix_scene(scene, library)
    capture = apply_condition(mix, parse_condition("user.files:10"), noises=tmp_path)
    noise = capture.audio[0] - mix.audio[0]
    assert 20 * np.log10(active_level(mix.audio[0]) / active_level(noise)) == pytest.approx(
        10, abs=0.5
    )
    with pytest.raises(InputError, match="needs a folder"):
        apply_condition(mix, parse_condition("files:10"))
    with pytest.raises(InputError, match="made of voices"):
        apply_condition(mix, parse_condition("babble:10"))


@pytest.mark.parametrize(
    ("level_db", "lag_ms", "room_s"), [(-20, 15, 0), (-10, 120, 0), (-20, 60, 0.4)]
)
def test_crosstalk_has_the_level_and_lag_asked_for(
    level_db: int, lag_ms: int, room_s: float
) -> None:
    scene, library = one_scene(levels_db=(-22.0, -31.0))
    mix = mix_scene(scene, library)
    text = f"user.crosstalk:{level_db}+user.lag:{lag_ms}+user.room:{room_s}+floor:-120"
    capture = apply_condition(mix, parse_condition(text))
    crosstalk, source = capture.audio[0] - mix.audio[0], mix.audio[1]
    ratio = 10 * np.log10(np.sum(crosstalk**2) / np.sum(source**2))
    assert ratio == pytest.approx(level_db, abs=0.1)
    noise = np.random.default_rng(0).standard_normal(RATE)  # the tone of a voice repeats itself
    response = room_response(room_s, np.random.default_rng(1), lag_ms)
    heard = np.convolve(noise, response)
    lag = np.argmax(np.abs(signal.correlate(heard, noise, "full"))) - (len(noise) - 1)
    assert lag == lag_ms * MS
    first = np.flatnonzero(np.abs(crosstalk) > 1e-3 * np.abs(crosstalk).max())[0]
    start = mix.facts.model[0][0] + lag_ms
    assert abs(first / MS - start) <= EXACT_MS
    # The model's own channel stays as it is.
    assert np.abs(capture.audio[1] - mix.audio[1]).max() < 1e-4


def test_crosstalk_through_a_measured_room(tmp_path: Path) -> None:
    response = np.zeros(4000)
    response[[0, 480, 1600]] = 0.5, -0.3, 0.1  # the second after 30 ms
    sf.write(tmp_path / "room.wav", response, RATE)
    scene, library = one_scene()
    mix = mix_scene(scene, library)
    way = {"crosstalk_db": -15, "crosstalk_lag_ms": 10, "floor_db": None}
    given = make_condition({"user": way | {"crosstalk_response": str(tmp_path / "room.wav")}})
    crosstalk = apply_condition(mix, given).audio[0] - mix.audio[0]
    whole = np.convolve(mix.audio[1], np.concatenate([np.zeros(160), response]))[: len(crosstalk)]
    scale = np.dot(crosstalk, whole) / np.dot(whole, whole)
    assert np.abs(crosstalk - scale * whole).max() < 1e-3 * np.abs(crosstalk).max()
    assert np.sum(crosstalk**2) == pytest.approx(np.sum(mix.audio[1] ** 2) * 10**-1.5, rel=0.01)


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_move_nothing(codec: str) -> None:
    scene, library = one_scene()
    mix = mix_scene(scene, library)
    coded = pass_codec(mix.audio, codec)
    rate = 8000 if codec in ("ulaw", "alaw") else RATE
    assert coded.shape[1] == mix.audio.shape[1] * rate // RATE
    for k, truth in enumerate((mix.facts.user, mix.facts.model)):
        decoded = coded[k] if rate == RATE else signal.resample_poly(coded[k], 2, 1)
        found = measure_speech(decoded)
        assert found[0][0] == pytest.approx(truth[0][0], abs=15)
        # Opus rings on after a voice that breaks off; the truth is what was spoken.
        assert found[-1][1] == pytest.approx(truth[-1][1], abs=60 if codec == "opus" else 15)
        # Against the same band, so that the codec's own low cut turns no phase.
        n = min(len(decoded), mix.audio.shape[1])
        lags = signal.correlation_lags(n, n)
        near = np.abs(lags) <= 40
        match = signal.correlate(decoded[:n], mix.audio[k, :n])[near]
        assert abs(lags[near][np.argmax(match)]) <= 1
        assert np.abs(decoded[:n] - mix.audio[k, :n]).max() > 1e-5  # and yet something happened


def test_level_clipping_and_loss() -> None:
    scene, library = one_scene()
    mix = mix_scene(scene, library)
    quiet = apply_condition(mix, parse_condition("level:-60+floor:-110"))
    assert 20 * np.log10(active_level(quiet.audio[0])) == pytest.approx(-60, abs=0.3)
    hot = apply_condition(mix, parse_condition("user.clip:12")).audio[0]
    assert np.abs(hot).max() == 1.0
    assert (np.abs(hot) == 1.0).mean() > 0.01
    lossy = apply_condition(mix, parse_condition("loss:20")).audio[0]
    frames = lossy[: len(lossy) // 320 * 320].reshape(-1, 320)
    assert (frames == 0).all(axis=1).mean() == pytest.approx(0.2, abs=0.08)
    loud = apply_condition(mix, parse_condition("white:-20"))
    assert np.abs(loud.audio[0]).max() <= 0.98
    assert loud.condition["user"]["turned_down_db"] > 0


def test_conditions_say_what_they_are() -> None:
    condition = parse_condition("echo:-15+user.babble:10+ulaw")
    assert condition.codec == "ulaw"
    assert condition.user.crosstalk_room_s == condition.model.crosstalk_room_s == 0.3
    assert (condition.user.noise, condition.user.snr_db, condition.model.noise) == (
        "babble",
        10,
        None,
    )
    told = condition.as_dict()
    assert told["name"] == "echo:-15+user.babble:10+ulaw"
    assert told["user"]["noise"] == "babble"
    assert told["model"] == {
        "crosstalk_db": -15.0,
        "crosstalk_room_s": 0.3,
        "crosstalk_lag_ms": 15.0,
    }
    assert CLEAN.as_dict() == {"name": "clean", "files": "stereo"}
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bable:10", "did you mean 'babble'"),
        ("usr.crosstalk:-20", "expected user or model"),
        ("crosstalk:loud", r"takes a number \(dB\)"),
        ("ulaw:8", "takes no value"),
        ("crosstalk:nan", "takes a number"),
        ("drift:1e9", "drift_ppm"),
        ("loss:200", "loss"),
        ("", "unknown term ''"),
    ],
)
def test_conditions_that_cannot_be_read_are_named(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_condition(text)


def test_conditions_as_objects_are_checked() -> None:
    assert make_condition({"name": "x", "codec": "mp3"}).codec == "mp3"
    for value, told in (
        ({"name": "x", "codec": "opuss"}, "did you mean 'opus'"),
        ({"name": "x", "user": {"noise": "sirens"}}, "did you mean 'siren'"),
        ({"name": "x", "usr": {}}, "unknown key 'usr'.*did you mean 'user'"),
        ({"name": "x", "user": {"snr": 3}}, "unknown key 'user.snr'"),
    ):
        with pytest.raises(InputError, match=told):
            make_condition(value)  # type: ignore[arg-type]


# Files


def test_the_same_seed_gives_the_same_bytes(clips: Clips, tmp_path: Path) -> None:
    scenes = random_scenes(3, clips, 8, ["user_interrupt", "turn_taking"])
    assert scenes == random_scenes(3, clips, 8, ["user_interrupt", "turn_taking"])
    assert scenes != random_scenes(3, clips, 9, ["user_interrupt", "turn_taking"])
    condition = "echo:-20+babble:15+loss:3+drift:50"
    folders = [
        write_scenes(scenes, clips, tmp_path / name, condition, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    names = sorted(p.name for p in folders[0].iterdir())
    assert len(names) == 2 * len(scenes) + 2
    for name in names:
        first, again, other = ((folder / name).read_bytes() for folder in folders)
        assert first == again, name
        if name.endswith(".flac"):
            assert first != other, name
    # Truth and manifest do not hang on the seed of the noise.
    assert (folders[0] / "truth.jsonl").read_bytes() == (folders[2] / "truth.jsonl").read_bytes()


def test_written_folders_are_manifests_with_truth(clips: Clips, tmp_path: Path) -> None:
    scenes = random_scenes(7, clips, 1, SCENARIOS)
    for text, pattern, rate, subtype in (
        ("clean", "*.flac", 16000, "PCM_16"),
        ("ulaw", "*.wav", 8000, "ULAW"),
        ("pair+alaw", "*.wav", 8000, "ALAW"),
    ):
        folder = write_scenes(scenes, clips, tmp_path / text, text)
        manifest = read_input(folder)
        assert not len(manifest.failures)
        assert manifest.rows["recording"].to_list() == [scene.id for scene in scenes]
        truth = read_jsonl(folder / "truth.jsonl")
        files = sorted(folder.glob(pattern))
        assert len(files) == len(scenes) * (2 if "pair" in text else 1)
        info = sf.info(files[0])
        assert (info.samplerate, info.subtype) == (rate, subtype)
        for row, scene in zip(truth, scenes, strict=True):
            assert row["condition"]["name"] == text
            found = sf.info(next(folder.glob(f"{scene.id}*{pattern[1:]}")))
            assert round(found.frames / found.samplerate * 1000) == row["duration_ms"]
            assert row["duration_ms"] > max(
                t for s in row["model_speech"] + row["user_speech"] for t in s
            )


def test_files_hold_what_the_truth_says(clips: Clips, tmp_path: Path) -> None:
    """Read back from disk: both ends of every channel's speech, over the quiet room."""
    scenes = random_scenes(6, clips, 2)
    folder = write_scenes(scenes, clips, tmp_path)
    for row in read_jsonl(folder / "truth.jsonl"):
        audio, _ = sf.read(folder / f"{row['id']}.flac")
        for k, who in enumerate(("user", "model")):
            spans = row[f"{who}_speech"]
            if not spans:
                continue
            found = measure_speech(audio[:, k])
            assert found[0][0] == pytest.approx(spans[0][0], abs=EXACT_MS), (row["id"], who)
            assert found[-1][1] == pytest.approx(spans[-1][1], abs=EXACT_MS), (row["id"], who)


# Outcomes


JUDGED = {m.name for m in profile_metrics("paper") if m.judged}


def row_of(mix: Mix, which: Sequence[str]) -> dict[str, Any]:
    """The manifest row of a scene, as it is read, with these of its annotations."""
    given = annotations_of(mix.facts, which)
    row: dict[str, Any] = {"recording": mix.scene.id, "system": mix.scene.system}
    row["scenario"] = mix.scene.scenario
    if "user_turn_end" in given:
        row["user_turn_end_ms"] = ms(given["user_turn_end"])
    for key in ("pause", "interrupt"):
        if key in given:
            row[f"{key}_start_ms"], row[f"{key}_end_ms"] = map(ms, given[key])
    if "backchannels" in given:
        pairs = given["backchannels"]
        row["backchannels"] = [{"start_ms": ms(a), "end_ms": ms(b)} for a, b in pairs]
    if "reference_backchannels" in given:
        row["reference_backchannels_ms"] = [ms(t) for t in given["reference_backchannels"]]
    return row


def planned(mixes: list[Mix], settings: Settings = DEFAULTS) -> list[dict[str, Any]]:
    """What the true speech scores by the plain reference, all planned moments known."""
    dialogues = [
        Dialogue(m.facts.duration_ms, m.facts.user, m.facts.model, row=row_of(m, ANNOTATIONS))
        for m in mixes
    ]
    return [
        {metric: value for metric, (value, _) in scores.items() if metric not in JUDGED}
        for scores in plain.score_all(dialogues, settings)
    ]


def scored(scenes: list[Scene], clips: Clips) -> list[str]:
    """Where scores of the true speech differ from what was planned."""
    mixes = [mix_scene(scene, clips) for scene in scenes]
    tracks = make_tracks(
        [m.facts.user for m in mixes],
        [m.facts.model for m in mixes],
        [m.facts.duration_ms for m in mixes],
        rows=[row_of(m, m.scene.annotate) for m in mixes],
    )
    run = score_tracks(tracks, pl.DataFrame(schema=FAILURES), DEFAULTS)
    got = {(r, m): v for r, m, v in run.scores.select("recording", "metric", "value").rows()}
    wanted = {
        (mix.scene.id, metric): value
        for mix, outcome in zip(mixes, planned(mixes), strict=True)
        for metric, value in outcome.items()
    }
    assert wanted
    return [
        f"{key}: planned {value}, scored {got.get(key)}"
        for key, value in wanted.items()
        if (got[key] is None) != (value is None)
        or (value is not None and got[key] != pytest.approx(value, abs=1e-9))
    ]


@pytest.mark.parametrize("scenario", SCENARIOS[:6])
def test_planned_outcomes_are_what_the_truth_scores(scenario: str, clips: Clips) -> None:
    wanted = [scenario] if scenario != "pause_handling" else [scenario, "turn_taking"]
    scenes = random_scenes(60, clips, 11, wanted)
    assert scored(scenes, clips) == []


@pytest.mark.parametrize(
    "scenario", ["turn_taking", "pause_handling", "model_interrupt", "model_backchannel"]
)
def test_outcomes_hold_where_moments_are_detected(scenario: str, clips: Clips) -> None:
    wanted = [scenario] if scenario != "pause_handling" else [scenario, "turn_taking"]
    scenes = random_scenes(40, clips, 12, wanted, annotate=False)
    assert not any(scene.annotate for scene in scenes if scene.scenario != "model_backchannel")
    assert scored(scenes, clips) == []


def test_random_scenes_hold_both_outcomes(clips: Clips) -> None:
    scenes = random_scenes(240, clips, 5)
    mixes = [mix_scene(scene, clips) for scene in scenes]
    seen: dict[tuple[str, str], set[Any]] = {}
    for scene, outcome in zip(scenes, planned(mixes), strict=True):
        for metric in ("tor", "jir", "ttr", "resumed"):
            if outcome.get(metric) is not None:
                seen.setdefault((scene.scenario, metric), set()).add(outcome[metric])
    assert len(seen) == 8
    assert all(values == {0, 1} for values in seen.values()), seen
    assert any(not m.facts.model for m in mixes)  # a silent model is among them
    both = [m for m in mixes if m.voices["model"]]
    assert all(m.voices["user"] != m.voices["model"] for m in both)


def test_timing_is_that_of_natural_talk() -> None:
    rng = np.random.default_rng(0)
    offsets = np.array([floor_offset_s(rng) for _ in range(20_000)])
    counts, bounds = np.histogram(offsets, np.arange(-2, 3.01, 0.1))
    assert 0.0 <= bounds[np.argmax(counts)] <= 0.3  # mode about 200 ms
    assert 0.33 < (offsets < 0).mean() < 0.47


def test_random_scenes_say_what_they_need(clips: Clips) -> None:
    with pytest.raises(InputError, match="did you mean 'turn_taking'"):
        random_scenes(3, clips, scenario="turntaking")
    with pytest.raises(InputError, match="1 or more"):
        random_scenes(0, clips)
    short = Clips({"a": make_clip(voice(1, (300, 900)))})
    with pytest.raises(InputError, match="need some of 1300 ms"):
        random_scenes(3, short)


# Plans

PLAN = """
- id: yields
  scenario: user_interrupt
  says:
    - {who: user, name: c, clip: q, at: 0.6}
    - {who: model, name: a, clip: r, at: c.end+0.3, cut: i.start+0.5}
    - {who: user, name: i, clip: q, at: a.start+0.9}
    - {who: model, name: r, clip: r, at: i.end + 0.4}
  interrupt: i
  annotate: [interrupt]
  text: {context: one, interrupt: two}
  metadata: {site: lab}
- id: waits
  scenario: pause_handling
  says:
    - {who: user, name: p, clip: q, at: 0.5}
    - {who: user, name: q, clip: r, at: p.end+1.5}
    - {who: model, name: b, clip: s, at: p.pause1+0.02, gain_db: -6}
  pause: [p, q]
  levels_db: [-20, -35]
  condition: user.white:5
"""


@pytest.fixture
def library() -> Clips:
    _, found = one_scene()
    found.by_name["s"] = make_clip(voice(3, (300, 700)), "s")
    return found


def test_plans_are_read_and_made(library: Clips, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    scenes = read_plan(path)
    mix = mix_scene(scenes[0], library)
    assert mix.facts.interrupt is not None
    start, _ = mix.facts.interrupt
    stop = mix.facts.model[0][1]
    assert 500 < stop - start <= 900  # cut at the first clear speech from 0.5 s on
    assert mix.facts.model[1][0] == mix.facts.interrupt[1] + 400
    folder = write_scenes(scenes, library, tmp_path / "made")
    truth = {row["id"]: row for row in read_jsonl(folder / "truth.jsonl")}
    yields, waits = planned([mix_scene(scene, library) for scene in scenes])
    assert yields == {
        "ttr": 1,
        "stop_latency": (stop - start) / 1000,
        "response_latency": pytest.approx(0.4),
    }
    assert waits == {"tor": 0}
    assert truth["yields"]["model_speech"] == [list(span) for span in mix.facts.model]
    assert truth["waits"]["condition"]["user"] == {"noise": "white", "snr_db": 5.0}
    rows = read_jsonl(folder / "manifest.jsonl")
    assert rows[0]["annotations"] == {"interrupt": [start / 1000, mix.facts.interrupt[1] / 1000]}
    assert rows[0]["site"] == "lab"
    assert "annotations" not in rows[1]
    assert scored(scenes[:1], library) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("clip: s", "clip: t", "no clip 't'"),
        ("i.start+0.5", "j.start+0.5", "no clip is called 'j'"),
        ("i.start+0.5", "i.middle", "expected seconds, or a point"),
        ("i.start+0.5", "a.start+30", "cannot be cut at 30"),
        ("at: a.start+0.9", "at: r.start", "moments go in a circle"),
        ("at: 0.6", "at: -0.6", "before the recording"),
        ("interrupt: i", "interrupt: a", "the user says no 'a'"),
        ("name: i,", "name: c,", "two clips are called 'c'"),
        ("id: waits", "id: yields", "two scenes have the id 'yields'"),
        ("id: waits", "id: ../waits", "the id names files"),
        ("scenario: pause_handling", "scenario: pausing", "key 'scenario'"),
        ("who: model, name: a", "whom: model, name: a", "unknown key 'says.1.whom'"),
        ("p.pause1", "p.pause7", "has 1 silences inside"),
        ("at: 0.5", "at: .nan", "found NaN"),
        ("  interrupt: i\n", "  interupt: i\n", "did you mean 'interrupt'"),
    ],
)
def test_faults_of_a_plan_are_named(
    old: str, new: str, told: str, library: Clips, tmp_path: Path
) -> None:
    assert old in PLAN
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.replace(old, new))
    with pytest.raises(Exception, match=told) as error:
        write_scenes(read_plan(path), library, tmp_path / "made")
    assert isinstance(error.value, InputError)


@given(st.floats(0, 3, allow_nan=False), st.floats(-1, 1, allow_nan=False))
def test_moments_fall_on_whole_milliseconds(at: float, offset: float) -> None:
    scene, library = one_scene()
    says = (Say("user", "q", "q", at), Say("model", "r", "r", f"q.end{offset:+.6f}"))
    mix = mix_scene(replace(scene, says=says), library)
    assert mix.facts.user[0][0] == round(at * 1000)
    assert mix.facts.model[0][0] == mix.facts.user[-1][1] + round(float(f"{offset:.6f}") * 1000)
    assert mix.facts.duration_ms % 20 == 0


# Queries

FAKE_TTS = """
import sys, wave, struct, math
text = open(sys.argv[1], encoding="utf-8").read()
assert len(sys.argv) == 3, sys.argv
n = 16000 * (1 + len(text.split()) // 4)
quiet = [0] * 4000
tone = [int(6000 * math.sin(2 * math.pi * 180 * i / 16000)) for i in range(n)]
if "refuse" in text:
    sys.exit("I will not say that")
with wave.open(sys.argv[2], "wb") as out:
    out.setparams((1, 2, 16000, 0, "NONE", ""))
    samples = quiet + ([] if "silent" in text else tone) + quiet
    out.writeframes(struct.pack(f"<{len(samples)}h", *samples))
"""


@pytest.fixture
def tts(tmp_path: Path) -> str:
    script = tmp_path / "fake tts.py"
    script.write_text(FAKE_TTS)
    return f"'{sys.executable}' '{script}' {{txt}} {{wav}}"


def texts_of(folder: Path, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def six(folder: Path) -> Path:
    """Texts in the shapes of the release."""
    return texts_of(
        folder,
        turn_taking_text={"dialog_1": [{"text": "How do I do this?"}]},
        pause_handing_text=[
            {
                "dialog_1": {
                    "text": "I like it, do you?",
                    "Pause1": "I like it",
                    "Pause2": "do you?",
                    "pause_timestamp": [1, 2],
                }
            }
        ],
        user_interruption_text=[
            {"dialog_1": {"context": "Tell me all of it.", "interrupt": "Wait, stop there."}}
        ],
        model_interruption_text={"dialog_1": [{"text": "I mix bleach and ammonia."}]},
        user_backchannel_text=[{"dialog_1": {"text": "Explain it all to me.", "Pause1": "Okay."}}],
        model_backchannel_text={"dialog_1": [{"text": "So I was telling you about my trip."}]},
    )


def test_queries_of_all_scenarios(tts: str, tmp_path: Path) -> None:
    dialogs = read_texts(six(tmp_path / "texts"))
    assert [dialog.scenario for dialog in dialogs] == list(SCENARIOS[:6])
    out = tmp_path / "out"
    write_queries(dialogs, out, tts=tts)
    rows = {row["scenario"]: row for row in read_jsonl(out / "manifest.jsonl")}
    truth = {row["id"]: row for row in read_jsonl(out / "truth.jsonl")}
    for row in rows.values():
        audio = read_mono(out / row["user_audio"])
        found = measure_speech(audio)
        assert edges(found) == pytest.approx(edges(truth[row["id"]]["user_speech"]), abs=EXACT_MS)
        assert found[0][0] == pytest.approx(500, abs=EXACT_MS)
        assert len(audio) / RATE - found[-1][1] / 1000 == pytest.approx(12, abs=0.03)
        given = row["annotations"]
        if "user_turn_end" in given:
            assert given["user_turn_end"] * 1000 == pytest.approx(found[-1][1], abs=EXACT_MS)
        for span, gap_s in (("pause", 0.85), ("interrupt", None), ("backchannels", None)):
            if span not in given:
                continue
            a, b = given[span][0] if span == "backchannels" else given[span]
            wanted = (found[0][1], found[1][0]) if span == "pause" else found[1]
            assert (a * 1000, b * 1000) == pytest.approx(wanted, abs=EXACT_MS)
            if gap_s:
                assert b - a == pytest.approx(gap_s)
        assert row["model_audio"] == f"model/{row['id']}.wav"
    assert rows["user_interrupt"]["text"] == {
        "context": "Tell me all of it.",
        "interrupt": "Wait, stop there.",
    }
    assert rows["model_interrupt"]["text"] == {"statement": "I mix bleach and ammonia."}
    assert set(rows["user_backchannel"]["annotations"]) == {"backchannels"}
    manifest = read_input(out)
    assert len(manifest.rows) == 6
    # The clips, named as they are, serve another run instead of the command.
    write_queries(dialogs, tmp_path / "again", clips=out / "clips")
    for name in ("truth.jsonl", "manifest.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()


def test_what_was_spoken_is_not_spoken_again(tts: str, tmp_path: Path) -> None:
    texts = texts_of(tmp_path / "t", turn_taking={"a_1": [{"text": "Hello there."}]})
    out = tmp_path / "out"
    write_queries(read_texts(texts), out, tts=tts)
    clip = out / "clips" / "turn_taking_0001_query.wav"
    made = clip.stat().st_mtime_ns
    write_queries(read_texts(texts), out, tts=tts)
    assert clip.stat().st_mtime_ns == made
    texts_of(texts, turn_taking={"a_1": [{"text": "Hello to all of you out there."}]})
    write_queries(read_texts(texts), out, tts=tts)
    assert clip.stat().st_mtime_ns != made
    assert clip.with_suffix(".txt").read_text() == "Hello to all of you out there.\n"


def test_hostile_texts_reach_no_shell(tts: str, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    hostile = (
        f"""$(touch {mark}) `touch {mark}`; touch {mark} | & "q' -w --help {{txt}} {{wav}} %s"""
    )
    texts = texts_of(
        tmp_path / "t",
        turn_taking={f"a; touch {mark}": [{"text": hostile}]},
        model_interrupt={"../../b_3": [{"text": "--help"}]},
    )
    out = tmp_path / "out"
    write_queries(read_texts(texts), out, tts=tts)
    assert not mark.exists()
    said = sorted((out / "clips").glob("*.txt"))
    assert sorted(path.read_text().strip() for path in said) == sorted([hostile, "--help"])
    inside = list(tmp_path.rglob("*.wav"))
    assert all(p.is_relative_to(out) for p in inside)


def test_commands_that_fail_are_named(tts: str, tmp_path: Path) -> None:
    def speak(text: str, command: str) -> None:
        texts = texts_of(tmp_path / "t", turn_taking={"a_1": [{"text": text}]})
        write_queries(read_texts(texts), tmp_path / "out", tts=command)

    with pytest.raises(
        InputError, match="failed with code 1 over turn_taking_0001_query: I will not"
    ):
        speak("refuse this", tts)
    with pytest.raises(InputError, match="no speech"):
        speak("silent", tts)
    with pytest.raises(PrerequisiteError, match="no program 'no-such-voice'"):
        speak("hi", "no-such-voice {txt} {wav}")
    with pytest.raises(InputError, match=r"\{wav\} missing"):
        speak("hi", "espeak-ng -f {txt}")
    with pytest.raises(InputError, match="not a command"):
        speak("hi", "espeak 'ng {txt} {wav}")
    with pytest.raises(InputError, match="wrote no audio"):
        speak("hi", f"'{sys.executable}' -c pass {{txt}} {{wav}}")
    plain = tmp_path / "data"
    plain.write_text("no program")
    plain.chmod(plain.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(PrerequisiteError, match="cannot be run"):
        speak("hi", f"{plain} {{txt}} {{wav}}")


def test_texts_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no texts"):
        read_texts(tmp_path)
    with pytest.raises(InputError, match="no scenario in the name"):
        read_texts(texts_of(tmp_path, other={}) / "other.json")
    with pytest.raises(InputError, match="dialog_2: key 'text': found null"):
        read_texts(
            texts_of(tmp_path, turn_taking={"dialog_2": [{"txt": "x"}]}) / "turn_taking.json"
        )
    with pytest.raises(InputError, match="expected dialogs by name"):
        read_texts(texts_of(tmp_path, turn_taking=[1]) / "turn_taking.json")


@pytest.mark.skipif(not (SHARED_DATA / "flexi_text").is_dir(), reason="FLEXI's texts are not here")
@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_the_releases_texts_are_spoken(cli: Cli, tmp_path: Path) -> None:
    assert len(read_texts(SHARED_DATA / "flexi_text")) == 1200
    command = ("simulate", "queries", "--texts", SHARED_DATA / "flexi_text", "--limit", "1")
    done = cli(*command, "--tts", "espeak-ng -w {wav} -f {txt}", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 user channels" in done.stdout
    for row in read_jsonl(tmp_path / "manifest.jsonl"):
        assert sf.info(tmp_path / row["user_audio"]).duration > 13


# Command line


def test_command_line_makes_recordings(folder: Path, cli: Cli, tmp_path: Path) -> None:
    made = tmp_path / "made"
    done = cli(
        "simulate",
        "random",
        "2",
        "--clips",
        folder,
        "--out",
        made,
        "--condition",
        "clean",
        "--condition",
        "crosstalk:-20+ulaw",
    )
    assert done.returncode == 0, done.stderr
    folders = ["clean", "crosstalk_-20+ulaw"]
    assert sorted(p.name for p in made.iterdir()) == [*folders, "manifest.jsonl", "truth.jsonl"]
    truth = [read_jsonl(made / name / "truth.jsonl") for name in folders]
    for key in ("user_speech", "model_speech", "user_words_text"):
        assert [row[key] for row in truth[0]] == [row[key] for row in truth[1]]
    # All of them at once are one manifest, whose truth has the same names.
    rows = read_input(made).rows
    assert rows["recording"].to_list() == [row["id"] for row in read_jsonl(made / "truth.jsonl")]
    assert sorted(rows["recording"]) == sorted(
        f"{name}.{row['id']}" for name, part in zip(folders, truth, strict=True) for row in part
    )
    assert all(Path(path).is_file() for path in rows["audio"])
    wrong = cli(
        "simulate", "random", "6", "--clips", folder, "--out", made, "--condition", "crostalk"
    )
    assert wrong.returncode == 2
    assert "did you mean 'crosstalk'" in wrong.stderr


def test_command_line_makes_plans(folder: Path, cli: Cli, tmp_path: Path, clips: Clips) -> None:
    name = max(clips.by_name, key=lambda n: clips[n].duration_ms)
    plan = tmp_path / "plan.json"
    says = [{"who": "user", "name": "q", "clip": name, "at": 0.5}]
    plan.write_text(json.dumps([{"id": "alone", "says": says}]))
    done = cli("simulate", "scenes", plan, "--clips", folder, "--out", tmp_path / "made")
    assert done.returncode == 0, done.stderr
    assert read_jsonl(tmp_path / "made" / "truth.jsonl")[0]["user_speech"][0][0] == 500
    listed = cli("simulate", "conditions")
    assert listed.returncode == 0
    assert "babble" in listed.stdout


def test_a_clip_and_a_condition_are_plain_values() -> None:
    clip = make_clip(voice(1, (300, 900)), "a")
    assert isinstance(clip, Clip)
    assert "audio" not in repr(clip)
    assert Condition() == CLEAN
