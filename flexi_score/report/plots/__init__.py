"""Plots of a run, drawn with matplotlib: for a page that embeds them, and as files.

Each module draws one kind of plot and has a function for the data behind it. matplotlib is only
imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.backchannels import backchannel_plots
from flexi_score.report.plots.kinds import Drawing, systems_of
from flexi_score.report.plots.latency import floor_offsets, latencies
from flexi_score.report.plots.margins import margin_plots
from flexi_score.report.plots.metrics import metric_plots
from flexi_score.report.plots.outcomes import outcome_plots
from flexi_score.report.plots.ratings import rating_plots
from flexi_score.report.plots.style import drawing, page_css

__all__ = ["Drawing", "Plot", "page_css", "report_plots", "run_drawings"]


@dataclass(frozen=True)
class Plot:
    """A plot as a page embeds it.

    Attributes
    ----------
    title, caption : str
        Text, not yet escaped.
    svg : str
        One ``svg`` element; its colours are the page's variables (:func:`page_css`).
    scenario : str or None
        None where it shows several.
    """

    title: str
    caption: str
    svg: str
    scenario: str | None

    def _repr_html_(self) -> str:
        from flexi_score.report.notebook import notebook_html

        return notebook_html(self.title, [self.caption], pictures=[self.svg])


def report_plots(
    scores: pl.DataFrame,
    summary: pl.DataFrame,
    quantiles: pl.DataFrame | None,
    metrics: Sequence[Metric],
    settings: Settings,
    *,
    events: pl.DataFrame | None = None,
    recordings: pl.DataFrame | None = None,
) -> list[Plot]:
    """The plots of a run, for report.html.

    Parameters
    ----------
    scores, summary : polars.DataFrame
        :data:`flexi_score.schema.SCORES` and :data:`flexi_score.schema.SUMMARY`.
    quantiles : polars.DataFrame, optional
        :data:`flexi_score.aggregate.QUANTILES`.
    metrics : sequence of Metric
        Of one profile.
    settings : Settings
    events, recordings : polars.DataFrame, optional
        Of all recordings, not of some: for plots of single events. Without them these are left
        out.

    Returns
    -------
    list of Plot
        Without those of which a run has nothing; all of them bounded, however large the run.
    """
    from flexi_score.report.plots.svg import svg_text

    drawings = run_drawings(
        scores, summary, quantiles, metrics, settings, events=events, recordings=recordings
    )
    if not drawings:
        return []
    plots = []
    with drawing([text for one in drawings for text in one.texts]):
        for one in drawings:
            svg = svg_text(one.make(), one.name, one.title, one.caption)
            plots.append(Plot(one.title, one.caption, svg, one.scenario))
    return plots


def run_drawings(
    scores: pl.DataFrame,
    summary: pl.DataFrame,
    quantiles: pl.DataFrame | None,
    metrics: Sequence[Metric],
    settings: Settings,
    *,
    events: pl.DataFrame | None = None,
    recordings: pl.DataFrame | None = None,
) -> list[Drawing]:
    """What :func:`report_plots` draws, not yet drawn."""
    systems = systems_of(summary)
    drawings = [
        *metric_plots(summary, metrics),
        *latencies(scores, systems, settings, quantiles),
        *outcome_plots(scores, systems, metrics),
        *margin_plots(scores, systems, metrics, settings),
        *rating_plots(scores, systems, metrics),
    ]
    if events is not None and recordings is not None:
        drawings += floor_offsets(events, recordings, systems, settings)
    return drawings + backchannel_plots(scores, systems, events, recordings)
