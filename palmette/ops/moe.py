"""The mixture of experts: `moe(experts=8, top=2, shared=1)`, as in DeepSeekMoE."""

from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._auxiliary import attach
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._experts import (
    best_experts,
    hashed_experts,
    imbalance,
    router_scores,
    run_experts,
)
from palmette.ops._stream import State
from palmette.ops.glu import GatedFeedForward

BALANCE = 0.01  # the weight of the load-balance loss in DeepSeekMoE's smaller models


@node
class Moe(Primitive):
    """A few of many small gated units for each token, and some that every token shares.

    DeepSeekMoE (arXiv 2401.06066): a router scores the experts, a token goes to the `top` best, and
    their outputs are added up by their scores, which for more than one are scaled to sum to 1; a
    single one counts with its score, as in Switch (arXiv 2101.03961). No token is turned away. A
    'hash' route sends each token id to experts of its own, weighted by the same scores (arXiv
    2106.04426; the first layers of DeepSeek-V4).
    """

    sort = Sort.OPERATOR
    role = "channel mixer"
    odds: ClassVar[float] = 0.4
    breaks = frozenset({Effect.TWICE_DIFFERENTIABLE})  # it jumps where the choice changes

    experts: int = knob(8, 4, 16, weights=(3, 2, 1), meaning="experts to choose from")
    top: int = knob(2, 1, 4, weights=(3, 1, 1), meaning="experts for each token")
    shared: int = knob(1, 0, 2, weights=(3, 1, 1), meaning="experts that every token goes to")
    ratio: Fraction = knob(
        Fraction(1, 2), Fraction(1, 4), Fraction(1), meaning="an expert's hidden width over width"
    )
    scores: str = knob(
        "softmax",
        "sigmoid",
        "sqrtsoftplus",
        weights=(2, 1, 1),
        meaning="how the router scores: over all experts, or each by itself (arXiv 2412.19437), "
        "sqrtsoftplus being DeepSeek-V4's",
    )
    route: str = knob(
        "learned",
        "hash",
        weights=(5, 1),
        meaning="who chooses, the scores or the token's id",
        breaks={"hash": [Effect.TOKEN_FREE, Effect.FORKS]},
    )
    balance: str = knob(
        "loss",
        "none",
        weights=(3, 1),
        meaning="a loss for uneven use of the experts, or nothing",
        breaks={"loss": [Effect.LOSS_FREE]},
    )

    def simplified(self) -> "Moe":
        """A fixed route cannot be balanced."""
        return replace(self, balance="none") if self.route == "hash" else self

    def cost(self, place: Place, length: int) -> Cost:
        """All experts' parameters; the work of those that a token goes to."""
        d, hidden = place.width, place.hidden_width(float(self.ratio))
        expert, router = 3 * d * hidden, d * self.experts
        used = self.top + self.shared
        return Cost(
            parameters=(self.experts + self.shared) * expert + router,
            flops_forward=2.0 * (used * (expert + hidden) + router + self.top * d),
            idle=(self.experts - self.top) * expert,
        )

    def plan(self, place: Place) -> Call:
        """The module at this width; the shared experts are one that is as much wider."""
        d, hidden = place.width, place.hidden_width(float(self.ratio))
        shared = None
        if self.shared:
            shared = call(GatedFeedForward, width=d, hidden=self.shared * hidden, activation="silu")
        return call(
            MixtureOfExperts,
            width=d,
            hidden=hidden,
            experts=self.experts,
            top=self.top,
            scores=self.scores,
            route=self.route,
            balance=BALANCE if self.balance == "loss" and self.route == "learned" else 0.0,
            shared=shared,
        )


class MixtureOfExperts(nn.Module):
    """Routed experts, and a shared one.

    scores    softmax, sigmoid, sqrtsoftplus
    route     learned: the best by score; hash: by token id
    balance   the weight of the load-balance loss; 0 for none
    shared    what every token goes to; None for nothing
    """

    def __init__(
        self,
        *,
        width: int,
        hidden: int,
        experts: int,
        top: int,
        scores: str,
        route: str,
        balance: float,
        shared: nn.Module | None,
    ) -> None:
        super().__init__()
        self.experts, self.top, self.scores, self.balance = experts, top, scores, balance
        self.reads_ids = route == "hash"
        # Rows of one length: at the start no expert is favoured.
        self.router = nn.Parameter(nn.functional.normalize(torch.randn(experts, width), dim=-1))
        up = torch.empty(experts, 2 * hidden, width).uniform_(-1.0, 1.0)
        down = torch.empty(experts, width, hidden).uniform_(-1.0, 1.0)
        self.up = nn.Parameter(up * width**-0.5)
        self.down = nn.Parameter(down * hidden**-0.5)
        self.shared = shared

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Each token by itself."""
        scores = router_scores(nn.functional.linear(x, self.router), self.scores)
        if self.reads_ids:
            assert ids is not None, "a hash route reads the token ids"
            chosen = hashed_experts(ids, self.experts, self.top)
        else:
            chosen = best_experts(scores.detach(), self.top)
        shares = scores.gather(-1, chosen)
        if self.top > 1:
            shares = shares / shares.sum(-1, keepdim=True)
        y = run_experts(
            x.flatten(0, 1), chosen.flatten(0, 1), shares.flatten(0, 1), self.up, self.down
        ).view_as(x)
        if self.shared is not None:
            y = y + self.shared(x)
        if self.balance and self.training and torch.is_grad_enabled():
            y = attach(y, self.balance * imbalance(scores, chosen))
        return y

    def init_state(self, batch: int) -> State:
        """Nothing to keep."""
        return ()

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token, as a sequence of length one."""
        ids = None if ids is None else ids.unsqueeze(1)
        return self(x.unsqueeze(1), ids).squeeze(1), state
