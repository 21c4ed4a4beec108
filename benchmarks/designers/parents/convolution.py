import torch
from torch import nn
from torch.nn import functional as F


class Layer(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.inner = nn.Linear(d_model, 2 * d_model)
        self.conv = nn.Conv1d(d_model, d_model, 4, groups=d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        v, gate = self.inner(x).chunk(2, dim=-1)
        mixed = self.conv(F.pad(v.transpose(1, 2), (3, 0))).transpose(1, 2)
        return self.out(mixed * torch.sigmoid(gate))
