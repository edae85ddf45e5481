"""What a plot is before it is drawn, and what several kinds of plots need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

#: Systems that one plot shows; the summary has all of them.
MOST_SYSTEMS: Final = 24
#: Dots drawn of a distribution; of more, those at even steps through them.
MOST_DOTS: Final = 120
#: Steps drawn of a distribution function.
MOST_STEPS: Final = 300


@dataclass(frozen=True)
class Drawing:
    """A plot that can be drawn."""

    name: str  # of its files, and told apart from all others of a run
    #: title, caption: not part of the drawing: the caption says what is shown, and whose reference
    #: values
    title: str
    caption: str
    scenario: str | None  # none where it shows several
    texts: tuple[str, ...]  # names that it shows
    make: Callable[[], Figure]  # draws it, within :func:`flexi_score.report.plots.style.drawing`

    def _repr_html_(self) -> str:
        from flexi_score.report.notebook import notebook_html
        from flexi_score.report.plots.style import drawing
        from flexi_score.report.plots.svg import svg_text

        with drawing(self.texts):
            picture = svg_text(self.make(), self.name, self.title, self.caption)
        return notebook_html(self.title, [self.caption], pictures=[picture])

    def _repr_png_(self) -> bytes:
        import io

        from flexi_score.report.plots.style import drawing
        from flexi_score.report.plots.svg import DPI

        file = io.BytesIO()
        with drawing(self.texts):
            self.make().savefig(file, format="png", dpi=DPI, facecolor="white")
        return file.getvalue()


def left_out(systems: Sequence[str]) -> str:
    """What a caption says where not all systems are shown."""
    more = len(systems) - MOST_SYSTEMS
    return f" {more} more systems are in the summary." if more > 0 else ""


def values_by_system(
    scores: pl.DataFrame, scenario: str, metric: str, column: str = "value"
) -> dict[str, Floats]:
    """Finite values of a metric, in ascending order, by system."""
    values = scores.filter(
        (pl.col("scenario") == scenario)
        & (pl.col("metric") == metric)
        & pl.col("value").is_finite()
        & pl.col(column).is_finite()
    ).select("system", column)
    return sorted_by_system(values["system"], values[column])


def sorted_by_system(systems: pl.Series, values: pl.Series) -> dict[str, Floats]:
    """Values in ascending order, by system."""
    table = pl.DataFrame({"system": systems, "value": values.cast(pl.Float64)})
    return {
        str(key[0]): np.sort(part["value"].to_numpy())
        for key, part in table.drop_nulls().group_by("system", maintain_order=True)
    }


def distribution(values: Floats) -> tuple[Floats, Floats]:
    """Steps of the distribution function of sorted values.

    Returns shape (k,): at ``x`` the function reaches ``share``, the part of the values that are not
    larger. All of its steps where they are at most :data:`MOST_STEPS`, else so many of them, the
    first and the last included.
    """
    x, count = np.unique(values, return_counts=True)
    share = np.cumsum(count) / float(len(values))
    keep = thinned(len(x), MOST_STEPS)
    return np.asarray(x[keep], np.float64), np.asarray(share[keep], np.float64)


def thinned(count: int, most: int) -> NDArray[np.int64]:
    """Positions at even steps from the first to the last, at most so many."""
    if count <= most:
        return np.arange(count)
    return np.round(np.linspace(0, count - 1, most)).astype(np.int64)


def scatter_of(count: int) -> Floats:
    """Places from -1 to 1 that spread neighbours apart; the same ones at every drawing."""
    places = np.arange(count, dtype=np.float64)
    return np.asarray(2 * ((places * 0.6180339887) % 1) - 1, np.float64)


def nice_step(span: float, most: int) -> float:
    """A round step with at most so many ticks on a span."""
    if not span > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(span / most))
    return float(next(s * power for s in (1, 2, 5, 10) if span / (s * power) <= most))


def nice_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers from ``low`` to ``high``."""
    step = nice_step(high - low, most)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [round(float(number) * step, 10) + 0.0 for number in np.arange(first, last + 1)]
