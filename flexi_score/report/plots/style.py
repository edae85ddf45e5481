"""One look for every plot: colours, fonts and geometry; figures made without pyplot.

Conventions
-----------
Lengths on a figure are points, 72 an inch, counted from its upper left corner, so that one figure
is as wide in a paper as on a page. Names of systems and other text from outside goes through
:func:`label` and is never read as mathematics.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flexi_score.report.tables import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Width of a figure, and type sizes (pt): 7.2 inches fill a page of two columns.
WIDTH: Final = 520.0
#: Where text at either side of a figure ends.
LEFT: Final = 4.0
RIGHT: Final = WIDTH - 4
SIZE: Final = 10.0
SMALL: Final = 8.5
#: Of names beside a row, with room for :data:`NAME` letters.
NAME_SIZE: Final = 9.0
NAME: Final = 21

INK: Final = "#1c1b1a"
SOFT: Final = "#66635e"
FAINT: Final = "#8f8b84"
RULE: Final = "#e3e0da"
#: Text on filled bars, light or dark whatever the page is.
ON_LIGHT: Final = "#161617"
ON_DARK: Final = "#fdfdfc"
#: Ticks of an axis of shares.
QUARTERS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
PERCENT: Final = ("0", "25", "50", "75", "100 %")
#: Behind the levels of interaction, the human reference, and what is within the error.
LEVEL_1: Final = "#dcefe4"
LEVEL_2: Final = "#f6edd2"
ERROR: Final = "#fbe3dc"
HUMAN: Final = "#4d7f61"
USER: Final = "#2b6cb0"
MODEL: Final = "#c2571a"
BOTH: Final = "#7d3fb0"

#: Okabe and Ito's colours, which most people with a colour deficiency can tell apart; the last is
#: theirs, black, as the ink of the page. Yellow is left out: it does not show on white.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1c1b1b")
#: A further round of the colours has other dashes and other markers.
DASHES: Final = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS: Final = ("o", "s", "D", "^")

#: Variables that a page may set, so that plots follow its light or dark mode.
VARIABLES: Final = {
    INK: "--ink",
    SOFT: "--soft",
    FAINT: "--faint",
    RULE: "--rule",
    LEVEL_1: "--plot-level-1",
    LEVEL_2: "--plot-level-2",
    ERROR: "--plot-error",
    HUMAN: "--plot-human",
    USER: "--user",
    MODEL: "--model",
    BOTH: "--both",
    **{colour: f"--plot-{number}" for number, colour in enumerate(COLOURS, 1)},
}
#: The same on a dark ground.
DARK: Final = {
    LEVEL_1: "#22362a",
    LEVEL_2: "#39331d",
    ERROR: "#452a23",
    HUMAN: "#8fc7a5",
    **dict(
        zip(
            COLOURS,
            ("#4aa3e0", "#f0803c", "#2cc79b", "#e094c0", "#f0b63e", "#7cc8f2", "#eceae6"),
            strict=True,
        )
    ),
}

_RC: Final[dict[str, Any]] = {
    "font.size": SIZE,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "butt",
    "patch.linewidth": 0.0,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "path.simplify": False,
}
#: Codes of matplotlib's paths: move, line, close.
_CLOSED: Final = (1, 2, 2, 2, 79)
_STRAIGHT: Final = (1, 2)
#: Fonts that hold what the one that comes with matplotlib does not, where they are installed.
_FALLBACKS: Final = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "MS Gothic",
    "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Arial Unicode MS",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How a system is drawn wherever it appears."""

    colour: str
    dashes: Any
    marker: str


def look(number: int) -> Look:
    """The look of the system with this number, counted from 0."""
    turn = number // len(COLOURS)
    return Look(
        COLOURS[number % len(COLOURS)], DASHES[turn % len(DASHES)], MARKERS[turn % len(MARKERS)]
    )


def label(text: object, most: int = 22) -> str:
    """Text from outside on one line; what is too long loses its middle."""
    shown = plain(text)
    if sum(2 if _is_wide(letter) else 1 for letter in shown) <= most:
        return shown
    if any(_is_wide(letter) for letter in shown):
        most = most * 2 // 3
    head = (most - 1) * 2 // 3
    return f"{shown[:head]}…{shown[len(shown) - (most - 1 - head) :]}"


def labels(names: Sequence[str], most: int = 22) -> dict[str, str]:
    """Names cut to a length that can still be told apart.

    Where cutting the middle leaves two alike, what all names share at either end goes first; where
    that does not help, they are numbered.
    """
    short = {name: label(name, most) for name in names}
    if len(set(short.values())) < len(short):
        texts = [plain(name) for name in short]
        head, tail = _shared(texts), _shared([text[::-1] for text in texts])
        for name in short:
            text = plain(name)
            end = max(head, len(text) - tail)
            room = max(0, most - 2 - (end - head))  # for what the name shares with the others
            first = max(0, head - room // 2)
            last = min(len(text), end + room - (head - first))
            cut = "…" * (first > 0) + text[first:last] + "…" * (last < len(text))
            short[name] = label(cut, most)
    if len(set(short.values())) < len(short):
        short = {name: f"{number} {label(name, most - 3)}" for number, name in enumerate(short, 1)}
    return short


def _shared(texts: Sequence[str]) -> int:
    """How many letters all texts begin with."""
    first, last = min(texts), max(texts)
    return next((k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
                min(len(first), len(last)))  # fmt: skip


def text_width(text: str, size: float = SIZE) -> float:
    """About how wide a text is (pt), rather more than less."""
    return size * sum(1.0 if _is_wide(letter) else 0.62 for letter in text)


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


@contextmanager
def drawing(texts: Sequence[str] = ()) -> Iterator[None]:
    """Within it, figures get this look, whatever the user's own matplotlib is set to.

    Parameters
    ----------
    texts : sequence of str
        What will be drawn; fonts are looked for where it has letters that the usual one lacks.
    """
    import warnings

    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A letter that no font has is drawn as a box; it is whole in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        matplotlib.rcParams["font.family"] = ["DejaVu Sans", *_fallbacks(texts)]
        yield


def _fallbacks(texts: Sequence[str]) -> list[str]:
    """Installed fonts to look further in; none where all letters are Latin, Greek or Cyrillic."""
    if all(letter < "\u0590" or "\u2000" <= letter < "\u2c00" for t in texts for letter in t):
        return []
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in _FALLBACKS if name in installed]


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of this size (pt)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72)


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at this place of a figure, as bare as can be: :func:`x_axis` draws what it needs.

    matplotlib's own ticks and spines cost more time than everything else on a small plot.
    """
    whole_width, whole_height = figure.get_size_inches() * 72
    axes = figure.add_axes(
        (left / whole_width, 1 - (top + height) / whole_height, width / whole_width,
         height / whole_height)
    )  # fmt: skip
    axes.set_axis_off()
    return axes


def x_axis(
    figure: Figure,
    axes: Axes,
    ticks: Sequence[float],
    title: str = "",
    labels: Sequence[str] | None = None,
) -> None:
    """Line, ticks, their labels and the axis's name below axes whose limits are set."""
    place, height = axes.get_position(), figure.get_size_inches()[1] * 72
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    point = (bottom - top) / (place.height * height)  # what a point is on this axis, downwards
    lines = [((tick, bottom), (tick, bottom + 3 * point)) for tick in ticks]
    rules(axes, [((left, bottom), (right, bottom)), *lines], FAINT, clip=False)
    if labels is None:
        labels = tick_labels(ticks)
    for tick, text in zip(ticks, labels, strict=True):
        axes.text(tick, bottom + 12 * point, text, ha="center", fontsize=SMALL, color=SOFT)
    if title:
        middle = place.x0 + place.width / 2
        figure.text(middle, place.y0 - 25 / height, title, ha="center", va="baseline",
                    fontsize=SMALL, color=SOFT)  # fmt: skip


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Numbers with as many decimals as the ticks between them need."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    digits = next((d for d in range(6) if abs(round(step, d) - step) < 1e-9), 6)
    return [f"{tick:.{digits}f}".replace("-", "\N{MINUS SIGN}") for tick in ticks]


def write(figure: Figure, x: float, y: float, text: str, **look: Any) -> Any:
    """Text at a place of a figure, its baseline at ``y`` from the top."""
    width, height = figure.get_size_inches() * 72
    return figure.text(x / width, 1 - y / height, text, **{"va": "baseline", **look})


def bars(
    axes: Axes,
    boxes: Sequence[tuple[float, float, float, float]],
    colour: str,
    zorder: float = 1.0,
    alpha: float | None = None,
) -> None:
    """Filled boxes as one shape, each (left, top, width, height) in the units of the axes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(boxes):
        return
    x, y, w, h = (np.array([box[k] for box in boxes], np.float64) for k in range(4))
    corners = np.stack([x, y, x + w, y, x + w, y + h, x, y + h, x, y], axis=1).reshape(-1, 2)
    codes = np.tile(_CLOSED, len(boxes))
    shape = PathPatch(Path(corners, codes), facecolor=colour, linewidth=0, zorder=zorder,
                      alpha=alpha)  # fmt: skip
    axes.add_artist(shape)


def rules(
    axes: Axes, lines: Sequence[Any], colour: str = RULE, width: float = 0.7, clip: bool = True
) -> None:
    """Straight lines as one shape behind others, each ((x, y), (x, y)) in units of the axes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(lines):
        return
    ends = np.array(lines, np.float64).reshape(-1, 2)
    codes = np.tile(_STRAIGHT, len(lines))
    shape = PathPatch(Path(ends, codes), fill=False, edgecolor=colour, linewidth=width,
                      capstyle="butt", zorder=0.4)  # fmt: skip
    axes.add_artist(shape)
    shape.set_clip_on(clip)


def dots(
    axes: Axes, x: Sequence[float] | Any, y: Sequence[float] | Any, seen: Look, size: float = 3.0,
    alpha: float | None = None,
) -> None:  # fmt: skip
    """Dots as one shape, ``size`` points wide, in axes whose limits are set.

    Round and square ones are strokes of next to no length with wide ends: a hundred times less to
    write than a marker each.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    figure = axes.figure
    caps = {"o": "round", "s": "projecting"}
    if not len(x):
        return
    if seen.marker not in caps:
        axes.scatter(x, y, s=(1.15 * size) ** 2, marker=seen.marker, color=seen.colour, linewidth=0,
                     alpha=alpha, clip_on=False, zorder=3)  # fmt: skip
        return
    inches = axes.transData.transform(np.column_stack([x, y])) / 72
    half = np.array([0.0004, 0.0])
    ends = np.stack([inches - half, inches + half], axis=1).reshape(-1, 2)
    shape = PathPatch(
        Path(ends, np.tile(_STRAIGHT, len(inches))), fill=False, edgecolor=seen.colour,
        linewidth=size * (0.9 if seen.marker == "s" else 1.0), capstyle=caps[seen.marker],
        alpha=alpha, zorder=3, transform=figure.dpi_scale_trans, snap=False,
    )  # fmt: skip
    axes.add_artist(shape)
    shape.set_clip_on(False)


def legend(
    figure: Figure, entries: Sequence[tuple[str, str]], left: float, y: float, right: float = RIGHT
) -> float:
    """Swatches with their names in rows from ``left`` on; returns where the next row would be."""
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches() * 72
    x = left
    for colour, name in entries:
        step = 13 + text_width(name, SMALL) * 0.93 + 12
        if x + step - 12 > right and x > left:
            x, y = left, y + 14
        figure.add_artist(
            Rectangle((x / width, 1 - y / height), 8 / width, 8 / height, facecolor=colour)
        )
        write(figure, x + 12, y, name, fontsize=SMALL, color=SOFT)
        x += step
    return y + 14


def warm_up() -> Thread:
    """Import matplotlib in the background, while something else keeps the processor waiting."""

    def work() -> None:
        import matplotlib.backends.backend_svg
        import matplotlib.figure  # noqa: F401

    thread = Thread(target=work, name="flexi_score-plots", daemon=True)
    thread.start()
    return thread


def page_css() -> str:
    """Values of the plots' own variables in light and in dark, for a page that embeds them."""
    own = {colour: name for colour, name in VARIABLES.items() if name.startswith("--plot")}
    light = " ".join(f"{name}: {colour};" for colour, name in own.items())
    dark = " ".join(f"{name}: {DARK[colour]};" for colour, name in own.items())
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
