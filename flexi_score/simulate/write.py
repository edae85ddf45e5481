"""Write simulated recordings: audio, manifest and truth."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from flexi_score.errors import InputError
from flexi_score.output import writing_together
from flexi_score.schema import SPEAKERS, Row, Speaker
from flexi_score.simulate.channel import CLEAN, Capture, Condition, apply_condition, make_condition
from flexi_score.simulate.clips import Clips, read_clips
from flexi_score.simulate.codec import TELEPHONE
from flexi_score.simulate.plan import read_plan
from flexi_score.simulate.scenarios import random_scenes
from flexi_score.simulate.scene import Facts, Mix, Scene, mix_scene

MANIFEST: Final = "manifest.jsonl"
TRUTH: Final = "truth.jsonl"
#: Called with how many recordings are done, and how many there are.
Progress = Callable[[int, int], None]


def write_scenes(
    scenes: Sequence[Scene],
    clips: Clips,
    out: str | Path,
    condition: Condition | str = CLEAN,
    *,
    seed: int = 0,
    noises: str | Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Make the recordings of scenes under a condition: a folder that can be scored.

    A scene's own condition goes before. ``noises``: folder of recordings, for noise ``files``.
    Manifest and truth are written last, when all audio is.
    """
    given = make_condition(condition)
    if len({scene.id for scene in scenes}) < len(scenes):
        raise InputError("two scenes have the same id; every id is used once")
    manifest, made = [], []
    with writing_together(Path(out), MANIFEST) as folder:
        for number, scene in enumerate(scenes, 1):
            how = given if scene.condition is None else make_condition(scene.condition)
            mix = mix_scene(scene, clips)
            capture = apply_condition(mix, how, seed, clips=clips, noises=noises)
            files = _write_audio(folder, scene.id, capture, how)
            manifest.append(_manifest_row(mix, capture, files))
            made.append((scene, capture.facts, mix.said, capture.condition))
            progress(number, len(scenes))
        truth = truth_rows(made)
        write_rows(folder / MANIFEST, manifest)
        write_rows(folder / TRUTH, truth)
    return Path(out)


def save_audio(path: Path, audio: NDArray[Any], rate_hz: int, subtype: str, **options: Any) -> None:
    """Write an audio file; libsndfile itself would hide why it cannot."""
    made = io.BytesIO()
    kind = path.suffix[1:].upper()
    sf.write(made, audio, rate_hz, subtype=subtype, format=kind, **options)
    path.write_bytes(made.getvalue())


def write_index(out: str | Path, folders: Sequence[Path]) -> Path:
    """One manifest and one truth over folders of :func:`write_scenes`, to be scored as one run.

    An id gets the folder's name before it: ``crosstalk_-20.scene_1``.
    """
    with writing_together(Path(out), MANIFEST) as root:
        for name in (MANIFEST, TRUTH):
            rows = []
            for folder in folders:
                for line in (folder / name).read_text("utf-8").splitlines():
                    row = json.loads(line)
                    row["id"] = f"{folder.name}.{row['id']}"
                    for key in row.keys() & {"audio", "user_audio", "model_audio"}:
                        row[key] = f"{folder.name}/{row[key]}"
                    rows.append(row)
            write_rows(root / name, rows)
    return Path(out)


def truth_rows(made: Sequence[tuple[Scene, Facts, dict[Speaker, str], Row]]) -> list[Row]:
    """Rows of ``truth.jsonl``: speech in ms, words, and the condition."""
    return [
        {
            "id": scene.id,
            "duration_ms": facts.duration_ms,
            "user_speech": facts.user,
            "model_speech": facts.model,
            "user_words_text": said["user"],
            "model_words_text": said["model"],
            "condition": condition,
        }
        for scene, facts, said, condition in made
    ]


def _write_audio(folder: Path, name: str, capture: Capture, condition: Condition) -> Row:
    """Write one or two files; return their keys in the manifest."""
    telephone = condition.codec in TELEPHONE
    suffix = ".wav" if telephone else ".flac"
    subtype = TELEPHONE[condition.codec or ""] if telephone else "PCM_16"
    extra = {} if telephone else {"compression_level": 1.0}
    if condition.files == "stereo":
        file = f"{name}{suffix}"
        save_audio(folder / file, np.stack(capture.audio, 1), capture.rate_hz, subtype, **extra)
        return {"audio": file, "channels": {"user": 0, "model": 1}}
    files = {f"{who}_audio": f"{name}.{who}{suffix}" for who in SPEAKERS}
    for file, channel in zip(files.values(), capture.audio, strict=True):
        save_audio(folder / file, channel, capture.rate_hz, subtype, **extra)
    return files


def _manifest_row(mix: Mix, capture: Capture, files: Row) -> Row:
    scene, facts = mix.scene, capture.facts
    row: Row = {"id": scene.id, "system": scene.system, "scenario": scene.scenario}
    row |= files
    annotations = annotations_of(facts, scene.annotate)
    row |= {"annotations": annotations} if annotations else {}
    row |= {"text": scene.text} if scene.text else {}
    row["condition"] = capture.condition["name"]
    row |= {f"{who}_voice": mix.voices[who] for who in SPEAKERS if mix.voices[who]}
    return row | {key: value for key, value in scene.metadata.items() if key not in row}


def annotations_of(facts: Facts, which: Sequence[str]) -> Row:
    """Annotations of a manifest row, in seconds; those that the recording has no moment for go."""

    def seconds(span: tuple[int, int]) -> list[float]:
        return [span[0] / 1000, span[1] / 1000]

    end = facts.user_turn_end
    known: Row = {
        "user_turn_end": None if end is None else end / 1000,
        "pause": facts.pause and seconds(facts.pause),
        "interrupt": facts.interrupt and seconds(facts.interrupt),
        "backchannels": [seconds(span) for span in facts.backchannels] or None,
        "reference_backchannels": [t / 1000 for t in facts.references] or None,
    }
    return {key: known[key] for key in known if key in which and known[key] is not None}


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def simulate(
    scenes: int | str | Path | Sequence[Scene],
    clips: str | Path | Clips,
    out: str | Path,
    condition: Condition | str = CLEAN,
    *,
    seed: int = 0,
) -> Path:
    """Make recordings with exact truth: a folder that can be scored, and compared with its truth.

    Parameters
    ----------
    scenes : int, path, or sequence of Scene
        How many random scenes, a plan, or the scenes themselves.
    clips : path or Clips
        A folder of clips of single voices.
    out : path
        Folder for the audio, ``manifest.jsonl`` and ``truth.jsonl``.
    condition : Condition or str
        As ``babble:15+crosstalk:-20``.
    seed : int
        The same seed gives the same bytes.

    Examples
    --------
    >>> import flexi_score as fs
    >>> fs.simulate(60, "clips", "made", "crosstalk:-20", seed=1)  # doctest: +SKIP
    """
    known = clips if isinstance(clips, Clips) else read_clips(clips)
    if isinstance(scenes, int):
        scenes = random_scenes(scenes, known, seed)
    elif isinstance(scenes, str | Path):
        scenes = read_plan(scenes)
    return write_scenes(scenes, known, out, condition, seed=seed)
