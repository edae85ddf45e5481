"""Scoring one process's share of the combinations, whatever they have in common once.

Three things are kept from one combination to the next. Detected speech, as long as the settings of
detection stay the same; also where they change and the speech does not, as where it comes from
segment files. The structure, as long as speech and the settings of structure stay the same. And the
values of a scenario, as long as its structure and the settings that its metrics *read* stay the
same. Which they read is watched rather than listed, so a metric that comes to read another setting
needs nothing here: what it does depends on what it reads alone, so where all that is the same, it
reads and does the same.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, NamedTuple, cast

import numpy as np
import polars as pl

from flexi_score.aggregate import values_of, with_failures
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import Settings
from flexi_score.errors import InputError
from flexi_score.metrics import mean_latencies, profile_metrics, scenario_scorers
from flexi_score.metrics.registry import Metric, without_reasons
from flexi_score.schema import SCORES
from flexi_score.scoring.prepare import Prepared, prepare
from flexi_score.segment.estimated import mark_estimated
from flexi_score.segment.structure import build_structure
from flexi_score.segment.types import Structure

#: Groups of settings that each stage depends on; metrics depend on all but ``summary``.
DETECTION: Final = ("extract", "health", "speech", "judge")
STRUCTURE: Final = ("ipu", "backchannel", "takeover")

#: Score rows that are added up in one go.
_BATCH_ROWS: Final = 400_000


class Share(NamedTuple):
    """A share of the combinations, for one process."""

    archive: str
    numbers: list[int]
    settings: list[Settings]


@dataclass(frozen=True)
class _Known:
    """A scenario's scores, which hold wherever these settings have these values."""

    read: tuple[tuple[str, Any], ...]
    part: int
    latency_s: dict[str, float]

    def holds(self, settings: Settings) -> bool:
        return all(getattr(settings, name) == value for name, value in self.read)


class _Watched:
    """Settings that note which of their groups are read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return self._read.setdefault(name, getattr(self._settings, name))


class _Values:
    """Values of parts (the scores of a scenario), added up many at a time."""

    def __init__(self, metrics: tuple[Metric, ...]) -> None:
        self._metrics = metrics
        self._batch: list[pl.DataFrame] = []
        self._rows = 0
        self._found: list[pl.DataFrame] = []
        self._parts = 0

    def add(self, scores: pl.DataFrame) -> int:
        """Take the scores of one part; its number."""
        number, self._parts = self._parts, self._parts + 1
        self._batch.append(scores.with_columns(part=pl.lit(number, pl.Int64)))
        self._rows += len(scores)
        if self._rows > _BATCH_ROWS:
            self._add_up()
        return number

    def _add_up(self) -> None:
        self._found.append(values_of(pl.concat(self._batch), self._metrics, ["part"]))
        self._batch, self._rows = [], 0

    def table(self) -> pl.DataFrame:
        """``part, system, scenario, metric, value, n``."""
        if self._batch:
            self._add_up()
        return pl.concat(self._found)


def score_share(share: Share, tell: Callable[[int], None] | None = None) -> pl.DataFrame:
    """Values of some combinations: ``combination, system, scenario, metric, value, n``.

    ``tell`` is called with the number of combinations done, after each.

    Raises
    ------
    ArchiveError, InputError
        If the archive cannot be read, or holds no recordings.
    """
    reader = ArchiveReader(share.archive, cached=True)
    rows, failed = reader.recordings(), reader.failures()
    if not len(rows) and not len(failed):
        raise InputError(f"{reader.folder}: holds no recordings")
    values = _Values(profile_metrics(share.settings[0].profile))
    parts: list[tuple[int, int]] = []
    known: dict[Hashable, list[_Known]] = {}
    built: dict[Hashable, Structure] = {}
    ready: Prepared | None = None
    detected, speech = None, -1
    with without_reasons():
        pairs = zip(share.numbers, share.settings, strict=True)
        for count, (number, settings) in enumerate(pairs, 1):
            key = tuple(getattr(settings, group) for group in DETECTION)
            if ready is None or key != detected:
                newer, detected = prepare(reader, rows, settings), key
                if ready is None or not _same(newer, ready):
                    ready, speech = newer, speech + 1
            used = _score(ready, failed, settings, speech, known, values, built)
            parts.extend((number, part) for part in used)
            if tell is not None:
                tell(count)
    wanted = pl.DataFrame(parts, {"combination": pl.Int64, "part": pl.Int64}, orient="row")
    return wanted.join(values.table(), on="part", maintain_order="left").drop("part")


def _score(
    ready: Prepared,
    failed: pl.DataFrame,
    settings: Settings,
    speech: int,
    known: dict[Hashable, list[_Known]],
    values: _Values,
    built: dict[Hashable, Structure],
) -> list[int]:
    """The parts that hold the scores of one combination; those that are new are scored.

    ``built`` has the structure that was built last.
    """
    metrics = profile_metrics(settings.profile)
    recordings = ready.tracks.recordings
    shape = tuple(getattr(settings, group).model_dump_json() for group in STRUCTURE)
    latency_s: dict[str, float] = {}
    used, first = [], -1
    left = [(ready.refused, "excluded"), (pl.concat([failed, ready.failures]), "failed")]
    scorers = scenario_scorers(recordings, settings.profile)
    for name, scorer, rec in scorers:
        # What others are told of turn_taking's latency is told by its scores.
        entries = known.setdefault((speech, shape, name, first), [])
        entry = next((entry for entry in entries if entry.holds(settings)), None)
        if entry is None:
            if (speech, shape) not in built:
                built.clear()
                built[speech, shape] = build_structure(ready.tracks, settings)
            watched = _Watched(settings)
            scores = scorer(built[speech, shape], rec, cast(Settings, watched), latency_s)
            told = mean_latencies(scores, settings.profile) if name == "turn_taking" else {}
            scores = mark_estimated(scores, recordings)
            for lost, status in left:
                mine = lost.filter(pl.col("scenario") == name)
                if len(mine):
                    scores = with_failures(scores, mine, metrics, status=status)
            entry = _Known(tuple(watched._read.items()), values.add(scores), told)
            entries.append(entry)
        if name == "turn_taking":
            latency_s, first = entry.latency_s, entry.part
        used.append(entry.part)
    entries = known.setdefault((speech, "lost"), [])
    if not entries:  # scenarios of which nothing could be scored
        rest = SCORES.to_frame()
        none_scored = ~pl.col("scenario").is_in([name for name, *_ in scorers]).fill_null(False)
        for lost, status in left:
            rest = with_failures(rest, lost.filter(none_scored), metrics, status=status)
        entries.append(_Known((), values.add(rest), {}))
    return [*used, entries[0].part]


def _same(a: Prepared, b: Prepared) -> bool:
    """Whether two detections found the same."""
    if not all(getattr(a, name).equals(getattr(b, name)) for name in ("failures", "refused")):
        return False
    return _equal(a.tracks, b.tracks)


def _equal(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, (pl.DataFrame, pl.Series)):
        return bool(a.equals(b))
    if is_dataclass(a):
        return all(_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)
