"""Nothing is kept between calls."""

from __future__ import annotations

import torch

from palmette.gates._base import Gate, GateFailure, Subject, modes, run
from palmette.gates._snapshot import changes, snapshot

LENGTHS = (40, 9, 65)


class Stateless(Gate):
    """A call changes nothing: no parameter, buffer or Python attribute, nor its own input.

    A table that a first call builds for a length (rotary angles, say) is allowed: calls with inputs
    of the same lengths come first, then everything that the module, its classes and its globals
    hold is compared before and after calls with other inputs, in both modes, with and without
    gradients. So running statistics, step counters and caches of tokens are found.
    """

    name = "stateless"

    def check(self, subject: Subject) -> str:
        """How many places were compared."""
        places = 0
        for training in (False, True):
            model = subject.fresh(training=training)
            for length in LENGTHS:
                run(model, subject.inputs(length))
            before = snapshot(model)
            for number in range(3):
                for length in LENGTHS:
                    x = subject.inputs(length, seed=number + 1)
                    given = x.clone()
                    with torch.set_grad_enabled(number != 1):
                        run(model, x)
                    if not torch.equal(x, given):
                        raise GateFailure(f"writes into its own input ({modes(training)} mode)")
            changed = changes(before, snapshot(model))
            if changed:
                listed = ", ".join(changed[:4]) + (" …" if len(changed) > 4 else "")
                raise GateFailure(f"a call changes {listed} ({modes(training)} mode)")
            places = max(places, len(before))
        return f"{places} tensors and attributes are as before"
