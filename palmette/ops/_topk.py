"""Choosing the best few, the same way in training and in decoding."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

TIE = 1e-6


def top_few(scores: Float[Tensor, "*shape n"], count: int) -> Bool[Tensor, "*shape n"]:
    """True at the `count` highest scores of each row; never at a score of -inf.

    Each place weighs `TIE` more than the one before it. So of equal scores the last wins, also
    where rounding, which depends on the shape of a product, has made equal scores unequal. What is
    chosen among the first n places does not depend on how many follow, if those score -inf.

    >>> top_few(torch.tensor([0.5, 0.7, 0.5, -torch.inf]), 2).tolist()
    [False, True, True, False]
    """
    places = torch.arange(scores.shape[-1], device=scores.device)
    best = (scores + TIE * places).topk(min(count, scores.shape[-1]), -1).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, best, True) & (
        scores > -torch.inf
    )
