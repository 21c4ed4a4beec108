"""Why a genome cannot have the size that was asked for: which bound binds."""

from dataclasses import replace

from palmette.grammar.genome import Genome
from palmette.model.fit import HIDDEN, TOLERANCE, Fit, cost, widths_of
from palmette.ops._base import Primitive


def binding(genome: Genome, found: Fit, within: float = TOLERANCE) -> str | None:
    """What keeps a genome from the wanted size, within 2 % or another share; None if nothing does.

    >>> import palmette
    >>> genome = palmette.parse("stack(pre(glu()))")
    >>> binding(genome, palmette.fit(genome, 200))[:57]
    'its smallest size, width 1 and depth 1, has 264 parameter'
    """
    if abs(found.error) <= within:
        return None
    assert isinstance(genome.root, Primitive), "a genome's root is made of primitives"
    widths = widths_of(genome.root)
    usable = widths.only or range(
        widths.least, found.place.width + 2 * widths.multiple, widths.multiple
    )
    smallest = replace(found.place, width=usable[0], depth=1, hidden=HIDDEN[0])
    least = cost(genome, smallest, 1).parameters
    if least > found.wanted:
        trunk = sum(part.cost(smallest, 1).parameters for part in genome.root.nodes())
        return (
            f"its smallest size, width {smallest.width} and depth 1, has {least:,} parameters, "
            f"more than the {found.wanted:,} asked for; {least - trunk:,} of them stand around the "
            "trunk, in the embedding above all; ask for more parameters or for fewer token ids"
        )
    here, depth = found.place.width, found.place.depth
    near = [
        max((w for w in usable if w < here), default=here),
        min((w for w in usable if w > here), default=here),
    ]
    sizes = {
        w: cost(genome, replace(found.place, width=w), 1).parameters for w in near if w != here
    }
    steps = "".join(f", {size:,} at width {width}" for width, size in sizes.items())
    ends = [cost(genome, replace(found.place, hidden=h), 1).parameters for h in HIDDEN]
    if ends[0] == ends[1]:
        rest = "and it has no channel mixer whose hidden width could take up the rest"
    else:
        rest = (
            f"and the hidden widths of its channel mixers, kept between {HIDDEN[0]:g} and "
            f"{HIDDEN[1]:g} of the usual, reach only {ends[0]:,} to {ends[1]:,}"
        )
    return (
        f"one step of width is too large for {100 * within:g} %: {found.parameters:,} "
        f"parameters at width {here} and depth {depth}{steps}, {rest}"
    )
