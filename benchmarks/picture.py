"""Figures as PNG files, in the report's light colours, made by a real browser."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from playwright.sync_api import sync_playwright
from plotly.offline import get_plotlyjs

from palmette.report.figures.theme import LIGHT, Figure

WIDTH = 720
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]


def save(drawings: Mapping[Path, Figure], browser: str | None = None) -> None:
    """Saves every figure under its path; `browser` is an executable, playwright's own if None."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=ARGUMENTS)
        page = opened.new_page(viewport={"width": WIDTH, "height": 500}, device_scale_factor=1.5)
        for path, drawn in drawings.items():
            resolved = drawn.resolved(LIGHT)
            resolved["layout"] |= {"paper_bgcolor": LIGHT["paper"], "width": WIDTH}
            page.set_content(
                "<!doctype html><body style='margin:0'>"
                f"<div id='it' style='height:{drawn.height}px'></div>"
                f"<script>{get_plotlyjs()}</script>"
            )
            page.evaluate(f"Plotly.newPlot('it', {json.dumps(resolved)}, {{staticPlot: true}})")
            path.parent.mkdir(parents=True, exist_ok=True)
            page.locator("#it").screenshot(path=path)
        opened.close()
