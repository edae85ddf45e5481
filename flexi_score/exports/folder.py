"""``flexi_score.export``: a run's events, words and annotations as files of other tools."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flexi_score.errors import InputError, OutputError
from flexi_score.exports.lhotse import compressed, lhotse_lines
from flexi_score.exports.rows import manifest_row
from flexi_score.exports.source import Source, load_source
from flexi_score.exports.writers import WRITERS, json_line
from flexi_score.formats import FORMATS
from flexi_score.formats.files import brief
from flexi_score.formats.spelling import nearest
from flexi_score.output import write_whole
from flexi_score.scoring.run import Run

#: Names of all formats that can be written.
EXPORTS: Final = tuple(known.export for known in FORMATS.values() if known.export)
INDEX: Final = "index.json"
MANIFEST: Final = "manifest.jsonl"
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
    them, and score the folder.

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
    index: list[dict[str, Any]] = []
    manifest: list[str] = []
    lhotse: list[tuple[str, str]] = []
    silent: dict[str, list[str]] = {}
    total, partial = len(source.recordings), 0
    for done, recording in enumerate(source, 1):
        files: dict[str, str] = {}
        for name in (n for n in names if n in WRITERS):
            texts = WRITERS[name](recording, source.created)
            if not texts:
                silent.setdefault(name, []).append(brief(recording.id))
            for suffix, text in texts.items():
                if suffix not in files:
                    files[suffix] = recording.name + suffix
                    written.append(_write(folder / files[suffix], text))
        if "lhotse" in names:
            audio, speech, problem = lhotse_lines(recording)
            lhotse.append((audio, speech))
            if problem:
                silent.setdefault("lhotse recordings", []).append(problem)
        index.append(
            {"recording": recording.id, "name": recording.name, "files": list(files.values())}
        )
        manifest.append(json_line(manifest_row(recording, files)))
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
            written.append(_write(folder / file, compressed("".join(column))))
    written.append(_write(folder / MANIFEST, "".join(manifest)))
    label = {"run": source.label, "formats": list(names), "notes": notes, "recordings": index}
    text = json.dumps(label, indent=1, ensure_ascii=False) + "\n"
    written.append(_write(folder / INDEX, text))
    ids = {row["recording"]: row["name"] for row in index}
    return Exported(folder, written, ids, notes)


def _known(formats: str | Sequence[str]) -> tuple[str, ...]:
    names = [formats] if isinstance(formats, str) else list(formats)
    if not names:
        raise InputError(f"no format given; known: {', '.join(EXPORTS)}")
    for name in names:
        if name not in EXPORTS:
            near = nearest(name, EXPORTS)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(EXPORTS)}"
            raise InputError(f"unknown format {name!r}; {hint}")
    return tuple(dict.fromkeys(names))


def _refuse_existing(folder: Path, names: Sequence[str], source: Source) -> None:
    """Raise where anything would be replaced: it may have been corrected by hand."""
    own = set(source.recordings["name"])
    suffixes = {suffix for name in names for suffix in _SUFFIXES.get(name, ())}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        taken = path.name in (INDEX, MANIFEST) or ("lhotse" in names and path.name in _LHOTSE)
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
    data = content.encode() if isinstance(content, str) else content
    return write_whole(path, lambda temporary: temporary.write_bytes(data))
