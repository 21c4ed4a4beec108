"""The frame of every page of the report: one HTML file that needs no network.

Text is escaped by the template engine wherever it comes from; data for scripts is JSON with every
`<` written as an escape; a content security policy in the page forbids it to load anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from palmette.errors import StorageError
from palmette.report.figures.theme import DARK, LIGHT, Figure, Theme, edit_words


def framed(template: str, shown: Iterable[Figure], **context: Any) -> str:
    """A page as text: a template that fills the frame, with the figures that it has places for."""
    return _environment().get_template(template).render(
        figures_json=_json({f.name: {"data": f.traces, "layout": f.layout} for f in shown}),
        themes_json=_json({"light": dict(LIGHT), "dark": dict(DARK)}),
        plotly=Markup(get_plotlyjs()),
        script=Markup(_asset("page.js")),
        style=Markup(_asset("style.css")),
        light=_variables(LIGHT),
        dark=_variables(DARK),
        **context,
    )  # fmt: skip


def write_page(page: str | bytes, path: Path) -> Path:
    """Writes a page, or what goes with it; a reader of the file sees the old one or the new one,
    never half of one.

    Raises `StorageError` when the place cannot be written.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(page.encode() if isinstance(page, str) else page)
        half.replace(path)
    except OSError as error:
        with suppress(OSError):  # the place may not even be a directory
            half.unlink()
        raise StorageError(
            f"{path} cannot be written: {error.strerror}; name another place"
        ) from error
    return path


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(75), duration(2.5), duration(7260)
    ('1 min 15 s', '2.5 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def quantity(value: float) -> str:
    """A large number with three digits and its SI prefix.

    >>> quantity(123_456), quantity(1.5e9), quantity(12)
    ('123 k', '1.5 G', '12')
    """
    for size, prefix in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.3g}"


def size(octets: float) -> str:
    """Bytes in binary units.

    >>> size(2048), size(100)
    ('2 KiB', '100 B')
    """
    for unit, prefix in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if octets >= unit:
            return f"{octets / unit:.3g} {prefix}"
    return f"{octets:.0f} B"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("palmette.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "count": lambda value: f"{value:,}",
        "edit_words": edit_words,
        "score": lambda value: f"{value:.4f}".replace("-", "−"),
        "percent": lambda value: f"{100 * value:.0f} %",
        "signed": lambda value: f"{value:+.4f}".replace("-", "−"),
        "duration": duration,
        "quantity": quantity,
        "size": size,
        "trusted": Markup,
    }
    made.filters.update(filters)
    return made


def _asset(name: str) -> str:
    return (files("palmette.report") / "templates" / name).read_text(encoding="utf-8")


def _json(value: Any) -> Markup:
    """JSON that may stand in a script element: no `<` or `&` in it, nor a lone line separator."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _variables(theme: Theme) -> Markup:
    return Markup(
        " ".join(
            f"--{name}: {colour};" for name, colour in theme.items() if isinstance(colour, str)
        )
    )
