"""A step towards an association: `correct(old(), key(), value(), rate(), error='tanh')`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term, pair, read, soft_unit


@node
class Correct(Term):
    """A gradient step on how badly the state associates a key with a value.

    Read by the key: S - g k f(S^T k, v)^T, where f is the error between what is read and what is
    wanted. Linear, it is the delta rule (arXiv 2102.11174); the others are the gradients of other
    losses, as Miras has them (arXiv 2504.13173): 'tanh' of log cosh, 'clip' of Huber's, 'unit' of
    sqrt(1 + |e|^2), 'softmax' of the cross entropy. Read by the value: S - g f(S v, k) v^T, which,
    linear, is Oja's rule (1982) with the key as the neuron's input and the value as its output; the
    value is shortened to length 1 there.
    """

    sort = Sort.UPDATE

    state: Primitive = child(Sort.STATE, meaning="what is corrected")
    key: Primitive = child(Sort.KEY, meaning="the key of the association")
    value: Primitive = child(Sort.VALUE, meaning="the value of the association")
    rate: Primitive = child(Sort.RATE, meaning="how long the step is")
    error: str = knob(
        "linear",
        "tanh",
        "clip",
        "unit",
        "softmax",
        breaks={"clip": [Effect.TWICE_DIFFERENTIABLE]},
        meaning="between what is read and what is wanted",
    )
    by: str = knob("key", "value", weights=(2, 1), meaning="which of the two is read by")

    def work(self, k: int, v: int) -> int:
        """One contraction, one outer product, the rate; perhaps lengths of error and value."""
        read_size = v if self.by == "key" else k
        lengths = 2 * v * (self.by == "value") + 2 * read_size * (self.error == "unit")
        return 2 * k * v + (k if self.by == "key" else v) + lengths

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(
            Corrected,
            state=self.state.plan(place),
            key=self.key.plan(place),
            value=self.value.plan(place),
            rate=self.rate.plan(place),
            error=self.error,
            by=self.by,
        )


class Corrected(StateTerm):
    """S - g k f(S^T k, v)^T, or S - g f(S v, k) v^T."""

    def __init__(
        self,
        *,
        state: nn.Module,
        key: nn.Module,
        value: nn.Module,
        rate: nn.Module,
        error: str,
        by: str,
    ) -> None:
        super().__init__(states=[state], parts=[key, value, rate])
        self.error, self.by = error, by

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Reads with one side, compares with the other, and takes the difference away."""
        below, (key, value, rate) = given
        state: Tensor = self.states[0](old, below[0])
        if self.by == "key":
            return state - pair(rate * key, discrepancy(read(state, key), value, self.error))
        value = value * torch.rsqrt(torch.linalg.vecdot(value, value).clamp(min=1.0)).unsqueeze(-1)
        seen = read(state.transpose(-1, -2), value)
        return state - pair(discrepancy(seen, key, self.error), rate * value)


def discrepancy(
    seen: Float[Tensor, "b h m"], wanted: Float[Tensor, "b h m"], kind: str
) -> Float[Tensor, "b h m"]:
    """The gradient, in what is seen, of a convex loss that nowhere curves more than |e|^2 / 2."""
    if kind == "softmax":
        return torch.softmax(seen, -1) - torch.softmax(wanted, -1)
    error = seen - wanted
    if kind == "tanh":
        return torch.tanh(error)
    if kind == "clip":
        return error.clamp(-1.0, 1.0)
    if kind == "unit":
        return soft_unit(error)
    assert kind == "linear", f"no error is called {kind!r}"
    return error
