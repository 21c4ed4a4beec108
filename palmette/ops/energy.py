"""Prediction as descent on an energy: `energy(A)` (Energy-Based Transformers, arXiv 2507.02092).

For every position a draft y of the next token's logits is improved by the gradient of an energy:

    p = softmax(y)                      [b t vocabulary]
    e = p W sqrt(d)                     the embedding of the draft, [b t d]
    E = w . norm(A([x ; e])[t:])        [b t], one number a draft
    y <- y - alpha dE/dy

The trunk A reads the real tokens x and beside them the candidates e: candidate i stands where token
i + 1 will, and sees the real tokens up to i and itself. No candidate sees another, so the gradient
of the summed energies is each draft's own. Training differentiates through the gradient, a second
time.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._norm import RmsNorm, norm_cost
from palmette.ops._segments import Segment
from palmette.ops._stream import State

ENERGY_SCALE = 0.03
"""Of the first energies. With torch's own, over ten times as large, the first steps overshoot and a
fresh model is sure of wrong tokens."""


@node
class Energy(Primitive):
    """A causal language model that finds the next token by descent on a learned energy (EBT).

    The step size alpha is learned, as its logarithm. It starts at `rate` times the vocabulary: at a
    flat draft the softmax has made the gradient smaller by that factor. The loss is the mean over
    the drafts after each step; with `detach` each step answers for its own draft alone (the paper's
    S1). It decodes: a real token advances the trunk's state, its candidates a fork of it.
    """

    sort = Sort.MODEL
    role = "model"
    breaks = frozenset({Effect.TWICE_DIFFERENTIABLE, Effect.LOSS_FREE})

    core: Primitive = child(
        Sort.CORE,
        requires=[
            Effect.CAUSAL,
            Effect.FORKS,
            Effect.LOSS_FREE,
            Effect.ONE_SEGMENT,
            Effect.TOKEN_FREE,
            Effect.TWICE_DIFFERENTIABLE,
        ],
        meaning="the trunk that weighs candidates beside the real tokens",
    )
    steps: int = knob(2, 1, 3, weights=(3, 1, 1), meaning="steps of the descent")
    detach: bool = knob(
        True, False, weights=(2, 1), meaning="whether a step takes the draft before it as given"
    )
    start: str = knob(
        "zero",
        "noise",
        weights=(4, 1),
        meaning="the first draft: flat, or normal noise that depends on the position alone",
    )
    rate: Fraction = knob(
        Fraction(1),
        Fraction(1, 2),
        Fraction(1, 4),
        weights=(2, 1, 1),
        meaning="the first step size over the vocabulary",
    )

    def cost(self, place: Place, length: int) -> Cost:
        """Each step runs real tokens and candidates forward, and back to the draft.

        Differentiating both once more, in weights and features, costs twice as much again: training
        is three times the forward pass, as it is for other models.
        """
        d, table = place.width, place.vocabulary * place.width
        core = self.core.cost(replace(place, candidates=True), length)
        read_off = norm_cost("rms", d) + Cost(parameters=d, flops_forward=2.0 * d)
        once = 2 * core.flops_forward + read_off.flops_forward + 2.0 * table
        return replace(
            core,
            parameters=table + core.parameters + read_off.parameters + 1,
            flops_forward=2 * self.steps * once,
            flops_extra=4 * self.steps * core.flops_extra,
        )

    def plan(self, place: Place) -> Call:
        """The whole model."""
        return call(
            EnergyModel,
            vocabulary=place.vocabulary,
            width=place.width,
            core=self.core.plan(replace(place, candidates=True)),
            steps=self.steps,
            detach=self.detach,
            noise=self.start == "noise",
            step_size=float(self.rate) * place.vocabulary,
        )


class EnergyModel(nn.Module):
    """Improves drafts of the next token's logits by steps down an energy."""

    second_order = True  # its loss holds derivatives of its trunk, which is differentiated again

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int,
        core: nn.Module,
        steps: int,
        detach: bool,
        noise: bool,
        step_size: float,
    ) -> None:
        super().__init__()
        self.steps, self.detach, self.noise = steps, detach, noise
        self.embedding = nn.Embedding(vocabulary, width)
        self.core = core
        self.norm = RmsNorm(width=width)
        self.energy = nn.Linear(width, 1, bias=False)
        self.log_step_size = nn.Parameter(torch.tensor(math.log(step_size)))
        nn.init.normal_(self.embedding.weight, std=width**-0.5)  # as in `lm`
        nn.init.normal_(self.energy.weight, std=ENERGY_SCALE * width**-0.5)

    def forward(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t vocabulary"]:
        """The last draft of every next token."""
        return self._drafts(ids)[-1]

    def segments(self, ids: Int[Tensor, "b t"]) -> Iterator[Segment]:
        """One segment, whose loss is the mean over all drafts."""
        *drafts, last = self._drafts(ids)
        yield Segment(last, drafts=tuple(drafts))

    def init_state(self, batch: int) -> State:
        """The number of tokens read, and the trunk's state."""
        return 0, self.core.init_state(batch)  # type: ignore[operator]

    def step(
        self, ids: Int[Tensor, " b"], state: State
    ) -> tuple[Float[Tensor, "b vocabulary"], State]:
        """The trunk goes on with the token itself; the candidates after it are weighed on forks."""
        position, before = state
        _, core = self.core.step(self._scaled(self.embedding(ids)), before)  # type: ignore[operator]

        def energy(e: Tensor) -> Tensor:
            candidate, _ = self.core.step(e.squeeze(1), core)  # type: ignore[operator]
            return self.energy(self.norm(candidate))  # type: ignore[no-any-return]

        drafts = self._descent(energy, self._start(len(ids), position, 1))
        return drafts[-1].squeeze(1), (position + 1, core)

    def _drafts(self, ids: Int[Tensor, "b t"]) -> list[Float[Tensor, "b t vocabulary"]]:
        """The drafts after each step."""
        length = ids.shape[1]
        x = self._scaled(self.embedding(ids))

        def energy(e: Tensor) -> Tensor:
            y = self.core(torch.cat((x, e), 1))
            return self.energy(self.norm(y[:, length:]))  # type: ignore[no-any-return]

        return self._descent(energy, self._start(len(ids), 0, length))

    def _descent(
        self, energy: Callable[[Tensor], Tensor], y: Float[Tensor, "b t vocabulary"]
    ) -> list[Float[Tensor, "b t vocabulary"]]:
        """The drafts from the first one on, given what says the energies of embedded drafts.

        Where the caller differentiates, drafts can be differentiated; elsewhere a gradient is taken
        all the same, within the step.
        """
        outside = torch.is_grad_enabled()
        drafts: list[Tensor] = []
        with torch.enable_grad():
            for _ in range(self.steps):
                y = y.detach() if self.detach or not outside else y
                y = y if y.requires_grad else y.requires_grad_()
                e = self._scaled(torch.softmax(y, -1) @ self.embedding.weight)
                (slope,) = torch.autograd.grad(energy(e).sum(), y, create_graph=outside)
                y = y - self.log_step_size.exp() * slope
                drafts.append(y)
        return drafts if outside else [draft.detach() for draft in drafts]

    def _scaled(self, e: Float[Tensor, "*bt d"]) -> Float[Tensor, "*bt d"]:
        """Rows of unit length become unit features, as in `lm`."""
        return e * math.sqrt(self.embedding.embedding_dim)

    def _start(self, batch: int, first: int, length: int) -> Float[Tensor, "b t vocabulary"]:
        """The first drafts of the tokens after positions `first` and on."""
        weight = self.embedding.weight
        if not self.noise:
            return weight.new_zeros(batch, length, len(weight))
        rows = [position_noise(first + i, len(weight)) for i in range(length)]
        return torch.stack(rows).to(weight).expand(batch, -1, -1)


def position_noise(position: int, vocabulary: int) -> Float[Tensor, " vocabulary"]:
    """Normal noise that is the same at this position whatever the sequence.

    In the paper it is drawn anew each time. So an evaluation would not repeat, and a draft would
    depend on how much of the sequence is computed at once.
    """
    generator = torch.Generator().manual_seed(position)
    return torch.randn(vocabulary, generator=generator)
