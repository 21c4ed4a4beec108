"""Operators side by side on the same input: `par(A, B, merge='gate')`."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import children, knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._stream import State, advance, any_reads_ids, run


@node
class Par(Primitive):
    """Operators that read the same input, their outputs merged.

    Attention beside a recurrence is Hymba's parallel hybrid head (arXiv 2411.13676), attention
    beside a channel mixer GPT-J's parallel block. The merges: 'add'; 'mean'; 'gate', a softmax
    over the branches that each token computes from the input (a dense mixture, Jacobs et al. 1991);
    'concat', the outputs side by side and projected back to the width.
    """

    sort = Sort.OPERATOR
    odds: ClassVar[float] = 0.4

    branches: tuple[Primitive, ...] = children(
        Sort.OPERATOR, least=2, most=3, meaning="what reads the input"
    )
    merge: str = knob(
        "add", "mean", "gate", "concat", weights=(3, 1, 2, 1), meaning="how outputs become one"
    )

    @property
    def commutes(self) -> bool:
        """A sum has no order; a gate and a projection learn one."""
        return self.merge in ("add", "mean")

    def simplified(self) -> Primitive:
        """A sum of sums is one sum, where it has at most three branches."""
        if self.merge != "add":
            return self
        flat: list[Primitive] = []
        for branch in self.branches:
            same = isinstance(branch, Par) and branch.merge == "add"
            flat.extend(branch.nodes() if same else (branch,))
        return Par(branches=tuple(flat), merge="add") if len(flat) <= 3 else self

    def cost(self, place: Place, length: int) -> Cost:
        """The branches and the merge."""
        n, d = len(self.branches), place.width
        weights = {"add": 0, "mean": 0, "gate": n * d, "concat": n * d * d}[self.merge]
        merged = {"add": 0, "mean": d, "gate": n * d, "concat": 0}[self.merge]
        own = Cost(parameters=weights, flops_forward=2.0 * (weights + merged))
        return sum((branch.cost(place, length) for branch in self.branches), own)

    def plan(self, place: Place) -> Call:
        """The branches and the merge in one module."""
        branches = tuple(branch.plan(place) for branch in self.branches)
        return call(Parallel, width=place.width, merge=self.merge, branches=branches)


class Parallel(nn.Module):
    """Runs its branches on the same input and merges: 'add', 'mean', 'gate' or 'concat'."""

    def __init__(self, *, width: int, merge: str, branches: list[nn.Module]) -> None:
        super().__init__()
        self.merge = merge
        self.branches = nn.ModuleList(branches)
        self.reads_ids = any_reads_ids(branches)
        if merge == "gate":
            self.gate = nn.Linear(width, len(self.branches), bias=False)
        if merge == "concat":
            self.project = nn.Linear(width * len(self.branches), width, bias=False)

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """One output from all branches."""
        return self._merged(x, [run(branch, x, ids) for branch in self.branches])

    def init_state(self, batch: int) -> State:
        """A state for every branch."""
        return tuple(branch.init_state(batch) for branch in self.branches)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token through every branch."""
        parts = zip(self.branches, state, strict=True)
        outputs, after = zip(*(advance(part, x, own, ids) for part, own in parts), strict=True)
        return self._merged(x, list(outputs)), after

    def _merged(
        self, x: Float[Tensor, "*bt d"], outputs: list[Float[Tensor, "*bt d"]]
    ) -> Float[Tensor, "*bt d"]:
        if self.merge == "concat":
            return self.project(torch.cat(outputs, dim=-1))  # type: ignore[no-any-return]
        stacked = torch.stack(outputs, dim=-1)  # [... d branches]
        if self.merge == "add":
            return stacked.sum(dim=-1)
        if self.merge == "mean":
            return stacked.mean(dim=-1)
        shares = torch.softmax(self.gate(x), dim=-1)  # [... branches]
        return (stacked @ shares.unsqueeze(-1)).squeeze(-1)
