"""Boxes that know their size: the pieces that a drawing of a genome is put together from.

A box is measured from its parts upwards and drawn downwards. Signals flow from top to bottom along
a vertical line, the box's axis; boxes in a column are aligned on it. All lengths are pixels.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

GAP = 14  # between boxes in a column
PAD = 14  # inside a frame
CHARACTER = 7.0  # the widest average of a 12 px sans-serif face that we meet

STYLE = """
.pal-d text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
fill:var(--ink,#1f2a2e);text-anchor:middle}
.pal-d .pal-name{font-weight:650;font-size:13px}
.pal-d .pal-note{font-size:11px;fill:var(--soft,#5c686b)}
.pal-d .pal-left{text-anchor:start}
.pal-d .pal-flow{stroke:var(--ink,#1f2a2e);stroke-width:1.5;fill:none}
.pal-d rect,.pal-d circle{stroke:var(--line,#c9cdc8);fill:var(--panel,#fff);stroke-width:1.2}
.pal-d .pal-frame{fill:none;stroke:var(--soft,#5c686b);stroke-dasharray:4 4}
.pal-d .pal-token{fill:var(--wash,#e3efe9);stroke:var(--accent,#0b6e5d)}
.pal-d .pal-channel{fill:var(--warm,#f6ebdd);stroke:var(--baseline,#b4570b)}
.pal-d .pal-sum{fill:var(--panel,#fff);stroke:var(--ink,#1f2a2e);stroke-width:1.5}
""".strip()


@dataclass(frozen=True)
class Box:
    """A part of a drawing: its size, the x of its axis, and how to draw it at a place.

    The input arrives at (axis, 0) and the output leaves at (axis, height).
    """

    width: float
    height: float
    axis: float
    draw: Callable[[float, float], str]


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Escaped text, its middle (or, of kind `pal-left`, its start) at x."""
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named}>{html.escape(words)}</text>'


def flow(*points: tuple[float, float]) -> str:
    """The path of a signal."""
    way = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="pal-flow" d="M{way}"/>'


def plate(name: str, notes: Sequence[str] = (), *, kind: str = "pal-plain", title: str = "") -> Box:
    """A rounded box with a name, a line for each note, and a tooltip."""
    longest = max(len(name) * 1.12, *(len(note) * 0.93 for note in notes), 8)
    width = longest * CHARACTER + 26
    height = 32 + 15 * len(notes)

    def draw(x: float, y: float) -> str:
        centre = x + width / 2
        return (
            f"<g><title>{html.escape(title)}</title>"
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height}" rx="7"/>'
            + text(centre, y + 20.5, name, "pal-name")
            + "".join(
                text(centre, y + 37 + 15 * n, note, "pal-note") for n, note in enumerate(notes)
            )
            + "</g>"
        )

    return Box(width, height, width / 2, draw)


def pill(words: str) -> Box:
    """A small box with a word or two: a norm, a merge."""
    width = len(words) * CHARACTER * 0.93 + 20

    def draw(x: float, y: float) -> str:
        return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="20" rx="10"/>' + text(
            x + width / 2, y + 14, words, "pal-note"
        )

    return Box(width, 20, width / 2, draw)


def terminal(words: str) -> Box:
    """Where the signal comes from or goes to."""
    width = len(words) * CHARACTER + 8
    return Box(width, 18, width / 2, lambda x, y: text(x + width / 2, y + 13, words))


def symbol(sign: str) -> Box:
    """A circle with a sign, such as the sum of a residual stream."""

    def draw(x: float, y: float) -> str:
        return f'<circle class="pal-sum" cx="{x + 10:.1f}" cy="{y + 10:.1f}" r="9"/>' + text(
            x + 10, y + 14.5, sign
        )

    return Box(20, 20, 10, draw)


def column(boxes: Sequence[Box]) -> Box:
    """Boxes one after the other, their axes in line, joined by the flow."""
    axis = max(box.axis for box in boxes)
    width = axis + max(box.width - box.axis for box in boxes)
    height = sum(box.height for box in boxes) + GAP * (len(boxes) - 1)

    def draw(x: float, y: float) -> str:
        parts = []
        for number, box in enumerate(boxes):
            if number:
                parts.append(flow((x + axis, y), (x + axis, y + GAP)))
                y += GAP
            parts.append(box.draw(x + axis - box.axis, y))
            y += box.height
        return "".join(parts)

    return Box(width, height, axis, draw)


def frame(inner: Box, title: str, tooltip: str = "") -> Box:
    """A dashed frame around a box, with a title."""
    top, bottom = 30, PAD
    axis = PAD + inner.axis
    start = axis + 10 if inner.axis < 46 else PAD  # the title must not stand on the flow
    width = max(inner.width + 2 * PAD, start + len(title) * CHARACTER * 0.95 + PAD)
    height = inner.height + top + bottom

    def draw(x: float, y: float) -> str:
        line = x + axis
        return (
            f"<g><title>{html.escape(tooltip)}</title>"
            f'<rect class="pal-frame" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" rx="10"/></g>'
            + text(x + start, y + 18, title, "pal-note pal-left")
            + flow((line, y), (line, y + top))
            + inner.draw(x + PAD, y + top)
            + flow((line, y + height - bottom), (line, y + height))
        )

    return Box(width, height, axis, draw)


def side_by_side(boxes: Sequence[Box], merge: Box) -> Box:
    """Branches that read the same input, their outputs merged into one."""
    rise, gap = 16, 18
    starts = [sum(box.width + gap for box in boxes[:number]) for number in range(len(boxes))]
    width = max(starts[-1] + boxes[-1].width, merge.width)
    tallest = max(box.height for box in boxes)
    axis = (starts[0] + boxes[0].axis + starts[-1] + boxes[-1].axis) / 2
    height = 2 * rise + tallest + merge.height

    def draw(x: float, y: float) -> str:
        parts = []
        bottom = y + rise + tallest + rise
        for start, box in zip(starts, boxes, strict=True):
            line = x + start + box.axis
            parts += [
                flow((x + axis, y), (x + axis, y + 4), (line, y + 4), (line, y + rise)),
                box.draw(x + start, y + rise),
                flow(
                    (line, y + rise + box.height),
                    (line, bottom - 8),
                    (x + axis, bottom - 8),
                    (x + axis, bottom),
                ),
            ]
        parts.append(merge.draw(x + axis - merge.axis, bottom))
        return "".join(parts)

    return Box(width, height, axis, draw)


def residual(branch: Box, *, after: Box | None = None) -> Box:
    """A residual step: the stream on the left, a branch off it, their sum, and what follows."""
    lead, offset = 12, 44
    total = symbol("+")
    axis = max(10.0, after.axis if after else 0.0)
    width = axis + offset + branch.width
    joint = lead + branch.height + GAP + total.height
    height = joint + (GAP + after.height if after else 0)

    def draw(x: float, y: float) -> str:
        stream, off = x + axis, x + axis + offset + branch.axis
        middle = y + joint - total.height / 2
        parts = [
            flow((stream, y), (stream, middle - 10)),
            flow((stream, y + 3), (off, y + 3), (off, y + lead)),
            branch.draw(x + axis + offset, y + lead),
            flow((off, y + lead + branch.height), (off, middle), (stream + 10, middle)),
            total.draw(stream - 10, middle - 10),
        ]
        if after:
            parts.append(flow((stream, middle + 10), (stream, y + joint + GAP)))
            parts.append(after.draw(stream - after.axis, y + joint + GAP))
        return "".join(parts)

    return Box(width, height, axis, draw)
