"""Pages that are kept in the repository carry Plotly's basic bundle, 1.2 MB instead of 4.8.

    npm pack plotly.js-basic-dist-min@VERSION   # of the whole bundle's head in the pages
    python scripts/slim.py package/plotly-basic.min.js docs/campaigns/*/*.html

The figures draw scatter and bar traces alone, which the basic bundle has. Pages stay whole: they
need no network and no file beside them. One that has been slimmed is left as it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

WHOLE = re.compile(r"<script>(/\*\*\n\* plotly\.js v[\d.]+\n.*?)</script>", re.DOTALL)
VERSION = re.compile(r"plotly\.js (?:\([^)]*\) )?(v[\d.]+)")


def main(given: list[str] | None = None) -> int:
    """Slims every page; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("pages", type=Path, nargs="+")
    options = parser.parse_args(given)
    basic = options.bundle.read_text("utf-8")
    for page in options.pages:
        text = page.read_text("utf-8")
        found = WHOLE.search(text)
        if found is None:
            continue
        theirs, ours = (VERSION.search(one[:400]) for one in (basic, found[1]))
        if theirs is None or ours is None or theirs[1] != ours[1]:
            print(f"{page} and {options.bundle} are of other versions of Plotly", file=sys.stderr)
            return 2
        page.write_text(text[: found.start(1)] + basic + text[found.end(1) :], "utf-8")
        print(f"{page}: {len(text) / 1e6:.1f} MB to {page.stat().st_size / 1e6:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
