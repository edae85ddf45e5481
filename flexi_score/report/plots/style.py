"""One look for every plot: colours, fonts, sizes, and names that fit.

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
from typing import Any, Final

from flexi_score.report.tables import plain

#: Width of a figure, and type sizes (pt): 7.2 inches fill a page of two columns.
WIDTH: Final = 520.0
#: Where text at either side of a figure ends.
LEFT: Final = 4.0
RIGHT: Final = WIDTH - 4
SIZE: Final = 10.0
SMALL: Final = 8.5
#: Of names beside a row, with room for :data:`NAME` letters.
NAME_SIZE: Final = 9.0
#: Where the names of systems end and their rows begin, in most plots.
NAMES_WIDTH: Final = 132.0
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
#: Fonts that hold what the one that comes with matplotlib does not, where they are installed.
_FALLBACKS: Final = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "MS Gothic",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Emoji",
    "Arial Unicode MS",
)


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
    return next(
        (k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )


def text_width(text: str, size: float = SIZE) -> float:
    """About how wide a text is (pt), rather more than less."""
    return size * sum(1.0 if _is_wide(letter) else 0.62 for letter in text)


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


@contextmanager
def drawing(texts: Sequence[str] = ()) -> Iterator[None]:
    """Within it, figures get this look, whatever the user's own matplotlib is set to.

    ``texts``: what will be drawn; fonts are looked for where it has letters that the usual one
    lacks.
    """
    import warnings

    with _quiet():
        import matplotlib
        import matplotlib.figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A letter that no font has is drawn as a box; it is whole in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        matplotlib.rcParams["font.family"] = ["DejaVu Sans", *_fallbacks(texts)]
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it, matplotlib does not remark on where it keeps its list of fonts."""
    import logging

    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _fallbacks(texts: Sequence[str]) -> list[str]:
    """Installed fonts to look further in; none where all letters are Latin, Greek or Cyrillic."""
    if all(letter < "\u0590" or "\u2000" <= letter < "\u2c00" for t in texts for letter in t):
        return []
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return [name for name in _FALLBACKS if name in installed]


def page_css() -> str:
    """Values of the plots' own variables in light and in dark, for a page that embeds them."""
    own = {colour: name for colour, name in VARIABLES.items() if name.startswith("--plot")}
    light = " ".join(f"{name}: {colour};" for colour, name in own.items())
    dark = " ".join(f"{name}: {DARK[colour]};" for colour, name in own.items())
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
