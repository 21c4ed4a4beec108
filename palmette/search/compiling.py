"""At which rungs the trials of a campaign go through torch.compile.

A campaign weighs it when it begins (`train/compiling.py`) and keeps what it has found, for compiled
trials have numbers of their own. The last rung is the longest and has the largest models; where
compiling does not pay there, it pays nowhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from palmette.errors import PalmetteError
from palmette.grammar.genome import Genome
from palmette.ladder.scales import Rung, Scale
from palmette.model.stranger.node import strangers_of
from palmette.ops.forms import COMPILED
from palmette.tasks import VOCABULARY
from palmette.train.compiling import CompileCost, Job, measure, worth_measuring


@dataclass(frozen=True)
class Weighed:
    """The rungs whose trials are compiled, and what was measured on the root at each rung."""

    rungs: tuple[str, ...]
    reason: str
    costs: dict[str, CompileCost]

    @property
    def detail(self) -> dict[str, object]:
        """As the campaign keeps it."""
        return asdict(self)


def weigh(root: Genome, scale: Scale, context: int, kernel: str) -> Weighed:
    """Measures the root from the last rung down, as long as compiling pays."""
    if strangers_of(root):
        return Weighed((), "files of others are run where no compiler is", {})
    rungs: list[str] = []
    costs: dict[str, CompileCost] = {}
    for rung in reversed(scale.rungs):
        trials = rung.rates * rung.seeds
        if not worth_measuring(rung.expected_seconds, trials):
            return Weighed(tuple(rungs), f"trials of rung {rung.name} are too short", costs)
        try:
            cost = costs[rung.name] = measure(_job(root, rung, context, kernel))
        except PalmetteError as error:
            return Weighed(tuple(rungs), str(error), costs)
        if not cost.pays(rung.tokens, trials):
            return Weighed(tuple(rungs), f"it does not pay at rung {rung.name}", costs)
        rungs.insert(0, rung.name)
    return Weighed(tuple(rungs), "it pays at every rung", costs)


def _job(root: Genome, rung: Rung, context: int, kernel: str) -> Job:
    return Job(
        expression=str(root),
        parameters=rung.parameters,
        vocabulary=VOCABULARY,
        context=context,
        batch_size=rung.batch_size,
        length=rung.length,
        kernel=kernel,
    )


def compiled_kernel(kernel: str) -> str:
    """The kernel of compiled trials whose models are built with this one."""
    return next(compiled for compiled, form in COMPILED.items() if form == kernel)
