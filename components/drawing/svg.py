"""A matplotlib figure as inline SVG for an HTML page: text stays text, without ids or style sheets.

The page defines these CSS variables for its light and dark themes: `--ink` (text, curves of all labels), `--muted`
(axes, secondary lines), `--line` (grid), `--paper` (background) and `--c1` ... `--c6` (series); the colours in
`COLOURS` are the fallback. Text has the font of the page. Equal input gives equal bytes.

Names of labels come from the data and may contain anything, so matplotlib never sees them: it draws placeholders, see
`Sheet.name`, and the finished SVG contains the names instead.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from components.base.text import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 440  # user units, one of which is about 0.8 pixels on a phone
SIZE = 12  # of text, in user units
# Colour in matplotlib -> (CSS variable of the page, fallback).
INK, MUTED, LINE, PAPER = "#010000", "#020000", "#030000", "#040000"
SERIES = ("#010100", "#020100", "#030100", "#040100", "#050100", "#060100")
COLOURS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        INK: ("--ink", "#1b1f24"),
        MUTED: ("--muted", "#59636e"),
        LINE: ("--line", "#d5dae0"),
        PAPER: ("--paper", "#ffffff"),
        SERIES[0]: ("--c1", "#0b62c4"),
        SERIES[1]: ("--c2", "#b34700"),
        SERIES[2]: ("--c3", "#00796b"),
        SERIES[3]: ("--c4", "#8a3ab9"),
        SERIES[4]: ("--c5", "#a3195b"),
        SERIES[5]: ("--c6", "#7a6200"),
    }
)
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": SIZE,
    "axes.linewidth": 1.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlepad": 9.0,
    "axes.titlesize": SIZE,
    "figure.dpi": 72.0,  # a user unit is a point
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib; only measured
    "font.size": SIZE,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.0,
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "imagegate",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": SIZE,
    "xtick.major.pad": 6.0,
    "xtick.major.size": 0.0,
    "xtick.minor.size": 0.0,
    "ytick.color": MUTED,
    "ytick.labelsize": SIZE,
    "ytick.major.pad": 6.0,
    "ytick.major.size": 0.0,
    "ytick.minor.size": 0.0,
}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_MARK = re.compile(r"@(\d+)@")
_NUMBER = re.compile(r"-?\d+\.\d+")
_SPACES = re.compile(r"\s*([A-Za-z])\s*|\s+")
_OF_TEXT = ("font-size", "font-weight", "text-anchor")
_KEPT = ("fill", "fill-opacity", "opacity", "stroke", "stroke-dasharray", "stroke-opacity", "stroke-width")


class Sheet:
    """A figure of `WIDTH` x `height` user units; see `sheet`."""

    def __init__(self, height: float) -> None:
        from matplotlib.figure import Figure

        self.height = height
        self.figure: Figure = Figure(figsize=(WIDTH / 72, height / 72))
        self._names: list[tuple[str, str]] = []

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Adds axes at a position in user units from the upper left corner."""
        box = (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        return self.figure.add_axes(box)

    def blank(self) -> Axes:
        """Adds invisible axes over the whole sheet, in user units from the upper left corner, for legends."""
        axes = self.axes(0, 0, WIDTH, self.height)
        axes.set(xlim=(0, WIDTH), ylim=(self.height, 0))
        axes.set_axis_off()
        return axes

    def name(self, text: str, room: float | None = None) -> str:
        """Returns a placeholder for a text with any characters, shortened to about `room` user units."""
        self._names.append((whole := literal(text), whole if room is None else shortened(whole, room)))
        return f"@{len(self._names) - 1}@"

    def svg(self, title: str, description: str) -> str:
        """The chart as an `svg` element with a title and a description for screen readers."""
        import io

        out = io.StringIO()
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        self.figure.savefig(out, format="svg", metadata=no_metadata)
        drawn = ET.fromstring(out.getvalue())  # noqa: S314  # matplotlib wrote it
        root = ET.Element("svg", _root(self.height))
        for tag, text in (("title", title), ("desc", description)):
            ET.SubElement(root, tag).text = literal(text)
        markers = {p.attrib["id"]: p for defs in drawn.iter(f"{_SVG}defs") for p in defs.iter(f"{_SVG}path")}
        for child in drawn:
            root.extend(self._plain(child, markers))
        return ET.tostring(root, encoding="unicode")

    def _plain(self, element: ET.Element, markers: Mapping[str, ET.Element]) -> list[ET.Element]:
        """The elements that replace one of matplotlib's: none, a plain copy, or its children."""
        tag = element.tag.removeprefix(_SVG)
        if tag in ("defs", "metadata"):
            return []
        if tag == "use":
            return [_marker(element, markers[element.attrib[_HREF][1:]])]
        if tag == "text":
            return [self._text(element)]
        if tag != "g":
            return [ET.Element(tag, _attributes(element))]
        children = [plain for child in element for plain in self._plain(child, markers)]
        tip = _MARK.fullmatch(element.get("id", ""))
        if tip is None or not children:
            return children
        group = ET.Element("g")
        ET.SubElement(group, "title").text = self._names[int(tip[1])][0]
        group.extend(children)
        return [group]

    def _text(self, element: ET.Element) -> ET.Element:
        drawn = ET.Element("text", _attributes(element))
        marks = [int(mark) for mark in _MARK.findall(element.text or "")]
        drawn.text = _MARK.sub(lambda mark: _isolated(self._names[int(mark[1])][1]), element.text or "")
        shorter = [self._names[i][0] for i in marks if self._names[i][0] != self._names[i][1]]
        if shorter:  # the full name appears under the pointer
            title = ET.SubElement(drawn, "title")
            title.text = ", ".join(shorter)
        return drawn


@contextlib.contextmanager
def sheet(height: float) -> Iterator[Sheet]:
    """Yields an empty sheet. Global settings of matplotlib neither affect it nor are changed."""
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield Sheet(height)


def _root(height: float) -> dict[str, str]:
    box = f"0 0 {WIDTH} {height:g}"
    return {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": box,
        "width": "100%",
        "role": "img",
        "fill": "none",
        "font-size": str(SIZE),
        "stroke-linejoin": "round",
    }


def _attributes(element: ET.Element) -> dict[str, str]:
    """Presentation attributes, because the page's content security policy may forbid inline styles."""
    style = dict(part.split(": ", 1) for part in element.get("style", "").split("; ") if part)
    kept = {key: style[key] for key in _KEPT if key in style}
    kept |= {key: _colour(style[key]) for key in ("fill", "stroke") if key in style}
    if "d" in element.attrib:
        kept["d"] = _SPACES.sub(lambda match: match[1] or " ", _rounded(element.attrib["d"])).strip()
    if element.tag == f"{_SVG}text":
        kept |= {name: _rounded(element.attrib[name]) for name in ("x", "y")}
        kept |= {name: style[name].removesuffix("px") for name in _OF_TEXT if name in style}
        if kept.get("font-size") == str(SIZE):
            del kept["font-size"]
    return kept


def _marker(use: ET.Element, path: ET.Element) -> ET.Element:
    """A copy of the marker: a reference would need an id, and all charts of a page share their ids."""
    at = " ".join(_rounded(use.attrib[name]) for name in ("x", "y"))
    d = _attributes(path)["d"]
    return ET.Element("path", _attributes(use) | {"d": d, "transform": f"translate({at})"})


def _rounded(numbers: str) -> str:
    return _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), numbers)


def _colour(drawn: str) -> str:
    """A colour as CSS.

    Raises:
        KeyError: it is not in `COLOURS`.
    """
    if drawn == "none":
        return drawn
    variable, fallback = COLOURS[drawn]
    return f"var({variable},{fallback})"


def literal(text: str) -> str:
    r"""A text on one line, with control characters as escapes.

    >>> print(literal("a\nb\x1b"))
    a\nb\x1b
    """
    return shown(text).replace("\n", "\\n")


def units(text: str) -> float:
    """The approximate width of a text in user units, in any font.

    >>> round(units("cat"), 2), round(units("猫"), 2)
    (20.88, 12.0)
    """
    wide = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.58 for c in text if not unicodedata.combining(c))
    return wide * SIZE


def shortened(text: str, room: float) -> str:
    """A text that is wider than `room` user units, with its middle replaced by "…".

    >>> shortened("cat", 60), shortened("a very long name", 60)
    ('cat', 'a ver…me')
    """
    if units(text) <= room:
        return text
    for kept in range(len(text) - 1, 0, -1):
        tail = kept // 3
        short = f"{text[: kept - tail]}…{text[len(text) - tail :]}"
        if units(short) <= room:
            return short
    return "…"


def _isolated(text: str) -> str:
    """Isolates a name written from right to left, so that it does not reorder the text beside it."""
    turned = any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text)
    return f"\u2068{text}\u2069" if turned else text
