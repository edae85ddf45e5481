"""report.html: one file that opens offline and asks nothing of any network.

Everything that came from outside (ids, transcripts, replies) is escaped by the template engine, or
is JSON that the page's script shows as text; a content security policy lets only that script run.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import groupby
from typing import Any, Final

import jinja2
import polars as pl
from markupsafe import Markup

from flexi_score.config import Settings, flatten, load_settings
from flexi_score.metrics.registry import Metric
from flexi_score.report.archived import Archived
from flexi_score.report.health import health_table
from flexi_score.report.listing import closest_first, index_json
from flexi_score.report.plots import Plot
from flexi_score.report.sections import judged, results
from flexi_score.report.tables import (
    FEW,
    SCENARIO_TITLES,
    Column,
    interval_note,
    plain,
    quantile_table,
    scenario_title,
)
from flexi_score.report.timeline import STEERING, clean, names_in, timelines
from flexi_score.report.wording import wording
from flexi_score.scoring.run import Run

#: Recordings that a page draws, and lists, unless told otherwise.
MAX_TIMELINES: Final = 300
MAX_RECORDINGS: Final = 20_000
#: Ratings and failures that are shown in full.
_RATINGS: Final = 200
_FAILURES: Final = 200

_STEERING: Final = re.compile(STEERING)
#: What the page is made of, but for what starts it.
_SCRIPTS: Final = (
    "core",
    "table",
    "view",
    "draw",
    "player",
    "timeline",
    "detail",
    "pictures",
    "theme",
)
#: Where plots stand that are not of the distributions.
_SECTIONS: Final = {"How close the decisions were": "sensitivity"}
_STYLES: Final = ("base", "results", "recordings", "detail")


def render_html(
    run: Run,
    *,
    ranked: pl.DataFrame | None = None,
    title: str = "",
    quantiles: pl.DataFrame | None = None,
    archived: Archived | None = None,
    links: Mapping[str, Any] | None = None,
    sounds: Mapping[str, str] | None = None,
    plots: Sequence[Plot] = (),
    max_timelines: int = MAX_TIMELINES,
    max_recordings: int = MAX_RECORDINGS,
) -> str:
    """The page of a run.

    ``run``: its tables are read whole (:func:`flexi_score.report.write.page_view` cuts large ones).
    ``ranked``: its :func:`closest_first`, where that is known. ``title``: name of the run; by
    default the run's own. ``quantiles``: :data:`flexi_score.aggregate.QUANTILES`. ``archived``:
    words and envelopes (:func:`flexi_score.report.archived.read_archived`). ``links`` and
    ``sounds``: by recording, from :func:`flexi_score.report.sound.link_audio` and ``embed_audio``.
    ``plots``: from :func:`flexi_score.report.plots.report_plots`. ``max_timelines`` and
    ``max_recordings``: recordings drawn, and recordings listed: the closest decisions of each
    system and scenario first. The page says what it leaves out.
    """
    scores, events, recordings, failures = run.scores, run.events, run.recordings, run.failures
    summary, health, ratings = run.summary, run.health, run.ratings
    metrics, settings, run_info = run.metrics, run.settings, run.info
    title = title or run.name.removesuffix(".run")
    few = settings.summary.few
    every = closest_first(scores, recordings, failures) if ranked is None else ranked
    listed = every.head(max_recordings)
    drawn = drawn_recordings(listed, recordings, sounds, max_timelines)
    archived = archived or Archived()
    details = timelines(
        drawn, events, scores, metrics, words=archived.words, health=health, ratings=ratings
    )
    index = index_json(
        listed,
        scores,
        recordings,
        failures,
        metrics,
        health=health,
        said=said_words(events, listed),
        near_s=settings.summary.boundary_error_s,
        total=len(every),
    )
    position = {name: k for k, name in enumerate(listed.sort("order")["recording"].to_list())}
    script, script_hash = page_script(_assets(("start",), "js"))
    environment = page_environment("report/page")
    environment.filters["groupby_run"] = _runs
    # Markup: our own files, the plots' SVG, and JSON that cannot end its element.
    page = environment.get_template("page.html.j2").render(
        title=plain(title) if title else "Full-duplex report",
        css=page_css(),
        script=script,
        script_hash=script_hash,
        facts=_facts(every, failures, run_info, settings),
        first=_read_first(every, scores, summary, failures, health, run_info, settings),
        plots=_placed(plots),
        blocks=results(summary, scores, metrics, few),
        spread=None if quantiles is None else quantile_table(quantiles, metrics, few),
        error=f"{settings.summary.boundary_error_s * 1000:g} ms",
        health=health_table(health),
        checked=health["recording"].n_unique(),
        judged=judged(ratings, metrics, _RATINGS),
        index=embedded_json(index),
        details=[
            (position[name], embedded_json(with_sound(name, text, archived, links, sounds)))
            for name, text in details.items()
        ],
        sounds=[
            (position[name], sound) for name, sound in (sounds or {}).items() if name in position
        ],
        total=len(every),
        listed=len(listed),
        drawn=len(details),
        silent_reason=None if archived.problem is None else plain(archived.problem),
        failures=[
            {k: plain(v) for k, v in row.items()} for row in failures.head(_FAILURES).to_dicts()
        ],
        failed=len(failures),
        signature=plain(run_info.get("signature", "")),
        changed=_changed(settings),
        notes=[plain(note) for note in run_info.get("notes", ())],
        run=_STEERING.sub(" ", _indented(run_info)),
        glossary=[(scenario_title(m.scenario), _named(m), m) for m in metrics],
        confidence=f"{settings.summary.confidence:.0%}",
        intervals=interval_note(summary, metrics, settings.summary.confidence),
        few=few,
        few_mark=FEW,
    )
    return page.lstrip()


def _named(metric: Metric) -> str:
    """A metric in words, its acronym spelled out."""
    words = wording(metric.scenario, metric.name, metric)
    unit = f", in {metric.unit}" if metric.unit else ""
    return f"{words.label}{f' ({words.acronym}: {words.name})' if words.acronym else ''}{unit}"


def _indented(run_info: Mapping[str, Any]) -> str:
    # Without the hashes of files: that of the page itself would differ with every page.
    shown = {name: value for name, value in run_info.items() if name != "files"}
    return json.dumps(shown, indent=2, default=str, ensure_ascii=False)


def drawn_recordings(
    listed: pl.DataFrame,
    recordings: pl.DataFrame,
    sounds: Mapping[str, str] | None,
    max_timelines: int,
) -> pl.DataFrame:
    """Rows of the recordings to draw: those whose sound is in the page, then the closest ones."""
    chosen = list(sounds or ())
    names = [*chosen, *listed["recording"].head(max_timelines).to_list()]
    wanted = pl.DataFrame(
        {"recording": names[: max(max_timelines, len(chosen))]}, schema={"recording": pl.String}
    ).unique(maintain_order=True)
    known = recordings.filter(names_in("recording", wanted["recording"])).unique("recording")
    return wanted.join(known, on="recording", how="left", maintain_order="left")


def _placed(plots: Sequence[Plot]) -> dict[str, list[tuple[str, str, Markup]]]:
    """Plots by the section that they stand in."""
    sections: dict[str, list[tuple[str, str, Markup]]] = {"distributions": [], "sensitivity": []}
    for plot in plots:
        section = _SECTIONS.get(plot.title, "distributions")
        sections[section].append((plot.title, plot.caption, Markup(plot.svg)))
    return sections


def embedded_json(text: str) -> Markup:
    """JSON that can stand inside a script element: nothing in it can end that element."""
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Markup(safe)


def with_sound(
    name: str,
    text: str,
    archived: Archived,
    links: Mapping[str, Any] | None,
    sounds: Mapping[str, str] | None,
) -> str:
    """A recording's JSON with its envelope, and where its sound is."""
    more: dict[str, Any] = {}
    if name in archived.envelopes:
        more["env"] = archived.envelopes[name]
    if sounds and name in sounds:
        more["au"] = True
    elif links and name in links:
        more["au"] = links[name]
    return f"{text[:-1]},{json.dumps(more)[1:]}" if more else text


def said_words(events: pl.DataFrame, listed: pl.DataFrame) -> dict[str, str]:
    """The words of every recording in the table, each once: a search looks for words."""
    texts = events.filter((pl.col("kind") == "turn") & pl.col("text").is_not_null())
    words = (
        texts.filter(names_in("recording", listed["recording"]))
        .select("recording", clean("text").str.to_lowercase().str.split(" "))
        .explode("text")
        .unique(maintain_order=True)
        .group_by("recording", maintain_order=True)
        .agg(pl.col("text").str.join(" "))
    )
    return dict(words.iter_rows())


def _assets(names: Sequence[str], kind: str) -> str:
    folder = resources.files("flexi_score.report").joinpath("page")
    return "\n".join(folder.joinpath(f"{name}.{kind}").read_text("utf-8") for name in names)


def page_environment(folder: str) -> jinja2.Environment:
    """Templates in a folder of the package; what they are given is escaped and has to be there."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("flexi_score", folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def page_script(start: str) -> tuple[Markup, str]:
    """The page's script with what starts it, and its hash for the content security policy."""
    script = f'(() => {{\n"use strict";\n{_assets(_SCRIPTS, "js")}\n{start}\n}})();'
    return Markup(script), base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def page_css() -> Markup:
    """The styles; the dark colours once for readers whose system is dark, once for the button."""
    dark = _assets(("dark",), "css")
    return Markup(
        f"{_assets(_STYLES, 'css')}\n@media screen and (prefers-color-scheme: dark) "
        f'{{\n:root:not([data-theme="light"]) {{\n{dark}}}\n}}\n'
        f'@media screen {{\n:root[data-theme="dark"] {{\n{dark}}}\n}}\n'
    )


def _runs(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Groups of neighbouring columns, with how many columns each has."""
    return [(group, len(list(run))) for group, run in groupby(columns, lambda c: c.group)]


def _distinct(frame: pl.DataFrame, column: str) -> list[str]:
    return frame.sort("order")[column].drop_nulls().unique(maintain_order=True).to_list()


def _facts(
    every: pl.DataFrame, failures: pl.DataFrame, run_info: Mapping[str, Any], settings: Settings
) -> list[tuple[str, str]]:
    """The few facts at the top of the page."""
    systems = [plain(s) for s in _distinct(every, "system")]
    scenarios = [s for s in _distinct(every, "scenario") if s in SCENARIO_TITLES]
    facts = [("recording" if len(every) == 1 else "recordings", f"{len(every):,}")]
    facts.append(("system", systems[0]) if len(systems) == 1 else ("systems", f"{len(systems)}"))
    facts.append(
        ("scenario", SCENARIO_TITLES[scenarios[0]])
        if len(scenarios) == 1
        else ("scenarios", f"{len(scenarios)}")
    )
    facts.append(("failed", f"{failures['recording'].n_unique():,}"))
    facts.append(("profile", plain(run_info.get("profile", settings.profile))))
    if run_info.get("created"):
        facts.append(("scored", f"{plain(run_info['created'])[:16].replace('T', ' ')} UTC"))
    return facts


def _read_first(
    every: pl.DataFrame,
    scores: pl.DataFrame,
    summary: pl.DataFrame,
    failures: pl.DataFrame,
    health: pl.DataFrame,
    run_info: Mapping[str, Any],
    settings: Settings,
) -> list[tuple[str, str, str]]:
    """What a reader must know before believing a number: looks, text, and where it is told."""
    notes: list[tuple[str, str, str]] = []
    lost = failures["recording"].n_unique()
    if lost:
        text = f"{_many(lost, 'recording')} could not be used; counted as failed."
        notes.append(("bad", text, "failures"))
    if health is not None:
        worst = {
            verdict: health.filter(pl.col("verdict") == verdict)["recording"].n_unique()
            for verdict in ("refuse", "warn")
        }
        if worst["refuse"]:
            left = "left out" if settings.health.gate else "scored all the same"
            notes.append(
                (
                    "bad",
                    f"The health gate refuses {_many(worst['refuse'], 'recording')}: {left}.",
                    "health",
                )
            )
        if worst["warn"]:
            text = f"{_many(worst['warn'], 'recording')} captured in a way worth a look."
            notes.append(("warn", text, "health"))
    if run_info.get("estimated"):
        text = f"Who speaks is an estimate in {_many(run_info['estimated'], 'recording')}."
        notes.append(("warn", text, "run"))
    if "within_error" in summary.columns:
        near = scores.filter(
            pl.col("margin_s").cast(pl.Float64).abs() <= settings.summary.boundary_error_s
        )["recording"].n_unique()
        if near:
            text = (
                f"{_many(near, 'recording')} {'has' if near == 1 else 'have'} an outcome that a "
                f"boundary off by {settings.summary.boundary_error_s * 1000:g} ms would flip."
            )
            notes.append(("warn", text, "recordings"))
    counted = summary.filter(pl.col("value").is_not_null())
    thin = counted.filter(pl.col("n") < settings.summary.few)
    if len(thin):
        share = "Every value rests" if len(thin) == len(counted) else f"{len(thin)} values rest"
        text = f"{share} on fewer than {settings.summary.few} recordings ({FEW})."
        notes.append(("info", text, "results"))
    return notes


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _changed(settings: Settings) -> list[tuple[str, str, str]]:
    """Settings that are not the profile's own: name, value, and what it would have been."""
    usual = flatten(load_settings(settings.profile))
    return [
        (name, json.dumps(value), json.dumps(usual.get(name)))
        for name, value in flatten(settings).items()
        if value != usual.get(name)
    ]
