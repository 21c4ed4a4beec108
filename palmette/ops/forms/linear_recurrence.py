"""The linear recurrences of the `lin` family, natively."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._form import Form
from palmette.ops._lin_module import LinearRecurrence
from palmette.ops._stream import State
from palmette.ops.forms._lin_knobs import knobs_of, parameters_of
from palmette.ops.kernels.native.lin import mix, mix_step


class NativeLinearRecurrence(LinearRecurrence, Form):
    """Between its two projections, which are products, a layer is one operator."""

    name: ClassVar[str] = "linear_recurrence"
    stands_for: ClassVar[type[nn.Module]] = LinearRecurrence

    @classmethod
    def suits(cls, module: nn.Module) -> bool:
        """In fp32."""
        return all(parameter.dtype == torch.float32 for parameter in module.parameters())

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over time; causal, with a state that does not grow."""
        y = mix(self.project(x), parameters_of(self), knobs_of(self))
        return self.out(y)  # type: ignore[no-any-return]

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token, through each of its sub-steps; in torch where a derivative is wanted."""
        if torch.is_grad_enabled():
            return super().step(x, state)
        window, position, matrix = state
        y, after, matrix = mix_step(
            self.project(x),
            None if self.taps is None else window,
            position,
            matrix,
            parameters_of(self),
            knobs_of(self),
        )
        return self.out(y), (() if after is None else after, position + 1, matrix)
