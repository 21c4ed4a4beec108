import torch
from torch import nn


class Layer(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        scores = q @ k.transpose(1, 2) / x.shape[-1] ** 0.5
        later = torch.ones_like(scores).triu(1).bool()
        weights = scores.masked_fill(later, float("-inf")).softmax(-1)
        return self.out(weights @ v)
