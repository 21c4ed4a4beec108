"""Layers that a model might write, and what is known of them without a locked-down process."""

from palmette.model.stranger.describe import describe
from palmette.model.stranger.source import Source
from palmette.tasks import VOCABULARY

GOOD = '''\
import torch
from torch import nn


class Average(nn.Module):
    """A decaying average of the past, {name}."""

    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width, bias=False)
        self.decay = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        at = torch.arange(x.shape[1])
        lag = (at[:, None] - at).clamp(min=0)
        weights = torch.sigmoid(self.decay) ** lag * (at[:, None] >= at)
        return weights @ self.inner(x)
'''


def layer(name, number=1):
    """A good layer, described without its gates: its text is ours, so it may run here."""
    source = Source(f"idea_{number}.py", GOOD.format(name=name))
    return describe(source, None, {}, VOCABULARY)
