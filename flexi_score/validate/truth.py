"""What was really said when: truth from the simulator, from a manifest, or from annotators' files.

A truth row is an object with

- ``id``: the recording;
- ``user_speech``, ``model_speech``: ``[[start_ms, end_ms], ...]``, or the path of a segment file
  (RTTM, TextGrid, ELAN, CSV, ...; relative to the truth file). Absent or null: not known, and
  nothing of that side is compared. An empty list is a side that never spoke;
- ``user_words``, ``model_words`` (optional): ``[[start_ms, end_ms, text], ...]`` or a transcript;
- ``duration_ms`` (optional);
- ``outcome`` (optional): ``{metric: value}`` under profile ``paper``, null for not applicable;
- ``condition`` (optional): what sets recordings apart (``{"snr_db": 15, "noise": "babble"}``);
- anything else can be grouped by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from flexi_score.errors import InputError, RecordingError, RowError, TranscriptError
from flexi_score.formats import read_segments, read_words
from flexi_score.formats.contract import row_id
from flexi_score.formats.files import MAX_SECONDS, brief, find_fault
from flexi_score.formats.rttm import read_rttm_files
from flexi_score.formats.tables import READERS, read_table
from flexi_score.formats.timed import Timed, segments_frame
from flexi_score.schema import SPEAKERS, WORDS, Row, Speaker, make_schema

#: Extensions that are taken for truth in a folder.
_FILES: Final = frozenset({".textgrid", ".eaf", ".rttm", ".csv", ".tsv"})
#: With the channel in the name (``call.user.txt``) also these.
_CHANNEL_FILES: Final = _FILES | {".txt", ".json", ".ctm"}
_LATEST_MS: Final = MAX_SECONDS * 1000

_FRAMES: Final = {
    "recordings": make_schema(
        {
            "recording": pl.String,
            "duration_ms": pl.Int64,
            "user_known model_known user_worded model_worded": pl.Boolean,
        }
    ),
    "speech": make_schema({"recording speaker": pl.String, "start_ms end_ms": pl.Int64}),
    "words": WORDS,
    "outcomes": make_schema({"recording metric": pl.String, "value": pl.Float64}),
    "labels": make_schema({"recording key level": pl.String, "declared": pl.Boolean}),
    "failures": make_schema({"recording reason": pl.String}),
}


@dataclass(frozen=True)
class Truth:
    """Truth of recordings."""

    #: ``recording``, ``duration_ms`` (null where not stated) and, for each speaker, whether its
    #: speech (``user_known``) and words (``user_worded``) are known
    recordings: pl.DataFrame
    #: speech, words: ``recording, speaker, start_ms, end_ms`` (and ``text``)
    speech: pl.DataFrame
    words: pl.DataFrame
    outcomes: pl.DataFrame  # stated outcomes: ``recording, metric, value``; null is not applicable
    #: ``recording, key, level``; ``declared`` where it stood under ``condition``
    labels: pl.DataFrame
    failures: pl.DataFrame  # ``recording, reason``: truth that cannot be read


def read_truth(path: str | Path) -> Truth:
    """Read truth.

    Parameters
    ----------
    path : str or Path
        A table of truth rows (.jsonl, .json, .yaml, .csv, .parquet); a folder that holds one
        called ``truth.*``; a folder of TextGrid, ELAN, RTTM, CSV or TSV files, each named after
        its recording with tiers (or labels) ``user`` and ``model``, or one a channel
        (``call.user.TextGrid``); or one such file. An RTTM may speak of many recordings.

    Returns
    -------
    Truth

    Raises
    ------
    InputError
        Where there is nothing that can be read. A row or file that is malformed costs its own
        recording, and is named with its line in ``failures``.
    """
    path = Path(path)
    rows = _Rows(str(path))
    if path.is_dir():
        tables = [path / f"truth{suffix}" for suffix in READERS]
        tables = [table for table in tables if table.is_file()]
        if len(tables) > 1:
            names = ", ".join(table.name for table in tables)
            raise InputError(f"{path}: several tables of truth ({names}); name the one to use")
        if tables:
            _read_rows(tables[0], rows)
        else:
            files = [f for f in sorted(path.rglob("*")) if f.is_file() and _is_truth(f)]
            _read_files(path, files, rows)
    elif not path.exists():
        raise InputError(f"{path}: no such file or folder")
    elif path.suffix.lower() in READERS and not _is_segments(path):
        _read_rows(path, rows)
    else:
        _read_files(path.parent, [path], rows)
    return rows.finish()


def _is_truth(path: Path) -> bool:
    side = _split_name(path.stem)[1]
    return path.suffix.lower() in (_CHANNEL_FILES if side else _FILES)


def _is_segments(path: Path) -> bool:
    """Whether a .json or .csv is the segment file of one channel, by its name."""
    return _split_name(path.stem)[1] is not None


def _split_name(stem: str) -> tuple[str, str | None]:
    """``call.user`` as ``call`` and ``user``; the second is None where it names no channel."""
    for side in SPEAKERS:
        head = stem[: -len(side) - 1]
        if head and stem.lower().endswith((f".{side}", f"_{side}", f"-{side}")):
            return head, side
    return stem, None


class _Rows:
    """Truth rows as they come, each whole or a failure."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tables: dict[str, list[Row]] = {name: [] for name in _FRAMES}
        self.first: dict[str, str] = {}

    def fail(self, name: str, reason: str) -> None:
        self.tables["failures"].append({"recording": name, "reason": reason})

    def add(
        self,
        name: str,
        speech: Mapping[Speaker, Sequence[tuple[int, int]] | None],
        words: Mapping[Speaker, Sequence[tuple[int, int, str]] | None] | None = None,
        duration_ms: int | None = None,
        outcome: Mapping[str, float | None] | None = None,
        labels: Sequence[tuple[str, str, bool]] = (),
    ) -> None:
        words = words or dict.fromkeys(SPEAKERS)
        known = {f"{s}_known": speech[s] is not None for s in SPEAKERS}
        worded = {f"{s}_worded": words[s] is not None for s in SPEAKERS}
        row = {"recording": name, "duration_ms": duration_ms, **known, **worded}
        self.tables["recordings"].append(row)
        for side in SPEAKERS:
            base = {"recording": name, "speaker": side}
            self.tables["speech"] += [
                base | {"start_ms": a, "end_ms": b} for a, b in speech[side] or ()
            ]
            self.tables["words"] += [
                base | {"start_ms": a, "end_ms": b, "text": t} for a, b, t in words[side] or ()
            ]
        for metric, value in (outcome or {}).items():
            self.tables["outcomes"].append({"recording": name, "metric": metric, "value": value})
        for key, level, declared in labels:
            self.tables["labels"].append(
                {"recording": name, "key": key, "level": level, "declared": declared}
            )

    def finish(self) -> Truth:
        if not self.tables["recordings"]:
            reasons = [row["reason"] for row in self.tables["failures"]]
            shown = "".join(f"\n  {reason}" for reason in reasons[:5])
            shown += f"\n  and {len(reasons) - 5} more" if len(reasons) > 5 else ""
            wanted = "expected rows with id, user_speech and model_speech, or files named after "
            raise InputError(
                f"{self.source}: holds no truth that can be read"
                + (f":{shown}" if shown else f"; {wanted}their recordings (.TextGrid .eaf .rttm)")
            )
        return Truth(
            **{
                name: pl.DataFrame(rows, schema=_FRAMES[name], orient="row")
                for name, rows in self.tables.items()
            }
        )


def _read_rows(path: Path, rows: _Rows) -> None:
    for raw in read_table(path).rows:
        name = None
        try:
            if raw.fault:
                raise RowError(raw.fault)
            name = row_id(raw.value)
            if fault := find_fault(raw.value, most_values=None):
                raise RowError(fault)
            if name in rows.first:
                raise RowError(f"id {name!r} is already that of {rows.first[name]}; keep one")
            rows.add(name, **_parse(path.parent, raw.value))
            rows.first[name] = raw.where
        except RecordingError as error:
            rows.fail(name or f"({raw.where})", f"{path}, {raw.where}: {error}")


def _parse(root: Path, row: Row) -> dict[str, Any]:
    """The arguments of :meth:`_Rows.add` from a truth row."""
    speech = {s: _speech(root, row.get(f"{s}_speech"), s) for s in SPEAKERS}
    if speech["user"] is None and speech["model"] is None and not row.get("outcome"):
        raise RowError(
            "has neither user_speech nor model_speech nor an outcome; expected "
            "[[start_ms, end_ms], ...] or the path of a segment file"
        )
    words = {s: _words(root, row.get(f"{s}_words"), s) for s in SPEAKERS}
    duration_ms = row.get("duration_ms")
    if duration_ms is not None:
        duration_ms = _ms("duration_ms", duration_ms)
    outcome = row.get("outcome") or {}
    if not isinstance(outcome, dict):
        raise RowError(f"outcome: found {brief(outcome)}, expected an object of metrics")
    condition = row.get("condition") or {}
    if not isinstance(condition, dict):
        raise RowError(f"condition: found {brief(condition)}, expected an object")
    known = {"id", "duration_ms", "outcome", "condition"}
    known |= {f"{s}_{kind}" for s in SPEAKERS for kind in ("speech", "words", "words_text")}
    further = {key: value for key, value in row.items() if key not in known}
    declared = [(key, level, True) for key, level in flat_labels(condition)]
    taken = {key for key, _, _ in declared}
    return {
        "speech": speech,
        "words": words,
        "duration_ms": duration_ms,
        "outcome": {metric: _value(metric, value) for metric, value in outcome.items()},
        "labels": [
            *declared,
            *((key, level, False) for key, level in flat_labels(further) if key not in taken),
        ],
    }


def flat_labels(values: Mapping[str, object], head: str = "") -> list[tuple[str, str]]:
    """Scalars of an object as text, by dotted key; lists are left out."""
    labels: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{head}.{key}" if head else str(key)
        if isinstance(value, dict):
            labels += flat_labels(value, name)
        elif not isinstance(value, list | tuple):
            labels.append((name, label(value)))
    return labels


def label(value: object) -> str:
    """A scalar as a group is called by it: ``none``, ``true``, ``-20``, ``babble``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(metric: str, value: object) -> float | None:
    if value is None or isinstance(value, bool | int | float):
        return None if value is None else float(value)
    raise RowError(f"outcome.{metric}: found {brief(value)}, expected a number or null")


def _ms(where: str, value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not 0 <= value <= _LATEST_MS:
        raise RowError(f"{where}: found {brief(value)}, expected whole milliseconds, 0 or more")
    return int(value)


def _speech(root: Path, value: object, side: Speaker) -> list[tuple[int, int]] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _spans(read_segments(root / value, side))
    return [(a, b) for a, b, _ in _timed(value, f"{side}_speech", 2, "[start_ms, end_ms]")]


def _words(root: Path, value: object, side: Speaker) -> list[tuple[int, int, str]] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return list(read_words(root / value, side).select("start_ms", "end_ms", "text").rows())
    words = _timed(value, f"{side}_words", 3, "[start_ms, end_ms, text]")
    return [(a, b, str(text)) for a, b, text in words]


def _timed(value: object, key: str, size: int, expected: str) -> list[tuple[int, int, Any]]:
    if not isinstance(value, list | tuple):
        raise RowError(f"{key}: found {brief(value)}, expected a list of {expected} or a path")
    entries = []
    for i, item in enumerate(value):
        where = f"{key}[{i}]"
        if isinstance(item, dict):  # as Parquet and the manifest spell intervals
            item = [item.get(name) for name in ("start_ms", "end_ms", "text")[:size]]
        if not isinstance(item, list | tuple) or len(item) != size:
            raise RowError(f"{where}: found {brief(item)}, expected {expected}")
        start, end = _ms(where, item[0]), _ms(where, item[1])
        if end < start:
            raise RowError(f"{where}: ends at {end} ms, before its start at {start} ms")
        if size == 3 and not isinstance(item[2], str):
            raise RowError(f"{where}: found {brief(item[2])}, expected a word")
        entries.append((start, end, item[2] if size == 3 else None))
    return entries


def _spans(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return list(frame.select("start_ms", "end_ms").rows())


def _read_files(root: Path, files: Sequence[Path], rows: _Rows) -> None:
    """Files named after their recordings, of both channels or of one."""
    by_name: dict[str, dict[str | None, Path]] = {}
    for file in files:
        stem, side = _split_name(file.relative_to(root).with_suffix("").as_posix())
        sides = by_name.setdefault(stem, {})
        if side in sides or (sides and None in (side, *sides)):
            others = ", ".join(str(other) for other in sides.values())
            rows.fail(stem, f"{file}: {stem!r} already has its truth from {others}; keep one")
            continue
        sides[side] = file
    for stem, sides in by_name.items():
        whole = sides.get(None)
        named = whole or next(iter(sides.values()))
        try:
            if whole is not None and whole.suffix.lower() == ".rttm":
                _read_rttm(whole, stem, rows)
            elif whole is not None:
                rows.add(stem, _both(whole, {s: _spans(read_segments(whole, s)) for s in SPEAKERS}))
            else:
                rows.add(
                    stem,
                    {
                        s: _spans(read_segments(sides[s], s)) if s in sides else None
                        for s in SPEAKERS
                    },
                )
        except RecordingError as error:
            rows.fail(stem, str(error) if str(named) in str(error) else f"{named}: {error}")


def _read_rttm(path: Path, stem: str, rows: _Rows) -> None:
    """An RTTM of many recordings, by the files it names; of one, by its own name."""
    entries: dict[str, dict[str, list[Timed]]] = {s: read_rttm_files(path, s) for s in SPEAKERS}
    names = list(entries["user"])
    for name in names or [stem]:
        spans = {s: _spans(segments_frame(entries[s].get(name, ()))) for s in SPEAKERS}
        own = name if len(names) > 1 or str(path) == rows.source else stem
        if own in rows.first:
            rows.fail(own, f"{path}: {own!r} already has its truth from {rows.first[own]}")
            continue
        rows.add(own, _both(path, spans))
        rows.first[own] = str(path)


def _both(
    path: Path, spans: dict[Speaker, list[tuple[int, int]]]
) -> dict[Speaker, list[tuple[int, int]]]:
    """Refuse what was read twice because nothing in the file says whose it is."""
    if spans["user"] and spans["user"] == spans["model"]:
        raise TranscriptError(
            f"{path}: does not say whose speech it is; name its tiers (labels) user and model, or "
            f"write a file per channel ({path.stem}.user{path.suffix})"
        )
    return spans
