"""The residual step x + op(norm(x)) in fewer passes, where an operator's form can do it all.

`NativePreNorm` hands the whole step to an operator that has the method

    residual(x [b t d], norm: nn.Module, ids [b t] | None) -> x + op(norm(x)) [b t d]

where `norm` is the module's own, an `RmsNorm` or an `nn.LayerNorm` (or a form of one), and ids are
None unless the operator reads them. A form that begins and ends with a product writes it as

    def residual(self, x, norm, ids=None):
        projected = normed_product(norm, x, self.project)     # project(norm(x)), one operator
        ...
        return added_product(y, self.out, x)                  # x + out(y), one operator

Both keep only what they are given: norm(x) is never written to memory, and the backward pass
normalises x again. `normed_product` works with several projections too, one call for each. An
operator whose first product is not a plain one calls norm(x) itself.
"""

from torch import Tensor, nn

from palmette.ops._norm import RmsNorm
from palmette.ops.kernels.native.linear import LAYER_NORM, RMS_NORM, linear

NormOf = tuple[Tensor, Tensor | None, int, float]
"""A norm as kernels take it: scale [d], shift [d] or None, kind, epsilon."""


def foldable(norm: nn.Module) -> bool:
    """Whether kernels know this norm: RMS, or layer norm over the last dimension with a scale."""
    if isinstance(norm, RmsNorm):
        return True
    return (
        isinstance(norm, nn.LayerNorm)
        and norm.elementwise_affine
        and len(norm.normalized_shape) == 1
    )


def norm_of(norm: nn.Module) -> NormOf:
    """The parts of a `foldable` norm."""
    if isinstance(norm, RmsNorm):
        return norm.weight, None, RMS_NORM, norm.epsilon
    assert isinstance(norm, nn.LayerNorm), f"{type(norm).__name__} is no norm that kernels know"
    return norm.weight, norm.bias, LAYER_NORM, norm.eps


def normed_product(norm: nn.Module, x: Tensor, product: nn.Linear) -> Tensor:
    """product(norm(x)) as one operator, for a `foldable` norm."""
    scale, shift, kind, epsilon = norm_of(norm)
    return linear(x, product.weight, product.bias, scale, shift, None, kind, epsilon)


def added_product(x: Tensor, product: nn.Linear, residual: Tensor) -> Tensor:
    """residual + product(x) as one operator."""
    return linear(x, product.weight, product.bias, residual=residual)
