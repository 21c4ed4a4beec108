"""Thinking in loops: a slow and a fast state, refined by turns (HRM and TRM): `hloop(H, L)`.

Hierarchical Reasoning Model (arXiv 2506.21734), with x the input and both states [b t d]:

    slow_cycles times:   fast_cycles times:   z_L <- |L(z_L + z_H + x)|
                         once:                z_H <- |H(z_H + z_L)|

and z_H is the output. With one net, H is L: the Tiny Recursive Model (arXiv 2510.04871), which
calls z_H the answer y and z_L the thought z. |.| is the norm to unit mean square, without weights:
HRM's blocks end in it (post-norm), and after blocks that do not, states would double in each cycle.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import children, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._stream import State, advance, any_reads_ids, run

SEVERAL = frozenset({Effect.ONE_SEGMENT, Effect.LOSS_FREE})
CUT = frozenset({Effect.TWICE_DIFFERENTIABLE})


@node
class Hloop(Primitive):
    """A slow and a fast net that refine two states by turns (HRM), or one net for both (TRM).

    The weights are counted once, the work and the decoding state once for every call: under a
    causal trunk it decodes, each call from a state of its own. A stack inside repeats as it would
    outside.

    `gradient` says which calls of a segment are differentiated: 'one', the last of either net
    (HRM's one-step approximation); 'last', the last slow cycle (TRM); 'tail', every slow call, and
    the last fast one of each cycle, the last two in the last cycle (HRM-Text); 'all'.

    With `segments` the states go through all cycles so many times, and training takes an optimiser
    step after each time, with what came before detached (deep supervision). With `halting` a head
    learns to say that the whole answer is right, and a sequence of which it says so is trained on
    no further; evaluation runs all segments.
    """

    sort = Sort.CORE
    odds: ClassVar[float] = 0.3

    nets: tuple[Primitive, ...] = children(
        Sort.CORE,
        least=1,
        most=2,
        requires=[Effect.ONE_SEGMENT],
        meaning="the slow net, then the fast net; or one net that is both",
    )
    slow_cycles: int = knob(
        2, 1, 3, 4, weights=(4, 3, 2, 0.5), meaning="calls of the slow net in a segment"
    )
    fast_cycles: int = knob(
        2,
        1,
        3,
        4,
        6,
        weights=(4, 3, 2, 0.5, 0.2),
        meaning="calls of the fast net before each call of the slow net",
    )
    gradient: str = knob(
        "one",
        "last",
        "tail",
        "all",
        weights=(1, 2, 1, 2),
        breaks={"one": CUT, "last": CUT, "tail": CUT},
        meaning="which calls of a segment are differentiated",
    )
    start: str = knob(
        "fixed",
        "input",
        weights=(2, 1),
        meaning="both states start at fixed random vectors, and the input enters every fast call; "
        "or z_H starts as the input, which enters nowhere else, and z_L at zero (HRM-Text)",
    )
    segments: int = knob(
        1,
        2,
        4,
        8,
        16,
        weights=(8, 1, 1, 0.5, 0.2),
        breaks=dict.fromkeys((2, 4, 8, 16), SEVERAL | CUT),
        meaning="how often all cycles run, with an optimiser step after each time",
    )
    halting: bool = knob(
        False,
        True,
        weights=(3, 1),
        breaks={True: [Effect.LOSS_FREE]},
        meaning="whether training leaves a sequence alone once its answer is said to be right",
    )

    def simplified(self) -> "Hloop":
        """One segment has nowhere to halt; where two gradients are the same, 'all' or the first."""
        halting = self.halting and self.segments > 1
        own = self._calls(self.gradient)
        ways = ("all", "one", "last", "tail")
        gradient = next(way for way in ways if self._calls(way) == own)
        return replace(self, halting=halting, gradient=gradient)

    def cost(self, place: Place, length: int) -> Cost:
        """Weights once, work and state for every call; what is not differentiated runs once."""
        d = place.width
        kinds = [net.cost(place, length) for net in self.nets]
        total = Cost(
            parameters=sum(net.parameters for net in kinds),
            steps=sum(net.steps for net in kinds),  # of one round: sizing shapes the nets, no more
            idle=sum(net.idle for net in kinds),
        )
        for slow, tracked in self._calls(self.gradient):
            net = kinds[0] if slow else kinds[-1]
            forward = net.flops_forward + 6.0 * d  # sums and a norm
            extra = net.flops_extra if tracked else -2 * forward
            once = Cost(flops_forward=forward, state_bytes=net.state_bytes, flops_extra=extra)
            total += once.rerun(self.segments)
        if self.halting and self.segments > 1:
            total += Cost(parameters=d + 1, flops_extra=6.0 * d * self.segments)
        return total

    def plan(self, place: Place) -> Call:
        """Both nets in one module."""
        return call(
            HierarchicalLoop,
            width=place.width,
            nets=tuple(net.plan(place) for net in self.nets),
            slow_cycles=self.slow_cycles,
            fast_cycles=self.fast_cycles,
            gradient=self.gradient,
            start=self.start,
            segments=self.segments,
            halting=self.halting and self.segments > 1,
        )

    def _calls(self, gradient: str) -> list[tuple[bool, bool]]:
        return list(calls(self.slow_cycles, self.fast_cycles, gradient))


def calls(slow_cycles: int, fast_cycles: int, gradient: str) -> Iterator[tuple[bool, bool]]:
    """The calls of a segment in order: whether of the slow net, and whether differentiated.

    >>> [tracked for slow, tracked in calls(2, 2, "last")]
    [False, False, False, True, True, True]
    >>> [tracked for slow, tracked in calls(2, 3, "tail")]
    [False, False, True, True, False, True, True, True]
    """
    for cycle in range(1, slow_cycles + 1):
        last = cycle == slow_cycles
        if gradient == "all" or (gradient == "last" and last):
            tracked = fast_cycles
        elif gradient == "tail":
            tracked = 2 if last else 1
        else:
            tracked = 1 if gradient == "one" and last else 0
        for fast in range(fast_cycles):
            yield False, fast >= fast_cycles - tracked
        yield True, tracked > 0


class HierarchicalLoop(nn.Module):
    """Runs a slow and a fast net by turns; `nets` holds both, or one that is both.

    z_H and z_L start at fixed vectors, normal but for what is further out than 2, which are no
    parameters; or, with start 'input', at the input and at zero.
    """

    unreached = ("halt.weight", "halt.bias")  # by the output: the halting loss trains them

    def __init__(
        self,
        *,
        width: int,
        nets: list[nn.Module],
        slow_cycles: int,
        fast_cycles: int,
        gradient: str,
        start: str,
        segments: int,
        halting: bool,
    ) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.calls = list(calls(slow_cycles, fast_cycles, gradient))
        self.fixed, self.segments = start == "fixed", segments
        self.reads_ids = any_reads_ids(nets)
        if self.fixed:
            for name in ("slow_start", "fast_start"):
                drawn = nn.init.trunc_normal_(torch.empty(width), a=-2.0, b=2.0)
                self.register_buffer(name, drawn)
        self.halt = nn.Linear(width, 1) if halting else None
        if self.halt is not None:
            nn.init.zeros_(self.halt.weight)
            nn.init.constant_(self.halt.bias, -5.0)  # at first no sequence halts

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """z_H after all segments; only the last of them is differentiated."""
        carry = None
        for left in reversed(range(self.segments)):
            with torch.set_grad_enabled(left == 0 and torch.is_grad_enabled()):
                carry = self.segment(x, carry, ids)
        assert carry is not None, "there is at least one segment"
        return carry[0]

    def segment(
        self,
        x: Float[Tensor, "b t d"],
        carry: tuple[Tensor, Tensor] | None,
        ids: Int[Tensor, "b t"] | None = None,
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b t d"]]:
        """z_H and z_L after all cycles once more; None for the carry starts them.

        An input that enters only as the first z_H would be cut off from the gradient with it: it
        then passes straight to the first z_H that is differentiated.
        """
        slow, fast = self._begin(x) if carry is None else carry
        cut = carry is not None
        for is_slow, tracked in self.calls:
            if tracked and cut and not self.fixed:
                slow, cut = slow + (x - x.detach()), False
            cut = cut or (is_slow and not tracked)
            with torch.set_grad_enabled(tracked and torch.is_grad_enabled()):
                if is_slow:
                    slow = unit_power(run(self.nets[0], slow + fast, ids))
                else:
                    fast = unit_power(run(self.nets[-1], self._mixed(x, slow, fast), ids))
        return slow, fast

    def halt_logits(self, carry: tuple[Tensor, Tensor]) -> Float[Tensor, " b"] | None:
        """A logit a sequence: whether its whole answer is right; None if it never halts."""
        if self.halt is None:
            return None
        return self.halt(carry[0].mean(1)).squeeze(-1)  # type: ignore[no-any-return]

    def init_state(self, batch: int) -> State:
        """The weights are shared, the states are not: one for every call of every segment."""
        nets = [self.nets[0 if is_slow else -1] for is_slow, _ in self.calls * self.segments]
        return tuple(net.init_state(batch) for net in nets)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """All calls for one token."""
        slow, fast = self._begin(x)
        after = []
        for (is_slow, _), before in zip(self.calls * self.segments, state, strict=True):
            if is_slow:
                y, own = advance(self.nets[0], slow + fast, before, ids)
                slow = unit_power(y)
            else:
                y, own = advance(self.nets[-1], self._mixed(x, slow, fast), before, ids)
                fast = unit_power(y)
            after.append(own)
        return slow, tuple(after)

    def _begin(self, x: Float[Tensor, "*bt d"]) -> tuple[Tensor, Tensor]:
        if not self.fixed:
            return x, torch.zeros_like(x)
        return self.slow_start.expand_as(x), self.fast_start.expand_as(x)  # type: ignore[operator]

    def _mixed(
        self, x: Float[Tensor, "*bt d"], slow: Float[Tensor, "*bt d"], fast: Float[Tensor, "*bt d"]
    ) -> Float[Tensor, "*bt d"]:
        """What the fast net reads."""
        return fast + slow + x if self.fixed else fast + slow


def unit_power(x: Float[Tensor, "*bt d"]) -> Float[Tensor, "*bt d"]:
    """Each token's features over their root mean square."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
