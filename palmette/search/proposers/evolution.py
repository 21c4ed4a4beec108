"""Aging evolution on islands: typed edits of tournament winners, and grafts between islands.

Regularised (aging) evolution is Real et al. 2019 (arXiv 1802.01548): parents win a tournament among
the living, children displace the oldest, not the worst. Grafting is size-fair crossover between
equal non-terminals (Langdon 2000, GP&EM 1:95), here between islands, which is how they migrate.
"""

from __future__ import annotations

import random

from palmette.grammar.change import Edited, Kind
from palmette.grammar.edit import edit, graft
from palmette.grammar.genome import Genome
from palmette.search.archive import Archive, Entry
from palmette.search.proposers._base import Proposal, Proposer, Turn

TOURNAMENT = 3
GRAFT_SHARE = 0.2
NODES = 32  # of a child at most: edits alone would let lineages grow
KINDS: dict[Kind, int] = {"tune": 6, "replace": 3, "insert": 2, "wrap": 2, "prune": 2, "split": 1}
"""The odds of each kind of edit; kinds that are possible nowhere in the parent drop out."""


class Evolution(Proposer):
    """Edits a tournament's winner, or grafts onto it a part of another island's."""

    name = "evolution"

    def ask(self, archive: Archive, turn: Turn) -> Proposal:
        """A child of this island: an edited or grafted tournament winner."""
        island, rng = turn.island, turn.rng
        parent = archive.tournament(archive.living(island), TOURNAMENT, rng)
        donor = self._donor(archive, island, rng)
        edited = None
        if donor is not None and rng.random() < GRAFT_SHARE:
            edited = _graft(parent, donor, archive, rng)
        if edited is None:
            edited, donor = _one_edit(parent, archive, rng), None
        parents = (parent, donor) if donor else (parent,)
        prediction = archive.predict(edited.kind)
        return Proposal(
            genome=Genome(edited.node),
            parents=tuple(entry.candidate.genome for entry in parents),
            edit=edited.kind,
            edit_text=edited.text,
            motivation=_motivation(parent, island, edited.kind, prediction.observations, donor),
            prediction=prediction,
        )

    def _donor(self, archive: Archive, island: int, rng: random.Random) -> Entry | None:
        others = [other for other in range(archive.islands) if other != island]
        if not others:
            return None
        winner = archive.tournament(archive.living(rng.choice(others)), TOURNAMENT, rng)
        return winner if winner.candidate.role == "found" else None


def _graft(parent: Entry, donor: Entry, archive: Archive, rng: random.Random) -> Edited | None:
    """A part of the donor in the parent; None if the donor has nothing new that fits."""
    try:
        return graft(parent.genome.root, donor.genome.root, archive.language, rng, most=NODES)
    except ValueError:
        return None


def _one_edit(parent: Entry, archive: Archive, rng: random.Random) -> Edited:
    drawn = sorted(KINDS, key=lambda kind: rng.random() ** (1 / KINDS[kind]), reverse=True)
    for kind in drawn:
        try:
            return edit(parent.genome.root, archive.language, rng, (kind,), NODES)
        except ValueError:
            continue
    raise ValueError(f"no edit is possible in {parent.genome}")


def _motivation(parent: Entry, island: int, kind: str, seen: int, donor: Entry | None) -> str:
    score = "untried so far" if parent.score is None else f"first-rung score {parent.score:.4f}"
    source = (
        f", with a part of {donor.candidate.genome[:8]} from island {donor.candidate.island}"
        if donor
        else ""
    )
    earlier = f"{seen} earlier {kind} edit{'s' if seen > 1 else ''}"
    before = earlier if seen else f"no {kind} edit before this one"
    return (
        f"island {island}: {parent.candidate.genome[:8]} won a tournament of {TOURNAMENT} "
        f"({score}){source}; the prediction rests on {before}"
    )
