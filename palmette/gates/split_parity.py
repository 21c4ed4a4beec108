"""A state can be left and gone on from, twice."""

from __future__ import annotations

import torch

from palmette.gates._base import Gate, GateFailure, Subject, run, scale_of
from palmette.gates._decode import copied, decode, decodes, leaves, same, start, step
from palmette.grammar.types import Effect

SPLITS = (1, 33)
LENGTH = 45
TOLERANCE = 1e-4


class SplitParity(Gate):
    """A sequence fed in two parts gives what it gives in one, and a state can be forked.

    From the state after 1 and 33 of 45 tokens two different continuations are decoded in turn,
    token by token, and each has to be that of its own whole sequence (1e-4 of the largest output,
    as in decode_parity). Neither a step nor another sequence in between may change a state that was
    reached, bit for bit.
    """

    name = "split_parity"
    rounds = True
    needs = frozenset({Effect.STREAMABLE})

    @torch.no_grad()
    def check(self, subject: Subject) -> str:
        """The largest relative difference."""
        model = subject.fresh(shaken=True)
        decodes(model)
        one, other = subject.inputs(LENGTH), subject.inputs(LENGTH, seed=1)
        worst = 0.0
        for split in SPLITS:
            _, reached = decode(model, one[:, :split], start(model, len(one)))
            before = copied(reached)
            forks = [one, torch.cat([one[:, :split], other[:, split:]], 1)]
            wanted = [run(model, fork) for fork in forks]
            states, rows = [reached, reached], list(range(len(forks)))
            decode(model, other[:1, :5], start(model, 1))  # another sequence in between
            for t in range(split, LENGTH):
                for row in rows:
                    given = copied(states[row])
                    y, after = step(model, forks[row][:, t], states[row])
                    if not same(given, list(leaves(states[row]))):
                        raise GateFailure(f"step changes the state that it is given, at token {t}")
                    states[row] = after
                    moved = float((y - wanted[row][:, t]).abs().max()) / scale_of(wanted[row])
                    if not moved <= TOLERANCE:
                        raise GateFailure(
                            f"going on from the state after {split} tokens is off by {moved:.1e} "
                            f"of the largest output at token {t}"
                        )
                    worst = max(worst, moved)
            if not same(before, list(leaves(reached))):
                raise GateFailure(f"the state after {split} tokens is changed by going on from it")
        return f"two continuations of each of {len(SPLITS)} states agree within {worst:.0e}"
