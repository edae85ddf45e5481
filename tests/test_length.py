"""How long a recording without audio is: the manifest's word, its files', its last word."""

import json
from pathlib import Path

import pytest

import flexi_score as fs
from flexi_score.errors import ManifestError
from flexi_score.formats.length import stated_length_ms

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = {xmax}
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "user"
        xmin = 0
        xmax = {xmax}
        intervals: size = 1
        intervals [1]:
            xmin = 0.5
            xmax = 4.0
            text = "so tell me"
    item [2]:
        class = "IntervalTier"
        name = "model"
        xmin = 0
        xmax = {xmax}
        intervals: size = 1
        intervals [1]:
            xmin = 1.5
            xmax = 1.9
            text = "mhm"
"""


def write(folder: Path, row: dict, **files: str) -> fs.Run:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    manifest = folder / "manifest.jsonl"
    manifest.write_text(json.dumps({"id": "r", "scenario": "model_backchannel", **row}) + "\n")
    return fs.score(manifest)


def grid(folder: Path, xmax: float, **row: object) -> fs.Run:
    given = {"user_speech": "a.TextGrid", "model_speech": "a.TextGrid", **row}
    return write(folder, given, a__TextGrid=LONG.format(xmax=xmax))


def test_a_textgrid_is_as_long_as_its_xmax(tmp_path: Path) -> None:
    run = grid(tmp_path, 10)
    assert run.recordings["duration_ms"].to_list() == [10_000]
    assert run.scores.filter(metric="bcr")["value"].item() == pytest.approx(0.1)


def test_the_manifest_s_duration_wins(tmp_path: Path) -> None:
    run = grid(tmp_path, 10, duration=20)
    assert run.recordings["duration_ms"].to_list() == [20_000]


def test_a_duration_that_its_files_exceed_is_a_fault(tmp_path: Path) -> None:
    run = grid(tmp_path, 10, duration=3)
    assert "duration: found 3.0 s, but its files hold speech up to 4.0 s" in (
        run.failures["reason"].item()
    )


@pytest.mark.parametrize("duration", [0, -1, "long", True])
def test_a_duration_is_seconds(tmp_path: Path, duration: object) -> None:
    with pytest.raises(ManifestError, match="duration: found"):
        grid(tmp_path, 10, duration=duration)


def test_without_either_the_last_word_ends_it(tmp_path: Path) -> None:
    row = {"user_speech": "a.csv", "model_speech": "a.csv"}
    csv = "start,end,speaker\n0.5,4.0,user\n1.5,1.9,model\n"
    run = write(tmp_path, row, a__csv=csv)
    assert run.recordings["duration_ms"].to_list() == [4_000]


def test_lengths_of_both_textgrid_forms_and_of_elan(tmp_path: Path) -> None:
    long, short = tmp_path / "a.TextGrid", tmp_path / "b.TextGrid"
    long.write_text(LONG.format(xmax=7.25))
    short.write_text('File type = "ooTextFile"\n"TextGrid"\n\n0\n7.25\n<exists>\n0\n')
    elan = tmp_path / "c.eaf"
    slots = "".join(f'<TIME_SLOT TIME_SLOT_ID="t{t}" TIME_VALUE="{t}"/>' for t in (120, 7250))
    elan.write_text(f"<ANNOTATION_DOCUMENT>{slots}</ANNOTATION_DOCUMENT>")
    assert [stated_length_ms(p) for p in (long, short, elan)] == [7250] * 3
    assert stated_length_ms(tmp_path / "d.rttm") is None
