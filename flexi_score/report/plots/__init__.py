"""Plots of a run, drawn with matplotlib: for a page that embeds them, and as files.

Each module draws one kind of plot and has a function for the data behind it. matplotlib is only
imported when something is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from flexi_score.report.plots.backchannels import backchannel_plots
from flexi_score.report.plots.kinds import Drawing
from flexi_score.report.plots.latency import floor_offsets, latencies
from flexi_score.report.plots.margins import margin_plots
from flexi_score.report.plots.metrics import metric_plots
from flexi_score.report.plots.ratings import rating_plots
from flexi_score.report.plots.style import drawing, page_css
from flexi_score.report.tables import systems_of
from flexi_score.scoring.run import Run

__all__ = ["Drawing", "Plot", "page_css", "report_plots", "run_drawings"]


@dataclass(frozen=True)
class Plot:
    """A plot as a page embeds it."""

    #: title, caption: text, not yet escaped
    title: str
    caption: str
    svg: str  # one ``svg`` element; its colours are the page's variables (:func:`page_css`)
    scenario: str | None  # none where it shows several

    def _repr_html_(self) -> str:
        from flexi_score.report.notebook import notebook_html

        return notebook_html(self.title, [self.caption], pictures=[self.svg])


def report_plots(run: Run, quantiles: pl.DataFrame | None = None) -> list[Plot]:
    """The plots of a run, for report.html.

    ``quantiles``: :data:`flexi_score.aggregate.QUANTILES`. Returns without those of which a run has
    nothing; all of them bounded, however large the run.
    """
    from flexi_score.report.plots.svg import svg_text

    # The page's own table shows systems side by side.
    drawings = [one for one in run_drawings(run, quantiles) if one.name != "systems"]
    if not drawings:
        return []
    plots = []
    with drawing([text for one in drawings for text in one.texts]):
        for one in drawings:
            svg = svg_text(one.make(), one.name, one.title, one.caption)
            plots.append(Plot(one.title, one.caption, svg, one.scenario))
    return plots


def run_drawings(run: Run, quantiles: pl.DataFrame | None = None) -> list[Drawing]:
    """What :func:`report_plots` draws, not yet drawn."""
    scores, metrics, settings = run.scores, run.metrics, run.settings
    systems = systems_of(run.summary)
    return [
        *metric_plots(run.summary, metrics),
        *latencies(scores, systems, settings, quantiles),
        *margin_plots(scores, systems, metrics, settings),
        *rating_plots(scores, systems, metrics),
        *floor_offsets(run.events, run.recordings, systems, settings),
        *backchannel_plots(scores, systems, run.events, run.recordings),
    ]
