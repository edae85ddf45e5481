"""What users bring, as one table: a manifest, a folder in a known layout, or one audio file.

A row that breaks the contract costs its own recording: it becomes a row of `failures` with the
reason, and the others go on. Whether audio exists and can be decoded is seen when it is decoded;
whether transcripts can be read, when they are read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from numpy.typing import NDArray

from flexi_score.errors import InputError, ManifestError, RowError
from flexi_score.formats.contract import DEFAULT_SYSTEM, parse_row, row_id, row_scenario, row_system
from flexi_score.formats.corrections import correct_annotations
from flexi_score.formats.files import AUDIO_EXTENSIONS, name_some, to_ms
from flexi_score.formats.headerless import parse_headerless
from flexi_score.formats.layouts import read_layout
from flexi_score.formats.roles import ASSUMED, OPTION, SOURCE, parse_channels, source_channels
from flexi_score.formats.sidecars import file_offsets
from flexi_score.formats.tables import READERS, read_table
from flexi_score.formats.whose import parse_speakers
from flexi_score.output import ASIDE, is_unfinished
from flexi_score.schema import FAILURES, RECORDINGS, SPEAKERS, Speaker

#: A folder that holds one of these is read through it.
MANIFEST_NAMES: Final = tuple(f"manifest{suffix}" for suffix in READERS)

#: Annotations may end this much after the audio: recognisers step in 20 ms.
END_SLACK_MS: Final = 20

#: How many reasons an error names where no row could be used.
_SHOWN: Final = 5


@dataclass(frozen=True)
class Manifest:
    """Recordings to score, and those that cannot be."""

    rows: pl.DataFrame  # :data:`flexi_score.schema.RECORDINGS`, in the order of the input
    #: :data:`flexi_score.schema.FAILURES`, stage ``manifest``. `recording` is unique here and
    #: against `rows`; `scenario` is null where the row's own is unknown
    failures: pl.DataFrame
    root: Path  # folder that relative paths started from
    warnings: list[str]  # what the user should know though no recording fails by it


class _Reading(NamedTuple):
    """What is said of all rows: the system; the channels of the parties and how it is known; what
    the bytes of audio without a header mean."""

    system: str
    channels: tuple[Mapping[Speaker, int], str] | None
    raw_audio: str | None
    speakers: str | None = None


class _Raw(NamedTuple):
    """A row before it is checked: where it stands, its keys, a layout's own metadata, a fault."""

    where: str
    value: Any
    metadata: Mapping[str, Any]
    fault: str | None


def read_input(
    path: str | Path,
    layout: str = "auto",
    system: str | None = None,
    *,
    channels: str | Sequence[str] | None = None,
    source: str | None = None,
    raw_audio: str | None = None,
    speakers: str | None = None,
) -> Manifest:
    """Read a manifest, a folder in a known layout, or one two-channel file.

    ``path``: a manifest (.jsonl, .json, .yaml, .yml, .csv, .parquet), a folder, or an audio file. A
    folder that holds a ``manifest.*`` is read through it. ``layout``: name of a folder's layout
    (:data:`flexi_score.formats.layouts.LAYOUTS`); ``auto`` looks. ``system``: system of the rows
    that name none; ``model`` if not given. ``channels``: what is on channel 0, 1, ... of the files
    whose rows do not say so: ``model,user``. ``source``: name of the platform that made them
    (:data:`flexi_score.formats.roles.SOURCES`). ``raw_audio``: what the bytes of audio without a
    header mean (``mulaw:8000:2``), where no row says so. ``speakers``: whose the labels of
    transcripts and segment files are, where rows do not say so: ``agent=model,customer=user``.
    Returns with one warning where roles were only assumed.
    """
    path = Path(path)
    if raw_audio is not None:
        try:
            parse_headerless(raw_audio)
        except RowError as error:
            raise InputError(str(error)) from None
    reading = _Reading(
        system or DEFAULT_SYSTEM,
        said_channels(channels, source),
        raw_audio,
        json.dumps(parse_speakers(speakers), sort_keys=True) if speakers else None,
    )
    if path.is_dir():
        manifest = _manifest_in(path) if layout == "auto" else None
        if manifest:
            return _read_manifest(manifest, reading)
        if is_unfinished(path):
            raise InputError(
                f"{path}: its files are being written, or writing them was interrupted: run what "
                f"writes them again, or remove {path / (ASIDE + '*')}"
            )
        return _read_folder(path, layout, reading)
    if not path.exists():
        raise ManifestError(f"{path}: no such file or folder")
    if layout != "auto":
        raise InputError(f"{path}: layout {layout!r} is for folders, and this is a file")
    if path.suffix.lower() in READERS:
        return _read_manifest(path, reading)
    if path.suffix.lower() in AUDIO_EXTENSIONS or raw_audio:
        row = {"id": path.stem, "audio": path.name}
        return _check(path, path.parent, [_Raw("", row, {}, None)], [], reading, [])
    raise InputError(
        f"{path}: found {path.suffix or 'no extension'}, expected a manifest "
        f"({' '.join(READERS)}) or audio ({' '.join(sorted(AUDIO_EXTENSIONS))})"
    )


def check_annotations(rows: pl.DataFrame, duration_ms: NDArray[Any]) -> list[str | None]:
    """What of each recording's annotations lies past its end.

    ``rows``: :data:`flexi_score.schema.RECORDINGS`. ``duration_ms`` (shape (n,)): duration of each.
    Returns a message, or None where all lie inside (to within :data:`END_SLACK_MS`).
    """
    ends = {
        "annotations.user_turn_end is": pl.col("user_turn_end_ms"),
        "annotations.pause ends": pl.col("pause_end_ms"),
        "annotations.interrupt ends": pl.col("interrupt_end_ms"),
        "annotations.backchannels end": pl.col("backchannels").list.last().struct.field("end_ms"),
        "annotations.reference_backchannels end": pl.col("reference_backchannels_ms").list.last(),
    }
    duration = pl.lit(pl.Series("duration_ms", duration_ms, dtype=pl.Int64))
    message = pl.coalesce(
        pl.when(end > duration + END_SLACK_MS).then(
            pl.format(
                f"{what} at {{}} s, past the end of the recording at {{}} s{{}}",
                end / 1000,
                duration / 1000,
                # A thousandth would lie inside: seconds and milliseconds were confused.
                pl.when((end >= 10 * duration) & (end / 1000 <= duration + END_SLACK_MS))
                .then(pl.format("; in milliseconds? Write seconds: {}", end / 1_000_000))
                .otherwise(pl.lit("")),
            )
        )
        for what, end in ends.items()
    )
    return rows.select(message=message)["message"].to_list()


def _manifest_in(folder: Path) -> Path | None:
    manifests = [folder / name for name in MANIFEST_NAMES if (folder / name).is_file()]
    if len(manifests) > 1:
        raise ManifestError(
            f"{folder}: several manifests ({', '.join(p.name for p in manifests)}); "
            "name the one to use"
        )
    return manifests[0] if manifests else None


def said_channels(
    channels: str | Sequence[str] | None, source: str | None
) -> tuple[Mapping[Speaker, int], str] | None:
    """Channels that were said for all files, and how; the plainer word counts."""
    if channels is not None:
        return parse_channels(channels), OPTION
    if source is not None:
        return source_channels(source), SOURCE
    return None


def _read_manifest(path: Path, reading: _Reading) -> Manifest:
    table = read_table(path)
    raw = [_Raw(row.where, row.value, {}, row.fault) for row in table.rows]
    return _check(path, path.parent, raw, [], reading, table.warnings)


def _read_folder(folder: Path, layout: str, reading: _Reading) -> Manifest:
    contents = read_layout(folder, layout)
    raw = [_Raw(sample.where, sample.row, sample.metadata, None) for sample in contents.samples]
    problems = [
        {
            "recording": problem.id,
            "system": reading.system,
            "scenario": problem.scenario,
            "error": "RowError",
            "reason": problem.reason,
        }
        for problem in contents.problems
    ]
    return _check(folder, folder, raw, problems, reading, contents.warnings)


def _check(
    source: Path,
    root: Path,
    raw: list[_Raw],
    problems: list[dict[str, Any]],
    reading: _Reading,
    warnings: list[str],
) -> Manifest:
    """Every raw row either as a recording or as a failure, with unique names."""
    root, system = root.absolute(), reading.system
    rows: list[dict[str, Any]] = []
    failures = list(problems)
    first: dict[str, str] = {}
    beside_files: list[str] = []
    corrected: list[str] = []
    for item in raw:
        name = None
        try:
            if item.fault:
                name = _read_or_none(row_id, item.value)
                raise RowError(item.fault)
            name = row_id(item.value)
            if name in first:
                raise RowError(f"id {name!r} is already that of {first[name]}; ids must be unique")
            row = _with_roles(item, root, reading)
            corrected += correct_annotations(row)
            rows.append(row)
            if beside := _with_offsets(rows[-1], item.value):
                beside_files.append(beside)
        except RowError as error:
            where = f"{source}, {item.where}" if item.where else str(source)
            failures.append(
                {
                    # Left for _unique where the row has no id, or not one of its own.
                    "recording": f"{name} ({item.where})" if name in first else name,
                    "where": item.where,
                    "system": _read_or_none(row_system, item.value, system) or system,
                    "scenario": _read_or_none(row_scenario, item.value),
                    "error": type(error).__name__,
                    "reason": f"{where}: {error}",
                }
            )
        if name is not None:
            first.setdefault(name, item.where or str(source))
    if not rows:
        raise _nothing_usable(source, failures)
    names = _unique([row["recording"] for row in rows], failures)
    return Manifest(
        rows=_frame(rows, RECORDINGS),
        failures=_frame(
            [
                {**failure, "recording": name, "stage": "manifest"}
                for failure, name in zip(failures, names, strict=True)
            ],
            FAILURES,
        ),
        root=root,
        warnings=[
            *warnings,
            *_tell_assumed(source, rows),
            *_tell_offsets(source, beside_files),
            *corrected,
        ],
    )


def _with_roles(item: _Raw, root: Path, reading: _Reading) -> dict[str, Any]:
    """A row as a recording, its channels as said for all rows where it does not say them."""
    parsed = parse_row(item.value, root, reading.system, item.metadata)
    parsed["speakers"] = parsed["speakers"] or reading.speakers
    bare = parsed["audio"] is None and parsed["user_audio"] is None
    unsaid = parsed["roles"] == ASSUMED or (bare and parsed["roles"] is None)
    if unsaid and reading.channels is not None:
        channels, roles = reading.channels
        parsed |= {f"{speaker}_channel": channel for speaker, channel in channels.items()}
        parsed["roles"] = roles
    parsed["raw_audio"] = parsed["raw_audio"] or reading.raw_audio
    return parsed


def _with_offsets(row: dict[str, Any], raw: Any) -> str | None:
    """Offsets of a pair whose row gives none, from what lies beside the files; says from what."""
    if row["user_audio"] is None or any(raw.get(f"{s}_offset") is not None for s in SPEAKERS):
        return None
    sidecar = file_offsets(Path(row["user_audio"]), Path(row["model_audio"]))
    if sidecar is None:
        return None
    offsets, source = sidecar
    row |= {f"{s}_offset_ms": to_ms(at) for s, at in zip(SPEAKERS, offsets, strict=True)}
    return source


def _tell_offsets(source: Path, names: list[str]) -> list[str]:
    return [
        f"{source}: offsets of {names.count(name)} recordings were read from {name}; user_offset "
        "and model_offset override them"
        for name in dict.fromkeys(names)
    ]


def _tell_assumed(source: Path, rows: list[dict[str, Any]]) -> list[str]:
    """A warning where nothing said who is on which channel."""
    assumed = [row["recording"] for row in rows if row["roles"] == ASSUMED]
    if not assumed:
        return []
    some = len(assumed) < len(rows)
    who = f"nothing of {name_some(assumed)} says" if some else "no recording says"
    return [
        f"{source}: {who} who is on which channel: channel 0 (left) is taken for the user, "
        "1 for the model. If so, --channels user,model says it; if not, --channels model,user; "
        "--source NAME goes by a platform's convention"
    ]


def _unique(taken: Iterable[str], failures: list[dict[str, Any]]) -> list[str]:
    """Names of the failures, none of them twice or that of a usable row."""
    used = set(taken)
    names = []
    for failure in failures:
        where = failure.get("where") or "incomplete"
        name = wanted = failure["recording"] or f"({where})"
        tries = 1
        while name in used:
            name = f"{wanted} ({where})" if tries == 1 else f"{wanted} ({where}, {tries})"
            tries += 1
        used.add(name)
        names.append(name)
    return names


def _nothing_usable(source: Path, failures: list[dict[str, Any]]) -> InputError:
    kind = InputError if source.is_dir() else ManifestError
    if not failures:
        return kind(f"{source}: no recordings found")
    shown = [f"\n  {failure['reason']}" for failure in failures[:_SHOWN]]
    if len(failures) > _SHOWN:
        shown.append(f"\n  and {len(failures) - _SHOWN} more")
    return kind(f"{source}: none of {len(failures)} rows can be used:{''.join(shown)}")


def _read_or_none(reader: Any, value: Any, *args: Any) -> str | None:
    try:
        return str(reader(value, *args)) if isinstance(value, dict) else None
    except RowError:
        return None


def _frame(rows: list[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    columns = {name: [row.get(name) for row in rows] for name in schema}
    return pl.DataFrame(columns, schema=schema)
