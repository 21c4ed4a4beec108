"""Explaining a genome: what it is made of, drawn."""

from palmette.explain.diagram import svg, text_diagram

__all__ = ["svg", "text_diagram"]
