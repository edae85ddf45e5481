"""What the page asks for: values under other settings, and the recordings that come out otherwise.

The stages of a sweep (:class:`flexi_score.sweep.shares.Stages`) keep what a setting does not
change; each scenario's scores are added up once. Baseline is the run as it was written.
"""

import json
import shlex
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import polars as pl

from flexi_score.archive.corrections import read_lines, undo_correction
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import Settings, flatten, load_settings, setting_names
from flexi_score.errors import InputError, SettingsError
from flexi_score.metrics import settings_read
from flexi_score.metrics.conversation import OBSERVATIONS, observations
from flexi_score.report.archived import read_archived
from flexi_score.report.html import MAX_RECORDINGS, said_words, with_sound
from flexi_score.report.listing import closest_first, index_json
from flexi_score.report.sections import results
from flexi_score.report.tables import plain
from flexi_score.report.timeline import names_in, timelines
from flexi_score.schema import EVENTS, SPEAKERS, SUMMARY
from flexi_score.scoring.engine import Work, score_archive
from flexi_score.scoring.reduce import summarize_run
from flexi_score.scoring.run import Run
from flexi_score.segment.events import events_frame
from flexi_score.sweep.shares import STRUCTURE, Stages

#: Changed recordings that one answer lists; it counts them all.
_LISTED: Final = 100
#: Sets of scores that are kept; past this the stages start anew.
_MOST_PARTS: Final = 1_000
#: Detections that are kept: the stops of a slider.
_DETECTIONS: Final = 24
_KEY: Final = ("recording", "scenario", "metric")


class Session:
    """One run, its archive, and what was computed so far. Not safe for several threads at once.

    Parameters
    ----------
    run : Run
    archive : path

    Raises
    ------
    InputError
        Where the archive holds nothing.
    """

    def __init__(self, run: Run, archive: Path) -> None:
        changed = flatten(run.settings)
        if run.settings.judge.mode.startswith("openai"):
            changed["judge.mode"] = "replay"  # nobody is asked from here
        self.run, self.archive = run, archive
        self._base = {name: value for name, value in changed.items() if name != "profile"}
        self._before = run.scores.select(*_KEY, "value", "status").unique(_KEY, keep="first")
        self._shown = {
            (metric["key"], row["system"]): row
            for block in _blocks(run.summary, run.scores, run)
            for metric in block["metrics"]
            for row in metric["rows"]
        }
        self._listed = closest_first(run.scores, run.recordings, run.failures).head(MAX_RECORDINGS)
        self.names: list[str] = self._listed.sort("order")["recording"].to_list()
        self._places = pl.DataFrame({"recording": self.names}).with_row_index("r")
        #: What there is to rate (:mod:`flexi_score.explore.rate`), once that was asked for. As long
        #: as the session: raters name an item by its number.
        self.questions: pl.DataFrame | None = None
        self.begin()

    def begin(self) -> None:
        """Forget what was computed, as after a correction."""
        self._scores: list[pl.DataFrame] = []
        self._summaries: dict[int, pl.DataFrame] = {}
        self._whole: tuple[Settings, Run] | None = None
        self.stages = Stages(
            str(self.archive), self.run.settings.profile, self._add, detections=_DETECTIONS
        )

    def _add(self, scores: pl.DataFrame) -> int:
        self._scores.append(scores)
        return len(self._scores) - 1

    def settings(self, changes: Mapping[str, Any]) -> Settings:
        """The run's settings with changes by name.

        Raises
        ------
        SettingsError
            For a setting that is no slider of this run, or a value that it cannot take.
        """
        known = {one["name"] for one in self.sliders}
        for name in changes:
            if name not in known:
                raise SettingsError(f"{name!r} is no setting of this page")
        return load_settings(self.run.settings.profile, {**self._base, **changes})

    @cached_property
    def sliders(self) -> list[dict[str, Any]]:
        """Numbers that scores of this run depend on: name, value, range, unit, text, source."""
        scenarios = self.run.scores["scenario"].unique().drop_nulls().to_list()
        profile = self.run.settings.profile
        groups = {group for name in scenarios for group in settings_read(profile, name)}
        wanted = [*STRUCTURE, *sorted(groups), "speech"]
        labels = [group.removesuffix("_") for group in wanted]
        rows = []
        for name, field in setting_names().items():
            group = name.partition(".")[0]
            limits = {type(m).__name__: m for m in field.metadata}
            if group not in labels or "Le" not in limits:
                continue
            value = self._base[name]
            extra = field.json_schema_extra
            whole = isinstance(field.default, int)
            low, high = limits["Ge"].ge, limits["Le"].le
            top = min(
                high, max(2 * (value or 0), 2 * (field.default or 0), 1 if not whole else 400)
            )
            rows.append(
                {
                    "name": name,
                    "value": value,
                    "min": max(low, -top),
                    "max": high if high <= 1 else top,
                    "low": low,
                    "high": high,
                    "step": 0.01 if not whole else 10 if top >= 200 else 1,
                    "unit": extra["unit"],
                    "text": field.description,
                    "source": extra["source"],
                    "group": f"{labels.index(group):02d} {_title(group)}",
                }
            )
        return rows

    def scores(self, changes: Mapping[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Scores and summary (:data:`flexi_score.schema.SUMMARY`) under changed settings."""
        settings = self.settings(changes)
        if len(self._scores) > _MOST_PARTS:
            self.begin()
        parts = self.stages.score(settings)
        new = [part for part in parts if part not in self._summaries]
        if new:
            self._add_up(new, settings)
        summary = pl.concat([SUMMARY.to_frame(), *(self._summaries[part] for part in parts)])
        return pl.concat([self._scores[part] for part in parts]), summary

    def _add_up(self, parts: list[int], settings: Settings) -> None:
        """Summaries of parts, which have no scenario in common."""
        scores, ready = pl.concat([self._scores[k] for k in parts]), self.stages.detect(settings)
        observed, events = OBSERVATIONS.to_frame(), EVENTS.to_frame()
        if "conversation" in scores["scenario"]:
            structure = self.stages.structure(settings)
            observed = observations(structure).filter(scenario="conversation")
            if settings.conversation.reference is not None:
                events = events_frame(structure, with_text=False)
        rows = ready.tracks.recordings
        table, _ = summarize_run(scores, rows, ready.health, observed, events.lazy(), settings)
        for part in parts:
            own = self._scores[part]["scenario"].unique().implode()
            self._summaries[part] = table.filter(pl.col("scenario").is_in(own, nulls_equal=True))

    def values(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """What the page shows: values with intervals and ranks, and the recordings that changed.

        Returns
        -------
        dict
            ``blocks``: scenarios with their metrics, a row per system; ``changed``: scores that
            are other than in the run; ``recordings``: how many recordings have one; ``ms``.
        """
        started = time.perf_counter()
        scores, summary = self.scores(changes)
        shown = _blocks(summary, scores, self.run)
        for block in shown:
            for metric in block["metrics"]:
                for row in metric["rows"]:
                    was = self._shown.get((metric["key"], row["system"]), {})
                    row["was"], row["ranked"] = was.get("value"), was.get("rank")
                    row["moved"] = row["number"] != was.get("number")
        changed = self._changed(scores)
        names = changed["recording"].unique(maintain_order=True)
        listed = changed.filter(names_in("recording", names.head(_LISTED)))
        return {
            "blocks": shown,
            "changed": listed.join(self._places, on="recording", how="left").to_dicts(),
            "recordings": len(names),
            "ms": round((time.perf_counter() - started) * 1000, 1),
        }

    def index(self) -> str:
        """The table of recordings, as JSON (:func:`flexi_score.report.listing.index_json`)."""
        run, listed = self.run, self._listed
        return index_json(
            listed,
            run.scores,
            run.recordings,
            run.failures,
            run.metrics,
            health=run.health,
            said=said_words(run.events, listed),
            near_s=run.settings.summary.boundary_error_s,
            total=len(listed),
        )

    def command(self) -> str:
        """What scores the archive as the run was, in a terminal."""
        profile = self.run.settings.profile
        usual = flatten(load_settings(profile))
        more = [
            f"--set {shlex.quote(f'{name}=' + ('null' if value is None else str(value)))}"
            for name, value in self._base.items()
            if value != usual[name]
        ]
        start = f"flexi-score score {shlex.quote(str(self.archive))}"
        return " ".join([start, *([f"--profile {profile}"] * (profile != "paper")), *more])

    def detail(self, r: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """One recording's timeline under changed settings, as the report's page draws it.

        Raises
        ------
        InputError
            For a number that no recording has.
        """
        name = self.name(r)
        settings = self.settings(changes)
        run = self._scored(settings)
        drawn = run.recordings.filter(pl.col("recording") == name)
        archived = read_archived(self.archive, drawn["recording"], settings)
        texts = timelines(
            drawn,
            run.events,
            run.scores,
            run.metrics,
            words=archived.words,
            health=run.health,
            ratings=run.ratings,
        )
        if name not in texts:
            return {"d": 0, "corrected": 0}
        links = {name: self.sounds(r)}
        content: dict[str, Any] = json.loads(with_sound(name, texts[name], archived, links, None))
        lines = read_lines(self.archive)
        return content | {"corrected": sum(line["recording"] == name for line in lines)}

    def sounds(self, r: int) -> list[dict[str, Any]]:
        """Where the page finds a recording's sound: ``src``, and ``t`` where it starts (ms)."""
        files = enumerate(self._files(self.names[r]))
        return [{"src": f"audio/{r}/{k}", "t": t} for k, (_, t) in files]

    def sound(self, r: int, k: int) -> Path | None:
        """File ``k`` of a recording's audio; None where it is not there."""
        files = self._files(self.names[r]) if r < len(self.names) else []
        return files[k][0] if k < len(files) else None

    def name(self, r: int) -> str:
        """Id of the recording of a number.

        Raises
        ------
        InputError
            Where there is none.
        """
        if not 0 <= r < len(self.names):
            raise InputError(f"r: found {r}, expected the number of a recording, from 0")
        return self.names[r]

    def row(self, name: str) -> dict[str, Any]:
        """A recording in the archive (:data:`flexi_score.archive.tables.ARCHIVED`).

        Raises
        ------
        InputError
            Where the archive does not hold it.
        """
        for row in self.stages.rows.filter(pl.col("recording") == name).iter_rows(named=True):
            return row
        raise InputError(f"{self.archive}: does not hold {name!r}")

    def undo(self, r: int) -> bool:
        """Take back the last correction of a recording; False where it has none."""
        undone = undo_correction(self.archive, self.name(r))
        self.begin()
        return undone

    def _files(self, name: str) -> list[tuple[Path, int]]:
        """Audio files of a recording that are there, and where each starts (ms)."""
        for row in self.stages.rows.filter(pl.col("recording") == name).iter_rows(named=True):
            files = [(row["audio"], 0)]
            if not row["audio"]:
                files = [(row[f"{s}_audio"], row[f"{s}_offset_ms"] or 0) for s in SPEAKERS]
            return [(Path(file), t) for file, t in files if file and Path(file).is_file()]
        return []

    def _scored(self, settings: Settings) -> Run:
        """All tables under these settings; those of the latest ones are kept."""
        if self._whole is None or self._whole[0] != settings:
            stages = self.stages
            work = Work(batch=max(len(stages.rows), 1))
            run = score_archive(
                stages.reader, stages.rows, stages.failed, settings, work, stages.detect(settings)
            )
            self._whole = (settings, run)
        return self._whole[1]

    def _changed(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Scores that are other than in the run: ``was`` and ``now``, null where there is none."""
        own = scores.select(*_KEY, "system", "value", "status").unique(_KEY, keep="first")
        both = own.join(
            self._before, on=_KEY, how="full", coalesce=True, suffix="_was", nulls_equal=True
        )
        other = pl.col("value").ne_missing(pl.col("value_was")) | pl.col("status").ne_missing(
            pl.col("status_was")
        )
        return (
            both.filter(other)
            .sort(_KEY)
            .select(*_KEY, "value", "status", "value_was", "status_was")
        )


def _title(group: str) -> str:
    """A group of settings in words."""
    fields = Settings.model_fields
    field = fields.get(group) or fields[f"{group}_"]
    return (type(field.default).__doc__ or group).partition("\n")[0].rstrip(".").replace("_", " ")


def _blocks(summary: pl.DataFrame, scores: pl.DataFrame, run: Run) -> list[dict[str, Any]]:
    """Scenarios as the page shows them, with the rank of each system."""
    cells = ("system", "value", "exact", "interval", "fraction")
    numbers = {
        (f"{plain(row['scenario'])}.{plain(row['metric'])}", plain(row["system"])): row["value"]
        for row in summary.iter_rows(named=True)
    }
    blocks = results(summary, scores, run.metrics, run.settings.summary.few)
    for metric in (one for block in blocks for one in block["metrics"]):
        key, known = metric["key"], metric["metric"]
        direction = "none" if known is None else known.direction
        ranks = _ranks({r["system"]: numbers[key, r["system"]] for r in metric["rows"]}, direction)
        metric["rows"] = [
            {name: row[name] for name in cells}
            | {"number": numbers[key, row["system"]], "rank": ranks.get(row["system"])}
            for row in metric["rows"]
        ]
    columns = ("key", "label", "unit", "better", "rows")
    return [
        {
            "title": block["title"],
            "metrics": [{name: metric[name] for name in columns} for metric in block["metrics"]],
        }
        for block in blocks
    ]


def _ranks(values: Mapping[str, float | None], direction: str) -> dict[str, int]:
    """Places of systems, 1 the best; equal values share one. Empty without a better direction."""
    known = {name: value for name, value in values.items() if value is not None}
    if direction == "none" or len(known) < 2:
        return {}
    sign = -1 if direction == "up" else 1
    return {
        name: 1 + sum(sign * other < sign * value for other in known.values())
        for name, value in known.items()
    }


def open_session(run_folder: str | Path, archive: str | Path | None = None) -> Session:
    """The session of a run folder.

    Raises
    ------
    InputError
        For a folder that is no run, or a run whose archive is not there.
    """
    run = Run.open(run_folder)
    folder = run.archive if archive is None else Path(archive)
    if folder is None:
        raise InputError(
            f"{run_folder}: its archive is not there, and scores come from it; name it with "
            "--archive, or score again"
        )
    ArchiveReader(folder)
    return Session(run, folder)
