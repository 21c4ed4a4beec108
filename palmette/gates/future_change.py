"""The future leak, seen by replacing the future."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from palmette.gates._base import Gate, GateFailure, Subject, modes, run, scale_of
from palmette.gates._features import fed
from palmette.grammar.types import Effect

LENGTHS = (40, 80)  # every position is a cut
FAR, FAR_CUTS = 400, (150, 299, 399)
TOLERANCE = 1e-4
HUGE = 30.0


class FutureChange(Gate):
    """Replacing the future, from any position on and in many ways, changes no earlier output.

    A gradient misses what is not differentiable: thresholds, signs, ranks, hashed ids. Noise misses
    an operator that reads the mean sign, a new sign one that reads squares, a new scale one that
    normalises, small values one that takes a maximum; so the future is replaced by noise, by its
    negative, by thirty times itself, by zeros, by itself backwards, and for ids by one id alone. It
    is done in both modes, with shaken weights, at every position of 40; at every position of 80 and
    some of 400, the future is made thirty times larger in evaluation and is noise in training mode.
    Outputs may move by 1e-4 of the largest: chunked sums are rounded relative to a place in the
    future, which is seen up to 1e-5 where the future is thirty times larger.
    """

    name = "future_change"
    rounds = True
    needs = frozenset({Effect.CAUSAL})

    def check(self, subject: Subject) -> str:
        """The largest relative change of an earlier output."""
        worst, number = 0.0, 0
        for training in (False, True):
            model = subject.fresh(training=training, shaken=True)
            for length in (*LENGTHS, FAR):
                cuts = list(FAR_CUTS if length == FAR else range(1, length))
                kinds = ["noise" if training else "huge"] if length > LENGTHS[0] else list(KINDS)
                x = subject.inputs(length, rows=1).expand(len(cuts), *_tail(subject, length))
                with torch.no_grad():
                    before = run(model, x)
                    scale = scale_of(before)
                    for kind in kinds:
                        after = replaced(model, subject, x, cuts, kind)
                        if after is None:
                            continue
                        number += len(cuts)
                        moved, cut, place = earliest(before, after, cuts)
                        if not moved <= TOLERANCE * scale:
                            raise GateFailure(
                                f"output {place} moves by {moved / scale:.1e} of the largest when "
                                f"the input from {cut} on is replaced ({kind}, t = {length}, "
                                f"{modes(training)} mode)"
                            )
                        worst = max(worst, moved / scale)
        return f"{number:,} futures replaced; earlier outputs move by at most {worst:.0e}"


def _tail(subject: Subject, length: int) -> tuple[int, ...]:
    return (length,) if subject.takes == "ids" else (length, subject.width)


def replaced(
    model: nn.Module, subject: Subject, x: Tensor, cuts: list[int], kind: str
) -> Tensor | None:
    """The outputs when row r has another future from `cuts[r]` on."""
    later = torch.arange(x.shape[1]) >= torch.tensor(cuts)[:, None]  # [b t]

    def change(features: Tensor) -> Tensor:
        mask = later.view(*later.shape, *[1] * (features.ndim - 2))
        return torch.where(mask, KINDS[kind](features), features)

    if subject.takes == "features" or kind in ("sign", "huge"):
        return fed(model, x, change)
    if kind == "noise":
        other = subject.inputs(x.shape[1], rows=len(x), seed=1)
    elif kind == "zero":
        other = torch.zeros_like(x)
    else:
        other = x.flip(1)
    return run(model, torch.where(later, other, x))


def earliest(before: Tensor, after: Tensor, cuts: list[int]) -> tuple[float, int, int]:
    """The largest move of an output before its row's cut, with the cut and the position."""
    place = torch.arange(before.shape[1])
    moved = (after - before).abs().amax(-1)  # [b t]
    moved = moved.masked_fill(place >= torch.tensor(cuts)[:, None], 0.0)
    moved = moved.nan_to_num(nan=torch.inf)
    row, where = divmod(int(moved.argmax()), before.shape[1])
    return float(moved.max()), cuts[row], where


def _noise(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(7))


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "noise": _noise,
    "sign": lambda x: -x,
    "huge": lambda x: HUGE * x,
    "zero": torch.zeros_like,
    "backwards": lambda x: x.flip(1),
}
