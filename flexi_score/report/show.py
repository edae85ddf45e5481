"""Plots and timelines as a notebook shows them: ``run.plot.latency()``, ``run.timeline("id")``."""

from collections.abc import Sequence

from flexi_score.errors import InputError
from flexi_score.report.figures import read_scenes, timeline_drawing
from flexi_score.report.notebook import Shown, notebook_html
from flexi_score.report.plots.backchannels import backchannel_plots
from flexi_score.report.plots.kinds import Drawing
from flexi_score.report.plots.latency import floor_offsets, latencies
from flexi_score.report.plots.margins import margin_plots
from flexi_score.report.plots.metrics import metric_plots
from flexi_score.report.plots.ratings import rating_plots
from flexi_score.report.plots.style import drawing
from flexi_score.report.plots.svg import svg_text
from flexi_score.report.tables import systems_of
from flexi_score.report.write import run_quantiles
from flexi_score.scoring.run import Run


class RunPlots:
    """Plots of a run, each as the value of a notebook's cell.

    Every method returns what a notebook shows as pictures with their captions, and says so where
    the run has nothing of the kind. They are those of the page and of ``report --figures``.

    Examples
    --------
    >>> run.plot.latency()  # doctest: +SKIP
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._systems = systems_of(run.summary)

    def systems(self) -> Shown:
        """Values and intervals, systems side by side."""
        return _shown(metric_plots(self._run.summary, self._run.metrics))

    def latency(self) -> Shown:
        """How long the model takes to answer and to stop; of conversations, floor offsets."""
        run = self._run
        drawn = latencies(run.scores, self._systems, run.settings, run_quantiles(run))
        return _shown(drawn) if drawn else self.floor_offsets()

    def floor_offsets(self) -> Shown:
        """When turns begin, measured from the end of the turn before."""
        run = self._run
        return _shown(floor_offsets(run.events, run.recordings, self._systems, run.settings))

    def margins(self) -> Shown:
        """How close decisions were."""
        run = self._run
        return _shown(margin_plots(run.scores, self._systems, run.metrics, run.settings))

    def ratings(self) -> Shown:
        """What the judge found."""
        return _shown(rating_plots(self._run.scores, self._systems, self._run.metrics))

    def backchannels(self) -> Shown:
        """Where the model gives backchannels."""
        run = self._run
        return _shown(backchannel_plots(run.scores, self._systems, run.events, run.recordings))


def show_timeline(run: Run, recording: str) -> Shown:
    """The timeline of one recording: speech, words, and what decided its scores.

    Parameters
    ----------
    run : Run
    recording : str
        Its id.

    Raises
    ------
    InputError
        Where the run has no scored recording of this name.
    """
    known = run.recordings["recording"]
    if recording not in known:
        raise InputError(
            f"{run.name}: has no scored recording {recording!r}; run.recordings lists {len(known)}"
        )
    return _shown([timeline_drawing(scene, set()) for scene in read_scenes(run, [recording])])


def _shown(drawings: Sequence[Drawing]) -> Shown:
    parts = []
    for one in drawings:
        with drawing(one.texts):
            svg = svg_text(one.make(), one.name, one.title, one.caption)
        parts.append(notebook_html(one.title, [one.caption], pictures=[svg]))
    return Shown("\n".join(parts) or notebook_html("Nothing of this kind in the run"))
