"""`palmette sample`: legal genomes, drawn from the grammar."""

from __future__ import annotations

import random
from typing import Annotated

import typer

from palmette.cli._options import FormatOption
from palmette.cli._print import show_rows
from palmette.grammar.sample import sample_genome
from palmette.ops import language
from palmette.records import SampleRow


def sample(
    number: Annotated[int, typer.Option("-n", min=0, help="How many.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed draws the same genomes.")] = 0,
    form: FormatOption = "table",
) -> None:
    """Draw legal genomes, one a line."""
    rng = random.Random(seed)
    words = language()
    drawn = (sample_genome(words, rng) for _ in range(number))
    if form == "json":
        rows = [SampleRow(genome=genome.hash, expression=genome.text) for genome in drawn]
        show_rows(rows, form)
        return
    for genome in drawn:
        print(genome.text)
