"""A file corrected by hand: its annotations replace the manifest's, and that is told."""

import json

import pytest

from flexi_score.errors import InputError
from flexi_score.formats.eaf import eaf_text
from flexi_score.formats.lanes import Lane
from flexi_score.formats.textgrid import textgrid_text
from flexi_score.formats.timed import Timed
from flexi_score.manifest import read_input

WRITERS = {"TextGrid": lambda lanes: textgrid_text(lanes, 9000), "eaf": eaf_text}
ANNOTATIONS = [
    Timed(4344, 4344, "user_turn_end"),
    Timed(1500, 2100, "pause"),
    Timed(3000, 3200, "backchannel"),
    Timed(3500, 3500, "reference_backchannel"),
]
ROW = {
    "id": "r",
    "annotations": {
        "user_turn_end": 4.344,
        "pause": [1.5, 2.1],
        "backchannels": [[3.0, 3.2]],
        "reference_backchannels": [3.5],
    },
}


def read(folder, suffix, annotations, user_end=4344):
    lanes = [
        Lane("user", [Timed(700, user_end, "hi")]),
        Lane("model", [Timed(5044, 8325, "hello")]),
        *([Lane("annotations", annotations)] if annotations else []),
    ]
    (folder / f"r.{suffix}").write_text(WRITERS[suffix](lanes))
    names = {f"{s}_speech": f"r.{suffix}" for s in ("user", "model")}
    (folder / "m.jsonl").write_text(json.dumps(ROW | names) + "\n")
    return read_input(folder / "m.jsonl")


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_was_not_changed_is_not_told(tmp_path, suffix):
    for annotations in (ANNOTATIONS, []):
        manifest = read(tmp_path, suffix, annotations)
        row = manifest.rows.row(0, named=True)
        assert (row["user_turn_end_ms"], row["pause_end_ms"]) == (4344, 2100)
        assert manifest.warnings == []


@pytest.mark.parametrize("suffix", WRITERS)
def test_corrected_annotations_win_and_are_told(tmp_path, suffix):
    changed = [Timed(4200, 4200, "user_turn_end"), *ANNOTATIONS[1:3]]
    manifest = read(tmp_path, suffix, changed)
    row = manifest.rows.row(0, named=True)
    assert row["user_turn_end_ms"] == 4200
    assert row["backchannels"] == [{"start_ms": 3000, "end_ms": 3200}]
    assert row["reference_backchannels_ms"] is None
    told = "\n".join(manifest.warnings)
    assert "user_turn_end_ms 4200 where the manifest has 4344; the file's is used" in told
    assert len(manifest.warnings) == 2


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_moved_boundary_beside_an_annotation_that_was_not_is_told(tmp_path, suffix):
    (warning,) = read(tmp_path, suffix, ANNOTATIONS, user_end=3600).warnings
    assert "user_turn_end is at 4.344 s, where no speech of the user ends" in warning
    assert "nearest at 3.6 s" in warning


def test_an_annotation_without_a_key_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has 'turn end' at 4.2 s, expected one of user_turn_end"):
        read(tmp_path, "TextGrid", [Timed(4200, 4200, "turn end")])
