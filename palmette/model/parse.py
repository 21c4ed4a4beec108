"""From text to genome, in the language of all installed primitives."""

from palmette.grammar.canonical import canonical
from palmette.grammar.genome import Genome
from palmette.grammar.syntax import parse as parse_tree
from palmette.ops import language


def parse(text: str) -> Genome:
    """Reads an expression; a trunk or a block is wrapped as `lm(...)`.

    Raises `GenomeError` with every fault of the text and its place.

    >>> str(parse("seq(pre(mlp()), pre(mlp()))"))
    'lm(stack(pre(mlp())))'
    """
    return Genome(canonical(parse_tree(text, language())))
