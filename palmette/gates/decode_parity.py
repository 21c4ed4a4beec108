"""Decoding gives what the forward pass gives."""

from __future__ import annotations

import torch
from torch import nn

from palmette.gates._base import Gate, GateFailure, Subject, run, scale_of
from palmette.gates._decode import decode, decodes, start
from palmette.grammar.types import Effect

LENGTH = 100
TOLERANCE = 1e-4
ROUNDING = 1e-2  # a larger difference is no rounding
EXACT = 1e-8  # in fp64


class DecodeParity(Gate):
    """Decoded token by token, the outputs are those of the forward pass.

    Over 100 tokens, past windows and chunks, with shaken weights, one sequence and three. The forms
    differ in the order of their sums: in fp32 1e-4 of the largest output is allowed, of which 1e-6
    to 1e-5 is seen. A norm of features that nearly vanish makes more of it: what is off by less
    than 1e-2 is compared again in fp64, where 1e-8 is allowed, which no wrong step keeps.
    """

    name = "decode_parity"
    needs = frozenset({Effect.STREAMABLE})

    @torch.no_grad()
    def check(self, subject: Subject) -> str:
        """The largest relative difference."""
        model = subject.fresh(shaken=True)
        decodes(model)
        try:
            worst, form = compared(subject, model, TOLERANCE), "fp32"
        except Apart as apart:
            if not apart.difference <= ROUNDING:
                raise
            worst, form = compared(subject, model.double(), EXACT), "fp64, more in fp32"
        return f"{LENGTH} tokens one by one agree with one pass within {worst:.0e} ({form})"


class Apart(GateFailure):
    """Decoding and the forward pass differ, by so much of the largest output."""

    def __init__(self, message: str, difference: float) -> None:
        super().__init__(message)
        self.difference = difference


def compared(subject: Subject, model: nn.Module, tolerance: float) -> float:
    """The largest relative difference. Raises `Apart` beyond the tolerance."""
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    worst = 0.0
    for rows, length in ((3, LENGTH), (1, 5)):
        x = subject.inputs(length, rows)
        x = x.to(dtype) if x.is_floating_point() else x
        wanted = run(model, x)
        got, _ = decode(model, x, start(model, rows))
        if got.shape != wanted.shape:
            raise GateFailure(f"step by step gives {list(got.shape)}, not {list(wanted.shape)}")
        moved = (got - wanted).abs().amax(-1).amax(0) / scale_of(wanted)
        difference = float(moved.max())
        if not difference <= tolerance:
            first = int((~(moved <= tolerance)).nonzero()[0])
            raise Apart(
                f"decoding leaves the forward pass at token {first} of {length}: "
                f"{difference:.1e} of the largest output in {str(dtype).removeprefix('torch.')}",
                difference,
            )
        worst = max(worst, difference)
    return worst
