"""An exam from its beginning to its verdicts; taken up again where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from palmette.exam.begin import begin
from palmette.exam.canary import Model, listen, unheard, withheld
from palmette.exam.judge import judge
from palmette.exam.nulls import resampled
from palmette.exam.opening import OpenExam, Options, open_exam
from palmette.exam.results import endpoint, sat, stands
from palmette.exam.sitting import Sitting, seat, sitting_config
from palmette.exam.tuning import Executors, OnUpdate
from palmette.model import parse
from palmette.records import ExamPlan, StoredExam, StoredTrial
from palmette.search.grow import grow
from palmette.search.strangers import remember
from palmette.store import Campaign
from palmette.store.exams import ExamRoom

__all__ = ["OpenExam", "Options", "models", "open_exam", "sit"]


def sit(
    opened: OpenExam,
    executor: Executors,
    workers: int = 1,
    on_update: OnUpdate = lambda campaign, update: None,
    reloading: Executors | None = None,
) -> StoredExam:
    """Holds an exam, or what is left of it, and returns it finished.

    `executor` makes who trains for a campaign: those that tune, then the sitting, whose entries may
    be strangers' files. `reloading` makes who evaluates the saved models again (`exam.reload`);
    without it there is no canary. If a model fails it, every verdict is withheld.
    """
    exam = opened.kept or begin(opened, executor, workers, on_update)
    room = ExamRoom(opened.store)
    if exam.state == "finished":
        return exam
    plan = exam.plan
    config = sitting_config(exam.sitting, plan, opened.campaign.config)
    campaign = opened.store.create_campaign(config)
    remember(campaign, [parse(entry.expression) for entry in plan.entries])
    seat(campaign, plan)
    with campaign.lease("verify") as lease:
        campaign.requeue_running()
        with executor(campaign) as trains:
            sitting = Sitting(campaign, plan, judge)
            grow(sitting, trains, lease.beat, partial(on_update, campaign))
        if reloading is not None:
            _listen(room, exam, campaign, reloading, lease.beat)
    measured = sat(plan, campaign.trials())
    judged = judge(plan, measured)
    nulls = resampled(plan, measured)
    rows = room.canary(exam.number)
    verdicts = withheld(judged.verdicts, rows)
    room.finish(exam.number, verdicts, withheld(judged.placebos, rows), nulls)
    return room.exam(exam.number)


def models(plan: ExamPlan, trials: Sequence[StoredTrial]) -> list[Model]:
    """The saved models whose values count: of the last rung, at the chosen rates."""
    return [
        Model(stand.entry.label, trial)
        for stand in stands(plan, trials)
        if stand.rung.name == plan.rungs[-1].name
        for trial in stand.by_seed.values()
        if trial.state == "done"
    ]


def _listen(
    room: ExamRoom,
    exam: StoredExam,
    campaign: Campaign,
    reloading: Executors,
    beat: Callable[[], None],
) -> None:
    left = unheard(models(exam.plan, campaign.trials()), room.canary(exam.number))
    if left:
        with reloading(campaign) as executor:
            listen(
                left,
                campaign.weights_directory,
                executor,
                endpoint,
                partial(room.add_canary, exam.number),
                beat,
            )
