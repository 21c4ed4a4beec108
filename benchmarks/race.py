"""Two or more campaigns against the work that they took: what the best so far scored, and when.

    python -m benchmarks.race race.png evolution=one/campaign.json.gz random=two/campaign.json.gz

Reads what `palmette report --data` writes. Work is the processor time of all trials that had ended,
those of baselines and placebos among them, so a share of the machine that went elsewhere does not
count. One campaign an arm is one draw of what its proposer can do: the intervals of the table are
over training seeds, not over campaigns, and the picture has none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.picture import save
from palmette.ladder.ranking import best_rows, noise_at
from palmette.ladder.results import Ascent, ascents, score_at
from palmette.ladder.scales import Scale, scale
from palmette.ladder.statistics import Estimate, best_of
from palmette.records import BestRow
from palmette.report.figures.theme import Figure, Json, figure
from palmette.store.dump import Dump, load

COLOURS = ("@accent", "@s2", "@s3", "@s4")


@dataclass(frozen=True)
class Step:
    """A found genome that scored more at the last rung than all before it."""

    hours: float  # of a worker
    score: float
    genome: str


@dataclass(frozen=True)
class Course:
    """What a campaign came to. `best` is shrunken for selection; None where nothing got so far."""

    arm: str
    hours: float
    genomes: int
    finalists: int
    steps: tuple[Step, ...]
    best: BestRow | None
    baseline: BestRow | None  # the best one
    luck: Estimate | None  # what the best of as many designs that equal the root would score


def course(arm: str, held: Dump) -> Course:
    """A campaign's course. Raises `UnknownNameError` if its scale is not in this version."""
    ladder = scale(held.campaign.config.scale)
    climbers = ascents(held.campaign.candidates, held.campaign.trials, ladder)
    rows = best_rows(held.campaign.candidates, held.campaign.trials, ladder)
    last = len(ladder.rungs) - 1
    top = [row for row in rows if row.rung == ladder.rungs[last].name]
    found = [a for a in climbers if a.candidate.role == "found"]
    finalists = sum(row.role == "found" for row in top)
    spent = _spent(held)
    return Course(
        arm=arm,
        hours=max(spent.values(), default=0.0) / 3600,
        genomes=sum(score_at(a, 0, ladder) is not None for a in found),
        finalists=finalists,
        steps=_steps(found, last, ladder, spent),
        best=next((row for row in top if row.role == "found"), None),
        baseline=next((row for row in top if row.role in ("root", "baseline")), None),
        luck=_luck(climbers, last, ladder, finalists),
    )


def _luck(climbers: Sequence[Ascent], last: int, ladder: Scale, count: int) -> Estimate | None:
    roots = [a for a in climbers if a.candidate.role == "root"]
    scores = [score.mean for a in roots if (score := score_at(a, last, ladder))]
    noise = noise_at(climbers, last, ladder)
    if not scores or noise is None or not count:
        return None
    return best_of(count, scores[0], noise.of_mean(ladder.rungs[last].seeds))


def _spent(held: Dump) -> dict[int, float]:
    """The processor seconds that the campaign had taken when a trial ended, by its number."""
    ended = [t for t in held.campaign.trials if t.result and t.ended_seconds is not None]
    made, total = {}, 0.0
    for trial in sorted(ended, key=lambda t: (t.ended_seconds, t.trial)):
        assert trial.result
        total += trial.result.cpu_seconds
        made[trial.trial] = total
    return made


def _steps(
    found: Sequence[Ascent], last: int, ladder: Scale, spent: Mapping[int, float]
) -> tuple[Step, ...]:
    scored = [
        Step(
            max(spent.get(trial.trial, 0.0) for trial in climber.at(last)) / 3600,
            score.mean,
            climber.candidate.genome,
        )
        for climber in found
        if (score := score_at(climber, last, ladder))
    ]
    steps: list[Step] = []
    for step in sorted(scored, key=lambda one: one.hours):
        if not steps or step.score > steps[-1].score:
            steps.append(step)
    return tuple(steps)


def markdown(courses: Sequence[Course]) -> str:
    """A row an arm."""
    lines = [
        "| arm | worker hours | genomes | on the last rung | the best, shrunken | its bits a byte "
        "| the best human baseline | the best of as many that equal the root |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in courses:
        best = f"{_estimate(one.best)} `{one.best.genome[:8]}`" if one.best else "–"
        bits = f"{one.best.bits_per_byte:.3f}" if one.best and one.best.bits_per_byte else "–"
        human = f"{_estimate(one.baseline)} {one.baseline.name}" if one.baseline else "–"
        luck = (
            f"{one.luck.value:.4f} [{one.luck.low:.4f}, {one.luck.high:.4f}]" if one.luck else "–"
        )
        cells = (
            one.arm, f"{one.hours:.2f}", one.genomes, one.finalists, best, bits, human, luck,
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _estimate(row: BestRow) -> str:
    span = "" if row.low is None or row.high is None else f" [{row.low:.4f}, {row.high:.4f}]"
    return f"{row.score:.4f}{span}"


def drawn(courses: Sequence[Course]) -> Figure:
    """The best so far on the last rung against worker hours, with the human baselines' best."""
    traces: list[Json] = []
    end = max(one.hours for one in courses)
    for colour, one in zip(COLOURS, courses, strict=False):
        steps = one.steps
        last = [(one.hours, steps[-1].score)] if steps else []
        points = [*((step.hours, step.score) for step in steps), *last]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": one.arm,
                "x": [x for x, _ in points],
                "y": [y for _, y in points],
                "line": {"color": colour, "shape": "hv", "width": 2.5},
            }
        )
    humans = [one.baseline for one in courses if one.baseline]
    for row in humans[:1]:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"the best human baseline, {row.name}",
                "x": [0, end],
                "y": [row.score, row.score],
                "line": {"color": "@soft", "dash": "dot", "width": 2},
            }
        )
    return figure(
        "race",
        "The best so far",
        traces,
        420,
        xaxis={"title": {"text": "processor hours of all trials"}},
        yaxis={"title": {"text": "best score on the last rung"}},
    )


def main(given: list[str] | None = None) -> int:
    """Draws and prints the table; returns the exit code."""
    parser = argparse.ArgumentParser("race", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("arms", nargs="+", metavar="NAME=FILE.json.gz")
    parser.add_argument("--browser", help="an executable; playwright's own if not given")
    options = parser.parse_args(given)
    pairs = [arm.partition("=") for arm in options.arms]
    if missing := [name for name, _, file in pairs if not Path(file).is_file()]:
        print(f"no file of: {', '.join(missing)}; NAME=FILE.json.gz is wanted", file=sys.stderr)
        return 2
    courses = [course(name, load(Path(file).read_bytes())) for name, _, file in pairs]
    save({options.picture: drawn(courses)}, options.browser)
    print(markdown(courses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
