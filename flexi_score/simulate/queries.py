"""The user's side of the benchmark: queries for all six scenarios, ready to be played to a model.

After the FLEXI paper, section 3.1: texts are spoken, and the clips joined with silences after
backchannels, interruptions and the ends of queries, long enough for the model's answer. The
manifest names the files that recordings of the model are expected in: whoever plays the queries
puts them there, and scores the folder.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.errors import InputError
from flexi_score.output import writing_together
from flexi_score.schema import SPEAKERS, Row
from flexi_score.simulate.clips import Clip, Clips, Signal
from flexi_score.simulate.scene import Annotation, Mix, Moment, Say, Scene, mix_scene
from flexi_score.simulate.speak import TextToSpeech, clip_of
from flexi_score.simulate.texts import Dialog
from flexi_score.simulate.write import (
    MANIFEST,
    TRUTH,
    Progress,
    annotations_of,
    save_audio,
    write_rows,
)

#: Silence before the user speaks, and after the last words, for the model's answer (s).
_LEAD_S, _RESPONSE_S = 0.5, 12.0
#: Silence between the two things that the user says in a recording (s): the pause; from the end of
#: the query to the interruption, and to the backchannel, as the model must be answering by then.
_BETWEEN_S: Final = {"pause_handling": 0.85, "user_interrupt": 6.0, "user_backchannel": 5.0}
#: Active level of the speech, dBFS.
_LEVEL_DB: Final = -26.0

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
    system: str = "model",
    progress: Progress = lambda done, total: None,
) -> Path:
    """Write the user's channel of every dialog, and a manifest with annotations.

    Into ``out``: ``user/ID.wav`` (16 kHz), ``manifest.jsonl``, ``truth.jsonl``, and ``clips/`` with
    what was spoken by ``tts``. ``clips``, instead: a folder of clips named ``ID_PART``, as an
    earlier run has them. What was spoken before a text that cannot be is kept; another run goes on
    there.
    """
    if (tts is None) == (clips is None):
        raise InputError("give either a text-to-speech command (--tts) or clips (--clips)")
    if not dialogs:
        raise InputError("no dialogs to speak")
    folder = Path(out)
    manifest, truth = [], []
    with writing_together(folder, MANIFEST) as aside:
        (aside / "user").mkdir()
        (folder / "model").mkdir(exist_ok=True)
        speak = _source(tts, clips, folder)
        for number, dialog in enumerate(dialogs, 1):
            mix = _mix_dialog(dialog, speak, system)
            path = aside / "user" / f"{dialog.id}.wav"
            save_audio(path, _safe(mix.audio[0]), SAMPLE_RATE_HZ, "PCM_16")
            manifest.append(_manifest_row(dialog, mix))
            truth.append(
                {
                    "id": dialog.id,
                    "duration_ms": mix.facts.duration_ms,
                    "user_speech": mix.facts.user,
                    "user_words_text": mix.said["user"],
                }
            )
            progress(number, len(dialogs))
        write_rows(aside / MANIFEST, manifest)
        write_rows(aside / TRUTH, truth)
    return folder


def _source(tts: str | None, clips: str | Path | None, folder: Path) -> Callable[[str, str], Clip]:
    if tts is not None:
        return TextToSpeech(tts, folder / "clips").clip
    given = Path(clips or "")
    if not given.is_dir():
        raise InputError(
            f"{given}: no such folder; expected clips named as SCENARIO_0001_query.wav"
        )
    return lambda name, text: clip_of(given, name, text)


def _mix_dialog(dialog: Dialog, speak: Callable[[str, str], Clip], system: str) -> Mix:
    library = {part: speak(f"{dialog.id}_{part}", text) for part, text in dialog.parts.items()}
    names = list(dialog.parts)
    starts: list[Moment] = [_LEAD_S]
    starts += [f"{before}.end+{_BETWEEN_S[dialog.scenario]}" for before in names[:-1]]
    says = [Say("user", name, name, at) for name, at in zip(names, starts, strict=True)]
    scene = Scene(
        id=dialog.id,
        says=tuple(says),
        scenario=dialog.scenario,  # type: ignore[arg-type]  # a key of PARTS
        system=system,
        levels_db=(_LEVEL_DB, _LEVEL_DB),
        tail_s=_RESPONSE_S,
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


def _manifest_row(dialog: Dialog, mix: Mix) -> Row:
    return {
        "id": dialog.id,
        "system": mix.scene.system,
        "scenario": dialog.scenario,
        **{f"{who}_audio": f"{who}/{dialog.id}.wav" for who in SPEAKERS},
        "annotations": annotations_of(mix.facts, mix.scene.annotate),
        "text": mix.scene.text,
    }


def _safe(audio: Signal) -> Signal:
    """Turned down where it would clip."""
    peak = float(np.abs(audio).max(initial=0.0))
    return audio * min(1.0, 0.98 / peak) if peak > 0 else audio
