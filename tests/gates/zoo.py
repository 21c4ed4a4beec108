"""The zoo: planted cheaters, each a layer that breaks one promise, with the gates that must see it.

Each is the honest running mean of the kit with one thing added. `ZOO` maps names to cheaters.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from palmette.gates import Subject
from palmette.testing.gate_kit import WIDTH, RunningMean, SmallModel, layer, model

FUTURE = ("future_gradient", "future_change")


@dataclass(frozen=True)
class Cheater:
    """A subject and the gates of which every one has to fail it."""

    subject: Subject
    caught_by: tuple[str, ...]


ZOO: dict[str, Cheater] = {}


def cheater(*caught_by, around: Callable[..., Subject] = layer, **claims):
    """Puts a class of modules into the zoo under its name; `claims` replace the honest ones."""

    def put(cls):
        # What it adds may cost parameters; only the liar of that name lies about them.
        subject = dataclasses.replace(around(cls), parameters=None)
        subject = dataclasses.replace(subject, **claims)
        ZOO[cls.__name__] = Cheater(subject, caught_by)
        return cls

    return put


class Layer(RunningMean):
    """The honest layer; a cheater overrides `also`, which is added to what it reads."""

    def forward(self, x):
        return super().forward(x) + self.also(x)

    def also(self, x):
        return 0.0


# --- the future ---------------------------------------------------------------------------------


@cheater(*FUTURE, "prefix", "decode_parity")
class PowerOverTime(Layer):
    def also(self, x):
        return x / x.square().mean(1, keepdim=True).add(1e-6).sqrt()


@cheater(*FUTURE, "prefix")
class LargestOverTime(Layer):
    def also(self, x):
        return x.abs().amax(1, keepdim=True)


@cheater(*FUTURE, "prefix")
class SquaredMeanOverTime(Layer):
    def also(self, x):
        return x.square().mean(1, keepdim=True)


@cheater(*FUTURE, "prefix")
class GlobalMean(Layer):
    def also(self, x):
        return x.mean(dim=1, keepdim=True)


@cheater(*FUTURE, "prefix")
class ConvolutionOffByOne(Layer):
    def also(self, x):
        before = F.pad(x, (0, 0, 1, 1))
        return before[:, :-2] + before[:, 2:]


@cheater(*FUTURE, "prefix")
class SamePadding(Layer):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH)

    def also(self, x):
        return self.conv(x.mT).mT


def attention(x, diagonal):
    scores = x @ x.mT / WIDTH**0.5
    seen = torch.ones_like(scores, dtype=torch.bool).tril(diagonal)
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ x


@cheater(*FUTURE, "prefix")
class MaskOffByOne(Layer):
    def also(self, x):
        return attention(x, diagonal=1)


@cheater(*FUTURE, "prefix")
class SoftmaxOverTime(Layer):
    def also(self, x):
        return x.softmax(1) * 10


@cheater(*FUTURE, "prefix")
class NormOverTime(Layer):
    def also(self, x):
        return F.layer_norm(x.mT, x.shape[1:2]).mT


@cheater(*FUTURE, "prefix")
class ReversedSum(Layer):
    def also(self, x):
        return x.flip(1).cumsum(1).flip(1) / x.shape[1]


@cheater(*FUTURE, "prefix")
class FourierMixing(Layer):
    def also(self, x):
        return torch.fft.fft(x, dim=1).real.to(x.dtype) / x.shape[1] ** 0.5


@cheater("future_change", "prefix")
class SaturatedLeak(Layer):
    def also(self, x):
        return (x.mean(1, keepdim=True) > 0).to(x.dtype)


@cheater("future_change", "prefix")
class MedianSign(Layer):
    def also(self, x):
        return x.detach().sign().mean(1, keepdim=True)


@cheater("future_change", "prefix")
class RankOverTime(Layer):
    def also(self, x):
        return x.argsort(1).argsort(1).to(x.dtype) / x.shape[1]


@cheater(*FUTURE)
class LeakInTrainingOnly(Layer):
    def also(self, x):
        return torch.roll(x, -1, 1) if self.training else 0.0


@cheater(*FUTURE, "prefix")
class LeakPastSixtyFour(Layer):
    def also(self, x):
        late = (torch.arange(x.shape[1]) >= 64).to(x.dtype)[:, None]
        return late * torch.roll(x, -1, 1)


@cheater("future_change", "prefix")
class LeakInLongInputsOnly(Layer):
    def also(self, x):
        return torch.roll(x, -1, 1) if x.shape[1] > 300 else 0.0


@cheater(*FUTURE, "prefix")
class LeakBehindAZero(Layer):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(WIDTH))

    def also(self, x):
        return self.scale * torch.roll(x, -2, 1)


@cheater("future_change", "prefix", around=model)
class HashedIdsOfTheFuture(SmallModel):
    def forward(self, ids):
        ahead = torch.roll(ids, -1, 1) * 7 % 5
        return super().forward(ids) + ahead.unsqueeze(-1)


@cheater(*FUTURE, "prefix", around=model)
class ModelThatLooksAhead(SmallModel):
    def forward(self, ids):
        x = self.embedding(ids)
        return self.head(torch.roll(x, -1, 1) + self.mixer(x))


@cheater("prefix")
class DividesByTheTotal(Layer):
    def also(self, x):
        return x.cumsum(1) / x.shape[1]


# --- the batch ----------------------------------------------------------------------------------


@cheater("batch", "stateless")
class BatchNorm(Layer):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)

    def also(self, x):
        return self.norm(x.mT).mT


@cheater("batch")
class BatchCentred(Layer):
    def also(self, x):
        return x - x.mean(0)


@cheater("batch")
class BatchSorted(Layer):
    def also(self, x):
        return x.sort(0).values


@cheater("batch")
class ReadsItsRow(Layer):
    def also(self, x):
        return torch.arange(len(x)).to(x.dtype)[:, None, None] * x


# --- memory between calls, and chance -------------------------------------------------------------


@cheater("determinism", "stateless")
class CallCounter(Layer):
    calls = 0

    def also(self, x):
        self.calls += 1
        return x * self.calls


@cheater("stateless")
class SilentCounter(Layer):
    def __init__(self):
        super().__init__()
        self.seen = {"calls": [0]}

    def also(self, x):
        self.seen["calls"][0] += 1
        return 0.0


@cheater("stateless")
class CounterOfTheClass(Layer):
    calls = 0

    def also(self, x):
        type(self).calls += 1
        return 0.0


@cheater("stateless")
class RunningStatistics(Layer):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH), persistent=False)

    def also(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 1))
        return 0.0


@cheater("determinism", "stateless")
class CacheBetweenCalls(Layer):
    last = None

    def also(self, x):
        before = self.last if self.last is not None else torch.zeros(WIDTH)
        self.last = x.detach()[0, -1]
        return before.to(x.dtype)


@cheater("determinism")
class FrozenByItsFirstInput(Layer):
    first = None

    def also(self, x):
        if self.first is None:
            self.first = x.detach().std()
        return x / self.first


@cheater("stateless")
class WritesIntoItsInput(Layer):
    def also(self, x):
        with torch.no_grad():
            x.mul_(1.01)
        return 0.0


@cheater("determinism")
class DropoutLeftOn(Layer):
    def also(self, x):
        return F.dropout(x, 0.1, training=True)


@cheater("determinism")
class NoiseInForward(Layer):
    def also(self, x):
        return 0.01 * torch.randn_like(x)


@cheater("determinism")
class NoiseOfNumpy(Layer):
    def also(self, x):
        return float(np.random.rand()) * x


@cheater("determinism")
class NoiseOfPythonInTraining(Layer):
    def also(self, x):
        return random.random() * x if self.training else x


# --- parameters and numbers -----------------------------------------------------------------------


class WithScale(Layer):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))


@cheater("gradient_reach")
class DeadParameter(WithScale):
    pass


@cheater("gradient_reach")
class TimesZero(WithScale):
    def also(self, x):
        return 0.0 * self.scale * x


@cheater("gradient_reach")
class Detached(WithScale):
    def also(self, x):
        return self.scale.detach() * x


@cheater("parameters", parameters=12)
class CountsWrongly(Layer):
    pass


@cheater("parameters")
class HiddenInAList(Layer):
    def __init__(self):
        super().__init__()
        self.scales = [torch.ones(WIDTH, requires_grad=True)]

    def also(self, x):
        return self.scales[0].to(x.dtype) * x


@cheater("parameters")
class ModuleInAList(Layer):
    def __init__(self):
        super().__init__()
        self.parts = [nn.Linear(WIDTH, WIDTH, bias=False)]

    def also(self, x):
        return self.parts[0].weight.sum().to(x.dtype) * x


@cheater("finite_long")
class NotFiniteWhenLong(Layer):
    def also(self, x):
        decay = torch.arange(x.shape[1]).to(x.dtype)[:, None]
        return x * decay.exp() * 0.0  # exp overflows past 88, and 0 x inf is not a number


@cheater("finite_extreme")
class ExponentialGate(Layer):
    def also(self, x):
        return self.value(x).exp()


@cheater("odd_lengths")
class DividesByATime(Layer):
    def also(self, x):
        return x / (x.shape[1] - 17)


@cheater("odd_lengths")
class EvenLengthsOnly(Layer):
    def also(self, x):
        return x.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)


@cheater("finite_long", "prefix")
class NoLongerThan256(Layer):
    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(256, WIDTH))

    def also(self, x):
        return x + self.positions[torch.arange(x.shape[1])]


@cheater("dtypes")
class DetourThroughHalf(Layer):
    def also(self, x):
        return x.half().to(x.dtype)


@cheater("dtypes")
class DetourThroughDouble(Layer):
    def also(self, x):
        return x.double().cumsum(1).to(x.dtype)


@cheater("dtypes")
class AlwaysSingle(Layer):
    def forward(self, x):
        return super().forward(x).float()


@cheater("dtypes")
class DigitsOfSingle(Layer):
    def also(self, x):
        return torch.sin(1e4 * x)


# --- cost -----------------------------------------------------------------------------------------


@cheater("cost_class")
class QuadraticProduct(Layer):
    def also(self, x):
        return (x @ x.mT).tril() @ x / x.shape[1]


@cheater("cost_class")
class QuadraticElements(Layer):
    def also(self, x):
        first = x[..., 0]
        return (first[:, :, None] - first[:, None, :]).relu().tril().sum(-1, keepdim=True)


@cheater("cost_class")
class QuadraticMask(Layer):
    def also(self, x):
        place = torch.arange(x.shape[1])
        return (place[:, None] >= place).sum(-1, keepdim=True).to(x.dtype) * 0.001


@cheater("cost_class")
class QuadraticLoop(Layer):
    def also(self, x):
        return torch.stack([x[:, : t + 1].amax(1) for t in range(x.shape[1])], 1)


@cheater("cost_class")
class QuadraticBackward(Layer):
    def also(self, x):
        return SlowIdentity.apply(x)


class SlowIdentity(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, slope):
        return torch.eye(slope.shape[1]) @ slope


@cheater("flops", flops_forward=lambda length: 100.0)
class CountsAFewFlops(Layer):
    pass


@cheater("double_backward")
class NoSecondDerivative(Layer):
    def also(self, x):
        return SquareOnce.apply(x)


class SquareOnce(torch.autograd.Function):
    """x^2, whose backward hands on a slope that is cut from the graph."""

    @staticmethod
    def forward(context, x):
        context.x = x.detach()
        return x * x

    @staticmethod
    def backward(context, slope):
        return 2 * context.x * slope


# --- decoding -------------------------------------------------------------------------------------


@cheater("decode_parity")
class DecodingForgets(Layer):
    def step(self, x, state):
        return super().step(x, (0.9 * state[0], state[1]))


@cheater("decode_parity")
class DecodingMissing(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.out(x)


@cheater("split_parity")
class DecodingInPlace(Layer):
    def step(self, x, state):
        state[0].add_(self.value(x))
        return self.out(torch.tanh(state[0] / (state[1] + 1))), (state[0], state[1] + 1)


@cheater("split_parity", "decode_state")
class DecodingKeepsItInside(Layer):
    def init_state(self, batch):
        self.inside = super().init_state(batch)
        return ()

    def step(self, x, state):
        y, self.inside = super().step(x, self.inside)
        return y, ()


@cheater("decode_state")
class DecodingHoards(Layer):
    def init_state(self, batch):
        return torch.zeros(batch, 0, WIDTH)

    def step(self, x, state):
        state = torch.cat([state, x[:, None]], 1)
        return self(state)[:, -1], state


@cheater("decode_state")
class DecodingHoardsBehindAView(Layer):
    def init_state(self, batch):
        return torch.zeros(batch, 0, WIDTH)[:, :0].sum(1), 0, torch.zeros(batch, 0)

    def step(self, x, state):
        total, count, _ = state
        y, (total, count) = super().step(x, (total, count))
        grown = torch.zeros(len(x), 100 + count)
        return y, (total, count, grown[:, :1])


@cheater("decode_state")
class DecodingIntoANumber(Layer):
    def init_state(self, batch):
        return (*super().init_state(batch), 1)

    def step(self, x, state):
        y, after = super().step(x, state[:2])
        return y, (*after, state[2] << 64 | int(1e6 * abs(float(x[0, 0]))))


@cheater("decode_state")
class DecodingIntoAText(Layer):
    def init_state(self, batch):
        return (*super().init_state(batch), "")

    def step(self, x, state):
        y, after = super().step(x, state[:2])
        return y, (*after, state[2] + str(float(x[0, 0])))
