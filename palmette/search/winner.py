"""The best genome of a campaign, as something to take away: one readable file and its weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from palmette.grammar.genome import Genome
from palmette.ladder.ranking import best_rows
from palmette.ladder.scales import Scale
from palmette.model import fit, parse
from palmette.model.export import export
from palmette.records import BestRow, StoredTrial
from palmette.store import Campaign
from palmette.tasks import VOCABULARY, suite


def winner(campaign: Campaign, scale: Scale) -> BestRow | None:
    """The found genome that ranks first on the highest rung any found genome has finished."""
    rows = best_rows(campaign.candidates(), campaign.trials(), scale)
    return next((row for row in rows if row.role == "found"), None)


def trained(campaign: Campaign, genome: str) -> tuple[StoredTrial, Path] | None:
    """A finished trial of a genome (hash) whose weights are kept, with the file; the first seed."""
    for trial in campaign.trials():
        if trial.spec.genome == genome and trial.spec.replica == 0 and trial.result is not None:
            weights = campaign.weights_directory / f"{trial.key}.pt"
            if weights.is_file() and not weights.is_symlink():  # a user's layer ran beside it
                return trial, weights
    return None


def export_genome(
    campaign: Campaign, genome: Genome, scale: Scale, file: Path, rung: int = -1
) -> list[Path]:
    """Writes a genome's PyTorch to `file` and, if the campaign has trained it on its last rung,
    the weights beside it. Returns what was written.

    Without weights the model has the size of the scale's rung `rung`.
    """
    own = trained(campaign, genome.hash)
    rung_parameters = own[0].spec.parameters if own else scale.rungs[rung].parameters
    length = own[0].spec.length if own else scale.rungs[rung].length
    context = suite(campaign.config.suite).context(length)
    place = fit(genome, rung_parameters, VOCABULARY, context).place
    header = {"campaign": campaign.config.name, "corpus": campaign.config.corpus}
    if own is not None:
        spec = own[0].spec
        header["trained"] = (
            f"rung {spec.rung}: {spec.tokens:,} tokens of suite {spec.suite}, "
            f"learning rate {spec.learning_rate:g}, seed {spec.seed}"
        )
    export(genome, place, file, header=header)
    if own is None:
        return [file]
    weights = file.with_suffix(".pt")
    shutil.copyfile(own[1], weights)
    return [file, weights]


def export_best(campaign: Campaign, scale: Scale, directory: Path) -> list[Path]:
    """Writes best.py and best.pt for the winner, or nothing if there is none yet."""
    best = winner(campaign, scale)
    if best is None:
        return []
    return export_genome(campaign, parse(best.expression), scale, directory / "best.py")
