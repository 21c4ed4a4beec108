"""Runs one figure's measurement, or draws the pictures."""

import sys
from importlib import import_module

FIGURES = ("validity", "overhead", "control", "steps", "pictures")

if len(sys.argv) < 2 or sys.argv[1] not in FIGURES:
    sys.exit(f"python -m benchmarks.designers {{{'|'.join(FIGURES)}}} ...")
sys.exit(import_module(f"benchmarks.designers.{sys.argv[1]}").main(sys.argv[2:]))
