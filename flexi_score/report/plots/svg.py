"""Figures as files, the same bytes for the same data; and as SVG that a page can embed."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from flexi_score.report.plots.style import VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Names of formats, and what is left out of each so that it does not depend on the day.
FORMATS: Final[dict[str, dict[str, Any]]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": "flexi_score", "Producer": None},
    "png": {"Software": None},
}
#: Dots an inch of a PNG: sharp in print, and on a slide.
DPI: Final = 220

_SVG: Final = "{http://www.w3.org/2000/svg}"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
#: Narrower than the font that lengths are measured with, so that nothing runs over.
_FONTS: Final = "Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif"
_NUMBER: Final = re.compile(r"-?\d+\.\d{3,}")
#: How matplotlib before 3.11 writes fonts: weight, size and families in one.
_FONT: Final = re.compile(r"\bfont: (?:(\w+) )?([\d.]+px) ([^;]*)")
_COLOUR: Final = re.compile("|".join(VARIABLES))


def save_figure(
    figure: Figure, path: Path, kind: str, name: str, title: str = "", description: str = ""
) -> None:
    """Write a figure as ``kind``, one of :data:`FORMATS`.

    The ground is transparent in SVG and PDF, white in PNG.
    """
    if kind == "svg":
        text = svg_text(figure, name, title, description, page=False)
        path.write_text(text, encoding="utf-8", newline="\n")
        return
    metadata = FORMATS[kind] | ({"Title": title} if title else {})
    ground = "white" if kind == "png" else "none"
    drawn = io.BytesIO()  # matplotlib hides why a file cannot be written
    figure.savefig(drawn, format=kind, dpi=DPI, metadata=metadata, facecolor=ground)
    path.write_bytes(drawn.getvalue())


def svg_text(
    figure: Figure, name: str, title: str, description: str = "", *, page: bool = True
) -> str:
    """A figure as SVG.

    ``name``: told apart from those of all other figures of a page: ids begin with it. ``title`` and
    ``description``: for those who do not see it. ``page``: for a page: colours are its CSS
    variables, the font is its own, the ground transparent. Else for a file that is looked at alone.
    Returns one ``svg`` element with ``role="img"``; for a file, a whole document.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=FORMATS["svg"])
    root = ElementTree.fromstring(buffer.getvalue())
    for child in list(root):
        if child.tag == f"{_SVG}metadata" or (
            child.tag == f"{_SVG}defs" and child.find(f"{_SVG}style") is not None
        ):
            root.remove(child)
    prefix = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "plot"
    used: set[str] = set()
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        if _HREF in element.attrib:
            target = element.attrib.pop(_HREF).removeprefix("#")
            element.set("href" if page else "xlink:href", f"#{prefix}-{target}")
        _tidy(element, prefix, page)
        if element.tag == "g":
            element.attrib.pop("id", None)
        elif "id" in element.attrib and element.get("id") not in used:
            used.add(element.get("id", ""))
            element.set("id", f"{prefix}-{element.get('id')}")
    _head(root, prefix, title, description, page)
    text = ElementTree.tostring(root, encoding="unicode")
    return text if page else f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _tidy(element: ElementTree.Element, prefix: str, page: bool) -> None:
    """Shorter numbers, the page's colours and font, ids that are this figure's own."""
    for key in ("d", "x", "y", "transform"):
        if key in element.attrib:
            value = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}", element.attrib[key])
            if value.startswith("rotate(-0 "):
                del element.attrib[key]
            else:
                element.set(key, value.replace("\n", ""))
    if "clip-path" in element.attrib:
        element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{prefix}-"))
    if "style" in element.attrib:
        parts = _FONT.sub(_longhand, element.attrib["style"]).split("; ")
        fonts = [] if page else [f"font-family: {_FONTS}"]
        others = [part for part in parts if not part.startswith("font-family")]
        style = "; ".join(others + fonts * (len(others) < len(parts)))
        style = style.replace("url(#", f"url(#{prefix}-")
        element.set("style", _COLOUR.sub(_variable, style) if page else style)
        if page and element.tag == "text" and "fill" not in style:
            element.set("style", f"{element.get('style')}; fill: currentColor")
    if element.text is not None and not element.text.strip():
        element.text = None
    if element.tail is not None:
        element.tail = None


def _longhand(match: re.Match[str]) -> str:
    weight = f"font-weight: {match[1]}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}; font-family: {match[3]}"


def _variable(match: re.Match[str]) -> str:
    return f"var({VARIABLES[match[0]]}, {match[0]})"


def _head(root: ElementTree.Element, prefix: str, title: str, description: str, page: bool) -> None:
    size = root.get("viewBox", "0 0 0 0").split()[2:]
    root.attrib.clear()
    root.set("xmlns", "http://www.w3.org/2000/svg")
    if not page:
        root.set("xmlns:xlink", "http://www.w3.org/1999/xlink")
    root.set("viewBox", f"0 0 {' '.join(size)}")
    unit = "" if page else "pt"
    root.set("width", f"{size[0]}{unit}")
    root.set("height", f"{size[1]}{unit}")
    root.set("stroke-linejoin", "round")
    root.set("role", "img")
    names = [f"{prefix}-title"]
    label = ElementTree.Element("title", {"id": names[0]})
    label.text = title
    root.insert(0, label)
    if description:
        names.append(f"{prefix}-desc")
        words = ElementTree.Element("desc", {"id": names[1]})
        words.text = description
        root.insert(1, words)
    root.set("aria-labelledby", " ".join(names))
    if page:
        root.set("class", "plot")
        root.set("style", "max-width: 100%; height: auto; color: var(--ink, #1c1b1a)")
