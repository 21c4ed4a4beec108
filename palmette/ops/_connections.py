"""How an operator reads from and writes to several residual streams: hyper-connections.

    x = sum_i pre_i h_i        y = operator(norm(x))        h_j <- sum_i mix_ij h_i + post_j y

over streams h_1 ... h_n of one token. A *connection* gives pre [n], mix [n n] and post [n]: learned
and the same for all tokens ('static', arXiv 2409.19606), or computed from the token ('dynamic', the
same paper; 'mhc', arXiv 2512.24880). Each begins near the pre-norm residual step: operator k reads
stream k mod n, writes to all, and the streams are not mixed.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._base import Cost
from palmette.ops._norm import RmsNorm

EPSILON = 1e-6  # of the Sinkhorn iterations, and the least that is read of a stream
ITERATIONS = 20
READ = 2.0  # 'mhc' begins with this logit for the stream that an operator reads,
UNREAD = -2.0  # this one for the others,
KEPT = 4.0  # and this one for a stream's own share of its mixture

Weights: TypeAlias = tuple[Tensor, Tensor | None, Tensor]


class StaticConnection(nn.Module):
    """Numbers that every token shares (hyper-connections, arXiv 2409.19606)."""

    def __init__(self, *, streams: int, number: int) -> None:
        super().__init__()
        self.pre = nn.Parameter(torch.eye(streams)[number % streams].clone())
        self.mix = nn.Parameter(torch.eye(streams))
        self.post = nn.Parameter(torch.ones(streams))
        self.mix.no_decay = True  # type: ignore[attr-defined]

    def forward(self, h: Float[Tensor, "*bt n d"]) -> Weights:
        """pre [n], mix [n n], post [n]."""
        return self.pre, self.mix, self.post


class DynamicConnection(nn.Module):
    """The static numbers plus some that each stream adds: s tanh(W norm(h_i)) (the same paper).

    Stream i adds to what is read of it, to its row of the mixture, and to what is written to it.
    The paper begins with W = 0; a little noise instead gives s a gradient from the first step.
    """

    def __init__(self, *, width: int, streams: int, number: int) -> None:
        super().__init__()
        self.static = StaticConnection(streams=streams, number=number)
        self.norm = RmsNorm(width=width)
        self.weight = nn.Linear(width, streams + 2, bias=False)
        nn.init.normal_(self.weight.weight, std=0.02)
        self.read_scale = nn.Parameter(torch.full((1,), 0.01))
        self.write_scale = nn.Parameter(torch.full((1,), 0.01))

    def forward(self, h: Float[Tensor, "*bt n d"]) -> Weights:
        """pre [*bt n], mix [*bt n n], post [*bt n]."""
        pre, mix, post = self.static(h)
        added = torch.tanh(self.weight(self.norm(h)))  # [... n n+2]
        read, written = self.read_scale * added[..., :-1], self.write_scale * added[..., -1]
        return pre + read[..., 0], mix + read[..., 1:], post + written


class SinkhornConnection(nn.Module):
    """Manifold-constrained: the mixture neither grows nor shrinks what it mixes (mHC).

    From logits that a linear map makes of all streams of the token together,

        pre = sigmoid       post = 2 sigmoid       mix = Sinkhorn(softmax of its rows)

    where 20 rounds of dividing rows and columns by their sums make all of them 1 (arXiv
    2512.24880). Without `mixes` the mixture is left out: before the first operator all streams are
    copies, which such a mixture leaves as they are.
    """

    def __init__(self, *, width: int, streams: int, number: int, mixes: bool) -> None:
        super().__init__()
        self.streams, self.mixes = streams, mixes
        outputs = streams * (2 + streams * mixes)
        self.norm = UnitPower()
        self.weight = nn.Parameter(torch.empty(outputs, streams * width).normal_(std=0.02))
        base = torch.zeros(outputs)
        base[:streams] = UNREAD
        base[number % streams] = READ
        if mixes:
            base[2 * streams :] = KEPT * torch.eye(streams).flatten()
        self.base = nn.Parameter(base)
        self.scale = nn.Parameter(torch.ones(2 + mixes))

    def forward(self, h: Float[Tensor, "*bt n d"]) -> Weights:
        """pre [*bt n], mix [*bt n n], post [*bt n]."""
        n = self.streams
        sizes = [n, n, n * n] if self.mixes else [n, n]
        logits = nn.functional.linear(self.norm(h.flatten(-2)), self.weight)
        parts = zip(
            torch.split(logits, sizes, -1), torch.split(self.base, sizes), self.scale, strict=True
        )
        pre, post, *rest = (part * scale + base for part, base, scale in parts)
        mix = None
        if rest:
            # Sums over the first dimensions run in vectors over tokens, also on the way back: a
            # stack's gradient is a stack, while a permutation's would lie across memory.
            square = rest[0].movedim(-1, 0).unflatten(0, (n, n))
            doubly = sinkhorn(square.softmax(1) + EPSILON)
            mix = torch.stack(doubly.flatten(0, 1).unbind(), -1).view(*h.shape[:-2], n, n)
        return torch.sigmoid(pre) + EPSILON, mix, 2 * torch.sigmoid(post)


class Mean(nn.Module):
    """The mean of the streams; the paper's sum but for a factor that the next norm takes away."""

    def forward(self, h: Float[Tensor, "*bt n d"]) -> Float[Tensor, "*bt d"]:
        """One stream."""
        return h.mean(-2)


class Collapse(nn.Module):
    """The streams weighted by sigmoids that the token computes, as DeepSeek-V4 ends."""

    def __init__(self, *, width: int, streams: int) -> None:
        super().__init__()
        self.norm = UnitPower()
        self.weight = nn.Parameter(torch.empty(streams, streams * width).normal_(std=0.02))
        self.base = nn.Parameter(torch.zeros(streams))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, h: Float[Tensor, "*bt n d"]) -> Float[Tensor, "*bt d"]:
        """One stream."""
        logits = nn.functional.linear(self.norm(h.flatten(-2)), self.weight)
        shares = torch.sigmoid(logits * self.scale + self.base) + EPSILON
        return (shares.unsqueeze(-1) * h).sum(-2)


class UnitPower(nn.Module):
    """Features over their root mean square, without a learned scale."""

    def forward(self, x: Float[Tensor, "*bt d"]) -> Float[Tensor, "*bt d"]:
        """Each token by itself."""
        power = torch.linalg.vecdot(x, x).unsqueeze(-1) / x.shape[-1]
        return x * torch.rsqrt(power + 1e-5)


def sinkhorn(square: Float[Tensor, "n n *bt"]) -> Float[Tensor, "n n *bt"]:
    """Rows and columns of positive numbers divided by their sums, columns last.

    >>> doubly = sinkhorn(torch.tensor([[4.0, 1.0], [1.0, 1.0]]))
    >>> doubly.sum(0), doubly.sum(1)
    (tensor([1.0000, 1.0000]), tensor([1.0000, 1.0000]))
    """
    square = square / (square.sum(0, keepdim=True) + EPSILON)
    for _ in range(ITERATIONS - 1):
        square = square / (square.sum(1, keepdim=True) + EPSILON)
        square = square / (square.sum(0, keepdim=True) + EPSILON)
    return square


def connection_cost(kind: str, width: int, streams: int, first: bool) -> Cost:
    """One connection of a kind: 'static', 'dynamic' or 'mhc'; mixtures, reading and writing."""
    n, d = streams, width
    moved = 2.0 * n * d * (n + 2)
    if kind == "mhc":
        outputs = n * (2 if first else 2 + n)
        rounds = 0 if first else 4.0 * ITERATIONS * n * n
        mixed = 2.0 * n * d * (2 if first else n + 2)
        flops = 2.0 * outputs * n * d + 4.0 * n * d + rounds + mixed
        return Cost(outputs * n * d + outputs + (2 if first else 3), flops)
    if kind == "static":
        return Cost(n * (n + 2), moved)
    dynamic = d * (n + 2) + d + 2
    return Cost(n * (n + 2) + dynamic, moved + 2.0 * n * d * (n + 2) + 4.0 * n * d)


def ending_cost(kind: str, width: int, streams: int) -> Cost:
    """What makes one stream of all: a mean, or for 'mhc' weights that the token computes."""
    n, d = streams, width
    if kind == "mhc":
        return Cost(n * n * d + n + 1, 2.0 * n * n * d + 6.0 * n * d)
    return Cost(flops_forward=2.0 * n * d)
