"""The kit can fail: each check is put to a primitive that breaks exactly its promise."""

import numpy as np
import pytest
import torch
from torch import nn

import palmette
from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Cost, Primitive, call
from palmette.testing import primitive_kit as kit
from palmette.testing.primitive_kit import ContractError, PrimitiveKit


class Scale(nn.Module):
    """x * weight, and what a fault adds to it."""

    def __init__(self, *, width, fault):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.fault = fault
        if fault == "unused weight":
            self.unused = nn.Parameter(torch.ones(width))
        if fault == "zero gradient":
            self.dead = nn.Parameter(torch.zeros(width))
        if fault == "global generator":
            self.register_buffer("noise", torch.tensor(np.random.rand()))

    def forward(self, x):
        y = x * self.weight
        if self.fault == "reads the mean":
            y = y + x.mean(1, keepdim=True)
        if self.fault == "reads the power":
            y = y + x.square().mean(1, keepdim=True)
        if self.fault == "reads signs":
            y = y + x.sign().mean(1, keepdim=True)
        if self.fault == "one step ahead":
            y = y + torch.roll(x, -1, 1)
        if self.fault == "zero gradient":
            y = y + self.dead.square()
        if self.fault == "dropout":
            y = y * (torch.rand_like(y) > 0.5)
        if self.fault == "global generator":
            y = y + self.noise
        if self.fault == "reads the batch":
            y = y - y.mean(0)
        if self.fault == "wrong shape":
            y = y[:, :, :-1]
        if self.fault == "double":
            y = y.double()
        if self.fault == "not finite":
            y = y / (x.shape[1] - 1)
        if self.fault == "needs numpy":
            y = y * np.float32(1.0)
        return y

    def init_state(self, batch):
        return torch.zeros(batch)

    def step(self, x, state):
        if self.fault == "changes its state":
            state += 1
            return x * self.weight * state[:, None], state
        if self.fault == "decodes something else":
            return 2 * x * self.weight, state
        return x * self.weight, state


class Scaling(Primitive):
    """What the broken primitives share; each of them differs by one thing."""

    sort = Sort.OPERATOR
    fault = "none"

    def cost(self, place, length):
        return Cost(parameters=place.width, flops_forward=2.0 * place.width)

    def plan(self, place):
        return call(Scale, width=place.width, fault=self.fault)


def faulty(fault):
    return node(type("Faulty", (Scaling,), {"fault": fault, "__doc__": "Broken."}))


@node
class Sound(Scaling):
    """Keeps the whole contract, the name of its file included."""

    name = "test_primitive_kit"


@node
class Undocumented(Scaling):
    sort = Sort.OPERATOR


@node
class Meaningless(Scaling):
    """A knob that nobody explains."""

    speed: int = knob(1, 2, meaning=" ")


@node
class Miscounted(Scaling):
    """Counts wrongly for one choice of a knob."""

    bias: bool = knob(False, True, meaning="whether it counts wrongly")

    def cost(self, place, length):
        return Cost(parameters=place.width + self.bias, flops_forward=1.0 * place.width)


@node
class Free(Scaling):
    """Claims to cost nothing."""

    def cost(self, place, length):
        return Cost(parameters=place.width)


@node
class Cheaper(Scaling):
    """Claims to cost less for longer texts."""

    def cost(self, place, length):
        return Cost(parameters=place.width, flops_forward=place.width / length)


@node
class Flat(Scaling):
    """Claims to cost the same at any width."""

    def cost(self, place, length):
        return Cost(parameters=place.width, flops_forward=1.0)


@node
class Growing(Scaling):
    """Promises a constant state that grows."""

    def cost(self, place, length):
        return Cost(place.width, 1.0 * place.width, state_bytes=length)


@node
class Modest(Scaling):
    """Has a constant state and does not promise it."""

    breaks = frozenset({Effect.CONSTANT_STATE})


@node
class Planless(Scaling):
    """Plans a number."""

    def plan(self, place):
        return call(int)


FAULTS = [
    (kit.documented, Undocumented, "wants a first sentence"),
    (kit.documented, Meaningless, "field speed wants a meaning"),
    (kit.documented, Miscounted, r"stands in test_primitive_kit\.py"),
    (kit.shaped, faulty("wrong shape"), r"wants float32 \[3, 1, 12\] for t = 1, got .*11\]"),
    (kit.shaped, faulty("double"), "got torch.float64"),
    (kit.shaped, faulty("not finite"), "not finite at t = 1"),
    (kit.shaped, Planless, "plan makes int, no module"),
    (kit.causal, faulty("reads the mean"), r"before t = 1 move by .*\(noise\)"),
    (kit.causal, faulty("reads the power"), "promises to be causal"),
    (kit.causal, faulty("reads signs"), "promises to be causal"),
    (kit.causal, faulty("one step ahead"), "promises to be causal"),
    (
        kit.counted,
        Miscounted,
        r"cost says \d+ parameters but \d+ are built for miscounted\(bias=True\)",
    ),
    (kit.costed, Free, "wants FLOPs above 0"),
    (kit.costed, Cheaper, "shrink with the length"),
    (kit.costed, Flat, "do not grow with the width"),
    (kit.costed, Growing, "promises a constant state but state_bytes are not constant"),
    (kit.costed, Modest, "does not promise a constant state but state_bytes are constant"),
    (kit.trained, faulty("unused weight"), "unused gets no gradient"),
    (kit.trained, faulty("zero gradient"), "dead gets a gradient of zero"),
    (kit.deterministic, faulty("dropout"), "another output in a second call"),
    (kit.deterministic, faulty("global generator"), "another output from the same seed"),
    (kit.batched, faulty("reads the batch"), "depends on the rest of its batch"),
    (kit.streamed, faulty("changes its state"), "a step changes the state that it is given"),
    (kit.streamed, faulty("decodes something else"), "decoding is off by"),
    (kit.exported, faulty("needs numpy"), "'np' is neither torch's nor"),
]


@pytest.mark.parametrize(
    ("check", "primitive", "message"),
    FAULTS,
    ids=[f"{c.__name__}-{p.__dict__.get('fault', p.__name__)}" for c, p, _ in FAULTS],
)
def test_a_broken_promise_is_found(check, primitive, message):
    with pytest.raises(Exception, match=message) as caught:
        check(_kit(primitive))
    assert isinstance(caught.value, ContractError) or check is kit.exported


@pytest.mark.parametrize(
    "check", [c for c in kit.CHECKS if c is not kit.exported], ids=lambda check: check.__name__
)
def test_a_sound_primitive_passes(check):
    check(_kit(Sound))


def test_the_causal_check_leaves_alone_what_promises_nothing():
    leaky = faulty("reads the mean")
    leaky.breaks = frozenset({Effect.CAUSAL})
    kit.causal(_kit(leaky))


def test_one_perturbation_would_not_be_enough():
    """Why the check changes the future in several ways: each leak is blind to one of them."""
    x = torch.randn(1, 9, 4)
    future = torch.cat([x[:, :5], -x[:, 5:]], 1)
    even = Scale(width=4, fault="reads the power")
    assert torch.allclose(even(x)[:, :5], even(future)[:, :5], atol=1e-6)
    scaled = torch.cat([x[:, :5], 10 * x[:, 5:]], 1)
    signs = Scale(width=4, fault="reads signs")
    assert torch.allclose(signs(x)[:, :5], signs(scaled)[:, :5], atol=1e-6)


def _kit(primitive):
    language = palmette.language()
    return PrimitiveKit(primitive, type(language)((*language.nodes, primitive)), samples=3)
