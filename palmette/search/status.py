"""A campaign at a glance, read from its store alone."""

from __future__ import annotations

from collections import Counter

from palmette.ladder.ranking import best_rows
from palmette.ladder.rate import placebo_rate
from palmette.ladder.scales import Scale
from palmette.records import StatusRow
from palmette.search.manner import manner
from palmette.store import Campaign


def status_row(campaign: Campaign, scale: Scale) -> StatusRow:
    """Counts, budget, time, and the best found genome so far (None before there is one).

    It must not look at exams and leaves those fields empty: the command fills them.
    """
    candidates, trials = campaign.candidates(), campaign.trials()
    states = Counter(trial.state for trial in trials)
    tokens, usd = campaign.spent_on_models() or (None, None)
    rows = best_rows(candidates, trials, scale)
    best = next((row for row in rows if row.role == "found"), None)
    drawn = campaign.draws()
    return StatusRow(
        campaign=campaign.config.name,
        state=campaign.state,
        genomes=sum(candidate.role == "found" for candidate in candidates),
        trials={state: states[state] for state in ("queued", "running", "done", "failed")},
        placebos=sum(candidate.role == "placebo" for candidate in candidates),
        elapsed_seconds=campaign.elapsed_seconds,
        budget=campaign.budget,
        best=best.genome if best else None,
        best_score=best.score if best else None,
        kernels=manner(campaign.config),
        model_tokens=tokens,
        model_usd=usd,
        draw=drawn[-1].commitment if drawn else None,
        placebo_rate=placebo_rate(rows, scale.rungs[-1].name),
    )
