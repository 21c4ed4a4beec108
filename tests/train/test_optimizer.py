import json
import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from palmette.ops.kernels.native import compiler
from palmette.ops.kernels.native.library import unavailable
from palmette.train.optimizer import FlatAdamW, TorchAdamW, decays, make_optimizer

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

SHAPES = [(33, 7), (7,), (1,), (64, 65), (3, 1, 16), (5000,)]


def parameters(seed=0, models=None):
    generator = torch.Generator().manual_seed(seed)
    shapes = SHAPES if models is None else [(models, *shape) for shape in SHAPES]
    made = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    made[3].no_decay = True
    return made


def gradients(step, models=None, scale=1.0):
    generator = torch.Generator().manual_seed(100 + step)
    shapes = SHAPES if models is None else [(models, *shape) for shape in SHAPES]
    return [scale * torch.randn(shape, generator=generator) for shape in shapes]


def give(given, values):
    for parameter, value in zip(given, values, strict=True):
        parameter.grad = value.clone()


def distance(a, b):
    return max(((x - y).norm() / y.norm()).item() for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8], ids=["unclipped", "clipped", "hard clipped"])
def test_native_and_torch_take_the_same_steps(scale):
    ours, theirs = parameters(), parameters()
    native, torch_form = FlatAdamW(ours), TorchAdamW(theirs)
    for step in range(30):
        drawn = gradients(step, scale=scale)
        give(ours, drawn)
        give(theirs, drawn)
        native.step(0.01 / (step + 1))
        torch_form.step(0.01 / (step + 1))
        assert all(p.grad is None for p in (*ours, *theirs))
    assert distance(ours, theirs) < 1e-6
    assert distance(ours, parameters()) > 1e-3


def test_a_parameter_without_a_gradient_stays_and_counts_no_step():
    ours, theirs = parameters(), parameters()
    native, torch_form = FlatAdamW(ours), TorchAdamW(theirs)
    for step in range(6):
        drawn = gradients(step)
        for given in (ours, theirs):
            give(given, drawn)
            if step % 2:
                given[0].grad = given[1].grad = None
        before = ours[0].detach().clone()
        native.step(0.01)
        torch_form.step(0.01)
        assert torch.equal(before, ours[0]) == bool(step % 2)
    assert distance(ours, theirs) < 1e-6


def test_a_gradient_may_lie_in_memory_as_it_likes():
    ours, theirs = parameters(), parameters()
    for given in (ours, theirs):
        give(given, gradients(0))
    ours[0].grad = torch.empty(SHAPES[0][::-1]).T.copy_(theirs[0].grad)
    assert not ours[0].grad.is_contiguous()
    FlatAdamW(ours).step(0.1)
    FlatAdamW(theirs).step(0.1)
    assert distance(ours, theirs) == 0


def test_models_side_by_side_have_the_bits_that_they_have_alone():
    models, rates = 3, [0.01, 0.002, 0.05]
    together = parameters(models=models)
    alone = [[nn.Parameter(p[s].detach().clone()) for p in together] for s in range(models)]
    for each in alone:
        each[3].no_decay = True
    optimizer = FlatAdamW(together, models)
    others = [FlatAdamW(each) for each in alone]
    for step in range(5):
        drawn = gradients(step, models)
        drawn[5][1] *= 1e3  # one model's norm is large
        give(together, drawn)
        optimizer.step([rate / (step + 1) for rate in rates])
        for s, (each, other) in enumerate(zip(alone, others, strict=True)):
            give(each, [value[s] for value in drawn])
            other.step(rates[s] / (step + 1))
        assert optimizer.norms == [other.norms[0] for other in others]
    for s, each in enumerate(alone):
        for p, q in zip(together, each, strict=True):
            assert torch.equal(p[s], q)


def test_a_model_that_is_lost_takes_no_other_along():
    given = parameters(models=2)
    optimizer = FlatAdamW(given, 2)
    drawn = gradients(0, 2)
    drawn[1][0] = math.nan
    give(given, drawn)
    optimizer.step(0.01)
    assert all(not p[0].isfinite().any() for p in given)
    assert all(p[1].isfinite().all() for p in given)


def test_norms_are_those_of_torch():
    given = parameters()
    give(given, gradients(3))
    wanted = nn.utils.clip_grad_norm_(given, 1e9).item()
    optimizer = FlatAdamW(given)
    optimizer.step(0.01)
    assert optimizer.norms == pytest.approx([wanted], rel=1e-6)


def test_weight_decay_is_for_matrices_alone():
    matrix, vector, spared = (nn.Parameter(torch.ones(shape)) for shape in [(2, 3), (3,), (3, 2)])
    spared.no_decay = True
    assert [decays(p) for p in (matrix, vector, spared)] == [True, False, False]
    for kernel in ("torch", "native"):
        given = [nn.Parameter(p.detach().clone()) for p in (matrix, vector, spared)]
        given[2].no_decay = True
        give(given, [torch.zeros_like(p) for p in given])
        make_optimizer(given, kernel).step(0.5)
        assert [p.mean().item() for p in given] == pytest.approx([0.95, 1, 1])


def test_what_lies_otherwise_is_refused():
    with pytest.raises(ValueError, match=r"^parameter 0, torch.float64 \(2,\) on cpu, is not"):
        FlatAdamW([nn.Parameter(torch.ones(2, dtype=torch.float64))])
    with pytest.raises(ValueError, match=r"\(3, 2\), is not contiguous$"):
        FlatAdamW([nn.Parameter(torch.ones(2, 3).T)])
    with pytest.raises(ValueError, match=r"\(3, 2\), does not begin with the 2 models$"):
        FlatAdamW([nn.Parameter(torch.ones(3, 2))], models=2)


def afresh(code):
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return torch.tensor(json.loads(said.stdout))


NARROW = """
import torch
from palmette.train.optimizer import FlatAdamW
p = torch.nn.Parameter(torch.linspace(-1, 1, 1003))
optimizer = FlatAdamW([p])
for step in range(10):
    p.grad = torch.linspace(3, -1, 1003) ** (step % 3 + 1)
    optimizer.step(0.01)
print(p.tolist())
"""


@pytest.mark.parametrize("instructions", ["avx2", "portable"])
def test_narrower_instructions_agree(instructions, monkeypatch):
    known = list(compiler.INSTRUCTIONS)
    if known.index(instructions) < known.index(compiler.instructions()):
        pytest.skip(f"this processor has no {instructions}")
    here = afresh(NARROW)
    monkeypatch.setenv("PALMETTE_INSTRUCTIONS", instructions)
    there = afresh(NARROW)
    assert (here - there).norm() < 1e-6 * here.norm()
