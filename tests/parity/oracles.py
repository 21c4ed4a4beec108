"""How a published implementation is fetched, and what it means that ours equals it."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor


def naive(folder: str, function: str, file: str = "naive.py") -> Callable[..., tuple]:
    """A function of one of fla's slow reference files, as in `naive("gla", "naive_recurrent_gla")`.

    The file is loaded by its path: importing the package itself wants triton.
    """
    return getattr(_loaded(f"{folder}/{file}"), function)  # type: ignore[no-any-return]


@cache
def _loaded(path: str) -> ModuleType:
    package = importlib.util.find_spec("fla")
    assert package is not None, "fla-core is in the extra `test`"
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0]) / "ops" / path
    spec = importlib.util.spec_from_file_location(f"naive_{path.replace('/', '_')[:-3]}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def assert_parity(
    given: Tensor, wanted: Tensor, leaves: Mapping[str, Tensor], relative: float = 1e-5
) -> None:
    """The same values, and the same gradients in every leaf, relative to the largest of each."""
    assert_near("the values", given, wanted, relative)
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(0))
    slopes, wanted_slopes = (
        torch.autograd.grad((y * weights).sum(), list(leaves.values()), retain_graph=True)
        for y in (given, wanted)
    )
    for name, slope, wanted_slope in zip(leaves, slopes, wanted_slopes, strict=True):
        assert wanted_slope.any(), f"{name} has no influence"
        assert_near(f"the gradient in {name}", slope, wanted_slope, relative)


def assert_near(what: str, given: Tensor, wanted: Tensor, relative: float) -> None:
    assert given.shape == wanted.shape, what
    error = float((given - wanted).detach().abs().max() / wanted.detach().abs().max())
    assert error <= relative, f"{what}: off by {error:.1e} of the largest, allowed {relative:.0e}"
