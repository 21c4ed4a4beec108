import torch
from torch import nn
from torch.nn import functional as F


class Layer(nn.Module):
    def __init__(self, d_model):
        super().__init__()
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.beta = nn.Linear(d_model, 1)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        k, beta = F.normalize(k, dim=-1), torch.sigmoid(self.beta(x))
        state = x.new_zeros(x.shape[0], x.shape[2], x.shape[2])
        outputs = []
        for t in range(x.shape[1]):
            read = torch.einsum("bk,bkv->bv", k[:, t], state)
            write = beta[:, t] * (v[:, t] - read)
            state = state + torch.einsum("bk,bv->bkv", k[:, t], write)
            outputs.append(torch.einsum("bk,bkv->bv", q[:, t], state))
        return self.out(torch.stack(outputs, dim=1))
