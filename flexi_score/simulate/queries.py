"""The user's side of the benchmark: queries for all six scenarios, ready to be played to a model.

After the FLEXI paper, section 3.1: texts are spoken, and the clips joined with silences after
backchannels, interruptions and the ends of queries, long enough for the model's answer. The
manifest names the files that recordings of the model are expected in: whoever plays the queries
puts them there, and scores the folder.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile as sf

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.errors import InputError, OutputError
from flexi_score.simulate.clips import Clips, Signal
from flexi_score.simulate.scene import Annotation, Mix, Moment, Say, Scene, mix_scene
from flexi_score.simulate.speak import TextToSpeech, clip_of
from flexi_score.simulate.texts import Dialog
from flexi_score.simulate.write import MANIFEST, TRUTH, annotations_of

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Silences:
    """Silences of the user, in seconds."""

    lead_s: float = 0.5  # before the user speaks
    pause_s: float = 0.85  # the pause of pause_handling
    #: from the end of the first query to the interruption: the model must be answering by then
    interrupt_after_s: float = 6.0
    backchannel_after_s: float = 5.0  # the same for a backchannel
    response_s: float = 12.0  # after the user's last words, for the model's answer


#: Annotations that the user's channel alone decides.
_ANNOTATIONS: Final[dict[str, tuple[Annotation, ...]]] = {
    "turn_taking": ("user_turn_end",),
    "pause_handling": ("user_turn_end", "pause"),
    "user_interrupt": ("interrupt",),
    "model_interrupt": ("user_turn_end",),
    "user_backchannel": ("backchannels",),
    "model_backchannel": ("user_turn_end",),
}


def write_queries(
    dialogs: Sequence[Dialog],
    out: str | Path,
    *,
    tts: str | None = None,
    clips: str | Path | None = None,
    silences: Silences | None = None,
    level_db: float = -26.0,
    system: str = "model",
    progress: Progress | None = None,
) -> Path:
    """Write the user's channel of every dialog, and a manifest with annotations.

    ``dialogs``: from :func:`flexi_score.simulate.texts.read_texts`. ``out``: folder:
    ``user/ID.wav`` (16 kHz, mono, 16 bits), ``manifest.jsonl``, ``truth.jsonl``, and ``clips/``
    with what was spoken. ``tts``: command template
    (:class:`flexi_score.simulate.speak.TextToSpeech`). ``clips``: instead: a folder of clips named
    ``ID_PART``, as ``clips/`` of an earlier run has them. ``level_db``: active level of the speech,
    dBFS. ``system``: named in the manifest. ``progress``: called after each dialog: its id, how
    many are done, how many there are. Returns the folder. Raises InputError, PrerequisiteError
    where a text cannot be spoken. What was spoken before is kept; another run goes on there. Raises
    OutputError where the folder cannot be written.
    """
    if (tts is None) == (clips is None):
        raise InputError("give either a text-to-speech command (--tts) or clips (--clips)")
    if not dialogs:
        raise InputError("no dialogs to speak")
    folder = Path(out)
    pauses = silences or Silences()
    manifest, truth = [], []
    try:
        (folder / "user").mkdir(parents=True, exist_ok=True)
        (folder / "model").mkdir(parents=True, exist_ok=True)
        speak = _source(tts, clips, folder)
        for number, dialog in enumerate(dialogs, 1):
            mix = _mix_dialog(dialog, speak, pauses, level_db, system)
            path = folder / "user" / f"{dialog.id}.wav"
            sf.write(path, _safe(mix.audio[0]), SAMPLE_RATE_HZ, subtype="PCM_16")
            manifest.append(_manifest_row(dialog, mix))
            truth.append(_truth_row(dialog, mix))
            if progress is not None:
                progress(dialog.id, number, len(dialogs))
        for name, rows in ((MANIFEST, manifest), (TRUTH, truth)):
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / name).write_text(text, "utf-8")
    except (OSError, sf.LibsndfileError) as error:
        raise OutputError(f"{folder}: cannot be written ({error})") from error
    return folder


def _source(tts: str | None, clips: str | Path | None, folder: Path) -> Callable[[str, str], Any]:
    if tts is not None:
        return TextToSpeech(tts, folder / "clips").clip
    given = Path(clips or "")
    if not given.is_dir():
        raise InputError(
            f"{given}: no such folder; expected clips named as SCENARIO_0001_query.wav"
        )
    return lambda name, text: clip_of(given, name, text)


def _mix_dialog(
    dialog: Dialog,
    speak: Callable[[str, str], Any],
    silences: Silences,
    level_db: float,
    system: str,
) -> Mix:
    library = {part: speak(f"{dialog.id}_{part}", text) for part, text in dialog.parts.items()}
    names = list(dialog.parts)
    gaps = {
        "pause_handling": silences.pause_s,
        "user_interrupt": silences.interrupt_after_s,
        "user_backchannel": silences.backchannel_after_s,
    }
    says = []
    for before, name in zip([None, *names], names, strict=False):
        at: Moment = silences.lead_s
        if before is not None:
            at = f"{before}.end+{gaps[dialog.scenario]:.3f}"
        says.append(Say("user", name, name, at))
    scene = Scene(
        id=dialog.id,
        says=tuple(says),
        scenario=dialog.scenario,  # type: ignore[arg-type]  # a key of PARTS
        system=system,
        levels_db=(level_db, level_db),
        tail_s=silences.response_s,
        text=_text(dialog),
        annotate=_ANNOTATIONS[dialog.scenario],
    )
    if dialog.scenario == "pause_handling":
        scene = replace(scene, pause=("before", "after"))
    elif dialog.scenario == "user_interrupt":
        scene = replace(scene, interrupt="interrupt")
    elif dialog.scenario == "user_backchannel":
        scene = replace(scene, backchannels=("backchannel",))
    return mix_scene(scene, Clips(library, root=dialog.id))


def _text(dialog: Dialog) -> dict[str, str]:
    """``text`` of the manifest row, for the judge."""
    if dialog.scenario == "pause_handling":
        return {"query": " ".join(dialog.parts.values())}
    return {key: text for key, text in dialog.parts.items() if key != "backchannel"}


def _manifest_row(dialog: Dialog, mix: Mix) -> dict[str, Any]:
    row: dict[str, Any] = {"id": dialog.id, "system": mix.scene.system}
    row |= {"scenario": dialog.scenario}
    row |= {f"{who}_audio": f"{who}/{dialog.id}.wav" for who in ("user", "model")}
    return row | {
        "annotations": annotations_of(mix.facts, mix.scene.annotate),
        "text": _text(dialog),
    }


def _truth_row(dialog: Dialog, mix: Mix) -> dict[str, Any]:
    return {
        "id": dialog.id,
        "duration_ms": mix.facts.duration_ms,
        "user_speech": mix.facts.user,
        "user_words_text": mix.said["user"],
    }


def _safe(audio: Signal) -> Signal:
    """Turned down where it would clip."""
    peak = float(np.abs(audio).max(initial=0.0))
    return audio * min(1.0, 0.98 / peak) if peak > 0 else audio
