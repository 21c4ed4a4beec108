"""Sequences of a batch are strangers to one another."""

from __future__ import annotations

import torch

from palmette.gates._base import Gate, GateFailure, Subject, modes, run, scale_of

LENGTHS = (31, 100)
ROWS = 4
TOLERANCE = 1e-4


class Batch(Gate):
    """A sequence's output does not depend on the other sequences of its batch, nor on its row.

    In both modes, the other rows are replaced (by others, by thirty copies of an easy one) at the
    same shape, so that dropout draws the same; in evaluation mode each row is also run alone and
    the rows are run in another order. 1e-4 of the largest output is allowed: matrix products of
    another shape are summed in another order.
    """

    name = "batch"
    rounds = True

    @torch.no_grad()
    def check(self, subject: Subject) -> str:
        """The largest relative difference."""
        worst = 0.0
        for training in (False, True):
            model = subject.fresh(training=training, shaken=True)
            for length in LENGTHS:
                x = subject.inputs(length, ROWS)
                together = run(model, x)
                scale = scale_of(together)
                others = subject.inputs(length, ROWS, seed=1)
                same = others[:1].expand_as(others) * 1
                tries = {"other rows": others, "rows all alike": same}
                if x.is_floating_point():
                    tries["large rows"] = 30 * others
                found = {}
                for name, rest in tries.items():
                    mixed = torch.cat([x[:1], rest[1:]])
                    found[name] = run(model, mixed)[:1] - together[:1]
                if not training:
                    alone = [run(model, x[row : row + 1]) for row in range(ROWS)]
                    found["being alone"] = torch.cat(alone) - together
                    found["another order"] = run(model, x.flip(0)).flip(0) - together
                for name, difference in found.items():
                    share = float(difference.abs().max()) / scale
                    if not share <= TOLERANCE:
                        raise GateFailure(
                            f"{name} in the batch changes a sequence's output by {share:.1e} of "
                            f"the largest (t = {length}, {modes(training)} mode)"
                        )
                    worst = max(worst, share)
        return f"{ROWS} sequences together, alone and beside others agree within {worst:.0e}"
