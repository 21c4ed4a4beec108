"""A genome as a subject: built small, with everything that its nodes promise."""

from __future__ import annotations

import torch

from palmette.gates._base import Subject, Trained
from palmette.grammar.genome import Genome
from palmette.grammar.node import effects
from palmette.model import build_at, cost, fit
from palmette.ops._base import Place
from palmette.ops._segments import unreached

WIDTH, DEPTH, VOCABULARY = 32, 2, 32
CONTEXT = 2048  # learned positions have as many rows; the cost gate goes that far


def subject_of(
    genome: Genome,
    parameters: int | None = None,
    vocabulary: int = VOCABULARY,
    context: int = CONTEXT,
    trained: Trained | str = "no trained weights of it are kept",
    width: int = WIDTH,
    depth: int = DEPTH,
) -> Subject:
    """The genome at this width and depth, or at the size that has about `parameters` parameters.

    Promises and closed forms hold at every size, so a small one finds out what breaks them.

    >>> import palmette
    >>> subject_of(palmette.parse("stack(pre(glu()))")).parameters
    17440
    """
    place = Place(width=width, depth=depth, hidden=1.0, vocabulary=vocabulary, context=context)
    if parameters is not None:
        place = fit(genome, parameters, vocabulary, context).place
    with torch.device("meta"):
        spared = unreached(build_at(genome, place))
    return Subject(
        make=lambda: build_at(genome, place, seed=0),
        takes="ids",
        width=place.width,
        vocabulary=vocabulary,
        promises=effects(genome.root),
        context=context,
        parameters=cost(genome, place, 1).parameters,
        flops_forward=lambda length: cost(genome, place, length).flops_forward,
        state_bytes=lambda length: cost(genome, place, length).state_bytes,
        genome=genome,
        place=place,
        trained=trained,
        unreached=spared,
    )
