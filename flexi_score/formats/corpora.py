"""Folders of conversations between people: CANDOR, Switchboard and Fisher.

Both parties are people: the one on channel 0 (left, side A) stands for the user, and that is said.
Transcripts with the times of words replace recognition. Those with the times of utterances only are
used where there is no audio: as words they would all fall into one IPU of their utterance.
"""

import re
from pathlib import Path
from typing import Any, Final

from flexi_score.errors import RowError
from flexi_score.formats.files import brief
from flexi_score.formats.folders import (
    Found,
    Problem,
    Sample,
    is_audio,
    json_file,
    list_files,
    name_below,
)
from flexi_score.schema import SPEAKERS

_TURNS: Final = ("audiophile", "cliffhanger", "backbiter")
_WORDS: Final = "transcribe_output.json"
_LEFT: Final = {"user": 0, "model": 1}
_CALL: Final = re.compile(r"(?:sw0*(?P<swb>\d{4})|(?P<fisher>fe_03_\d{5}))")
_SIDE: Final = re.compile(r"sw0*(\d{4})([AB])-ms98-a-(word|trans)\.text")


def candor(folder: Path) -> Found:
    """Conversations of CANDOR: ``processed/ID.mp3``, ``transcription/``, ``metadata.json``.

    ``channel_map.json`` (or ``metadata.json``) says which participant is left and which right;
    ``transcribe_output.json`` has the words of both channels.
    """
    samples, problems = [], []
    files = list_files(folder)
    for subfolder, names in files.items():
        if not is_candor(subfolder, names):
            continue
        root = subfolder.parent
        name = root.resolve().name if subfolder == folder else name_below(root, folder)
        try:
            sides = _sides(root)
        except RowError as error:
            problems.append(Problem(name, "conversation", str(error)))
            continue
        row: dict[str, Any] = {"id": name}
        audio = [
            str((at / file).absolute())
            for at in (root / "processed", root)
            for file in files.get(at, ())
            if is_audio(file)
        ]
        if audio:
            row |= {"audio": audio[0], "channels": _LEFT}
        given = next(n for n in (_WORDS, *map("transcript_{}.csv".format, _TURNS)) if n in names)
        if given == _WORDS or not audio:
            row["speakers"] = {**sides, "channel 0": "user", "channel 1": "model"}
            for key in ("words",) if audio else ("words", "speech"):
                row |= {f"{s}_{key}": str((subfolder / given).absolute()) for s in SPEAKERS}
        metadata = {n[:-4]: str((subfolder / n).absolute()) for n in names if n.endswith(".csv")}
        samples.append(Sample(name, row, metadata))
    return Found(samples, problems, _people(folder, samples, "the left channel"))


def is_candor(folder: Path, names: list[str]) -> bool:
    """Whether a folder holds the transcripts of a conversation of CANDOR."""
    return folder.name == "transcription" and any(f"transcript_{n}.csv" in names for n in _TURNS)


def _sides(root: Path) -> dict[str, str]:
    """Party of each participant's id, by the channel it is on."""
    participants: dict[Any, Any] = {}
    if (root / "processed" / "channel_map.json").is_file():
        content = json_file(root / "processed" / "channel_map.json")
        participants = content if isinstance(content, dict) else {}
    elif (root / "metadata.json").is_file():
        content = json_file(root / "metadata.json")
        speakers = content.get("speakers") if isinstance(content, dict) else None
        for item in speakers if isinstance(speakers, list) else ():
            if isinstance(item, dict):
                participants[item.get("channel")] = item.get("user_id")
    if (
        not all(isinstance(participants.get(side), str) for side in "LR")
        or participants["L"] == participants["R"]
    ):
        raise RowError(
            f"{root}: found {brief(participants)}, expected the participants of channels "
            "L and R in processed/channel_map.json or metadata.json"
        )
    return {participants["L"].casefold(): "user", participants["R"].casefold(): "model"}


def telephone(folder: Path) -> Found:
    """Calls of Switchboard and Fisher: ``sw02001.sph``, ``fe_03_00001.sph`` and transcripts.

    Audio and transcripts may lie in different folders; they are recognised by their names.
    """
    calls: dict[str, dict[str, str]] = {}
    for subfolder, names in list_files(folder).items():
        for name in names:
            path = str((subfolder / name).absolute())
            call, part = _CALL.fullmatch(Path(name).stem), _SIDE.fullmatch(name)
            if part:
                calls.setdefault(f"sw{part[1]}", {}).setdefault(f"{part[3]} {part[2]}", path)
            elif call and (is_audio(name) or (call["fisher"] and name.endswith(".txt"))):
                key = call["fisher"] or f"sw{call['swb']}"
                calls.setdefault(key, {}).setdefault("audio" if is_audio(name) else "txt", path)
    samples, utterances = [], []
    for key, files in sorted(calls.items()):
        row: dict[str, Any] = {"id": key}
        if "audio" in files:
            row |= {"audio": files["audio"], "channels": _LEFT}
        metadata = {}
        for speaker, side in zip(SPEAKERS, "AB", strict=True):
            coarse = files.get(f"trans {side}", files.get("txt"))
            fine = files.get(f"word {side}")
            if coarse:
                metadata[f"{speaker}_transcript"] = coarse
            if fine or ("audio" not in files and coarse):
                row[f"{speaker}_words"] = fine or coarse
            elif coarse:
                utterances.append(key)
            if "audio" not in files and coarse:
                row[f"{speaker}_speech"] = coarse
        if "audio" not in row:
            row["speakers"] = {"A": "user", "B": "model"}
        if len(row) > 2:
            samples.append(Sample(key, row, metadata))
    warnings = _people(folder, samples, "side A")
    if utterances:
        warnings.append(
            f"{folder}: transcripts with the times of utterances only are not used beside audio "
            f"({len(set(utterances))} calls, as {utterances[0]}): words are recognised"
        )
    return Found(samples, [], warnings)


def is_telephone(folder: Path, names: list[str]) -> bool:
    """Whether a folder holds transcripts of Switchboard or Fisher."""
    return any(_SIDE.fullmatch(name) or re.fullmatch(r"fe_03_\d{5}\.txt", name) for name in names)


def _people(folder: Path, samples: list[Sample], side: str) -> list[str]:
    note = (
        f"{folder}: both parties are people: {side} is taken for the user, the other for the model"
    )
    return [note] if samples else []
