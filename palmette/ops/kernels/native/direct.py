"""A short way to a native operator, for the usual case.

`torch.library.custom_op` makes an operator that everything of torch sees (fake and meta tensors,
vmap, torch.compile, modes), at some 60 microseconds forwards and backwards on a laptop-sized CPU,
which is more than the arithmetic of a small layer. Where nobody looks (plain tensors of a CPU, no
transform, mode or compiler about), the same two Python functions run as an autograd function, at a
third of that.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _len_torch_dispatch_stack, _len_torch_function_stack
from torch._C._functorch import peek_interpreter_stack

Run = Callable[..., Any]
PLAIN = (Tensor, nn.Parameter)


def plain(x: Tensor, y: Tensor | None) -> bool:
    """Whether both are ordinary tensors of a CPU, and nothing watches operators being called."""
    return (
        not torch.compiler.is_compiling()  # first: the compiler looks no further
        and type(x) in PLAIN
        and x.is_cpu
        and (y is None or (type(y) in PLAIN and y.is_cpu))
        and peek_interpreter_stack() is None
        and not _len_torch_dispatch_stack()
        and not _len_torch_function_stack()
    )


def direct(operator: Any, keep: Run, differentiate: Run) -> Run:
    """The operator, called with its whole list of arguments, by the short way where it is open.

    `operator` is what `custom_op` made; `keep` and `differentiate` are what it registers for
    autograd. Whether the way is open is asked of the first two arguments, which are tensors;
    the second may be None.
    """
    run = operator._init_fn

    def forward(ctx: Any, *given: Any) -> Any:
        found = run(*given)
        keep(ctx, given, found)
        return found

    # a class of its own for each operator, for a profiler tells them apart by their names
    methods = {"forward": staticmethod(forward), "backward": staticmethod(differentiate)}
    function: Any = type(run.__name__, (torch.autograd.Function,), methods)

    def called(*given: Any) -> Any:
        if not plain(*given[:2]):
            return operator(*given)
        return function.apply(*given) if torch.is_grad_enabled() else run(*given)

    return called


def direct_backward(operator: Any) -> Run:
    """The same for an operator without a derivative of its own, for use in `differentiate`.

    Where a graph of the derivative is made (`create_graph`), torch has to see that it ends here.
    """
    run = operator._init_fn

    def called(*given: Any) -> Any:
        open_way = not torch.is_grad_enabled() and plain(*given[:2])
        return run(*given) if open_way else operator(*given)

    return called
