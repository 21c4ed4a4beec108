"""`palmette trials`: every training run, failed ones too."""

from __future__ import annotations

from palmette.cli._options import STORAGE, CampaignOption, FormatOption, StorageOption
from palmette.cli._print import show_rows
from palmette.cli._store import reading
from palmette.ladder.results import fitness
from palmette.ladder.scales import SCALES, Rung, scale
from palmette.records import StoredTrial, TrialRow

COLUMNS = {
    "trial": "trial",
    "genome": "genome",
    "replica": "replica",
    "rung": "rung",
    "seed": "seed",
    "learning_rate": "rate",
    "state": "state",
    "attempts": "attempts",
    "score": "score",
    "parameters": "parameters",
    "cpu_seconds": "CPU",
    "reason": "reason",
}


def trials(
    storage: StorageOption = STORAGE, campaign: CampaignOption = None, form: FormatOption = "table"
) -> None:
    """List all trials of a campaign in the order in which they were queued."""
    with reading(storage, campaign) as stored:
        config = stored.config
        ranked = config.kind != "exam" and config.scale in SCALES
        rungs = {rung.digest: rung for rung in scale(config.scale).rungs} if ranked else {}
        rows = [trial_row(trial, rungs) for trial in stored.trials()]
    show_rows(rows, form, COLUMNS)


def trial_row(trial: StoredTrial, rungs: dict[str, Rung]) -> TrialRow:
    """What is shown of a trial; `rungs` by digest.

    The score is missing for a rung that is none of them: a comparison's or an exam's, or one of
    another version, for which it is not known which tasks counted.
    """
    spec, result = trial.spec, trial.result
    rung = rungs.get(spec.rung_digest)
    return TrialRow(
        trial=trial.trial,
        genome=spec.genome,
        rung=spec.rung,
        suite=spec.suite,
        seed=spec.seed,
        replica=spec.replica,
        learning_rate=spec.learning_rate,
        state=trial.state,
        reason=trial.reason,
        attempts=trial.attempts,
        metrics=result.metrics if result else None,
        score=fitness(result.metrics, rung) if result and rung else None,
        parameters=result.parameters if result else None,
        flops_forward=result.flops_forward if result else None,
        state_bytes=result.state_bytes if result else None,
        cpu_seconds=result.cpu_seconds if result else None,
    )
