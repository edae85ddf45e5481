"""Scoring one process's share of the combinations: the stages of scoring, each with a cache.

Three results are kept from one combination to the next. Detected speech, as long as the settings of
detection stay the same; also where they change and the speech does not, as where it comes from
segment files. The structure, as long as speech and the settings of structure stay the same. And the
values of a scenario, as long as its structure and the settings that its scorer reads stay the same
(:data:`flexi_score.metrics.SETTINGS_READ`).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from flexi_score.aggregate import values_of, with_failures
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import Settings
from flexi_score.errors import InputError
from flexi_score.judge.rate import REPLIES
from flexi_score.metrics import mean_latencies, profile_metrics, scenario_scorers, settings_read
from flexi_score.metrics.registry import Metric
from flexi_score.schema import SCORES
from flexi_score.scoring.fill import fill_given, fill_kept
from flexi_score.scoring.prepare import Prepared, prepare
from flexi_score.segment.estimated import mark_estimated
from flexi_score.segment.structure import build_structure
from flexi_score.segment.types import Structure

#: Groups of settings that each stage depends on; scorers depend on those that they read.
DETECTION: Final = ("extract", "health", "speech", "judge")
STRUCTURE: Final = ("ipu", "backchannel", "takeover")

#: Score rows that are added up in one go.
_BATCH_ROWS: Final = 400_000


def stage_key(settings: Settings, groups: Sequence[str]) -> tuple[str, ...]:
    """What is the same where a stage that depends on these groups comes out the same."""
    return tuple(getattr(settings, group).model_dump_json() for group in groups)


class Share(NamedTuple):
    """A share of the combinations, for one process."""

    archive: str
    numbers: list[int]
    settings: list[Settings]


@dataclass(frozen=True)
class _Part:
    """Where the scores of a scenario are, and the mean latencies that follow from them."""

    number: int
    latency_s: dict[str, float]


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


class Stages:
    """Scores of one archive under many settings.

    ``add``: takes the scores of a scenario that are new, and returns their number. ``detections``:
    detections to keep, the latest ones.
    """

    def __init__(
        self, archive: str, profile: str, add: Callable[[pl.DataFrame], int], *, detections: int = 1
    ) -> None:
        self.reader = ArchiveReader(archive, cached=True)
        self.rows, self.failed = self.reader.recordings(), self.reader.failures()
        if not len(self.rows) and not len(self.failed):
            raise InputError(f"{archive}: holds no recordings")
        self._metrics = profile_metrics(profile)
        self._put = add
        self._detections = detections
        self._detected: dict[Hashable, tuple[int, Prepared]] = {}
        self._ready: Prepared | None = None
        self._speech = -1  # which of the different detections it is
        self._different = 0
        self._built: tuple[Hashable, Structure] | None = None
        self._parts: dict[Hashable, _Part] = {}

    def score(self, settings: Settings) -> list[int]:
        """Numbers of the parts that hold the scores under these settings."""
        ready = self.detect(settings)
        key = self._key(settings)
        scorers = scenario_scorers(ready.tracks.recordings, settings.profile, explain=False)
        latency_s: dict[str, float] = {}
        used: list[int] = []
        for name, scorer, rec in scorers:
            groups = settings_read(settings.profile, name)
            read = tuple(getattr(settings, group) for group in groups)
            latencies = tuple(sorted(latency_s.items()))  # turn_taking's, which comes first
            whole = (key, name, read, latencies, settings.judge.mode)
            if whole not in self._parts:
                scores = scorer(self.structure(settings), rec, settings, latency_s)
                self._parts[whole] = self._add(name, scores, settings)
            part = self._parts[whole]
            latency_s = latency_s or part.latency_s
            used.append(part.number)
        return [*used, self._rest([name for name, *_ in scorers])]

    def detect(self, settings: Settings) -> Prepared:
        """Speech under these settings; the latest detections are kept."""
        key = stage_key(settings, DETECTION)
        detection = self._detected.pop(key, None)
        if detection is None:
            ready = prepare(self.reader, self.rows, settings)
            detection = next((one for one in self._detected.values() if _same(ready, one[1])), None)
            if detection is None:
                detection, self._different = (self._different, ready), self._different + 1
        self._detected[key] = detection
        if len(self._detected) > self._detections:
            del self._detected[next(iter(self._detected))]
        self._speech, self._ready = detection
        return self._ready

    def _key(self, settings: Settings) -> Hashable:
        return (self._speech, *stage_key(settings, STRUCTURE))

    def structure(self, settings: Settings) -> Structure:
        """The structure of these settings; the one that was built last is kept."""
        ready, key = self.detect(settings), self._key(settings)
        if self._built is None or self._built[0] != key:
            self._built = (key, build_structure(ready.tracks, settings))
        return self._built[1]

    def _lost(self) -> list[tuple[pl.DataFrame, str]]:
        """What has no scores, and the status that says why."""
        assert self._ready is not None
        failed = pl.concat([self.failed, self._ready.failures])
        return [(self._ready.refused, "excluded"), (failed, "failed")]

    def _add(self, scenario: str, scores: pl.DataFrame, settings: Settings) -> _Part:
        """Take the scores of a scenario, and those of its recordings that have none."""
        assert self._ready is not None
        recordings = self._ready.tracks.recordings
        latency_s = mean_latencies(scores, settings.profile) if scenario == "turn_taking" else {}
        scores = mark_estimated(scores, recordings)
        replies = self.reader.folder / REPLIES
        if settings.judge.mode == "replay" and replies.is_file():
            scores = fill_kept(self.structure(settings), scores, settings, replies)
        else:
            scores = fill_given(scores, recordings)
        for lost, status in self._lost():
            own = lost.filter(pl.col("scenario") == scenario)
            if len(own):
                scores = with_failures(scores, own, self._metrics, status=status)
        return _Part(self._put(scores), latency_s)

    def _rest(self, scored: list[str]) -> int:
        """The part of the scenarios of which nothing could be scored."""
        key = (self._speech, "rest")
        if key not in self._parts:
            rest, others = SCORES.to_frame(), ~pl.col("scenario").is_in(scored).fill_null(False)
            for lost, status in self._lost():
                rest = with_failures(rest, lost.filter(others), self._metrics, status=status)
            self._parts[key] = _Part(self._put(rest), {})
        return self._parts[key].number


def score_share(
    share: Share, progress: Callable[[int], object] = lambda done: None
) -> pl.DataFrame:
    """Values of some combinations: ``combination, system, scenario, metric, value, n``.

    No judge is asked: of ratings, those that came with the recordings count, and replies that the
    archive has.
    """
    profile = share.settings[0].profile
    values = _Values(profile_metrics(profile))
    stages = Stages(share.archive, profile, values.add)
    parts: list[tuple[int, int]] = []
    for count, (number, settings) in enumerate(zip(share.numbers, share.settings, strict=True), 1):
        parts.extend((number, part) for part in stages.score(settings))
        progress(count)
    wanted = pl.DataFrame(parts, {"combination": pl.Int64, "part": pl.Int64}, orient="row")
    return wanted.join(values.table(), on="part", maintain_order="left").drop("part")


def _same(a: Prepared, b: Prepared) -> bool:
    """Whether two detections found the same."""
    return all(
        _equal(getattr(a, name), getattr(b, name)) for name in ("failures", "refused", "tracks")
    )


def _equal(a: object, b: object) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)  # type: ignore[arg-type]  # of one type
    if isinstance(a, pl.DataFrame | pl.Series):
        return a.equals(b)  # type: ignore[arg-type]
    if is_dataclass(a):
        return all(_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)
