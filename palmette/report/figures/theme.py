"""The report's colours, once for paper and once for the dark, and the frame of a figure.

Figures name colours by token (`@ink`, `@accent`); the page resolves them to the theme that the
reader's system asks for, and again when that changes. Roles differ in marker shape too, and the
hues stay apart under the common colour-vision deficiencies (after Okabe and Ito 2008). Colour
scales rise monotonically in luminance, away from the paper.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from palmette.records import TreeRow

Colour: TypeAlias = str | list[list[float | str]]
Theme: TypeAlias = Mapping[str, Colour]
Json: TypeAlias = dict[str, Any]


def _scale(*colours: str) -> list[list[float | str]]:
    return [[number / (len(colours) - 1), colour] for number, colour in enumerate(colours)]


LIGHT: Final[Theme] = {
    "paper": "#fbfaf6",
    "panel": "#ffffff",
    "ink": "#1f2a2e",
    "soft": "#5c686b",
    "line": "#c9cdc8",
    "grid": "#e9e9e2",
    "accent": "#0b6e5d",
    "wash": "#e3efe9",
    "warm": "#f7ecdf",
    "band": "rgba(11,110,93,0.11)",
    "baseline": "#b4570b",
    "placebo": "#7a6aa8",
    "failed": "#a33a3a",
    "s1": "#b4570b",
    "s2": "#2f6fb0",
    "s3": "#a2498a",
    "s4": "#8a7200",
    "s5": "#3f8f9f",
    "s6": "#8c564b",
    "scale": _scale("#e8e0b9", "#b3cf9a", "#64ae93", "#258089", "#1c4f74", "#1d2352"),
}

DARK: Final[Theme] = {
    "paper": "#14191a",
    "panel": "#1c2324",
    "ink": "#e6e8e3",
    "soft": "#9ba7a6",
    "line": "#465152",
    "grid": "#293031",
    "accent": "#5fc4a8",
    "wash": "#1d322d",
    "warm": "#35291c",
    "band": "rgba(95,196,168,0.15)",
    "baseline": "#ee9a4d",
    "placebo": "#b4a4e4",
    "failed": "#e98080",
    "s1": "#ee9a4d",
    "s2": "#7db3ea",
    "s3": "#dd94c8",
    "s4": "#d8c25a",
    "s5": "#7fcbd8",
    "s6": "#cf9c90",
    "scale": _scale("#2d3458", "#2f5f86", "#2f8d92", "#67b58c", "#b5d68a", "#f4eeb4"),
}

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif'
MARKERS: Final = {
    "found": "circle",
    "root": "square",
    "baseline": "diamond",
    "placebo": "triangle-up",
}
ROLE_COLOURS: Final = {
    "found": "@accent",
    "root": "@ink",
    "baseline": "@baseline",
    "placebo": "@placebo",
}


@dataclass(frozen=True)
class Figure:
    """A Plotly figure as plain data, with colours as tokens.

    name    the element's id on the page
    label   what a screen reader says in the figure's place
    """

    name: str
    label: str
    traces: list[Json]
    layout: Json
    height: int

    def resolved(self, theme: Theme) -> Json:
        """The figure with every token replaced by the theme's colour, as Plotly takes it."""
        found = _resolve({"data": self.traces, "layout": self.layout}, theme)
        assert isinstance(found, dict)
        return found


def figure(name: str, label: str, traces: list[Json], height: int, **layout: Any) -> Figure:
    """A figure in the house style; `layout` is added to it, axes merged."""
    axis = {
        "gridcolor": "@grid",
        "linecolor": "@line",
        "zerolinecolor": "@line",
        "tickfont": {"color": "@soft", "size": 12},
        "title": {"font": {"color": "@soft", "size": 12.5}, "standoff": 10},
        "automargin": True,
    }
    merged: Json = {
        "font": {"family": FONT, "size": 13, "color": "@ink"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
        "height": height,
        "hoverlabel": {
            "bgcolor": "@panel",
            "bordercolor": "@line",
            "align": "left",
            "font": {"family": FONT, "size": 12.5, "color": "@ink"},
        },
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": "@line",
            "activecolor": "@accent",
        },
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": axis,
        "yaxis": axis,
    }
    for key, value in layout.items():
        merged[key] = _merged(merged.get(key), value)
    return Figure(name, label, traces, merged, height)


def short(genome: str) -> str:
    """A hash as people read it."""
    return genome[:8]


def escaped(text: str) -> str:
    """Text as it may stand in a label: Plotly reads a few HTML tags in labels, so none get in."""
    return html.escape(text, quote=False)


def edit_words(row: TreeRow) -> str:
    """What an edit changed, without its kind in front, which stands beside it anyway."""
    return (row.edit_text or "").removeprefix(f"{row.edit}: ")


def wrapped(text: str, width: int = 64, most: int = 6) -> str:
    """Escaped text over several lines of a hover label, cut after `most` of them."""
    lines = textwrap.wrap(text, width, max_lines=most, placeholder=" …")
    return "<br>".join(escaped(line) for line in lines)


def lines(parts: Iterable[str | None]) -> str:
    """The parts that are there, one a line, already escaped."""
    return "<br>".join(part for part in parts if part)


def _merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}
    return over


def _resolve(value: Any, theme: Theme) -> Any:
    if isinstance(value, dict):
        return {key: _resolve(held, theme) for key, held in value.items()}
    if isinstance(value, list):
        return [_resolve(held, theme) for held in value]
    if isinstance(value, str) and value.startswith("@"):
        return theme.get(value[1:], value)
    return value
