"""The pre-norm residual step, natively."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.ops._form import Form
from palmette.ops._stream import Pointwise, State
from palmette.ops.forms._residual import foldable
from palmette.ops.pre import PreNorm


class NativePreNorm(PreNorm, Form):
    """x + op(norm(x)), handed whole to an operator whose form can do it all (`_residual.py`)."""

    name: ClassVar[str] = "pre_norm"
    stands_for: ClassVar[type[nn.Module]] = PreNorm

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """The operator's own residual step, if it has one."""
        step = getattr(self.op, "residual", None)
        if step is not None and foldable(self.norm):
            return step(x, self.norm, ids if self.reads_ids else None)  # type: ignore[no-any-return]
        return super().forward(x, ids)

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token: of an operator without a state, the forward pass."""
        if isinstance(self.op, Pointwise) and hasattr(self.op, "residual"):
            return self(x.unsqueeze(1)).squeeze(1), state
        return super().step(x, state, ids)
