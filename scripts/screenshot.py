"""Pictures of a report: opens the file in a real browser, waits for its figures, saves sections.

    python scripts/screenshot.py report.html pictures/ --section tree-section --dark --width 420

Needs a Chromium (`--browser`, or one on the path: `apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import FloatRect, Page, sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main() -> int:
    """Saves one PNG for every section asked for; the whole page when none is."""
    parser = argparse.ArgumentParser(description="Save pictures of a palmette report.")
    parser.add_argument("report", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--section", action="append", default=[], help="an id; may be repeated")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--scale", type=float, default=1.0, help="device pixels a CSS pixel")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--browser", default=shutil.which("chromium"))
    options = parser.parse_args()
    if options.browser is None:
        print("no chromium on the path; install one or name it with --browser", file=sys.stderr)
        return 2
    if not options.report.is_file():
        print(f"there is no report at {options.report}", file=sys.stderr)
        return 2
    options.directory.mkdir(parents=True, exist_ok=True)
    for path in pictures(options):
        print(path)
    return 0


def pictures(options: argparse.Namespace) -> list[Path]:
    """Takes the pictures and returns their paths."""
    suffix = f"-{options.width}" + ("-dark" if options.dark else "")
    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=ARGUMENTS)
        page = browser.new_page(
            viewport={"width": options.width, "height": 900},
            color_scheme="dark" if options.dark else "light",
            device_scale_factor=options.scale,
        )
        page.goto(options.report.resolve().as_uri())
        page.wait_for_selector("html[data-drawn]")
        page.add_style_tag(content=".bar { display: none !important; }")
        for section in options.section or [None]:
            path = options.directory / f"{section or 'page'}{suffix}.png"
            if section is None:
                page.screenshot(path=path, full_page=True)
            else:
                page.screenshot(path=path, full_page=True, clip=frame(page, section))
            taken.append(path)
        browser.close()
    return taken


def frame(page: Page, section: str) -> FloatRect:
    """The place of an element on the page, with a margin: figures reach beyond the text."""
    found = page.locator(f"#{section}")
    box = found.bounding_box() if found.count() else None
    if box is None:
        raise SystemExit(f"the page has no visible element with the id {section!r}")
    width = page.viewport_size["width"] if page.viewport_size else box["width"]
    left = max(0.0, box["x"] - 80)
    right = min(float(width), box["x"] + box["width"] + 80)
    return {"x": left, "y": box["y"], "width": right - left, "height": box["height"] + 24}


if __name__ == "__main__":
    sys.exit(main())
