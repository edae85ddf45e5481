"""Recordings with annotation files beside them, recognised by the same name.

``call.wav`` with ``call.TextGrid`` (or ``.eaf``, ``.rttm``, ``.ctm``, ``.stm``, ``.csv``, ...), or
with one file per speaker, ``call.user.rttm`` and ``call.model.rttm``; or the files alone, without
audio. Subtitles are left out: their cues say what is on the screen, not who speaks when.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flexi_score.errors import TranscriptError
from flexi_score.formats.delimited import has_words
from flexi_score.formats.eaf import tier_names
from flexi_score.formats.files import name_some
from flexi_score.formats.folders import Found, Problem, Sample, is_audio, list_files
from flexi_score.formats.lanes import own_tiers
from flexi_score.formats.textgrid import read_tiers
from flexi_score.formats.whose import Whose
from flexi_score.schema import SPEAKERS, Speaker

#: Extensions of what is taken for speech, the first of them that a recording has; of TextGrid,
#: ELAN and tables also for words, where they have a tier or rows of words.
_SPEECH: Final = (".textgrid", ".eaf", ".rttm", ".stm", ".csv", ".tsv")
#: Extensions of what is taken for words; JSON only where its name says whose they are.
_WORDS: Final = (".ctm", ".json")
#: Extensions that tell an annotation from other files.
_TELLING: Final = (".textgrid", ".eaf", ".rttm", ".ctm", ".stm")
_SUBTITLES: Final = (".vtt", ".srt")


def annotated(folder: Path) -> Found:
    """Recordings that have annotation files, with or without audio."""
    samples, problems, warnings = [], [], []
    subtitles = []
    for subfolder, names in list_files(folder).items():
        stems: dict[str, list[str]] = {}
        for name in names:
            stems.setdefault(_split(name)[0], []).append(name)
            if Path(name).suffix.lower() in _SUBTITLES:
                subtitles.append((subfolder / name).relative_to(folder).as_posix())
        for stem, files in stems.items():
            within = {name: (subfolder / name).relative_to(folder).as_posix() for name in files}
            key = (subfolder / stem).relative_to(folder).as_posix()
            try:
                row = _row(subfolder, files, within)
            except TranscriptError as error:
                problems.append(Problem(key, "conversation", str(error)))
                continue
            if any(k.endswith(("_speech", "_words")) for k in row):
                samples.append(Sample(key, {"id": key, **row}, {}))
            elif "audio" in row:
                warnings.append(f"{folder}: no annotation file beside {row['audio']}: left out")
    if subtitles:
        warnings.append(
            f"{folder}: subtitles are left out ({name_some(subtitles)}): a manifest can name them "
            "as *_words"
        )
    return Found(samples, problems, warnings)


def is_annotation(name: str) -> bool:
    """Whether a file is an annotation, by its name alone; tables and JSON may be anything."""
    return Path(name).suffix.lower() in _TELLING


def _row(folder: Path, files: list[str], within: Mapping[str, str]) -> dict[str, str]:
    row: dict[str, str] = {}
    audio = [name for name in files if is_audio(name)]
    if len(audio) > 1:
        raise TranscriptError(f"{folder}: {name_some(audio)} have one name; keep one of them")
    if audio:
        row["audio"] = within[audio[0]]
    for speaker in SPEAKERS:
        own = [name for name in files if _split(name)[1] in (None, speaker)]
        # A speaker's own file before one of both.
        own.sort(key=lambda name: _split(name)[1] is None)
        for name in _ranked(own, _SPEECH):
            row.setdefault(f"{speaker}_speech", within[name])
        for name in _ranked(own, (*_SPEECH, *_WORDS)):
            if f"{speaker}_words" not in row and _holds_words(folder / name, speaker):
                row[f"{speaker}_words"] = within[name]
    return row


def _ranked(names: list[str], order: tuple[str, ...]) -> list[str]:
    """Names by their extension's place in the order; others are left out."""
    return [name for suffix in order for name in names if Path(name).suffix.lower() == suffix]


def _holds_words(path: Path, speaker: Speaker) -> bool:
    """Whether a file has words of a speaker as such, rather than labels of stretches of speech."""
    suffix = path.suffix.lower()
    if suffix in _WORDS:
        return suffix != ".json" or _split(path.name)[1] is not None
    if suffix == ".textgrid":
        tiers = [tier.name for tier in read_tiers(path)]
    elif suffix == ".eaf":
        tiers = tier_names(path)
    else:
        return suffix in (".csv", ".tsv") and has_words(path)
    own = own_tiers(tiers, Whose(speaker), words=True) or []
    return any("words" in tiers[i].lower() for i in own)


def _split(name: str) -> tuple[str, Speaker | None]:
    """``call.user.rttm`` as ``call`` and ``user``; the second is None where none is named."""
    stem = Path(name).stem
    for side in SPEAKERS:
        if not is_audio(name) and stem.lower().endswith((f".{side}", f"_{side}", f"-{side}")):
            head = stem[: -len(side) - 1]
            if head:
                return head, side
    return stem, None
