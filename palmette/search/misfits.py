"""What cannot have the size that a rung asks for, and why."""

from collections.abc import Iterable, Iterator

from palmette.grammar.genome import Genome
from palmette.ladder.scales import Scale
from palmette.model import fit
from palmette.model.binding import binding
from palmette.tasks import VOCABULARY


def misfits(
    named: Iterable[tuple[Genome, str | None]], ladder: Scale, context: int
) -> Iterator[str]:
    """A sentence for each genome and rung where the nearest size is more than 2 % off.

    Such a genome is trained all the same, at that size, but it is no fair comparison.
    """
    for genome, name in named:
        for number, rung in enumerate(ladder.rungs, 1):
            found = fit(genome, rung.parameters, VOCABULARY, context)
            reason = binding(genome, found)
            if reason:
                yield (
                    f"{name or genome.hash[:8]} runs with {found.parameters:,} parameters at rung "
                    f"{number} instead of {rung.parameters:,}: {reason}"
                )
