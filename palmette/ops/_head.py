"""A head that scores each pair of features and token embedding by a small learned network."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._base import Cost

HIDDEN = 8  # units for each pair; there are t times the vocabulary of them at once


class PairHead(nn.Module):
    """r . silu(W_h x + W_e e_v + b) for each token id v, plus, with `product`, w . (x * e_v).

    The similarity of neural collaborative filtering (arXiv 1708.05031), whose first layer on the
    two side by side is the sum of a layer on each, so that a pair costs as much as it has hidden
    units; with the product it is that paper's NeuMF. Whether such a head beats the dot product is
    asked in Neural Collaborative Filtering vs. Matrix Factorization Revisited (arXiv 2005.09683).
    `weight` holds the embeddings e, [vocabulary d], read sqrt(d) times as the trunk does. There is
    one hidden layer of 8 units (published: three and wider), with a SiLU for their ReLU.
    """

    def __init__(self, *, width: int, vocabulary: int, hidden: int, product: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        self.of_features = nn.Linear(width, hidden)
        self.of_tokens = nn.Linear(width, hidden, bias=False)
        self.readout = nn.Linear(hidden, 1, bias=False)  # a bias would move all logits alike
        self.scale = nn.Parameter(torch.ones(width)) if product else None

    def forward(self, x: Float[Tensor, "*bt d"]) -> Float[Tensor, "*bt vocabulary"]:
        """One logit for each id."""
        of_tokens = self.of_tokens(self.weight * self.weight.shape[1] ** 0.5)
        hidden = F.silu(self.of_features(x).unsqueeze(-2) + of_tokens)
        logits: Tensor = self.readout(hidden).squeeze(-1)
        return logits if self.scale is None else logits + F.linear(x * self.scale, self.weight)


def pair_head_cost(width: int, vocabulary: int, length: int, product: bool) -> Cost:
    """Of the head, its table of embeddings aside, over a dot product's.

    The layer on the table is computed once for a sequence (in decoding, for each token).
    """
    layers = HIDDEN * (2 * width + 2) + width * product
    once = vocabulary * width * HIDDEN / length
    pairs = vocabulary * HIDDEN
    dot = vocabulary * width
    work = width * HIDDEN + once + pairs + (width if product else -dot)
    return Cost(parameters=layers, flops_forward=2.0 * work)
