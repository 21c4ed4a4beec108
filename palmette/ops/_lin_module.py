"""The torch half of `lin`: one module for the whole family of linear recurrences."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._lin_parts import (
    feature_map,
    heads_first,
    not_decayed,
    on_each_step,
    on_first_step,
    on_last_step,
    projection_widths,
    retention,
    rotate,
    spread_rates,
    spread_steps,
    unit_length,
)
from palmette.ops.kernels.convolution import convolution
from palmette.ops.kernels.recurrence import recurrence_chunked


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
        self.heads, self.key_heads, self.key_size = heads, key_heads, key_size
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
        if decay in ("vector", "vector_dt"):
            self.decay_up = nn.Linear(rank, heads * key_size, bias=False)
        if decay == "vector":
            self.decay_bias = not_decayed(torch.zeros(heads * key_size))
        if decay in ("scalar", "vector_dt"):
            self.A_log = not_decayed(spread_rates(heads))
        if widths["dt"] or decay == "vector_dt":
            self.dt_bias = not_decayed(spread_steps(widths["dt"] or heads * key_size))
        if erase in ("channel", "free"):
            self.erase_up = nn.Linear(rank, householders * heads * key_size, bias=False)
            self.erase_bias = not_decayed(torch.zeros(householders * heads * key_size))
        self.bonus = not_decayed(torch.ones(heads, key_size)) if read == "bonus" else None
        self.skip = not_decayed(torch.ones(heads)) if skip else None
        if out_norm != "none":
            normed = value_size if out_norm == "rms" else inner
            self.out_scale = not_decayed(torch.ones(normed))

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over time; causal, with a state that does not grow."""
        steps = self.householders
        streams, gate, beta, strength, dt, decay, erase = self.project(x).split(self.widths, -1)
        if self.taps is not None:
            streams = F.silu(convolution(streams, self.taps, self.bias))
        elif self.bias is not None:
            streams = streams + self.bias
        q, k, erase_key, v = streams.split(self.streams, -1)
        q, k = heads_first(q, 1, self.key_heads), heads_first(k, steps, self.key_heads)
        v = heads_first(v, steps, self.heads)

        step_size = self._step_size(dt, decay)
        k, log_decay = self._log_decay(k, decay, step_size)
        q, k = self._features(q, k)
        q = on_last_step(q, steps)
        raw_v = v
        if self.read == "normalised":
            v = F.pad(v, (0, 1), value=1.0)  # the last column accumulates the denominator
        k, a, b = self._erasure(k, erase_key, beta, erase)
        on_value, on_key = self._strength(beta, strength, step_size, log_decay)
        if on_value is not None:
            v = v * on_value
        if on_key is not None:
            if a is not None and b is None:
                b = k  # what is erased stays the key without its strength
            k = k * on_key

        chunk = 32 if a is None else 16  # the fastest of 16, 32, 64 at t = 128
        o, _ = recurrence_chunked(q, k, v, log_decay, a, b, self.bonus, chunk=chunk)
        if steps > 1:
            o, raw_v = o[:, :, steps - 1 :: steps], raw_v[:, :, steps - 1 :: steps]
        return self._output(o, raw_v, gate)

    def _features(
        self, q: Float[Tensor, "#b #h t k"], k: Float[Tensor, "#b #h s k"]
    ) -> tuple[Float[Tensor, "#b #h t k"], Float[Tensor, "#b #h s k"]]:
        """Feature maps, positions, and the unit length that erasing needs."""
        if self.feature == "rms":
            root = self.key_size**0.5
            q = unit_length(q) * (root * self.q_scale)
            k = unit_length(k) * (root * self.k_scale)
        else:
            q = feature_map(q, self.feature)
            k = k if self.decay == "tied" else feature_map(k, self.feature)
        if self.rotary:
            q, k = rotate(q, 1), rotate(k, self.householders)
        if self.erase != "none":
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
        if self.decay == "constant":
            once = self.log_retention.view(1, -1, 1, 1).expand(-1, -1, k.shape[2] // steps, -1)
        elif self.decay == "vector":
            once = heads_first(self.decay_up(low) + self.decay_bias, 1, self.heads)
            once = (F.logsigmoid(once) / 16.0).clamp(min=-5.0)
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
    ) -> tuple[
        Float[Tensor, "#b #h s k"],
        Float[Tensor, "#b #h s k"] | None,
        Float[Tensor, "#b #h s k"] | None,
    ]:
        """The keys, and a and b of the recurrence: after the decay, I - c c^T or I - beta k k^T."""
        if self.erase == "none":
            return k, None, None
        if self.erase in ("beta", "beta2"):
            return k, -self._beta(beta) * k, None
        gates = torch.sigmoid(self.erase_up(low) + self.erase_bias)
        gates = heads_first(gates, self.householders, self.heads)
        if self.erase == "channel":
            k = gates * k
            return k, -k, None
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
            return (self._beta(beta) if self.erase in ("beta", "beta2") else None), None
        if self.write == "dt":
            assert step_size is not None
            factor = on_each_step(step_size, steps)
            channels = self.decay == "vector_dt"
        else:
            assert log_decay is not None
            factor = -torch.expm1(log_decay)
            if self.decay != "tied":  # there each sub-step has a decay of its own
                factor = on_each_step(factor[:, :, ::steps], steps)
            channels = self.decay in ("vector", "vector_dt", "tied")
        return (None, factor) if channels else (factor, None)

    def _output(
        self,
        o: Float[Tensor, "b h t vv"],
        v: Float[Tensor, "b h t v"],
        gate: Float[Tensor, "b t m"],
    ) -> Float[Tensor, "b t d"]:
        """Denominator, skip, norm, gate and output projection."""
        if self.read == "normalised":
            positive = self.feature in ("relu", "elu1", "softmax") and not self.rotary
            floor = 1e-6 if positive and self.erase == "none" else 1.0
            o = o[..., :-1] / o[..., -1:].abs().clamp(min=floor)
        if self.skip is not None:
            o = o + self.skip.view(-1, 1, 1) * v
        o = o.transpose(1, 2)
        if self.out_norm == "rms":
            o = self._normed(o)
        o = o.flatten(2)
        if self.out_gate != "none":
            o = o * (F.silu(gate) if self.out_gate == "silu" else torch.sigmoid(gate))
        if self.out_norm == "rms_after":
            o = self._normed(o)
        return self.out(o)  # type: ignore[no-any-return]

    def _normed(self, o: Float[Tensor, "*bt m"]) -> Float[Tensor, "*bt m"]:
        power = torch.linalg.vecdot(o, o).unsqueeze(-1) / o.shape[-1]
        return o * torch.rsqrt(power + 1e-5) * self.out_scale
