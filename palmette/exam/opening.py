"""Opening an exam: whether it may be held, who sits it, and what it costs. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from palmette.errors import UserError
from palmette.exam.entrants import Named, Ranked, entries, hypotheses, ranked
from palmette.exam.price import Spread, price, spread_of
from palmette.exam.recipe import Recipe, looking, recipe_of, shorter
from palmette.exam.refusals import Asked, candidates_of, faults, faults_of_kept
from palmette.exam.tuning import trials_left, tuning_trials
from palmette.grammar.genome import Genome
from palmette.ladder.scales import HUMAN_BASELINES, Scale
from palmette.ladder.scales import scale as scale_named
from palmette.model import atlas, parse
from palmette.records import Entry, Price, StoredExam, StoredTrial
from palmette.search.strangers import welcome
from palmette.store import Campaign, Store
from palmette.store.exams import ExamRoom
from palmette.tasks import Corpus, load_corpus
from palmette.tasks.sealed import EXAM, exam_suite

UNDRAWN = EXAM + "0" * 16
"""A suite like the one that will be drawn, for sizes and lengths before the draw is opened."""


@dataclass(frozen=True)
class Options:
    """What a user may ask of an exam.

    scale           has to be the campaign's, if it is given
    candidates      how many may sit; the recipe's if None
    looks           seeds of the last rung after which it is judged
    tokens          share of the recipe's tokens
    leave_out       human baselines that do not sit
    tuning_trials   of each tuned baseline; 0 for none, None for the campaign's trials divided among
                    the baselines
    fresh_draw      sealed tasks that no exam has opened
    seed            from which the exam's seeds are drawn, with its number
    recipe          stands in for the scale's
    """

    scale: str | None = None
    candidates: int | None = None
    looks: tuple[int, ...] | None = None
    tokens: float = 1.0
    leave_out: tuple[str, ...] = ()
    tuning_trials: int | None = None
    fresh_draw: bool = False
    seed: int = 0
    corpus: Path | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True)
class OpenExam:
    """An exam that may be held, or goes on.

    `kept` is the one that was begun with the same candidates; finished, there is nothing left to do
    but to read it. `entries` of one that was not begun are as they will be, tuned baselines being
    stood in for by their defaults.
    """

    store: Store
    campaign: Campaign
    options: Options
    recipe: Recipe
    ladder: Scale
    corpus: Corpus
    candidates: tuple[Named, ...]
    baselines: tuple[Named, ...]
    placebos: tuple[Named, ...]
    tuning_trials: int
    entries: tuple[Entry, ...]
    price: Price
    spread: Spread
    context: int
    measured: tuple[StoredTrial, ...] = field(repr=False)
    kept: StoredExam | None = None

    @property
    def fresh(self) -> bool:
        """Whether sealed tasks are drawn when it begins."""
        return self.kept is None and (self.options.fresh_draw or not self.campaign.draws())


def open_exam(
    store: Store,
    campaign: Campaign,
    genomes: Sequence[tuple[Genome, str | None]] | None = None,
    options: Options | None = None,
) -> OpenExam:
    """Whether these genomes may be examined, with what the exam costs; writes nothing.

    Without genomes the campaign's best found ones are taken, or those of the exam that was begun.

    Raises `UserError` with everything that speaks against it.
    """
    options = options or Options()
    config = campaign.config
    if config.kind != "grow":
        raise UserError(f"{config.name} is of kind {config.kind}; an exam is of a search's genomes")
    welcome(campaign.strangers())
    ladder = scale_named(config.scale)
    recipe = _recipe(ladder, options)
    corpus = load_corpus(options.corpus)
    room, measured = ExamRoom(store), tuple(campaign.trials())
    exams = room.exams()
    own = [exam for exam in exams if exam.campaign == config.name]
    most = recipe.candidates if options.candidates is None else options.candidates
    found = ranked(campaign.candidates(), measured, ladder, most)
    given = tuple({genome.hash: Named(genome, name) for genome, name in genomes or ()}.values())
    best = tuple(Named(parse(text)) for text in found.candidates)
    kept = _kept(own, given, best, campaign, options)
    if kept is not None and kept.sitting in store.campaigns("exam"):
        welcome(store.campaign(kept.sitting).strangers())
    if kept is not None and kept.state == "running":
        told = faults_of_kept(kept, options.scale, corpus, exam_suite(kept.plan.suite))
        if told and not options.fresh_draw:
            raise UserError("\n".join(told))
        kept = None if told else kept
    asked = Asked(
        campaign=campaign,
        ladder=ladder,
        recipe=recipe,
        corpus=corpus,
        sealed=exam_suite(UNDRAWN),
        candidates=given or best,
        baselines=tuple(
            Named(atlas.load(name), name)
            for name in HUMAN_BASELINES
            if name not in options.leave_out
        ),
        scale=options.scale,
        most=options.candidates,
        leave_out=options.leave_out,
        fresh_draw=options.fresh_draw,
    )
    if kept is None and (told := faults(asked, own)):
        raise UserError("\n".join(told))
    tuning = options.tuning_trials
    if tuning is None:
        tuning = tuning_trials(len(measured), len(asked.baselines))
    spread = spread_of(store, exams, recipe)
    placebos = _placebos(asked, found, config.root_name)
    if kept is not None:
        entered, cost = kept.plan.entries, kept.plan.price
    else:
        defaults = {one.label: one.genome for one in asked.baselines} if tuning else {}
        entered = entries(
            asked.candidates, asked.baselines, defaults, placebos, recipe, asked.context
        )
        claimed = hypotheses(entered, recipe, room.ledger())
        left = trials_left(store, config.name, asked.baselines, tuning)
        cost = price(entered, claimed, recipe, left, measured, spread)
    return OpenExam(
        store=store,
        campaign=campaign,
        options=options,
        recipe=recipe,
        ladder=ladder,
        corpus=corpus,
        candidates=asked.candidates,
        baselines=asked.baselines,
        placebos=placebos,
        tuning_trials=tuning,
        entries=entered,
        price=cost,
        spread=spread,
        context=asked.context,
        measured=measured,
        kept=kept,
    )


def _placebos(asked: Asked, found: Ranked, root_name: str | None) -> tuple[Named, ...]:
    """The strongest human baseline again, and campaign placebos that would have been chosen."""
    names = {one.name: one for one in asked.baselines}
    strongest = names.get(found.strongest, asked.baselines[0])
    chosen = (Named(parse(text), root_name) for text in found.placebos)
    return (*(strongest,) * asked.recipe.placebos, *chosen)


def _recipe(ladder: Scale, options: Options) -> Recipe:
    recipe = options.recipe or recipe_of(ladder)
    if options.looks is not None:
        recipe = looking(recipe, options.looks)
    return recipe if options.tokens == 1 else shorter(recipe, options.tokens)


def _kept(
    own: Sequence[StoredExam],
    given: Sequence[Named],
    best: Sequence[Named],
    campaign: Campaign,
    options: Options,
) -> StoredExam | None:
    """The exam that the same command has begun: the newest unfinished one of these candidates, or
    of any if none are given; else a finished one of these candidates on the newest draw.
    """
    wanted = {one.genome.hash for one in given}
    for exam in reversed(own):
        if exam.state == "running" and wanted in (set(), candidates_of(exam)):
            return exam
    if options.fresh_draw:
        return None
    wanted = wanted or {one.genome.hash for one in best}
    newest = max((draw.number for draw in campaign.draws()), default=0)
    for exam in reversed(own):
        if exam.plan.draw == newest and wanted == candidates_of(exam):
            return exam
    return None
