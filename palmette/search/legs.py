"""What a `compare` consists of: legs, each a comparison of its own, and what they will cost.

One leg is the comparison itself. Another rung is another leg, and so is the reference trained for
longer, to equal the FLOPs of a genome that costs more: the same seeds, so it stays paired. Each leg
is kept under its own name, so what an earlier command has trained is never trained again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from palmette.errors import UserError
from palmette.grammar.genome import Genome
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.ladder.calibration import Calibration, calibration
from palmette.ladder.results import fitness
from palmette.ladder.scales import Rung, Scale
from palmette.ladder.statistics import (
    Noise,
    Pairing,
    detectable_effect,
    difference_deviation,
    paired_noise,
)
from palmette.model import cost, fit
from palmette.records import CampaignConfig
from palmette.search.compared import UNEQUAL
from palmette.search.comparison import SEEDS, comparison_name, duel
from palmette.store import Store
from palmette.tasks import VOCABULARY
from palmette.train.seeding import NUMERICS

POWER = 0.8
CALIBRATED = ("wide", "text")  # suites whose noise stands in for that of others
ALPHA = 0.025  # one-sided: that of a 95 % interval that excludes zero


@dataclass(frozen=True)
class Leg:
    """Genomes on one ladder; `rung` is the scale's. `longer` is how many times the tokens the
    reference, which is then alone, is trained on, and `beside` the genome that it is to equal.
    `pairing` is what the calibration says of shared seeds at this rung; None where it says nothing.
    """

    rung: str
    ladder: Scale
    genomes: tuple[Genome, ...]
    pairing: Pairing | None
    longer: float = 1.0
    beside: Genome | None = None

    @property
    def name(self) -> str:
        """What it is kept under."""
        return comparison_name([genome.hash for genome in self.genomes], self.ladder)

    @property
    def paired(self) -> bool:
        """Whether genomes are compared seed by seed: unless that is known to see less."""
        return self.pairing is None or self.pairing.pays

    @property
    def trials(self) -> int:
        """Its trials, if no sweep goes on past its edge."""
        return len(self.genomes) * sum(rung.rates * rung.seeds for rung in self.ladder.rungs)


def legs(
    recipe: Scale,
    rungs: Sequence[int],
    seeds: int,
    genomes: Sequence[Genome],
    equal_flops: bool,
    suite: str,
    context: int,
) -> list[Leg]:
    """All legs, by rung (counted from 0); `context` is the longest length of any evaluation."""
    made: list[Leg] = []
    for number in rungs:
        rung = recipe.rungs[number]
        pairing = known_pairing(recipe.name, rung, suite, seeds)
        made.append(Leg(rung.name, duel(recipe, number, seeds), tuple(genomes), pairing))
        if not equal_flops:
            continue
        reference, *others = genomes
        least = training_flops(reference, rung, context)
        for genome in dict.fromkeys(others):
            longer = round(training_flops(genome, rung, context) / least, 3)
            if longer > UNEQUAL:
                ladder = stretched(duel(recipe, number, seeds), longer)
                made.append(Leg(rung.name, ladder, (reference,), pairing, longer, genome))
    return made


def stretched(ladder: Scale, longer: float) -> Scale:
    """The ladder with so many times the tokens."""
    rungs = [replace(rung, tokens=round(longer * rung.tokens)) for rung in ladder.rungs]
    return replace(ladder, rungs=tuple(rungs))


def training_flops(genome: Genome, rung: Rung, context: int) -> float:
    """Of one trial at a rung."""
    place = fit(genome, rung.parameters, VOCABULARY, context).place
    return cost(genome, place, rung.length).flops_train * rung.tokens


def constant_state(genome: Genome) -> bool:
    """Whether its state does not grow with the text."""
    return Effect.CONSTANT_STATE in effects(genome.root)


def require_alike(kept: CampaignConfig, asked: CampaignConfig) -> None:
    """Refuses to go on with a comparison whose numbers would not be comparable.

    Raises `UserError` with everything that has changed since it was begun.
    """
    told = []
    if kept.numerics != asked.numerics:
        told.append(f"numerics {kept.numerics} (this version has {asked.numerics})")
    if kept.suite != asked.suite:
        told.append(f"the suite {kept.suite} (this command says {asked.suite})")
    elif kept.suite_digest != asked.suite_digest:
        told.append(f"the text of {kept.corpus} (this command reads {asked.corpus})")
    if kept.seed != asked.seed:
        told.append(f"the seed {kept.seed} (this command says {asked.seed})")
    if told:
        raise UserError(
            f"these genomes were compared with {', '.join(told)}, and numbers of both are not "
            "compared; repeat the command as it was, or begin afresh in another store: --storage "
            "sqlite:///other.db"
        )


@dataclass(frozen=True)
class Cost:
    """What a comparison costs and sees; None where nothing tells the noise.

    seconds      of worker time, by the scale's own figures
    detectable   the smallest true difference that is found with 80 % power
    noise_from   where the noise is known from
    """

    trials: int
    seconds: float
    detectable: float | None
    noise_from: str

    @property
    def sentence(self) -> str:
        """All of it in a sentence."""
        told = f"{self.trials} trials, about {math.ceil(self.seconds / 60)} min of worker time"
        if self.detectable is None:
            return f"{told}; {self.noise_from}, so what it can detect is not known beforehand"
        return (
            f"{told}; a difference of {self.detectable:.4f} is found with {POWER:.0%} power (noise "
            f"of {self.noise_from})"
        )


def cost_of(store: Store | None, made: Sequence[Leg], seeds: int, config: CampaignConfig) -> Cost:
    """The price of all legs together; what is detectable is that of the first."""
    seconds = sum(
        len(leg.genomes) * leg.longer * rung.rates * rung.seeds * rung.expected_seconds
        for leg in made
        for rung in leg.ladder.rungs
    )
    known = known_noise(store, made[0], config)
    detectable = None
    if known is not None:
        pairing, paired = made[0].pairing, made[0].paired
        deviation = difference_deviation(known[0])
        if pairing is not None and not paired:  # what seeds do to all alike is not taken out
            deviation /= math.sqrt(1 - pairing.correlation.value)
        detectable = detectable_effect(deviation, seeds, ALPHA, POWER, paired)
    source = known[1] if known else "no earlier result tells the noise"
    return Cost(sum(leg.trials for leg in made), seconds, detectable, source)


def known_noise(store: Store | None, leg: Leg, config: CampaignConfig) -> tuple[Noise, str] | None:
    """Of one seed, with what seeds do to all genomes alike taken out: from earlier comparisons at
    this size on this suite, else from the calibration that ships.
    """
    rung = leg.ladder.rungs[-1]
    if store is not None and (found := _in_store(store, rung, config)):
        return found
    for table, suite in _calibrated(leg.ladder.name, config.suite):
        if noise := table.noise(rung.scored, leg.rung, suite):
            return noise, f"the calibration, suite {suite}"
    return None


def known_pairing(scale: str, rung: Rung, suite: str, seeds: int) -> Pairing | None:
    """What the calibration that ships says of seeds that genomes share at a rung of a scale."""
    for table, known in _calibrated(scale, suite):
        if pairing := table.pairing(rung.scored, rung.name, known, seeds):
            return pairing
    return None


def _calibrated(scale: str, suite: str) -> Iterator[tuple[Calibration, str]]:
    """The table of a scale with every suite that may stand in for this one, itself first."""
    table = calibration(scale)
    if table is not None and table.numerics == NUMERICS:
        for one in dict.fromkeys((suite, *CALIBRATED)):
            yield table, one


def _in_store(store: Store, rung: Rung, config: CampaignConfig) -> tuple[Noise, str] | None:
    best: Noise | None = None
    for name in store.campaigns("compare"):
        campaign = store.campaign(name)
        own = campaign.config
        if (own.suite_digest, own.numerics) != (config.suite_digest, config.numerics):
            continue
        by_genome: dict[str, dict[int, float]] = {}
        for trial in campaign.trials():
            spec = trial.spec
            same = (spec.parameters, spec.tokens) == (rung.parameters, rung.tokens)
            if trial.result and same and spec.rung == SEEDS:
                score = fitness(trial.result.metrics, rung)
                by_genome.setdefault(spec.genome, {})[spec.seed] = score
        shared = set.intersection(*map(set, by_genome.values())) if by_genome else set()
        noise = paired_noise([[own[seed] for seed in sorted(shared)] for own in by_genome.values()])
        if noise and (best is None or noise.freedom > best.freedom):
            best = noise
    return (best, f"an earlier comparison, {best.freedom} degrees of freedom") if best else None
