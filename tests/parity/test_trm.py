"""HRM and TRM against their equations, written out as plain loops with explicit detachments.

    TRM (arXiv 2510.04871, figure 3)            HRM (arXiv 2506.21734, figure 4)

    T - 1 times, without gradient:              N T - 1 times, without gradient:
        n times:  z <- net(x + y + z)               zL <- L(zL + zH + x)
        y <- net(y + z)                             every T-th time:  zH <- H(zH + zL)
    once, with gradient:                        once, with gradient:
        the same                                    zL <- L(zL + zH + x);  zH <- H(zH + zL)

then a loss on the output and on the halting logit, an optimiser step, and the states, detached, go
into the next segment. The nets are ours with the very same weights (attention and SwiGLU have
parity tests of their own); the loops, the norms after each net, the heads and the losses are
written anew.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from palmette.model import atlas
from palmette.model.build import build_at
from palmette.model.parse import parse
from palmette.ops._base import Place
from palmette.train.segments import losses
from tests.parity.oracles import assert_near, assert_parity

PLACE = Place(width=24, depth=2, hidden=1.0, vocabulary=61, context=100)


def unit(x):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def trm_segment(model, ids, y, z, cycles=3, n=6):
    """Deep recursion: the last of `cycles` latent recursions carries the gradient."""
    (net,) = model.core.nets
    x = model.embedding(ids) * math.sqrt(PLACE.width)
    for cycle in range(cycles):
        for _ in range(n):
            z = unit(net(x + y + z))
        y = unit(net(y + z))
        if cycle < cycles - 1:
            y, z = y.detach(), z.detach()
    return y, z


def hrm_segment(model, ids, high, low, cycles=2, steps=2):
    """The one-step gradient: the last update of either state."""
    slow, fast = model.core.nets
    x = model.embedding(ids) * math.sqrt(PLACE.width)
    with torch.no_grad():
        for i in range(cycles * steps - 1):
            low = unit(fast(low + high + x))
            if (i + 1) % steps == 0:
                high = unit(slow(high + low))
    low = unit(fast(low + high + x))
    high = unit(slow(high + low))
    return high, low


def built(name):
    torch.manual_seed(0)
    model = build_at(atlas.load(name), PLACE, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model


SEGMENTS = {"trm": trm_segment, "hrm": hrm_segment}


def logits_of(model, answer):
    norm = model.norm.weight * answer / (answer.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return norm @ model.embedding.weight.T


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("name", SEGMENTS)
def test_every_segment_has_the_values_and_gradients_of_the_equations(name, length):
    model = built(name)
    ids = torch.randint(PLACE.vocabulary, (2, length))
    weights = dict(model.named_parameters())
    leaves = {path: p for path, p in weights.items() if "halt" not in path}
    answer = model.core.slow_start.expand(2, length, -1)
    thought = model.core.fast_start.expand(2, length, -1)
    count = 0
    for segment in model.segments(ids):
        count += 1
        answer, thought = SEGMENTS[name](model, ids, answer, thought)
        assert_parity(segment.logits, logits_of(model, answer), leaves)
        halt = answer.mean(1) @ weights["core.halt.weight"][0] + weights["core.halt.bias"]
        assert_parity(segment.halt, halt, {n: p for n, p in weights.items() if n[:5] == "core."})
        answer, thought = answer.detach(), thought.detach()
    assert count == model.core.segments
    # Evaluation runs all segments and gives what the last one gives.
    assert_near("the forward pass", model(ids), logits_of(model, answer), 1e-5)


@pytest.mark.parametrize("name", SEGMENTS)
def test_training_is_the_published_loop(name):
    """Three batches of deep supervision, with plain gradient descent, against the loop anew."""
    rate, rows, length = 0.05, 4, 63
    trained, by_hand = built(name), built(name)
    ids = torch.randint(PLACE.vocabulary, (3, rows, length))
    targets = torch.randint(PLACE.vocabulary, (3, rows, length))
    targets[:, :, ::3] = -100
    weights = torch.full((rows,), 1 / (rows * (targets[0, 0] != -100).sum().item()))

    optimizer = torch.optim.SGD(trained.parameters(), lr=rate)
    for batch in range(3):
        for loss in losses(trained, ids[batch], targets[batch], weights, np.random.default_rng(0)):
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    optimizer = torch.optim.SGD(by_hand.parameters(), lr=rate)
    for batch in range(3):
        answer = by_hand.core.slow_start.expand(rows, length, -1)
        thought = by_hand.core.fast_start.expand(rows, length, -1)
        for _ in range(by_hand.core.segments):
            answer, thought = SEGMENTS[name](by_hand, ids[batch], answer, thought)
            logits, wanted = logits_of(by_hand, answer), targets[batch]
            asked = wanted != -100
            right = torch.stack([
                (row.argmax(-1) == want)[mask].all().float()
                for row, want, mask in zip(logits, wanted, asked, strict=True)
            ])  # fmt: skip
            halt = by_hand.core.halt(answer.mean(1)).squeeze(-1)
            assert (halt < 0).all(), "nothing halts so early; the loop by hand has no halting"
            loss = F.cross_entropy(logits[asked], wanted[asked])
            loss = loss + 0.5 * F.binary_cross_entropy_with_logits(halt, right)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            answer, thought = answer.detach(), thought.detach()

    start = dict(built(name).named_parameters())
    for (path, given), wanted in zip(trained.named_parameters(), by_hand.parameters(), strict=True):
        moved = wanted.detach() - start[path].detach()
        assert moved.abs().max() > 1e-4, path
        # Dozens of steps make more of rounding than one does.
        assert_near(f"the way of {path}", given.detach() - start[path].detach(), moved, 1e-3)


@pytest.mark.parametrize(
    ("gradient", "cut"),
    [
        ("all", lambda cycle, fast: False),
        ("last", lambda cycle, fast: cycle == 0),
        ("one", lambda cycle, fast: cycle == 0 or fast < 2),
        ("tail", lambda cycle, fast: fast < (2 if cycle == 0 else 1)),
    ],
)
def test_which_calls_are_differentiated(gradient, cut):
    """Two cycles of three; a call that is cut off has its output detached."""
    text = f"seq2seq(hloop(post(glu()), post(mlp()), fast_cycles=3, gradient='{gradient}'))"
    model = build_at(parse(text), PLACE, seed=0)
    slow, fast = model.core.nets
    leaves = {path: p for path, p in model.named_parameters() if path != "norm.weight"}
    ids = torch.randint(PLACE.vocabulary, (2, 63), generator=torch.Generator().manual_seed(0))
    x = model.embedding(ids) * math.sqrt(PLACE.width)
    high, low = model.core.slow_start, model.core.fast_start
    for cycle in range(2):
        for i in range(3):
            low = unit(fast(low + high + x))
            low = low.detach() if cut(cycle, i) else low
        high = unit(slow(high + low))
        high = high.detach() if cycle == 0 and gradient in ("last", "one") else high
    assert_parity(model(ids), logits_of(model, high), leaves)
