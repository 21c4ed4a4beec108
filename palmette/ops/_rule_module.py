"""The torch half of `rule`: projections around an expression that is run token by token."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._activation import activate
from palmette.ops._lin_parts import (
    heads_first,
    not_decayed,
    spread_rates,
    spread_steps,
    unit_length,
)
from palmette.ops._stream import State
from palmette.ops._term import Streams, by_token, read
from palmette.ops.kernels.convolution import convolution, convolution_step

LARGEST = 64.0  # root mean square of a state's entries


class RuledRecurrence(nn.Module):
    """Projections -> short convolution -> the rule, token by token -> norm and gate -> output.

    `streams` names what the token is projected to: after the query, keys, values and rates.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        key_size: int,
        value_size: int,
        rank: int,
        streams: list[str],
        conv: int,
        query: str,
        out_norm: str,
        out_gate: str,
        update: nn.Module,
    ) -> None:
        super().__init__()
        self.heads, self.key_size, self.value_size = heads, key_size, value_size
        self.query, self.out_gate, self.update = query, out_gate, update
        inner = heads * value_size
        widths = stream_widths(streams, heads, key_size, value_size, rank)
        self.mixed = [width for name, width in widths.items() if through_conv(name)]
        self.rated = [width for name, width in widths.items() if not through_conv(name)]
        self.names, channels = list(widths), sum(self.mixed)
        self.gate_width = inner if out_gate != "none" else 0
        self.project = nn.Linear(width, sum(widths.values()) + self.gate_width, bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.taps = None
        if conv:
            self.taps = nn.Parameter(torch.empty(channels, conv).uniform_(-1, 1) * conv**-0.5)
        self.up, self.A_log, self.dt_bias = nn.ModuleDict(), nn.ParameterDict(), nn.ParameterDict()
        for name in streams:
            kind, slow = name.partition("_")[0], "_slow_" in name
            if slow:
                self.A_log[name] = not_decayed(spread_rates(heads))
            if slow and kind == "rate":
                self.dt_bias[name] = not_decayed(spread_steps(heads))
            if kind == "rates":
                self.up[name] = nn.Linear(rank, heads * key_size)
                first = spread_steps(heads * key_size) if slow else torch.zeros(heads * key_size)
                self.up[name].bias = not_decayed(first)
        self.out_scale = not_decayed(torch.ones(value_size)) if out_norm == "rms" else None

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over time; causal, with a state that does not grow."""
        mixed, rated, gate = self._projected(x)
        if self.taps is not None:
            mixed = F.silu(convolution(mixed, self.taps))
        state, _ = self.init_state(x.shape[0])
        o, _ = self._run(mixed, rated, state)
        return self._output(o, gate)

    def init_state(self, batch: int) -> State:
        """S [b h k v], empty, and what the convolution still sees, [b past channels]."""
        weight = self.project.weight
        empty = weight.new_zeros(batch, self.heads, self.key_size, self.value_size)
        taps = 1 if self.taps is None else self.taps.shape[1]
        return empty, weight.new_zeros(batch, taps - 1, sum(self.mixed))

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        old, past = state
        mixed, rated, gate = self._projected(x)
        if self.taps is not None:
            mixed, past = convolution_step(mixed, past, self.taps)
            mixed = F.silu(mixed)
        o, new = self._run(mixed.unsqueeze(1), rated.unsqueeze(1), old)
        return self._output(o.squeeze(1), gate), (new, past)

    def _projected(self, x: Float[Tensor, "*bt d"]) -> tuple[Tensor, Tensor, Tensor]:
        """What goes through the convolution, the rates, and the gate."""
        widths = [sum(self.mixed), sum(self.rated), self.gate_width]
        projected: Tensor = self.project(x)
        mixed, rated, gate = torch.split(projected, widths, -1)
        return mixed, rated, gate

    def _run(
        self,
        mixed: Float[Tensor, "b t m"],
        rated: Float[Tensor, "b t r"],
        state: Float[Tensor, "b h k v"],
    ) -> tuple[Float[Tensor, "b t hv"], Float[Tensor, "b h k v"]]:
        """The rule over time: outputs and the last state."""
        parts = [*torch.split(mixed, self.mixed, -1), *torch.split(rated, self.rated, -1)]
        streams: Streams = {
            name: self._rate(name, part) if name.startswith("rate") else self._heads(part)
            for name, part in zip(self.names, parts, strict=True)
        }
        q = streams.pop("query")
        if self.query == "softmax":
            q = torch.softmax(q, -1)
        else:
            q = unit_length(q) * self.key_size**-0.5
        given = by_token(self.update.given(streams), q.shape[2])  # type: ignore[operator]
        outputs = []
        for query, token in zip(q.unbind(2), given, strict=True):
            state = in_ball(self.update(state, token))
            outputs.append(read(state, query))
        return torch.stack(outputs, 1).flatten(2), state

    def _rate(self, name: str, x: Float[Tensor, "b t r"]) -> Float[Tensor, "b h t m"]:
        """A rate in [0, 1] from its projection."""
        if name in self.up:
            x = self.up[name](x)
        if name not in self.A_log:
            return torch.sigmoid(self._heads(x))
        step = F.softplus(self._heads(x + self.dt_bias[name] if name in self.dt_bias else x))
        speed: Tensor = self.A_log[name].exp()
        return (-speed.view(-1, 1, 1) * step).clamp(min=-20.0).exp()

    def _heads(self, x: Float[Tensor, "b t m"]) -> Float[Tensor, "b h t n"]:
        return heads_first(x, 1, self.heads)

    def _output(self, o: Float[Tensor, "*bt hv"], gate: Float[Tensor, "*bt g"]) -> Tensor:
        """Norm of each head, gate and output projection."""
        if self.out_scale is not None:
            o = o.view(*o.shape[:-1], self.heads, self.value_size)
            power = torch.linalg.vecdot(o, o).unsqueeze(-1) / self.value_size
            o = (o * torch.rsqrt(power + 1e-5) * self.out_scale).flatten(-2)
        if self.gate_width:
            o = o * activate(gate, self.out_gate)
        return self.out(o)  # type: ignore[no-any-return]


def in_ball(state: Float[Tensor, "b h k v"]) -> Float[Tensor, "b h k v"]:
    """The nearest matrix whose entries have a root mean square of at most 64.

    >>> in_ball(torch.full((1, 1, 2, 2), 100.0)).unique()
    tensor([64.])
    """
    flat = state.flatten(-2)
    power = torch.linalg.vecdot(flat, flat) / (flat.shape[-1] * LARGEST**2)
    return state * torch.rsqrt(power.clamp(min=1.0))[..., None, None]


def stream_widths(
    streams: tuple[str, ...] | list[str], heads: int, key_size: int, value_size: int, rank: int
) -> dict[str, int]:
    """How wide each projection of the token is, the query first."""
    of_kind = {"key": heads * key_size, "value": heads * value_size, "rate": heads, "rates": rank}
    widths = {name: of_kind[name.partition("_")[0]] for name in streams}
    return {"query": heads * key_size, **widths}


def through_conv(name: str) -> bool:
    return not name.startswith("rate")
