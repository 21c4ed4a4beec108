"""The FLOPs that are declared are about those that are done."""

from __future__ import annotations

from palmette.gates._base import Gate, GateFailure, Subject
from palmette.gates._count import forward_work

LENGTH = 128
LEAST, MOST = 0.3, 6.0


class Flops(Gate):
    """The closed form of the FLOPs agrees with a count of what a forward pass does.

    Counted are matrix products, convolutions, attention, triangular solves and transforms at two a
    multiply-add, and one for each number that any other operator makes. The closed form is of the
    recurrent or masked form; chunks do up to several times that where heads are small, and norms
    and activations are in the count alone. So the count may be 0.3 to 6 times the closed form:
    enough to find a forgotten factor of the length, of the heads or of the number of loops.
    """

    name = "flops"

    def applies(self, subject: Subject) -> str | None:
        """Only where there is a closed form."""
        return None if subject.flops_forward else "no FLOPs are declared"

    def check(self, subject: Subject) -> str:
        """The two numbers."""
        assert subject.flops_forward is not None
        declared = subject.flops_forward(LENGTH)
        work = forward_work(subject.fresh(), subject.inputs(LENGTH, rows=1))
        counted = (work.flops + work.products) / LENGTH
        ratio = counted / declared if declared else float("inf")
        told = f"{counted:,.0f} FLOPs a token counted at t = {LENGTH}, {declared:,.0f} declared"
        if not LEAST <= ratio <= MOST:
            raise GateFailure(f"{told}: {ratio:.2g} times")
        return f"{told}: {ratio:.2f} times"
