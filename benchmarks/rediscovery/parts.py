"""The parts that are looked for in a genome."""

from __future__ import annotations

from collections.abc import Callable

from palmette.grammar.genome import Genome
from palmette.grammar.node import Node

ATTENTION = ("attn", "nsa", "moba", "compressed")


def decays(node: Node) -> bool:
    """A state that is forgotten at a rate: a `lin` with a decay, a `scan`, a rule's `decay`."""
    if node.name == "lin":
        return node.knobs()["decay"] != "none"
    return node.name in ("scan", "decay")


def convolves(node: Node) -> bool:
    """A convolution: the node, or taps of the short one inside another token mixer."""
    return node.name == "conv" or bool(node.knobs().get("conv"))


def attends(node: Node) -> bool:
    """Softmax attention over tokens, in any of its forms."""
    return node.name in ATTENTION


PARTS: dict[str, Callable[[Node], bool]] = {
    "decay": decays,
    "convolution": convolves,
    "attention": attends,
}


def parts(genome: Genome) -> tuple[str, ...]:
    """The names of the parts that a genome has, anywhere in it.

    >>> import palmette
    >>> parts(palmette.parse("stack(pre(lin(decay='scalar', conv=0)), pre(attn()))"))
    ('decay', 'attention')
    """
    nodes = [node for _, node in genome.root.walk()]
    return tuple(name for name, found in PARTS.items() if any(found(node) for node in nodes))
