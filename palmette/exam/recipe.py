"""How an exam is held: sizes, tokens, seeds, looks and margins, all fixed before it is drawn up.

A recipe is made from a scale, as scales are made: a function that returns a frozen dataclass; a
variant replaces fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from palmette.errors import UserError
from palmette.ladder.scales import Rung, Scale
from palmette.ladder.statistics import shares
from palmette.records import ExamPlan, ExamRung

CARRY_SEEDS = 4
LOOKS = (6, 12)
SIZES = 3  # at so many it is looked whether an advantage carries
LONGER = {"pocket": 1.25, "evening": 1.25}
"""So many times its rungs' tokens an exam of a scale trains, where those do not get the sealed
families off chance: at 168,000 parameters that takes some 550,000 tokens (`tasks/sealed`).
"""


@dataclass(frozen=True)
class Recipe:
    """Everything about an exam that does not depend on who sits it.

    rungs              sizes and tokens; verdicts are made on the last one
    learning_rates     the sweep that every entry gets at every rung, on one seed
    rate_factor        the step by which a sweep goes on when its optimum is at the edge
    extensions         how many such steps at most
    looks              seeds of the last rung after which it is judged
    q                  false-discovery rate over everything that the store ever sends to an exam
    text_margin_bits   by how much held-out text may be worse, in bits per byte; of designs that
                       are as good over 97 % show that, by the noise of the exams that ship
    score_margin       by how much the endpoint of an efficient design may be worse
    efficiency         share of the state or of the FLOPs that counts as efficient
    candidates         how many may sit at most
    placebos           re-seeded copies of the strongest human baseline
    power              with which the effect that is told beforehand would be found
    paired             whether entries are compared seed by seed; None is what was measured to see
                       more, and seed by seed where nothing was
    """

    scale: str
    rungs: tuple[ExamRung, ...]
    learning_rates: tuple[float, ...]
    rate_factor: float
    extensions: int
    looks: tuple[int, ...] = LOOKS
    q: float = 0.05
    text_margin_bits: float = 0.04
    score_margin: float = 0.01
    efficiency: float = 0.5
    candidates: int = 3
    placebos: int = 1
    power: float = 0.8
    paired: bool | None = None

    @property
    def shares(self) -> tuple[float, ...]:
        """What each look may spend of a hypothesis' alpha."""
        return shares(self.looks)

    @property
    def last(self) -> ExamRung:
        """Where verdicts are made."""
        return self.rungs[-1]

    @property
    def seeds(self) -> int:
        """Seeds of the last rung at most."""
        return self.looks[-1]


def recipe_of(scale: Scale) -> Recipe:
    """The exam of a scale: its uppermost rungs, and halves of the lowest where there are too few.

    >>> from palmette.ladder.scales import pocket
    >>> recipe = recipe_of(pocket())
    >>> [(rung.parameters, rung.tokens, rung.seeds) for rung in recipe.rungs]
    [(42000, 143360, 4), (84000, 286720, 4), (168000, 573440, 12)]
    """
    longer = LONGER.get(scale.name, 1)
    chosen = list(scale.rungs[-SIZES:])
    while len(chosen) < SIZES:
        low = chosen[0]
        chosen.insert(0, replace(low, parameters=low.parameters // 2, tokens=low.tokens // 2))
    rungs = [
        ExamRung(
            name=str(number),
            parameters=rung.parameters,
            tokens=round(longer * rung.tokens),
            batch_size=rung.batch_size,
            length=rung.length,
            evaluation_tokens=rung.evaluation_tokens,
            seeds=CARRY_SEEDS,
        )
        for number, rung in enumerate(chosen, 1)
    ]
    made = Recipe(
        scale=scale.name,
        rungs=tuple(rungs),
        learning_rates=scale.learning_rates,
        rate_factor=scale.rate_factor,
        extensions=scale.extensions,
    )
    return looking(made, LOOKS)


def looking(recipe: Recipe, looks: Sequence[int]) -> Recipe:
    """The same with other looks, the last of which has the most seeds.

    Raises `UserError` if they do not rise, or if the first has fewer than two seeds.
    """
    rising = all(a < b for a, b in pairwise(looks))
    if not looks or looks[0] < 2 or not rising:
        told = ", ".join(map(str, looks)) or "none"
        raise UserError(
            f"an exam is judged after rising numbers of seeds, two or more such as 6 and 12; got "
            f"{told}"
        )
    last = recipe.last.model_copy(update={"seeds": looks[-1]})
    return replace(recipe, rungs=(*recipe.rungs[:-1], last), looks=tuple(looks))


def shorter(recipe: Recipe, share: float) -> Recipe:
    """The same with this share of the tokens at every rung.

    Raises `UserError` for a share that is not above 0.
    """
    if share <= 0:
        raise UserError(f"an exam trains on more than no tokens; {share:g} of them is none")
    rungs = [
        rung.model_copy(update={"tokens": round(share * rung.tokens)}) for rung in recipe.rungs
    ]
    return replace(recipe, rungs=tuple(rungs))


def ladder_of(plan: ExamPlan) -> Scale:
    """The rungs of an exam's trials: those of the plan, and longer ones for stretched entries."""
    stretches = sorted({entry.stretch for entry in plan.entries})
    rungs = [stretched(rung, stretch) for rung in plan.rungs for stretch in stretches]
    return Scale(
        name=plan.scale,
        rungs=tuple(rungs),
        suite=plan.suite,
        learning_rates=plan.learning_rates,
        rate_factor=plan.rate_factor,
        extensions=plan.extensions,
        eta=1,
        patience=0,
        least=0,
        placebo_every=0,
        islands=1,
        flops_limit=float("inf"),
        baselines=(),
    )


def stretched(rung: ExamRung, stretch: float = 1.0) -> Rung:
    """A rung as trials have it, on so many times the tokens.

    >>> from palmette.ladder.scales import seedling
    >>> stretched(looking(recipe_of(seedling()), (2,)).last, 1.5).name
    '3 x1.500'
    """
    return Rung(
        name=rung.name if stretch == 1 else f"{rung.name} x{stretch:.3f}",
        parameters=rung.parameters,
        tokens=round(stretch * rung.tokens),
        batch_size=rung.batch_size,
        length=rung.length,
        evaluation_tokens=rung.evaluation_tokens,
        rates=1,
        seeds=rung.seeds,
        scored=(),
        evaluated=(),
        expected_seconds=0.0,
    )
