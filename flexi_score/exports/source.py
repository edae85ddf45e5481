"""What there is to export of a run: its recordings with their events, scores and words."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import Settings, hint
from flexi_score.errors import ArchiveError, InputError
from flexi_score.formats.timed import Timed
from flexi_score.report.tables import counted
from flexi_score.schema import (
    EVENTS,
    RECORDINGS,
    SCORES,
    SPEAKERS,
    WORDS,
    Row,
    Speaker,
    make_schema,
)
from flexi_score.scoring.load import load_words
from flexi_score.scoring.run import Run, find_archive
from flexi_score.segment.tracks import Words, words_table

#: Recordings that are taken apart at a time.
_BATCH: Final = 1000
_KEY: Final = "recording"
#: What export needs of the table of recordings.
_RECORDINGS: Final = make_schema({**RECORDINGS, "duration_ms": pl.Int64})
#: Kept short enough that every file system takes the name with a suffix (255 bytes).
_MOST_BYTES: Final = 120
#: Names that Windows keeps for devices.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$", re.IGNORECASE)
#: Names of files that are not a recording's.
_OWN_FILES: Final = ("index", "manifest")


@dataclass(frozen=True)
class Recording:
    """One recording to export."""

    #: id, name: as in the run, and as a file is called
    id: str
    name: str
    row: Row  # :data:`flexi_score.schema.RECORDINGS` and ``duration_ms``
    #: events, scores: rows of :data:`flexi_score.schema.EVENTS` and
    #: :data:`flexi_score.schema.SCORES`
    events: Sequence[Row]
    scores: Sequence[Row]
    #: words of each speaker; None where they are not known
    words: Mapping[Speaker, list[Timed] | None]
    partial: bool  # the words are those of short utterances only

    @property
    def duration_ms(self) -> int:
        """Length of the recording."""
        return int(self.row["duration_ms"])

    def spans(self, kind: str, speaker: str) -> list[Timed]:
        """Events of a kind and speaker."""
        return [
            Timed(e["start_ms"], e["end_ms"], e["text"])
            for e in self.events
            if e["kind"] == kind and e["speaker"] == speaker
        ]

    def is_known(self, speaker: Speaker) -> bool:
        """Whether anything is known of a speaker; one who is not known is not silent."""
        if self.words[speaker] is not None or any(e["speaker"] == speaker for e in self.events):
            return True
        given = {
            s: [self.row[f"{s}_{what}"] for what in ("audio", "words", "speech")] for s in SPEAKERS
        }
        # Tracks that were scored in memory name no source at all.
        named = any(path is not None for paths in given.values() for path in paths)
        return self.row["audio"] is not None or not named or any(given[speaker])


@dataclass(frozen=True)
class Source:
    """A run to export; ``notes`` say what it lacks, ``wordless`` why it has no words at all."""

    label: str
    created: str
    recordings: pl.DataFrame
    events: pl.DataFrame
    scores: pl.DataFrame
    words: pl.DataFrame
    worded: Mapping[Speaker, Mapping[str, bool]]
    notes: list[str] = field(default_factory=list)
    wordless: str | None = None

    def __iter__(self) -> Iterator[Recording]:
        """Recordings one by one, in the order of the run."""
        for batch in self.recordings.iter_slices(_BATCH):
            here = pl.col("recording").is_in(batch["recording"].implode())
            events = _grouped(self.events.filter(here))
            scores = _grouped(self.scores.filter(here))
            words = _grouped(self.words.filter(here))
            for row in batch.iter_rows(named=True):
                key = row["recording"]
                said = {
                    s: [
                        Timed(w["start_ms"], w["end_ms"], w["text"])
                        for w in words.get(key, ())
                        if w["speaker"] == s
                    ]
                    for s in SPEAKERS
                }
                yield Recording(
                    key,
                    row["name"],
                    row,
                    events.get(key, []),
                    scores.get(key, []),
                    {s: said[s] if key in self.worded[s] else None for s in SPEAKERS},
                    any(self.worded[s].get(key, False) for s in SPEAKERS),
                )


def load_source(
    run: str | Path | Run,
    recordings: Sequence[str] | None = None,
    archive: str | Path | None = None,
) -> Source:
    """Read what there is to export of a run folder, or of what was scored."""
    source = run if isinstance(run, Run) else Run.open(run)
    label = source.name
    _check_columns(source, label)
    table, notes = source.recordings, []
    ids = table["recording"].to_list()
    names = safe_names(ids, _OWN_FILES)
    table = table.with_columns(name=pl.Series(names, dtype=pl.String))
    events, scores = source.events.select(EVENTS.names()), source.scores.select(SCORES.names())
    if recordings is not None:
        known = set(ids)
        for name in recordings:
            if name not in known:
                raise InputError(_not_there(name, table, source.failures))
        wanted = pl.col("recording").is_in(pl.Series(recordings, dtype=pl.String).implode())
        table, events, scores = (t.filter(wanted) for t in (table, events, scores))
    elif failed := len(source.failures):
        notes.append(f"nothing to export of what failed: {counted(failed, 'recording')}")
    tracks = source.tracks
    if tracks is None:
        words, worded, wordless, more = _archived_words(source, table, archive)
        notes += more
    else:
        words, worded = _words_of(
            tracks.recordings, {"user": tracks.user_words, "model": tracks.model_words}
        )
        wordless = None if any(worded.values()) else "the run has no transcripts"
    created = str(source.info.get("created", ""))
    return Source(label, created, table, events, scores, words, worded, notes, wordless)


def _check_columns(source: Run, label: str) -> None:
    """Raise where a table is not what scoring writes: a run folder is anyone's."""
    tables = {
        "events": (source.events, EVENTS),
        "scores": (source.scores, SCORES),
        "recordings": (source.recordings, _RECORDINGS),
    }
    for name, (table, schema) in tables.items():
        for column, kind in schema.items():
            if table.schema.get(column) != kind:
                actual = table.schema.get(column, "no such column")
                raise InputError(
                    f"{label}: {name}.parquet, column {column}: found {actual}, expected {kind}; "
                    "score again"
                )
        if table[_KEY].null_count():
            raise InputError(f"{label}: {name}.parquet: a row names no recording; score again")
    if source.recordings[_KEY].is_duplicated().any():
        raise InputError(f"{label}: recordings.parquet: a recording is in it twice; score again")


def _not_there(name: str, table: pl.DataFrame, failures: pl.DataFrame) -> str:
    failed = failures.filter(pl.col("recording") == name)
    if len(failed):
        return f"recording {name!r}: failed, so there is nothing to export: {failed['reason'][0]}"
    return f"recording {name!r}: not in this run; {hint(name, table['recording'], 'it has')}"


_Worded = dict[Speaker, dict[str, bool]]


def _archived_words(
    run: Run, table: pl.DataFrame, archive: str | Path | None
) -> tuple[pl.DataFrame, _Worded, str | None, list[str]]:
    """Words of these recordings, of which they are known, why of none, and what to note."""
    none: _Worded = {s: {} for s in SPEAKERS}
    folder = find_archive(run, archive)
    if folder is None:
        reason = (
            f"{run.folder}: has no archive, which holds the words: they are left out; name the "
            "archive that was scored with --archive"
        )
        return WORDS.to_frame(), none, reason, [reason]
    reader = ArchiveReader(folder)
    rows = reader.recordings()
    wanted = table.select("recording")
    rows = wanted.join(rows, on="recording", how="inner", maintain_order="left")
    if archive is not None and not len(rows) and len(wanted):
        raise ArchiveError(f"{folder}: holds none of the recordings of {run.folder}")
    settings: Settings = run.settings
    words, worded = _words_of(rows, load_words(reader, rows, settings))
    wordless, notes = None, []
    if lost := len(wanted) - len(rows):
        notes.append(f"{folder}: does not hold {lost} of the recordings; their words are left out")
    if not any(worded.values()) and len(rows):
        wordless = f"{folder}: holds no transcripts (--asr none?), so there are no words"
        notes.append(wordless)
    return words, worded, wordless, notes


def _words_of(
    recordings: pl.DataFrame, words_of: Mapping[Speaker, Words]
) -> tuple[pl.DataFrame, _Worded]:
    """Words as a table, and of which recordings they are known: True where only in part."""
    names = recordings["recording"]
    tables, worded = [], {}
    for speaker, words in words_of.items():
        tables.append(words_table(names, speaker, words))
        known = pl.Series(words.known)
        partial = words.heard_ms > 0 if words.heard_ms is not None else known & False
        ids = names.filter(known).to_list()
        worded[speaker] = dict(zip(ids, pl.Series(partial).filter(known).to_list(), strict=True))
    return pl.concat(tables), worded


def _grouped(table: pl.DataFrame) -> dict[str, list[Row]]:
    """Rows of each recording; plain ones, as many small tables take longer to handle."""
    grouped: dict[str, list[Row]] = {}
    for row in table.iter_rows(named=True):
        grouped.setdefault(row["recording"], []).append(row)
    return grouped


def safe_names(ids: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """A file name, without extension, for each id.

    Letters, digits, ``-``, ``_`` and ``.`` stay, all else becomes ``_``. Names do not begin with a
    dot or a dash, are at most 120 bytes long, and differ even where a file system does not tell
    upper from lower case, also from ``taken``: by a part of their id's SHA-256.
    """
    plain = [_plain(name) for name in ids]
    count = Counter(_folded(name) for name in plain)
    names = [
        _marked(name, key, 8) if count[_folded(name)] > 1 or _folded(name) in taken else name
        for name, key in zip(plain, ids, strict=True)
    ]
    # A name may look like one with a mark; the whole hash settles that.
    count = Counter(_folded(name) for name in names)
    return [
        _marked(name, key, 64) if count[_folded(name)] > 1 else name
        for name, key in zip(names, ids, strict=True)
    ]


def _plain(text: str) -> str:
    name = re.sub(r"[^\w.-]", "_", unicodedata.normalize("NFC", text))
    name = re.sub(r"\.\.+", "_", name).lstrip(".-").rstrip(".")
    name = _cut(name, _MOST_BYTES) or "_"
    return f"_{name}" if _DEVICES.match(name) else name


def _cut(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore").rstrip(".")


def _marked(name: str, key: str, size: int) -> str:
    mark = hashlib.sha256(key.encode()).hexdigest()[:size]
    return f"{_cut(name, _MOST_BYTES - size - 1)}-{mark}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
