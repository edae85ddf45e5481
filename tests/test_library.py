"""The library: what it names, and what can be scored: paths, frames, rows, arrays."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile as sf
from conftest import SAMPLES

import flexi_score as fs
from flexi_score.config import load_settings
from flexi_score.errors import InputError
from flexi_score.scoring.inputs import read_source

NO_WORDS = load_settings("paper", {"extract.asr": "none"})


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, int]:
    """A recording of the samples."""
    row = pl.read_ndjson(SAMPLES / "manifest.jsonl").filter(pl.col("scenario") == "turn_taking")
    return sf.read(SAMPLES / row["audio"][0], dtype="float32")


def test_every_public_name_is_there_and_documented() -> None:
    assert set(fs.__all__) <= set(dir(fs))
    for name in fs.__all__:
        found = getattr(fs, name)
        assert found.__doc__, name
    assert fs.__version__
    with pytest.raises(AttributeError, match="no attribute 'scroe'"):
        fs.scroe  # noqa: B018


@pytest.mark.parametrize("first", ["flexi_score.sweep.effects", "flexi_score.validate.truth", ""])
def test_verbs_are_called_whatever_was_imported_before(first: str) -> None:
    code = (
        f"import flexi_score as fs, flexi_score.errors{', ' + first if first else ''}\n"
        "from flexi_score.sweep import combinations\n"
        "import inspect\n"
        "assert fs.sweep.combinations is combinations\n"
        "for verb in (fs.sweep, fs.validate, fs.simulate, fs.compare, fs.score):\n"
        "    assert callable(verb), verb\n"
        "try:\n"
        "    fs.sweep('nowhere', [{}])\n"
        "except fs.FlexiScoreError as error:\n"
        "    print('nowhere' in str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_arrays_are_scored_as_their_file(sample: tuple[np.ndarray, int], tmp_path: Path) -> None:
    audio, rate = sample
    sf.write(tmp_path / "one.wav", audio, rate, subtype="FLOAT")
    row = {"id": "one", "system": "s", "scenario": "turn_taking", "audio": tmp_path / "one.wav"}
    rows = pl.DataFrame([{**row, "audio": str(row["audio"])}])
    made = fs.Recording(
        user=audio[:, 0], model=audio[:, 1], rate=rate, id="one", system="s", scenario="turn_taking"
    )
    archive = tmp_path / "archive"
    whole = fs.score(rows, settings=NO_WORDS)
    for source in (made, [made], [row], archive):
        run = fs.score(source, settings=NO_WORDS, archive=archive)
        assert run.scores.equals(whole.scores), source
        assert run.events.equals(whole.events)
    assert whole.scores["value"].count() > 0


def test_integers_are_full_scale_and_the_shorter_channel_is_filled_up(tmp_path: Path) -> None:
    user = np.array([-32768, 0, 16384], np.int16)
    model = np.array([0, 128, 255, 128], np.uint8)
    made = fs.Recording(user=user, model=model, rate=8000, annotations={"user_turn_end": 0.0001})
    manifest = read_source(made, tmp_path)
    (row,) = manifest.rows.to_dicts()
    samples, rate = sf.read(row["audio"])
    assert rate == 8000
    assert samples[:, 0].tolist() == [-1, 0, 0.5, 0]
    assert samples[:, 1].tolist() == pytest.approx([-1, 0, 127 / 128, 0])


@pytest.mark.parametrize(
    ("user", "rate", "message"),
    [
        (np.zeros((5, 2)), 8000, r"user: found an array of shape \(5, 2\).*one channel"),
        (np.array([0.0, np.nan]), 8000, "not finite"),
        (np.array([0.0, 32000.0]), 8000, r"samples up to 32000.*divide by the full scale"),
        (np.array(["a"]), 8000, "expected numbers"),
        (np.zeros(5), 0, "expected a sample rate in Hz"),
    ],
)
def test_arrays_that_are_no_audio_are_refused(
    user: np.ndarray, rate: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        read_source(fs.Recording(user=user, model=np.zeros(5), rate=rate), tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [([], "the list of recordings is empty"), (3, "cannot score int"), ([3], "item 0: cannot")],
)
def test_what_cannot_be_scored_is_refused(source: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_source(source, tmp_path)  # type: ignore[arg-type]


def test_a_model_of_zeros_beside_a_user_who_speaks_is_scored(
    sample: tuple[np.ndarray, int],
) -> None:
    """A constant channel is at both of its extremes all the time: that share is 1, not 2."""
    audio, rate = sample
    made = fs.Recording(user=audio[:, 0], model=np.zeros(1), rate=rate, scenario="turn_taking")
    run = fs.score(made, settings=NO_WORDS)
    assert not len(run.failures)
    assert run.scores.filter(pl.col("metric") == "tor")["status"].to_list() == ["silent"]
