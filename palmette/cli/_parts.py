"""How a model's parameters are spread over its parts."""

from __future__ import annotations

import torch
from torch import nn

from palmette.grammar.genome import Genome
from palmette.model import build_at
from palmette.model.stranger.node import stand_ins
from palmette.ops._base import Place, Primitive
from palmette.records import PartRow


def parts(genome: Genome, place: Place) -> tuple[PartRow, ...]:
    """Parameters by primitive, all copies together, with norms, embedding and head apart.

    Counted on the model itself, built without memory for its weights, so that the sum is `numel`.

    >>> import palmette
    >>> place = Place(width=32, depth=2, hidden=1.0, vocabulary=272, context=256)
    >>> [(row.part, row.parameters) for row in parts(palmette.parse("stack(pre(mlp()))"), place)]
    [('embedding', 8704), ('norms', 96), ('mlp', 16384)]
    """
    with torch.device("meta"), stand_ins():
        model = build_at(genome, place)
    names = _names(genome, place)
    modules = dict(model.named_modules())
    counts: dict[str, int] = {}
    for path, parameter in model.named_parameters():  # shared ones once
        part = _part(path, modules, names)
        counts[part] = counts.get(part, 0) + parameter.numel()
    return tuple(PartRow(part=part, parameters=count) for part, count in counts.items())


def _names(genome: Genome, place: Place) -> dict[object, str]:
    """The name of the primitive by the class that its plan makes; leaves alone.

    A rule is a leaf: the terms of its expression are no modules.
    """
    leaves = [
        node
        for _, node in genome.root.walk()
        if not node.sort.is_term and all(kid.sort.is_term for kid in node.nodes())
    ]
    return {leaf.plan(place).cls: leaf.name for leaf in leaves if isinstance(leaf, Primitive)}


def _part(path: str, modules: dict[str, nn.Module], names: dict[object, str]) -> str:
    above = path.split(".")[:-1]
    owners = [modules[".".join(above[:depth])] for depth in range(len(above) + 1)]
    for owner in owners:  # the outermost first: a norm inside a mixer is the mixer's
        if type(owner) in names:
            return names[type(owner)]
    if type(owners[-1]).__name__.endswith("Norm"):
        return "norms"
    if len(above) == 1:
        return above[0]  # the model's own: embedding, positions, head
    return "merges and gates"
