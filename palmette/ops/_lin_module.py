"""The torch half of `lin`: one module for the whole family of linear recurrences."""

import math
from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._lin_parts import (
    BETA_ERASES,
    CHANNEL_ERASES,
    LOW_RANK_DECAYS,
    TIED_DECAYS,
    feature_map,
    heads_first,
    not_decayed,
    on_each_step,
    on_first_step,
    on_last_step,
    projection_widths,
    retention,
    rotate,
    spread_floors,
    spread_rates,
    spread_speeds,
    spread_steps,
    unit_length,
)
from palmette.ops._stream import State
from palmette.ops.kernels.convolution import convolution, convolution_step
from palmette.ops.kernels.recurrence import recurrence_chunked, recurrence_step

Terms: TypeAlias = tuple[
    Float[Tensor, "#b #h s k"],  # q
    Float[Tensor, "#b #h s k"],  # k
    Float[Tensor, "b h s vv"],  # v
    Float[Tensor, "#b #h s #k"] | None,  # the log decay
    Float[Tensor, "#b #h s k"] | None,  # a
    Float[Tensor, "#b #h s k"] | None,  # b
]


class LinearRecurrence(nn.Module):
    """q, k, v -> short convolution -> feature map -> recurrence -> norm and gate -> output.

    The knobs are explained in `Lin`. All projections of the input are one matrix.
    """

    log_retention: Tensor

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        key_heads: int,
        key_size: int,
        value_size: int,
        rank: int,
        conv: int,
        conv_activation: str,
        bias: bool,
        feature: str,
        rotary: bool,
        decay: str,
        write: str,
        erase: str,
        householders: int,
        read: str,
        skip: bool,
        out_norm: str,
        out_gate: str,
    ) -> None:
        super().__init__()
        self.heads, self.key_heads = heads, key_heads
        self.key_size, self.value_size = key_size, value_size
        self.conv_activation = conv_activation
        self.feature, self.rotary, self.decay, self.write = feature, rotary, decay, write
        self.erase, self.householders, self.read = erase, householders, read
        self.out_norm, self.out_gate = out_norm, out_gate
        widths = projection_widths(
            heads=heads,
            key_heads=key_heads,
            key_size=key_size,
            value_size=value_size,
            rank=rank,
            householders=householders,
            decay=decay,
            write=write,
            erase=erase,
            out_gate=out_gate,
        )
        self.streams = [widths[name] for name in ("q", "k", "erase_key", "v")]
        self.widths = [sum(self.streams), *list(widths.values())[4:]]
        channels, inner = self.widths[0], heads * value_size

        self.project = nn.Linear(width, sum(self.widths), bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.taps = None
        if conv:
            self.taps = nn.Parameter(torch.empty(channels, conv).uniform_(-1, 1) * conv**-0.5)
        self.bias = not_decayed(torch.zeros(channels)) if bias else None
        if feature == "rms":
            self.q_scale = not_decayed(torch.ones(key_size))
            self.k_scale = not_decayed(torch.ones(key_size))
        if decay == "constant":
            self.register_buffer("log_retention", retention(heads), persistent=False)
        if decay in LOW_RANK_DECAYS:
            self.decay_up = nn.Linear(rank, heads * key_size, bias=False)
        if decay == "vector":
            self.decay_bias = not_decayed(torch.zeros(heads * key_size))
        if decay == "vector_exp":
            self.decay_bias = not_decayed(spread_speeds(heads * key_size, -6.0, -1.0))
        if decay == "vector_sigmoid":
            self.decay_bias = not_decayed(spread_speeds(heads * key_size, -5.5, 0.5))
        if decay == "tied_floor":
            self.decay_floor = not_decayed(spread_floors(key_heads, key_size))
        if decay in ("scalar", "vector_dt"):
            self.A_log = not_decayed(spread_rates(heads))
        if widths["dt"] or decay == "vector_dt":
            self.dt_bias = not_decayed(spread_steps(widths["dt"] or heads * key_size))
        if erase in CHANNEL_ERASES:
            self.erase_up = nn.Linear(rank, householders * heads * key_size, bias=False)
            self.erase_bias = not_decayed(torch.zeros(householders * heads * key_size))
        if erase == "share":
            self.erase_share = not_decayed(torch.ones(heads))
        if erase == "removal":
            self.removal_scale = not_decayed(torch.ones(key_heads * key_size))
            self.removal_mix = not_decayed(torch.ones(key_heads * key_size))
        if write == "channel":
            self.write_up = nn.Linear(rank, householders * inner, bias=False)
            self.write_bias = not_decayed(torch.zeros(householders * inner))
        self.bonus = not_decayed(torch.ones(heads, key_size)) if read == "bonus" else None
        self.echo = not_decayed(torch.zeros(heads * key_size)) if read == "echo" else None
        self.correction = not_decayed(torch.full((heads,), 0.02)) if read == "corrected" else None
        self.skip = not_decayed(torch.ones(heads)) if skip else None
        if out_norm != "none":
            normed = value_size if out_norm == "rms" else inner
            self.out_scale = not_decayed(torch.ones(normed))

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over time; causal, with a state that does not grow."""
        streams, *gates = self.project(x).split(self.widths, -1)
        if self.taps is not None:
            streams = self._activated(convolution(streams, self.taps, self.bias))
        elif self.bias is not None:
            streams = streams + self.bias
        terms, raw_v, echo = self._terms(streams, gates, first=0)
        chunk = 32 if terms[4] is None else 16  # the fastest of 16, 32, 64 at t = 128
        o, _ = recurrence_chunked(*terms, self.bonus, chunk=chunk)
        return self._output(self._last(o), self._last(raw_v), echo, gates[0])

    def init_state(self, batch: int) -> State:
        """What the convolution still sees [b past m], the position, and S [b h k v] of zeros."""
        window: State = ()
        if self.taps is not None:
            window = self.taps.new_zeros(batch, self.taps.shape[1] - 1, self.taps.shape[0])
        values = self.value_size + (self.read == "normalised")
        matrix = self.out.weight.new_zeros(batch, self.heads, self.key_size, values)
        return window, 0, matrix

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token, through each of its sub-steps."""
        window, position, matrix = state
        streams, *gates = self.project(x).unsqueeze(1).split(self.widths, -1)
        if self.taps is not None:
            mixed, window = convolution_step(streams.squeeze(1), window, self.taps, self.bias)
            streams = self._activated(mixed).unsqueeze(1)
        elif self.bias is not None:
            streams = streams + self.bias
        terms, raw_v, echo = self._terms(streams, gates, first=position)
        for i in range(self.householders):
            q, k, v = (term[:, :, i] for term in terms[:3])
            log_decay, a, b = (None if term is None else term[:, :, i] for term in terms[3:])
            o, matrix = recurrence_step(q, k, v, matrix, log_decay, a, b, self.bonus)
        y = self._output(o.unsqueeze(2), self._last(raw_v), echo, gates[0]).squeeze(1)
        return y, (window, position + 1, matrix)

    def _activated(self, x: Float[Tensor, "*bt m"]) -> Float[Tensor, "*bt m"]:
        return F.silu(x) if self.conv_activation == "silu" else x

    def _terms(
        self, streams: Float[Tensor, "b t m"], gates: list[Float[Tensor, "b t _"]], first: int
    ) -> tuple[Terms, Float[Tensor, "b h s v"], Float[Tensor, "b h t v"] | None]:
        """What each sub-step gives to the recurrence, then the values, and each token's echo.

        The position of the first token is `first`.
        """
        steps = self.householders
        _, beta, strength, dt, decay, erase, write = gates
        q, k, erase_key, v = torch.split(streams, self.streams, -1)
        q, k = heads_first(q, 1, self.key_heads), heads_first(k, steps, self.key_heads)
        v = heads_first(v, steps, self.heads)

        step_size = self._step_size(dt, decay)
        k, log_decay = self._log_decay(k, decay, step_size)
        q, k = self._features(q, k, first)
        if self.correction is not None:
            scale = 1.0 if self.write == "dt" else self.key_size**-0.5
            q = q - (scale * self.correction).view(-1, 1, 1) * self._last(k)
        q = on_last_step(q, steps)
        raw_v = v
        if self.write == "channel":
            write = torch.sigmoid(self.write_up(write) + self.write_bias)
            v = v * heads_first(write, steps, self.heads)
        if self.read == "normalised":
            v = F.pad(v, (0, 1), value=1.0)  # the last column accumulates the denominator
        k, a, b = self._erasure(k, erase_key, beta, erase, log_decay)
        on_value, on_key = self._strength(beta, strength, step_size, log_decay)
        if on_value is not None:
            v = v * on_value
        if on_key is not None:
            if a is not None and b is None:
                b = k  # what is erased stays the key without its strength
            k = k * on_key
        echo = None
        if self.echo is not None:
            seen = self._last(q) * self._last(k) * self.echo.view(-1, 1, self.key_size)
            echo = seen.sum(-1, keepdim=True) * self._last(raw_v)
        return (q, k, v, log_decay, a, b), raw_v, echo

    def _last(self, x: Float[Tensor, "b h s k"]) -> Float[Tensor, "b h t k"]:
        """x at the last sub-step of each token."""
        steps = self.householders
        return x if steps == 1 else x[:, :, steps - 1 :: steps]

    def _features(
        self, q: Float[Tensor, "#b #h t k"], k: Float[Tensor, "#b #h s k"], first: int
    ) -> tuple[Float[Tensor, "#b #h t k"], Float[Tensor, "#b #h s k"]]:
        """Feature maps, positions, and the unit length that erasing needs."""
        if self.feature == "rms":
            root = self.key_size**0.5
            q = unit_length(q) * (root * self.q_scale)
            k = unit_length(k) * (root * self.k_scale)
        else:
            q = feature_map(q, self.feature)
            k = k if self.decay in TIED_DECAYS else feature_map(k, self.feature)
        if self.rotary:
            q, k = rotate(q, 1, first), rotate(k, self.householders, first)
        if self.erase not in ("none", "removal"):
            q, k = unit_length(q), unit_length(k)
        if self.write != "dt":
            q = q * self.key_size**-0.5
        return q, k

    def _step_size(
        self, dt: Float[Tensor, "b t m"], low: Float[Tensor, "b t r"]
    ) -> Float[Tensor, "#b #h t #k"] | None:
        """dt of a head or of a channel: softplus(W x + dt_bias)."""
        if self.decay == "vector_dt":
            dt = self.decay_up(low)
        elif not dt.shape[-1]:
            return None
        return heads_first(F.softplus(dt + self.dt_bias), 1, self.heads)

    def _log_decay(
        self,
        k: Float[Tensor, "#b #h s k"],
        low: Float[Tensor, "b t r"],
        step_size: Float[Tensor, "#b #h t #k"] | None,
    ) -> tuple[Float[Tensor, "#b #h s k"], Float[Tensor, "#b #h s #k"] | None]:
        """The keys, and the log decay of each sub-step.

        A head's log decay stops at -20 and a channel's at -5: the first keeps its running sum
        exact to fp32, the second is what the chunked form can hold.
        """
        steps = self.householders
        if self.decay == "none":
            return k, None
        if self.decay == "tied":
            log_decay = F.logsigmoid(k).clamp(min=-5.0)
            return -torch.expm1(log_decay), log_decay
        if self.decay == "tied_floor":
            floor = self.decay_floor.view(-1, 1, self.key_size)
            above = F.logsigmoid(-floor) + F.logsigmoid(k)
            log_decay = torch.logaddexp(F.logsigmoid(floor), above).clamp(min=-5.0)
            return -torch.expm1(log_decay), log_decay
        if self.decay == "constant":
            once = self.log_retention.view(1, -1, 1, 1).expand(-1, -1, k.shape[2] // steps, -1)
        elif self.decay == "vector":
            once = heads_first(self.decay_up(low) + self.decay_bias, 1, self.heads)
            once = (F.logsigmoid(once) / 16.0).clamp(min=-5.0)
        elif self.decay in ("vector_exp", "vector_sigmoid"):
            once = heads_first(self.decay_up(torch.tanh(low)) + self.decay_bias, 1, self.heads)
            if self.decay == "vector_exp":
                once = -once.clamp(max=math.log(5.0)).exp()
            else:
                once = -math.exp(-0.5) * torch.sigmoid(once)
        else:
            assert step_size is not None
            least = -20.0 if self.decay == "scalar" else -5.0
            once = (-self.A_log.exp().view(-1, 1, 1) * step_size).clamp(min=least)
        return k, on_first_step(once, steps)

    def _erasure(
        self,
        k: Float[Tensor, "#b #h s k"],
        erase_key: Float[Tensor, "b t m"],
        beta: Float[Tensor, "b t n"],
        low: Float[Tensor, "b t r"],
        log_decay: Float[Tensor, "#b #h s #k"] | None,
    ) -> tuple[
        Float[Tensor, "#b #h s k"],
        Float[Tensor, "#b #h s k"] | None,
        Float[Tensor, "#b #h s k"] | None,
    ]:
        """The keys, and a and b of the recurrence, which erases after the decay."""
        if self.erase == "none":
            return k, None, None
        if self.erase in BETA_ERASES:
            a = -self._beta(beta) * k
            if self.erase == "share":
                a = torch.sigmoid(self.erase_share).view(-1, 1, 1) * a
            return k, a, None
        gates = torch.sigmoid(self.erase_up(low) + self.erase_bias)
        gates = heads_first(gates, self.householders, self.heads)
        if self.erase == "channel":
            k = gates * k
            return k, -k, None
        if self.erase == "channel_read":
            return k, -gates * k, None
        if self.erase == "removal":
            c = unit_length(k * self.removal_scale.view(-1, 1, self.key_size))
            k = k * (1.0 + (gates - 1.0) * self.removal_mix.view(-1, 1, self.key_size))
            # It erases beside the decay, not after it.
            return k, -c if log_decay is None else -c * torch.exp(-log_decay), gates * c
        b = gates * unit_length(heads_first(erase_key, self.householders, self.key_heads))
        return k, -b, b

    def _beta(self, beta: Float[Tensor, "b t n"]) -> Float[Tensor, "b h s 1"]:
        """How much of the old value is erased: in (0, 1), or in (0, 2) for 'beta2'."""
        largest = 2.0 if self.erase == "beta2" else 1.0
        return largest * torch.sigmoid(heads_first(beta, self.householders, self.heads))

    def _strength(
        self,
        beta: Float[Tensor, "b t n"],
        strength: Float[Tensor, "b t m"],
        step_size: Float[Tensor, "#b #h t #k"] | None,
        log_decay: Float[Tensor, "#b #h s #k"] | None,
    ) -> tuple[Float[Tensor, "#b #h s #k"] | None, Float[Tensor, "#b #h s k"] | None]:
        """How strongly a pair is written: a factor on the value, and one on the key's channels."""
        steps = self.householders
        if strength.shape[-1]:
            return torch.sigmoid(heads_first(strength, steps, self.heads)), None
        if self.write == "raw":
            return (self._beta(beta) if self.erase in BETA_ERASES else None), None
        if self.write == "channel":
            return None, None  # it is in the value already
        if self.write == "dt":
            assert step_size is not None
            factor = on_each_step(step_size, steps)
            channels = self.decay == "vector_dt"
        else:
            assert log_decay is not None
            factor = -torch.expm1(log_decay)
            if self.decay not in TIED_DECAYS:  # there each sub-step has a decay of its own
                factor = on_each_step(factor[:, :, ::steps], steps)
            channels = self.decay in (*LOW_RANK_DECAYS, *TIED_DECAYS)
        return (None, factor) if channels else (factor, None)

    def _output(
        self,
        o: Float[Tensor, "b h t vv"],
        v: Float[Tensor, "b h t v"],
        echo: Float[Tensor, "b h t v"] | None,
        gate: Float[Tensor, "b t m"],
    ) -> Float[Tensor, "b t d"]:
        """Denominator, skip, norm, echo, gate and output projection."""
        if self.read == "normalised":
            positive = self.feature in ("relu", "elu1", "softmax") and not self.rotary
            floor = 1e-6 if positive and self.erase == "none" else 1.0
            o = o[..., :-1] / o[..., -1:].abs().clamp(min=floor)
        if self.skip is not None:
            o = o + self.skip.view(-1, 1, 1) * v
        o = o.transpose(1, 2)
        if self.out_norm == "rms":
            o = self._normed(o)
        if echo is not None:
            o = o + echo.transpose(1, 2)
        o = o.flatten(2)
        if self.out_gate != "none":
            o = o * (F.silu(gate) if self.out_gate == "silu" else torch.sigmoid(gate))
        if self.out_norm == "rms_after":
            o = self._normed(o)
        return self.out(o)  # type: ignore[no-any-return]

    def _normed(self, o: Float[Tensor, "*bt m"]) -> Float[Tensor, "*bt m"]:
        power = torch.linalg.vecdot(o, o).unsqueeze(-1) / o.shape[-1]
        return o * torch.rsqrt(power + 1e-5) * self.out_scale
