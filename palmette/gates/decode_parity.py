"""Decoding gives what the forward pass gives."""

from __future__ import annotations

import torch

from palmette.gates._base import Gate, GateFailure, Subject, run, scale_of
from palmette.gates._decode import decode, decodes, start
from palmette.grammar.types import Effect

LENGTH = 100
TOLERANCE = 1e-4


class DecodeParity(Gate):
    """Decoded token by token, the outputs are those of the forward pass.

    Over 100 tokens, past windows and chunks, with shaken weights, one sequence and three. The forms
    differ in the order of their sums: in fp32 1e-4 of the largest output is allowed, of which 1e-6
    to 1e-5 is seen.
    """

    name = "decode_parity"
    rounds = True
    needs = frozenset({Effect.STREAMABLE})

    @torch.no_grad()
    def check(self, subject: Subject) -> str:
        """The largest relative difference."""
        model = subject.fresh(shaken=True)
        decodes(model)
        worst = 0.0
        for rows, length in ((3, LENGTH), (1, 5)):
            x = subject.inputs(length, rows)
            wanted = run(model, x)
            got, _ = decode(model, x, start(model, rows))
            if got.shape != wanted.shape:
                raise GateFailure(f"step by step gives {list(got.shape)}, not {list(wanted.shape)}")
            moved = (got - wanted).abs().amax(-1).amax(0) / scale_of(wanted)
            difference = float(moved.max())
            if not difference <= TOLERANCE:
                wrong = ~(moved <= TOLERANCE)
                raise GateFailure(
                    f"decoding leaves the forward pass at token {int(wrong.nonzero()[0])} of "
                    f"{length}: {difference:.1e} of the largest output"
                )
            worst = max(worst, difference)
        return f"{LENGTH} tokens one by one agree with one pass within {worst:.0e}"
