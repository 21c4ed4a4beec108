"""A prefix stands for itself."""

from __future__ import annotations

import torch

from palmette.gates._base import Gate, GateFailure, Subject, run, scale_of
from palmette.grammar.types import Effect

PREFIXES = {
    130: (*range(1, 8), 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129),
    320: (1, 150, 255, 256, 257),
}
TOLERANCE = 1e-4


class Prefix(Gate):
    """The output of a prefix is the prefix of the output: f(x)[:t] = f(x[:t]).

    This finds what replacing the future cannot: a dependence on the number of tokens to come, such
    as a mean over a total or a chunk size that follows the length. Relative to the largest output
    1e-4 is allowed: another length may run in another form (blocks, chunks) that rounds otherwise.
    """

    name = "prefix"
    rounds = True
    needs = frozenset({Effect.CAUSAL})

    @torch.no_grad()
    def check(self, subject: Subject) -> str:
        """The largest relative difference."""
        model = subject.fresh(shaken=True)
        worst, number = 0.0, 0
        for length, prefixes in PREFIXES.items():
            x = subject.inputs(length)
            whole = run(model, x)
            for t in prefixes:
                alone = run(model, x[:, :t])
                difference = float((whole[:, :t] - alone).abs().max()) / scale_of(whole)
                if not difference <= TOLERANCE:
                    raise GateFailure(
                        f"the first {t} of {length} tokens alone give other outputs than the "
                        f"first {t} outputs of all, by {difference:.1e} of the largest"
                    )
                worst, number = max(worst, difference), number + 1
        return f"{number} prefixes up to t = {t} agree within {worst:.0e}"
