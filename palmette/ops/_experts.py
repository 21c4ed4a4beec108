"""Experts by the dozen: which of them a token goes to, and their work without waste."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

LEAST = 1e-6


def router_scores(logits: Float[Tensor, "*bt e"], kind: str) -> Float[Tensor, "*bt e"]:
    """Positive scores of the experts: softmax, sigmoid, or the root of a softplus (DeepSeek-V4).

    None is less than a millionth: shares of scores stay finite where all of them vanish, and the
    root has a finite slope where a softplus rounds to 0.
    """
    if kind == "softmax":
        return logits.softmax(-1).clamp(min=LEAST)
    if kind == "sigmoid":
        return torch.sigmoid(logits).clamp(min=LEAST)
    assert kind == "sqrtsoftplus", f"no score is called {kind!r}"
    return F.softplus(logits).clamp(min=LEAST**2).sqrt()


def best_experts(scores: Float[Tensor, "*bt e"], top: int) -> Int[Tensor, "*bt s"]:
    """The `top` experts with the highest scores; of equals the first.

    >>> best_experts(torch.tensor([0.5, 1.0, 0.5]), 2).tolist()
    [1, 0]
    """
    return torch.sort(scores, dim=-1, descending=True, stable=True).indices[..., :top]


def hashed_experts(ids: Int[Tensor, "*bt"], experts: int, top: int) -> Int[Tensor, "*bt s"]:
    """`top` different experts for each token id, the same for ever (arXiv 2106.04426).

    The first is the id modulo the number of experts, a power of two; the others follow in steps
    whose odd size changes from one round of ids to the next, so that ids which share their first
    expert differ in the others.

    >>> hashed_experts(torch.tensor([1, 5, 9]), experts=4, top=2).tolist()
    [[1, 2], [1, 0], [1, 2]]
    """
    stride = 1 + 2 * (ids // experts % (experts // 2))
    steps = torch.arange(top, device=ids.device)
    return (ids.unsqueeze(-1) + steps * stride.unsqueeze(-1)) % experts


def run_experts(
    x: Float[Tensor, "i d"],
    chosen: Int[Tensor, "i s"],
    shares: Float[Tensor, "i s"],
    up: Float[Tensor, "e f d"],
    down: Float[Tensor, "e d k"],
) -> Float[Tensor, "i d"]:
    """The outputs of each token's experts, weighted by their shares and added up.

    An expert is a gated linear unit, the gate's rows first in `up` (f = 2 k). Tokens are sorted by
    expert, so each runs once on just those that it was given, and none is turned away.
    """
    top = chosen.shape[1]
    order = torch.sort(chosen.flatten(), stable=True).indices
    counts = torch.bincount(chosen.flatten(), minlength=len(up)).tolist()
    groups = torch.split(x[order // top], counts)
    outputs = []
    for group, first, last in zip(groups, up.unbind(), down.unbind(), strict=True):
        gate, value = F.linear(group, first).chunk(2, -1)
        outputs.append(F.linear(F.silu(gate) * value, last))
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    by_token: Tensor = torch.cat(outputs)[back].view(-1, top, x.shape[1])
    return (by_token * shares.unsqueeze(-1)).sum(1)


def imbalance(scores: Float[Tensor, "b t e"], chosen: Int[Tensor, "b t s"]) -> Float[Tensor, ""]:
    """The load-balance loss: 1 if tokens are spread evenly, e if all go to one expert.

    In each sequence, e times the sum over experts of the share of choices that it gets and its
    mean share of the scores (arXiv 2401.06066, section 3.3, sequence by sequence as in arXiv
    2412.19437).
    """
    experts = scores.shape[-1]
    taken = F.one_hot(chosen, experts).flatten(1, 2).to(scores.dtype).mean(1)
    wanted = (scores / scores.sum(-1, keepdim=True)).mean(1)
    return experts * (taken * wanted).sum(-1).mean()
