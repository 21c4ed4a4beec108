"""What goes in as fp32 or bf16 comes out so, and is computed so."""

from __future__ import annotations

import torch
from torch import Tensor

from palmette.gates._base import Gate, GateFailure, Subject, run, scale_of
from palmette.gates._count import Work

LENGTH = 65
TOLERANCE = 0.25
FP32 = {torch.float32, torch.complex64}


class Dtypes(Gate):
    """An fp32 module computes in fp32; cast to bf16 as a whole it runs and roughly agrees.

    Every tensor that an operator makes is looked at: a detour through another width (fp16, which
    overflows at 65,504, or fp64) is found even if fp32 comes out, in training mode too. The bf16
    module has to give bf16, finite and, with gradients that are finite, within 0.25 of the fp32
    output (root mean square, relative), as bf16 has three digits and layers add up. Inside it may
    compute in fp32, as norms and recurrences should.
    """

    name = "dtypes"

    def check(self, subject: Subject) -> str:
        """How far bf16 is from fp32."""
        x = subject.inputs(LENGTH)
        for training in (False, True):
            learner = subject.fresh(training=training)
            with Work() as work:
                wanted = run(learner, x)
                if training and wanted.requires_grad:
                    wanted.square().mean().backward()  # type: ignore[no-untyped-call]
            if wanted.dtype is not torch.float32:
                raise GateFailure(f"an fp32 module gives {wanted.dtype}")
            for dtype, operator in work.dtypes.items():
                if (dtype.is_floating_point or dtype.is_complex) and dtype not in FP32:
                    raise GateFailure(f"an fp32 module computes in {dtype} ({operator})")
        scale_of(wanted)
        return f"fp32 stays fp32; bf16 is within {self._in_bfloat16(subject, x):.2f} of it"

    def _in_bfloat16(self, subject: Subject, x: Tensor) -> float:
        with torch.no_grad():
            wanted = run(subject.fresh(), x)
        model = subject.fresh().to(torch.bfloat16)
        got = run(model, x.bfloat16() if x.is_floating_point() else x)
        if got.dtype is not torch.bfloat16:
            raise GateFailure(f"a bf16 module gives {got.dtype}")
        if not bool(got.isfinite().all()):
            raise GateFailure("the output is not finite in bf16")
        if got.requires_grad:
            got.float().square().mean().backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                raise GateFailure(f"the gradient of {name} is not finite in bf16")
        power = wanted.square().mean().sqrt()
        apart = float((got.detach().float() - wanted).square().mean().sqrt() / power)
        if not apart <= TOLERANCE:
            raise GateFailure(f"bf16 is {apart:.2f} from fp32, relative; {TOLERANCE} is allowed")
        return apart
