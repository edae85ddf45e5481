"""``flexi_score.export``: a run's events, words and annotations as files of other tools."""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from flexi_score.config import unknown_name
from flexi_score.errors import AudioError, InputError, OutputError, PrerequisiteError
from flexi_score.exports.lhotse import lhotse_lines
from flexi_score.exports.source import Recording, Source, load_source
from flexi_score.exports.writers import WRITERS, as_speech, as_words, json_line
from flexi_score.formats.files import EMBEDDED_SCHEME, brief
from flexi_score.formats.keys import KNOWN_KEYS, TEXTS
from flexi_score.formats.registry import FORMATS
from flexi_score.formats.roles import ASSUMED
from flexi_score.formats.spelling import nearest
from flexi_score.output import writing_together
from flexi_score.schema import SPEAKERS, Row
from flexi_score.scoring.run import Run

#: Names of all formats that can be written.
EXPORTS: Final = tuple(known.export for known in FORMATS.values() if known.export)
INDEX: Final = "index.json"
MANIFEST: Final = "manifest.jsonl"
_AUDIO: Final = ("audio", "user_audio", "model_audio")
_COPIES: Final = tuple(f".{key}" for key in _AUDIO)
_LHOTSE: Final = ("recordings.jsonl.gz", "supervisions.jsonl.gz")


@dataclass(frozen=True)
class Exported:
    """What :func:`export` wrote.

    Attributes
    ----------
    folder : Path
    files : list of Path
        Every file, those of recordings first.
    names : dict of str to str
        The name of each recording's files, without suffix, by its id.
    notes : list of str
        What is missing, and why.
    """

    folder: Path
    files: list[Path]
    names: dict[str, str]
    notes: list[str]


def export(
    run: str | Path | Run,
    out: str | Path,
    formats: str | Sequence[str] = "textgrid",
    *,
    recordings: Sequence[str] | None = None,
    archive: str | Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Exported:
    """Write a run's recordings in the formats of other tools.

    Beside the files are ``index.json``, which names the recording of each, and ``manifest.jsonl``,
    with which ``flexi-score score`` scores the recordings anew from the exported files: correct
    them, and score the folder. Audio inside a Parquet file is copied into files beside them.

    Parameters
    ----------
    run : path or Run
        A run folder, or what :func:`flexi_score.score` returned.
    out : path
        Folder to write to; made where it does not exist.
    formats : str or sequence of str
        Names of formats: :data:`EXPORTS`, as ``flexi-score formats`` lists them.
    recordings : sequence of str, optional
        Ids of those wanted; all if not given.
    archive : path, optional
        Where the words of a run folder are; its own ``archive`` if not given.
    overwrite : bool
        Whether to replace files that are there; otherwise nothing is written if one is.
    progress : callable
        Called after each recording with how many are done, and of how many.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        For an unknown format or recording, or a folder that is no run.
    ArchiveError
        Where the archive cannot be read.
    OutputError
        Where a file exists or cannot be written.
    """
    names = _known(formats)
    source = load_source(run, recordings, archive)
    notes = list(source.notes)
    if "ctm" in names and source.wordless and len(names) == 1:
        raise InputError(f"format ctm holds nothing but words: {source.wordless}")
    folder = Path(out)
    if not overwrite:
        _refuse_existing(folder, names, source)
    written: list[Path] = []
    index: list[Row] = []
    manifest: list[str] = []
    lhotse: list[tuple[str, str]] = []
    silent: dict[str, list[str]] = {}
    total, partial = len(source.recordings), 0
    with writing_together(folder, MANIFEST) as aside:
        for done, recording in enumerate(source, 1):
            files: dict[str, str] = {}
            recording, copies, lost = _with_audio(recording, folder, aside)
            written += [aside / copy.name for copy in copies.values()]
            if lost:
                notes.append(f"{MANIFEST}: no audio of {brief(recording.id)}: {lost}")
            for name in (n for n in names if n in WRITERS):
                texts = WRITERS[name](recording, source.created)
                if not texts:
                    silent.setdefault(name, []).append(brief(recording.id))
                for suffix, text in texts.items():
                    if suffix not in files:
                        files[suffix] = recording.name + suffix
                        written.append(_write(aside / files[suffix], text))
            if "lhotse" in names:
                moved = {str(copy): aside / copy.name for copy in copies.values()}
                audio, speech, problem = lhotse_lines(recording, moved)
                lhotse.append((audio, speech))
                if problem:
                    silent.setdefault("lhotse recordings", []).append(problem)
            index.append(
                {"recording": recording.id, "name": recording.name, "files": list(files.values())}
            )
            row = manifest_row(recording, files)
            row |= {key: copy.name for key, copy in copies.items() if key in row}
            manifest.append(json_line(row))
            partial += recording.partial
            progress(done, total)
        for name, missing in silent.items():
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            notes.append(f"{name}: nothing to write of {missing[0]}{more}")
        if partial:
            notes.append(
                f"words of {partial} recordings are those of short utterances only (--asr needed): "
                f"{MANIFEST} does not give them as transcripts"
            )
        if "lhotse" in names:
            for file, column in zip(_LHOTSE, zip(*lhotse, strict=True), strict=False):
                written.append(
                    _write(aside / file, gzip.compress("".join(column).encode(), mtime=0))
                )
        written.append(_write(aside / MANIFEST, "".join(manifest)))
        label = {"run": source.label, "formats": list(names), "notes": notes, "recordings": index}
        text = json.dumps(label, indent=1, ensure_ascii=False) + "\n"
        written.append(_write(aside / INDEX, text))
    ids = {row["recording"]: row["name"] for row in index}
    return Exported(folder, [folder / path.name for path in written], ids, notes)


def _with_audio(
    recording: Recording, folder: Path, aside: Path
) -> tuple[Recording, dict[str, Path], str]:
    """A recording whose audio lies in files, those copied out of a Parquet file, what is wrong."""
    inside = {key: str(recording.row[key] or "") for key in _AUDIO}
    inside = {key: url for key, url in inside.items() if url.startswith(EMBEDDED_SCHEME)}
    if not inside:
        return recording, {}, ""
    from flexi_score.extraction.remote import take_out

    copies: dict[str, Path] = {}
    lost = ""
    try:
        for key, url in inside.items():
            copy = take_out(url, aside / f"{recording.name}.{key}.x")
            copies[key] = folder.absolute() / Path(copy).name
    except AudioError as error:
        lost = str(error)
    row = dict(recording.row)
    for key in inside:
        row[key] = str(copies[key]) if key in copies else None
    return replace(recording, row=row), copies, lost


def _known(formats: str | Sequence[str]) -> tuple[str, ...]:
    names = [formats] if isinstance(formats, str) else list(formats)
    if not names:
        raise InputError(f"no format given; known: {', '.join(EXPORTS)}")
    for name in names:
        if name not in EXPORTS:
            raise InputError(unknown_name("format", name, EXPORTS))
    return tuple(dict.fromkeys(names))


def _refuse_existing(folder: Path, names: Sequence[str], source: Source) -> None:
    """Raise where anything would be replaced: it may have been corrected by hand."""
    own = set(source.recordings["name"])
    suffixes = {suffix for name in names for suffix in _SUFFIXES.get(name, ())}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        taken = path.name in (INDEX, MANIFEST) or ("lhotse" in names and path.name in _LHOTSE)
        taken = taken or (path.stem.endswith(_COPIES) and path.stem.rpartition(".")[0] in own)
        taken = taken or any(
            path.name.endswith(s) and path.name[: -len(s)] in own for s in suffixes
        )
        if taken:
            raise OutputError(
                f"{path}: is there already, perhaps corrected; export into another folder, or "
                "replace it with --overwrite"
            )


#: Suffixes of the files that each format may write.
_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "textgrid": (".TextGrid",),
    "eaf": (".eaf",),
    "rttm": (".rttm",),
    "ctm": (".ctm",),
    "audacity": tuple(
        f".{lane}.txt" for lane in ("user", "model", "user_words", "model_words", "events")
    ),
    "webvtt": (".vtt",),
    "csv": (".csv",),
    "jsonl": (".jsonl",),
    "pyannote": (".rttm", ".uem"),
}


def _write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def manifest_row(recording: Recording, files: Mapping[str, str]) -> Row:
    """A row that scores the recording with its exported files (their names by suffix).

    Metadata whose key the contract would take for one of its own is left out, and so is the audio
    of a recording whose roles are estimates. Channels that were only assumed are not stated.
    """
    given = recording.row
    row = {"id": recording.id, "system": given["system"], "scenario": given["scenario"]}
    if given.get("estimated_by") is None:
        row |= _audio(given)
    for speaker in SPEAKERS:
        speech = as_speech(files, recording, speaker)
        words = as_words(files, recording, speaker)
        row[f"{speaker}_speech"] = files[speech] if speech else given[f"{speaker}_speech"]
        row[f"{speaker}_words"] = files[words] if words else given[f"{speaker}_words"]
    row["annotations"] = _annotations(given)
    if given.get("tools") is not None:
        row["tools"] = [[span["start_ms"] / 1000, span["end_ms"] / 1000] for span in given["tools"]]
    row["raw_audio"] = given.get("raw_audio")
    row["text"] = {name: given[f"text_{name}"] for name in TEXTS}
    row |= {name: given[name] for name in ("rating", "reference_distribution")}
    if not any(key in row for key in ("audio", "user_audio")):
        row["duration"] = recording.duration_ms / 1000
    extra = json.loads(given["metadata"] or "{}")
    for key, value in extra.items():
        if key not in KNOWN_KEYS and "." not in key and nearest(key, KNOWN_KEYS) is None:
            row[key] = value
    for name in ("annotations", "text"):
        row[name] = {k: v for k, v in row[name].items() if v is not None} or None
    return {key: value for key, value in row.items() if value is not None and value != {}}


def _audio(given: Row) -> Row:
    if given["audio"] and given.get("roles") == ASSUMED:
        return {"audio": given["audio"]}
    if given["audio"]:
        channels = {s: given[f"{s}_channel"] for s in SPEAKERS}
        return {"audio": given["audio"], "channels": channels}
    if not given["user_audio"] or not given["model_audio"]:
        return {}
    row: Row = {}
    for speaker in SPEAKERS:
        row[f"{speaker}_audio"] = given[f"{speaker}_audio"]
        if offset := given[f"{speaker}_offset_ms"]:
            row[f"{speaker}_offset"] = offset / 1000
    return row


def _annotations(given: Row) -> Row:
    def seconds(ms: int | None) -> float | None:
        return None if ms is None else ms / 1000

    annotations: Row = {"user_turn_end": seconds(given["user_turn_end_ms"])}
    for name in ("pause", "interrupt"):
        start, end = given[f"{name}_start_ms"], given[f"{name}_end_ms"]
        annotations[name] = None if start is None else [seconds(start), seconds(end)]
    spans, times = given["backchannels"], given["reference_backchannels_ms"]
    if spans is not None:
        annotations["backchannels"] = [
            [seconds(s["start_ms"]), seconds(s["end_ms"])] for s in spans
        ]
    if times is not None:
        annotations["reference_backchannels"] = [seconds(t) for t in times]
    return annotations


def to_pyannote(run: str | Path | Run, recordings: Sequence[str] | None = None) -> dict[str, Any]:
    """IPUs as pyannote annotations.

    Parameters
    ----------
    run : path or Run
        A run folder, or what :func:`flexi_score.score` returned.
    recordings : sequence of str, optional
        Ids of those wanted; all if not given.

    Returns
    -------
    dict of str to pyannote.core.Annotation
        By recording; labels are ``user`` and ``model``, times are in seconds, the URI is the name
        of the recording's exported files.

    Raises
    ------
    PrerequisiteError
        If pyannote.core is not installed.
    """
    try:
        from pyannote.core import Annotation, Segment
    except ImportError as error:
        raise PrerequisiteError(
            "pyannote.core is not installed: pip install pyannote.core (export in the format "
            "pyannote needs nothing: it writes RTTM and UEM)"
        ) from error
    annotated = {}
    for recording in load_source(run, recordings):
        annotation = Annotation(uri=recording.name)
        for speaker in SPEAKERS:
            for i, (start, end, *_) in enumerate(recording.spans("ipu", speaker)):
                annotation[Segment(start / 1000, end / 1000), f"{speaker}{i}"] = speaker
        annotated[recording.id] = annotation
    return annotated
