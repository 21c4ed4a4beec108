"""Decoding against context length, drawn in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotext
from rich import box
from rich.table import Table
from rich.text import Text

from palmette.cli._print import MISSING, console, number, size
from palmette.records import DecodePoint

WIDTH, HEIGHT = 76, 15  # characters
COLUMNS = (128, 1024, 8192, 65_536, 1_048_576)
BYTES = {16.0**power: size(16**power) for power in range(12)}
FLOPS = {10.0**power: f"{10 ** (power % 3)}{' kMGTPE'[power // 3]}" for power in range(3, 20)}

Curves = Mapping[str, Sequence[DecodePoint]]


def print_curves(curves: Curves) -> None:
    """State bytes and FLOPs per token of every genome, drawn and tabled; the first is compared.

    A genome without a curve, one that cannot be decoded token by token, is left out.
    """
    out = console()
    curves = {name: points for name, points in curves.items() if points}
    for field, title in (
        ("state_bytes", "state while decoding, bytes against context length"),
        ("flops_token", "FLOPs of one more token against context length"),
    ):
        out.print(f"\n[bold]{title}[/]")
        out.print(Text(drawing(curves, field)), soft_wrap=True)
    out.print(table(curves))


def drawing(curves: Curves, field: str) -> str:
    """A plot with logarithmic axes as text."""
    plotext.clear_figure()
    plotext.plot_size(WIDTH, HEIGHT)
    plotext.theme("clear")
    for marker, (name, points) in zip("●○△□◇×", curves.items(), strict=False):
        values = [max(1.0, float(getattr(point, field))) for point in points]
        plotext.plot([point.length for point in points], values, label=name, marker=marker)
    plotext.xscale("log")
    plotext.yscale("log")
    values = [max(1.0, float(getattr(p, field))) for points in curves.values() for p in points]
    labels = BYTES if field == "state_bytes" else FLOPS
    shown = {tick: name for tick, name in labels.items() if min(values) <= tick <= max(values)}
    plotext.yticks(list(shown), list(shown.values()))
    plotext.xticks(list(COLUMNS), ["128", "1k", "8k", "64k", "1M"])
    drawn: str = plotext.uncolorize(plotext.build())
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def table(curves: Curves) -> Table:
    """The figures at a few lengths, and what share the first genome has of each other's."""
    (name, own), *others = curves.items()
    made = Table(box=box.SIMPLE_HEAD)
    made.add_column("context", justify="right")
    for other in curves:
        made.add_column(f"state of {other}", justify="right")
        made.add_column(f"FLOPs of {other}", justify="right")
    for other, _ in others:
        made.add_column(f"{name} of {other}", justify="right")
    for i, point in enumerate(own):
        if point.length not in COLUMNS:
            continue
        here = [points[i] for points in curves.values()]
        cells = [text for p in here for text in (size(p.state_bytes), number(p.flops_token))]
        shares = [_share(point, points[i]) for _, points in others]
        made.add_row(f"{point.length:,}", *cells, *shares)
    return made


def _share(own: DecodePoint, other: DecodePoint) -> str:
    state = f"{100 * own.state_bytes / other.state_bytes:.3g} %" if other.state_bytes else MISSING
    return f"{state} state, {100 * own.flops_token / other.flops_token:.3g} % FLOPs"
