"""What a proposal must be before it is worth a trial: new, of the right size, and affordable."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from palmette.errors import UserError
from palmette.grammar.genome import Genome
from palmette.ladder.scales import Scale
from palmette.model import Fit, cost, fit
from palmette.model.fingerprint import Fingerprint, fingerprint, twins
from palmette.search.archive import Entry, hashes
from palmette.train.loop import one_thread


class Screen:
    """The checks of one scale. Sizes are those of the scale's rungs with this vocabulary.

    `reference_flops` is the forward FLOPs a token of the costliest of the `references`:
    the root and the human baselines.
    """

    def __init__(
        self, scale: Scale, vocabulary: int, context: int, references: Sequence[Genome]
    ) -> None:
        self.scale = scale
        self.vocabulary = vocabulary
        self.context = context
        self.reference_flops = max(self.flops(genome) for genome in references)

    def fit(self, genome: Genome, rung: int = 0) -> Fit:
        """The size of a genome at a rung."""
        return _fit(genome, self.scale.rungs[rung].parameters, self.vocabulary, self.context)

    def flops(self, genome: Genome) -> float:
        """Forward FLOPs a token at the first rung."""
        place = self.fit(genome).place
        return cost(genome, place, self.scale.rungs[0].length).flops_forward

    def reason_against(self, genome: Genome, entries: Sequence[Entry]) -> str | None:
        """Why a genome gets no trial: `known`, `mixes no tokens`, `does not fit`, `too costly`,
        `not finite` or `twin`; or None.

        A twin computes the same function of the same weights as a genome that is there, by their
        outputs on a fixed input, although its text differs.
        """
        if genome.hash in hashes(entries):
            return "known"
        parts = [node for _, node in genome.root.walk()]
        if len(parts) > 1 and not any(node.role == "token mixer" for node in parts):
            return "mixes no tokens"
        try:
            fits = all(self.fit(genome, rung).fits for rung in range(len(self.scale.rungs)))
        except UserError:  # layers from files that have no width in common
            fits = False
        if not fits:
            return "does not fit"
        if self.flops(genome) > self.scale.flops_limit * self.reference_flops:
            return "too costly"
        own = fingerprint_of(genome)
        if not np.isfinite(own).all():
            return "not finite"
        others = (e.candidate.fingerprint for e in entries if e.candidate.replica == 0)
        return "twin" if any(twins(own, other) for other in others if other) else None


_one_at_a_time = threading.Lock()


@lru_cache(maxsize=8192)
def fingerprint_of(genome: Genome) -> Fingerprint:
    """The outputs that tell functional twins, computed once a genome.

    In one thread: the same bits whatever the machine has, and no waiting for cores that train. How
    many threads torch uses and what stands in for strangers is known to the whole process, so
    whoever thinks waits here for whoever decides.
    """
    with _one_at_a_time, one_thread():
        return fingerprint(genome)


@lru_cache(maxsize=8192)
def _fit(genome: Genome, parameters: int, vocabulary: int, context: int) -> Fit:
    return fit(genome, parameters, vocabulary, context)
