"""What makes the decay a and the input x of a diagonal scan, h_t = a_t h_{t-1} + x_t, as published.

Each module maps the channels u, and for HGRN the gate z, to outputs of the scan: `forward` over
time, `step` for one token. Every decay lies in [0, 1].
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._stream import State
from palmette.ops.kernels.scan import scan, scan_step
from palmette.ops.kernels.selective import selective_scan, selective_step

BLOCKS = 4  # of the RG-LRU's gates
SHARPNESS = 8.0  # c of the RG-LRU
STATES = {"selective": 16, "selective_4": 4, "constant": 16, "constant_4": 4}  # a channel


def make_gates(name: str, channels: int, rank: int) -> nn.Module:
    """The gates of a `scan` by name; `rank` is that of Mamba's dt."""
    if name == "hgrn":
        return HgrnGates(channels=channels)
    if name == "rglru":
        return RglruGates(channels=channels)
    if name.startswith("selective"):
        return SelectiveGates(channels=channels, states=STATES[name], rank=rank)
    assert name.startswith("constant"), f"no gates are called {name!r}"
    return ConstantGates(channels=channels, states=STATES[name])


class HgrnGates(nn.Module):
    """a = floor + (1 - floor) sigmoid(z), x = (1 - a) u: HGRN (arXiv 2311.04823).

    The floor, a learned lower bound of each channel, keeps slow channels slow.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.floor = kept_as(torch.logit((torch.arange(channels) + 0.5) / channels))

    def forward(
        self, u: Float[Tensor, "b t d"], z: Float[Tensor, "b t d"]
    ) -> Float[Tensor, "b t d"]:
        """The states."""
        return scan(*self._inputs(u, z))

    def init_state(self, batch: int) -> State:
        """Zeros, [b d]."""
        return self.floor.new_zeros(batch, *self.floor.shape)

    def step(
        self, u: Float[Tensor, "b d"], z: Float[Tensor, "b d"], state: State
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        state = scan_step(*self._inputs(u, z), state)
        return state, state

    def _inputs(
        self, u: Float[Tensor, "*bt d"], z: Float[Tensor, "*bt d"]
    ) -> tuple[Float[Tensor, "*bt d"], Float[Tensor, "*bt d"]]:
        taken = torch.sigmoid(-self.floor) * torch.sigmoid(-z)  # 1 - a, exact where it is small
        return 1.0 - taken, taken * u


class RglruGates(nn.Module):
    """The real-gated linear recurrent unit of Griffin (arXiv 2402.19427).

        r, i = sigmoid(W_r u), sigmoid(W_i u)        block-diagonal, with biases
        a = exp(-8 softplus(rate) r)        x = sqrt(1 - a^2) i u

    The root keeps the state's variance that of its input. It is taken of at least 1e-6, since its
    slope has no bound where a nears 1.
    """

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        size = channels // BLOCKS
        bound = size**-0.5
        self.weight = nn.Parameter(torch.empty(BLOCKS, size, 2 * size).uniform_(-bound, bound))
        self.bias = kept_as(torch.zeros(2, channels))
        kept = torch.empty(channels).uniform_(0.9, 0.999)  # what an open gate keeps
        self.rate = kept_as(torch.expm1(-kept.log() / SHARPNESS).log())

    def forward(
        self, u: Float[Tensor, "b t d"], z: Float[Tensor, "b t zero"]
    ) -> Float[Tensor, "b t d"]:
        """The states."""
        return scan(*self._inputs(u))

    def init_state(self, batch: int) -> State:
        """Zeros, [b d]."""
        return self.rate.new_zeros(batch, *self.rate.shape)

    def step(
        self, u: Float[Tensor, "b d"], z: Float[Tensor, "b zero"], state: State
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        state = scan_step(*self._inputs(u), state)
        return state, state

    def _inputs(
        self, u: Float[Tensor, "*bt d"]
    ) -> tuple[Float[Tensor, "*bt d"], Float[Tensor, "*bt d"]]:
        blocks = u.reshape(*u.shape[:-1], BLOCKS, -1)
        gates = torch.einsum("...gk,gkm->...gm", blocks, self.weight)
        r, i = (gate.flatten(-2) for gate in gates.chunk(2, -1))
        r, i = torch.sigmoid(r + self.bias[0]), torch.sigmoid(i + self.bias[1])
        log_a = -SHARPNESS * F.softplus(self.rate) * r
        power = -torch.expm1(2.0 * log_a)
        return log_a.exp(), power.clamp(min=1e-6).sqrt() * i * u


class SelectiveGates(nn.Module):
    """Mamba's selective state space: n states a channel, with dt, B and C from the token.

        a = exp(-A dt)        x = dt u B        y = C . h        (arXiv 2312.00752)

    dt = softplus(W_up W_low u + bias) is one a channel; B and C [n] serve all channels.
    """

    def __init__(self, *, channels: int, states: int, rank: int) -> None:
        super().__init__()
        self.widths = [rank, states, states]
        self.project = nn.Linear(channels, sum(self.widths), bias=False)
        bound = rank**-0.5
        self.step_up = nn.Parameter(torch.empty(channels, rank).uniform_(-bound, bound))
        step = logarithmic_steps(channels)
        self.step_bias = kept_as(step + torch.log(-torch.expm1(-step)))  # softplus backwards
        self.A_log = kept_as(rising_rates(channels, states))

    def forward(
        self, u: Float[Tensor, "b t d"], z: Float[Tensor, "b t zero"]
    ) -> Float[Tensor, "b t d"]:
        """C . h in each channel."""
        step, write, read = self._gates(u)
        return selective_scan(self.A_log.exp(), step, u, write, read)

    def init_state(self, batch: int) -> State:
        """Zeros, [b d n]."""
        return self.A_log.new_zeros(batch, *self.A_log.shape)

    def step(
        self, u: Float[Tensor, "b d"], z: Float[Tensor, "b zero"], state: State
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        step, write, read = self._gates(u)
        return selective_step(self.A_log.exp(), step, u, write, read, state)

    def _gates(
        self, u: Float[Tensor, "*bt d"]
    ) -> tuple[Float[Tensor, "*bt d"], Float[Tensor, "*bt n"], Float[Tensor, "*bt n"]]:
        """dt, B and C."""
        low, write, read = self.project(u).split(self.widths, -1)
        return F.softplus(F.linear(low, self.step_up, self.step_bias)), write, read


class ConstantGates(nn.Module):
    """S4D-Real (arXiv 2206.11893): n states a channel that decay alike whatever the token is.

    a = exp(-A dt)        x = (1 - a) / A u        y = C . h        A, dt, C learned
    """

    def __init__(self, *, channels: int, states: int) -> None:
        super().__init__()
        self.step_log = kept_as(logarithmic_steps(channels).log())
        self.A_log = kept_as(rising_rates(channels, states))
        self.reading = nn.Parameter(torch.randn(channels, states))

    def forward(
        self, u: Float[Tensor, "b t d"], z: Float[Tensor, "b t zero"]
    ) -> Float[Tensor, "b t d"]:
        """C . h in each channel."""
        return self._read(scan(*self._inputs(u)))

    def init_state(self, batch: int) -> State:
        """Zeros, [b d n]."""
        return self.A_log.new_zeros(batch, *self.A_log.shape)

    def step(
        self, u: Float[Tensor, "b d"], z: Float[Tensor, "b zero"], state: State
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        state = scan_step(*self._inputs(u), state)
        return self._read(state), state

    def _inputs(
        self, u: Float[Tensor, "*bt d"]
    ) -> tuple[Float[Tensor, "*bt d n"], Float[Tensor, "*bt d n"]]:
        """The decay, which all tokens share, and the input held for the time dt."""
        rate = self.A_log.exp()
        log_decay = -rate * self.step_log.exp().unsqueeze(-1)
        x = u.unsqueeze(-1) * (-torch.expm1(log_decay) / rate)
        return log_decay.exp().expand_as(x), x

    def _read(self, states: Float[Tensor, "*bt d n"]) -> Float[Tensor, "*bt d"]:
        return torch.einsum("...dn,dn->...d", states, self.reading)


def kept_as(values: Tensor) -> nn.Parameter:
    """A parameter that the optimiser's weight decay leaves alone."""
    parameter = nn.Parameter(values)
    parameter.no_decay = True  # type: ignore[attr-defined]
    return parameter


def logarithmic_steps(number: int) -> Float[Tensor, " d"]:
    """Step sizes dt, log-uniform in [0.001, 0.1] (arXiv 2312.00752)."""
    return torch.empty(number).uniform_(math.log(0.001), math.log(0.1)).exp()


def rising_rates(channels: int, states: int) -> Float[Tensor, "d n"]:
    """log A with A = 1, 2, … n in every channel: S4D-Real (arXiv 2206.11893)."""
    return torch.arange(1.0, states + 1).log().repeat(channels, 1)
