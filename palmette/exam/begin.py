"""Beginning an exam: baselines are tuned, the draw is opened, and everything is fixed."""

from __future__ import annotations

import hashlib

from palmette.exam.entrants import entries, hypotheses
from palmette.exam.opening import OpenExam
from palmette.exam.price import price
from palmette.exam.refusals import candidates_of
from palmette.exam.tuning import Executors, OnUpdate, ground_of, tune, tuned_from
from palmette.grammar.genome import Genome
from palmette.records import CampaignConfig, ExamPlan, LedgerRow, StoredExam
from palmette.search.packing import packed_kernel
from palmette.store.exams import ExamRoom
from palmette.tasks.sealed import EXAM, exam_suite, key_of
from palmette.train.seeding import NUMERICS


def begin(opened: OpenExam, executor: Executors, workers: int, on_update: OnUpdate) -> StoredExam:
    """Tunes the baselines, opens the draw, and fixes everything; or returns the exam of the same
    candidates that another process has begun meanwhile.
    """
    store, campaign, recipe = opened.store, opened.campaign, opened.recipe
    tuned: dict[str, Genome] = {}
    if opened.tuning_trials:
        grounds = [
            ground_of(campaign.config, opened.ladder, opened.corpus, one)
            for one in opened.baselines
        ]
        tune(store, grounds, opened.tuning_trials, workers, executor, on_update)
        tuned = {
            one.label: tuned_from(store, ground, recipe, opened.context)
            for one, ground in zip(opened.baselines, grounds, strict=True)
        }
    sitting = entries(
        opened.candidates, opened.baselines, tuned, opened.placebos, recipe, opened.context
    )
    room = ExamRoom(store)
    draw = campaign.commit_draw() if opened.fresh else campaign.draws()[-1]
    drawn = room.open_draw(campaign, draw.number)
    assert drawn.secret is not None, "an open draw has its secret"
    suite = exam_suite(EXAM + key_of(bytes.fromhex(drawn.secret)))
    digest = suite.digest(opened.corpus.sha256)
    config = campaign.config

    wanted = {one.genome.hash for one in opened.candidates}

    def make(number: int, ledger: list[LedgerRow]) -> ExamPlan | StoredExam:
        for exam in room.exams(campaign):  # the same command's, run elsewhere
            if exam.plan.draw == draw.number and candidates_of(exam) == wanted:
                return exam
        asked = hypotheses(sitting, recipe, ledger)
        return ExamPlan(
            campaign=config.name,
            draw=draw.number,
            scale=recipe.scale,
            suite=suite.name,
            suite_digest=digest,
            corpus=opened.corpus.origin,
            numerics=NUMERICS,
            kernel=kernel_of(config),
            seed=_seed(config, opened.options.seed, number),
            rungs=recipe.rungs,
            learning_rates=recipe.learning_rates,
            rate_factor=recipe.rate_factor,
            extensions=recipe.extensions,
            looks=recipe.looks,
            shares=recipe.shares,
            q=recipe.q,
            paired=opened.spread.paired,
            correlation=opened.spread.correlation,
            text_margin_bits=recipe.text_margin_bits,
            score_margin=recipe.score_margin,
            efficiency=recipe.efficiency,
            tuning_trials=opened.tuning_trials,
            entries=sitting,
            hypotheses=asked,
            price=price(sitting, asked, recipe, 0, opened.measured, opened.spread),
        )

    return room.exam(room.begin(campaign, make))


def kernel_of(config: CampaignConfig) -> str:
    """The kernel of an exam's trials: the campaign's, packed where its trials are."""
    return packed_kernel(config.kernel) if config.packed else config.kernel


def _seed(config: CampaignConfig, given: int, number: int) -> int:
    text = f"exam/{config.seed}/{given}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
