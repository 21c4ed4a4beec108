"""Softmax attention, natively: one product, one operator, one product."""

from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.ops._form import Form
from palmette.ops._positions import alibi_slopes, distance_bucket
from palmette.ops._stream import State
from palmette.ops.attn import SelfAttention
from palmette.ops.forms._residual import added_product, norm_of
from palmette.ops.kernels.native.attention import Shape, attention
from palmette.ops.kernels.native.attention_step import attention_step
from palmette.ops.kernels.native.linear import linear


class NativeSelfAttention(SelfAttention, Form):
    """Queries, keys, values and gates are one product, read where they stand by one operator."""

    name: ClassVar[str] = "attention"
    stands_for: ClassVar[type[nn.Module]] = SelfAttention

    @classmethod
    def suits(cls, module: nn.Module) -> bool:
        """In fp32, where no candidates are weighed."""
        return (
            isinstance(module, SelfAttention)
            and not module.candidates
            and all(parameter.dtype == torch.float32 for parameter in module.parameters())
        )

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Output t depends on inputs <= t, and with a window only on the last `window` of them."""
        read = self._read(linear(x, *self._maps()))
        return linear(read, self.out.weight, self.out.bias)

    def residual(
        self, x: Float[Tensor, "b t d"], norm: nn.Module, ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """x + attention(norm(x)); see `_residual.py`."""
        scale, shift, kind, epsilon = norm_of(norm)
        read = self._read(linear(x, *self._maps(), scale, shift, None, kind, epsilon))
        return added_product(read, self.out, x)

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token; in torch where a derivative is wanted."""
        if torch.is_grad_enabled():
            return super().step(x, state)
        *kept, position = state
        query_scale, key_scale = self._scales()
        read, after = attention_step(
            linear(x, *self._maps()),
            (kept[0], kept[1], kept[2]),
            position,
            self._shape(),
            by_distance=self._biases(kept[0].shape[2] + 1),
            sink=self.sink,
            query_scale=query_scale,
            key_scale=key_scale,
        )
        return linear(read.flatten(-2), self.out.weight, self.out.bias), (*after, position + 1)

    def _maps(self) -> tuple[Tensor, Tensor | None]:
        """Weights and biases of all that is made of a token, in the operator's order."""
        maps = [self.query, self.key, self.value]
        maps += [each for each in (self.gate, self.forget) if each is not None]
        weight = torch.cat(tuple(each.weight for each in maps))
        if all(each.bias is None for each in maps):
            return weight, None
        biases: list[Tensor] = [
            each.weight.new_zeros(len(each.weight)) if each.bias is None else each.bias
            for each in maps
        ]
        return weight, torch.cat(biases)

    def _read(self, projected: Float[Tensor, "b t e"]) -> Float[Tensor, "b t m"]:
        """What the heads read, side by side."""
        query_scale, key_scale = self._scales()
        out = attention(
            projected,
            self._shape(),
            by_distance=self._biases(projected.shape[-2]),
            sink=self.sink,
            query_scale=query_scale,
            key_scale=key_scale,
        )
        return out.flatten(-2)

    def _shape(self) -> Shape:
        gates = 0 if self.gate is None else self.gate.weight.shape[0]
        return Shape(
            self.heads,
            self.kv_heads,
            self.head_size,
            self.window,
            self.positions == "rope",
            self.both_ways,
            "none" if not gates else "head" if gates == self.heads else "element",
            self.forget is not None,
        )

    def _scales(self) -> tuple[Tensor | None, Tensor | None]:
        """What normed queries and keys are multiplied with, [h k] and [g k]."""
        if self.qk_norm == "rms":
            return (
                self.query_scale.expand(self.heads, -1),
                self.key_scale.expand(self.kv_heads, -1),
            )
        if self.qk_norm == "l2":
            factor = (self.temperature * self.head_size**-0.5)[:, None]
            return (
                factor.expand(-1, self.head_size),
                self.temperature.new_ones(self.kv_heads, self.head_size),
            )
        return None, None

    def by_distance(self, length: int, like: Tensor) -> Float[Tensor, "h t"] | None:
        """The same numbers as the torch form's, from tables that are made once."""
        biases = self._biases(length)
        return None if biases is None else biases[:, :length]

    def _biases(self, length: int) -> Float[Tensor, "h r"] | None:
        """The biases of at least so many distances."""
        reach = 1 << max(0, length - 1).bit_length()  # a power of two: few tables serve all lengths
        if self.positions == "alibi":
            return falling(self.heads, reach)
        if self.positions == "relative":
            return F.embedding(buckets(reach, len(self.relative) - 1), self.relative).mT
        return None


@lru_cache(maxsize=64)
def falling(heads: int, reach: int) -> Float[Tensor, "h r"]:
    """ALiBi's biases."""
    return -torch.tensor(alibi_slopes(heads))[:, None] * torch.arange(reach)


@lru_cache(maxsize=64)
def buckets(reach: int, last: int) -> Int[Tensor, " r"]:
    """T5's bucket of each distance, the last for those that are further away."""
    return torch.tensor([min(last, distance_bucket(distance)) for distance in range(reach)])
