"""Who sits an exam, and what may be said of whom.

Candidates, the human baselines, the same tuned, each baseline once more on equal training FLOPs
where a candidate needs over 5 % more, and placebos. All have equal parameters (`tolerance`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from palmette.exam.league import efficient, enters, rivals
from palmette.exam.recipe import Recipe
from palmette.grammar.genome import Genome
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.ladder.ranking import best_rows
from palmette.ladder.scales import HUMAN_BASELINES, Scale
from palmette.ladder.statistics import lond_levels
from palmette.model import Fit, cost, fit
from palmette.model.binding import binding
from palmette.model.fit import TOLERANCE
from palmette.records import (
    Candidate,
    Claim,
    Entry,
    EntryRole,
    ExamRung,
    Hypothesis,
    League,
    LedgerRow,
    StoredTrial,
)
from palmette.search.compared import UNEQUAL
from palmette.tasks import VOCABULARY

LEAGUES: tuple[League, ...] = ("constant-state", "open")
CARRY_TOLERANCE = 0.05


@dataclass(frozen=True)
class Named:
    """A genome, with its atlas name if it has one."""

    genome: Genome
    name: str | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or self.genome.hash[:8]


@dataclass(frozen=True)
class Ranked:
    """What a campaign's own results say about who should sit.

    candidates      expressions of the best found genomes on the highest rung that one has reached
    placebos        expressions of campaign placebos that would have been chosen with them
    strongest       name of the best human baseline on the highest rung; None if none has a score
    """

    candidates: tuple[str, ...]
    placebos: tuple[str, ...]
    strongest: str | None


def ranked(
    candidates: Sequence[Candidate],
    trials: Sequence[StoredTrial],
    scale: Scale,
    most: int,
    baselines: Sequence[str] = HUMAN_BASELINES,
) -> Ranked:
    """Reads a campaign by shrunken estimates, so that luck on few seeds does not choose."""
    rows = best_rows(candidates, trials, scale)
    found = [row for row in rows if row.role == "found"]
    chosen = [row for row in found if row.rung == found[0].rung][:most]
    beside = [row for row in rows if chosen and row.rung == chosen[0].rung]
    placebos = [row for row in beside if row.role == "placebo" and row.score >= chosen[-1].score]
    human = [row for row in rows if row.role in ("root", "baseline") and row.name in baselines]
    return Ranked(
        candidates=tuple(row.expression for row in chosen),
        placebos=tuple(row.expression for row in placebos),
        strongest=human[0].name if human else None,
    )


@lru_cache(maxsize=1024)
def sized(genome: Genome, parameters: int, context: int) -> Fit:
    """The sizes of a genome, found once."""
    return fit(genome, parameters, VOCABULARY, context)


def misfits(named: Iterable[Named], recipe: Recipe, context: int) -> Iterator[str]:
    """A sentence for each genome that cannot be matched in parameters, and what binds."""
    for one in named:
        for rung in recipe.rungs:
            found = sized(one.genome, rung.parameters, context)
            if reason := binding(one.genome, found, tolerance(rung, recipe)):
                yield (f"{one.label} cannot be matched at {rung.parameters:,} parameters: {reason}")
                break


def tolerance(rung: ExamRung, recipe: Recipe) -> float:
    """By what share of a size's parameters an entry may miss it: 2 % where verdicts are made.

    At the smaller sizes, where it is only looked whether an advantage carries, 5 %: there a step of
    width is larger, and a genome with no hidden width to adjust would be refused for it.
    """
    return TOLERANCE if rung == recipe.last else CARRY_TOLERANCE


def entries(
    candidates: Sequence[Named],
    baselines: Sequence[Named],
    tuned: Mapping[str, Genome],
    placebos: Sequence[Named],
    recipe: Recipe,
    context: int,
) -> tuple[Entry, ...]:
    """Everyone who sits, candidates first.

    `tuned` is by the baselines' names, `placebos` are the designs that sit again with seeds of
    their own. `context` is the longest length that any evaluation uses; state is counted there.
    Sizes have to fit, see `misfits`.
    """
    figures = _Figures(recipe, context)
    made = [figures.entry("candidate", one, one.label) for one in candidates]
    plain: list[tuple[EntryRole, Named, str, str | None]] = [
        ("baseline", one, one.label, one.name) for one in baselines
    ]
    better: list[tuple[EntryRole, Named, str, str | None]] = [
        ("tuned", Named(genome, None), f"{name} tuned", name) for name, genome in tuned.items()
    ]
    seated = list(made)
    for group in (plain, better):
        own = [figures.entry(role, one, label, baseline) for role, one, label, baseline in group]
        seated += own
        seated += [
            figures.entry(
                role,
                one,
                f"{label} x{stretch:.2f} for {candidate.label}",
                baseline,
                stretch=stretch,
                matches=candidate.label,
            )
            for candidate in made
            for (role, one, label, baseline), entry in zip(group, own, strict=True)
            if (stretch := round(candidate.flops_train / entry.flops_train, 3)) > UNEQUAL
        ]
    again: dict[str, int] = {}
    for one in placebos:
        replica = again[one.genome.hash] = again.get(one.genome.hash, 0) + 1
        label = f"placebo {replica} of {one.label}"
        seated.append(figures.entry("placebo", one, label, baseline=one.name, replica=replica))
    return tuple(_relabelled(seated))


@dataclass(frozen=True)
class _Figures:
    """What genomes cost on the last rung."""

    recipe: Recipe
    context: int

    def entry(
        self,
        role: EntryRole,
        named: Named,
        label: str,
        baseline: str | None = None,
        stretch: float = 1.0,
        matches: str | None = None,
        replica: int = 0,
    ) -> Entry:
        rung, genome = self.recipe.last, named.genome
        place = sized(genome, rung.parameters, self.context).place
        price = cost(genome, place, rung.length)
        return Entry(
            label=label,
            role=role,
            genome=genome.hash,
            expression=genome.text,
            name=named.name,
            replica=replica,
            baseline=baseline,
            stretch=stretch,
            matches=matches,
            parameters=price.parameters,
            flops_forward=price.flops_forward,
            flops_train=price.flops_train * round(stretch * rung.tokens),
            state_bytes=cost(genome, place, self.context).state_bytes,
            constant_state=Effect.CONSTANT_STATE in effects(genome.root),
        )


def _relabelled(made: Sequence[Entry]) -> Iterator[Entry]:
    """Labels that are there already get a number."""
    seen: dict[str, int] = {}
    for entry in made:
        times = seen[entry.label] = seen.get(entry.label, 0) + 1
        yield (
            entry if times == 1 else entry.model_copy(update={"label": f"{entry.label} ({times})"})
        )


def hypotheses(
    sitting: Sequence[Entry], recipe: Recipe, ledger: Sequence[LedgerRow]
) -> tuple[Hypothesis, ...]:
    """What the exam may say, with the error that the ledger leaves to each.

    The claims of better scores come first, candidate by candidate in their order, since what comes
    later gets less. A claim of efficiency is made only where some baseline of the league is costly
    enough that the candidate could be called efficient beside it.
    """
    asked: list[tuple[Entry, League, Claim]] = [
        (entry, league, claim)
        for claim in ("score", "efficiency")
        for entry in sitting
        for league in LEAGUES
        if entry.role == "candidate"
        and enters(entry, sitting, league)
        and (claim == "score" or _may_be_efficient(entry, sitting, league, recipe.efficiency))
    ]
    rejected = [row.verified for row in ledger]
    return tuple(
        Hypothesis(
            number=len(ledger) + place + 1,
            candidate=entry.label,
            league=league,
            claim=claim,
            alpha=lond_levels(recipe.q, rejected, ahead=place),
        )
        for place, (entry, league, claim) in enumerate(asked)
    )


def _may_be_efficient(entry: Entry, sitting: Sequence[Entry], league: League, share: float) -> bool:
    return any(efficient(entry, rival, share) for rival in rivals(entry, sitting, league))
