"""Lengths that no one has tuned a kernel for."""

from __future__ import annotations

import torch

from palmette.gates._base import Gate, GateFailure, Subject, run

LENGTHS = (1, 2, 3, 5, 17, 63, 65, 100, 127)


class OddLengths(Gate):
    """Any length runs with finite outputs of the right shape.

    One sequence, forward and backward, and three, forward alone, at t = 1, 2, 3, 5, 17, 63, 65, 100
    and 127.
    """

    name = "odd_lengths"

    def check(self, subject: Subject) -> str:
        """The lengths that ran."""
        last = subject.vocabulary if subject.takes == "ids" else subject.width
        model = subject.fresh(training=True)
        for length in LENGTHS:
            for rows in (1, 3):
                x = subject.inputs(length, rows)
                wanted = [rows, length, last]
                try:
                    with torch.set_grad_enabled(rows == 1):
                        y = run(model, x)
                    if y.requires_grad:
                        y.square().mean().backward()  # type: ignore[no-untyped-call]
                except Exception as error:
                    raise GateFailure(
                        f"fails at b = {rows}, t = {length}: {type(error).__name__}: {error}"[:300]
                    ) from error
                if list(y.shape) != wanted:
                    raise GateFailure(f"gives {list(y.shape)} where {wanted} was wanted")
                if not bool(torch.isfinite(y).all()):
                    raise GateFailure(f"the output is not finite at b = {rows}, t = {length}")
        return f"t = {', '.join(map(str, LENGTHS))} run"
