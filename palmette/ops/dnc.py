"""The differentiable neural computer as an operator: `dnc(number=16, heads=1)`.

A controller reads the token and what it read from its memory at the token before; it then says
where and what to write, what to free and what to read. `_memory.py` holds the memory's equations.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._memory import (
    content,
    followed,
    fresh_slots,
    links_after,
    usage_after,
    written_memory,
)
from palmette.ops._stream import State


@node
class Dnc(Primitive):
    """A memory that is written where it is free, and read by content or in the order of writing.

    The memory of the differentiable neural computer (Graves et al., Hybrid computing using a neural
    network with dynamic external memory, Nature 2016), with a layer norm on what the controller
    tells the memory (arXiv 1807.02658). Without `links` a head reads by content alone, as there.
    Words are half as wide as the residual stream. The controller is a layer of tanh units over the
    token and the words read before it; 'gated' lets each unit keep what it was.

    What is written depends on what was read, so tokens are computed one after another. The free
    list is sorted, which has no second derivative where its order changes.

    >>> place = Place(width=64, depth=1, hidden=1.0, vocabulary=256, context=128)
    >>> cost = Dnc().cost(place, length=128)
    >>> cost.parameters, cost.state_bytes
    (21328, 3456)
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    breaks = frozenset({Effect.FORKS, Effect.TWICE_DIFFERENTIABLE})
    odds: ClassVar[float] = 0.1

    number: int = knob(16, 8, meaning="slots, each a word")
    heads: int = knob(1, 2, meaning="heads that read; one writes")
    links: bool = knob(True, False, meaning="whether heads can follow the order of writing")
    controller: str = knob(
        "feedforward", "gated", meaning="whether the controller has a state of its own"
    )

    def cost(self, place: Place, length: int) -> Cost:
        """The controller, the interface, and some passes over the memory and its links."""
        width, word = place.width, _word(place)
        n, r = self.number, self.heads
        interface = sum(interface_widths(r, word, self.links))
        units = width * (2 if self.controller == "gated" else 1)
        matrices = units * (width + r * word) + width * interface + width * (width + r * word)
        passes = n * word * (2 + 2 + 2 * r)  # look-up and its norms, erase and write, read
        kept = n * word + 2 * n + r * n + r * word
        if self.links:
            passes += n * n * (3 + 2 * r)
            kept += n * n + n
        if self.controller == "gated":
            kept += width
        return Cost(
            parameters=matrices + units + 2 * interface,
            flops_forward=2.0 * (matrices + passes + 2 * interface),
            state_bytes=4 * kept,
        )

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            NeuralComputer,
            width=place.width,
            word=_word(place),
            slots=self.number,
            heads=self.heads,
            links=self.links,
            controller=self.controller,
        )


def _word(place: Place) -> int:
    return max(1, round(place.width / 2))


def interface_widths(heads: int, word: int, links: bool) -> list[int]:
    """How wide each thing is that the controller tells the memory.

    Keys of the reading heads, key and value of the write; strengths of all keys; how much is
    erased, freed by each head, allocated, written; the modes of reading.
    """
    modes = 3 * heads if links else 0
    return [heads * word, word, word, heads + 1, word + heads + 2, modes]


class NeuralComputer(nn.Module):
    """y_t = W [h_t; words read at t], with h_t = controller(x_t, words read at t - 1)."""

    def __init__(
        self, *, width: int, word: int, slots: int, heads: int, links: bool, controller: str
    ) -> None:
        super().__init__()
        self.word, self.slots, self.heads, self.links = word, slots, heads, links
        self.widths = interface_widths(heads, word, links)
        self.gated = controller == "gated"
        units = 2 * width if self.gated else width
        self.from_token = nn.Linear(width, units)
        self.from_words = nn.Linear(heads * word, units, bias=False)
        self.tell = nn.Linear(width, sum(self.widths), bias=False)
        self.norm = nn.LayerNorm(sum(self.widths))
        self.out = nn.Linear(width + heads * word, width, bias=False)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Token after token; causal."""
        state, outputs = self.init_state(len(x)), []
        for seen in self.from_token(x).unbind(1):
            output, state = self._advance(seen, state)
            outputs.append(output)
        return self.out(torch.stack(outputs, 1))  # type: ignore[no-any-return]

    def init_state(self, batch: int) -> State:
        """An empty memory that nobody has written to or read from.

        The words, their usage, where was written and read; the links and what was written last;
        the words read; the controller's state.
        """
        n, r, like = self.slots, self.heads, self.out.weight
        links: State = ()
        if self.links:
            links = like.new_zeros(batch, n, n), like.new_zeros(batch, n)
        hidden: State = like.new_zeros(batch, self.out.out_features) if self.gated else ()
        return (
            like.new_zeros(batch, n, self.word),
            like.new_zeros(batch, n),
            like.new_zeros(batch, n),
            like.new_zeros(batch, r, n),
            links,
            like.new_zeros(batch, r * self.word),
            hidden,
        )

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        output, state = self._advance(self.from_token(x), state)
        return self.out(output), state

    def _advance(
        self, seen: Float[Tensor, "b units"], state: State
    ) -> tuple[Float[Tensor, "b m"], State]:
        """One token, before the output projection: the controller's units and the words read."""
        memory, usage, written, read, links, words, hidden = state
        hidden = self._control(seen + self.from_words(words), hidden)
        told = self.norm(self.tell(hidden)).split(self.widths, -1)
        keys, key, value, strengths, gates, modes = told
        strengths = 1.0 + F.softplus(strengths)  # how sharply a key looks
        gates = torch.sigmoid(gates)
        erase, free, allocate, write = torch.split(gates, [self.word, self.heads, 1, 1], -1)

        usage = usage_after(usage, written, read, free)
        found = content(memory, key.unsqueeze(1), strengths[:, -1:]).squeeze(1)
        where = write * torch.lerp(found, fresh_slots(usage), allocate)
        memory = written_memory(memory, where, erase, value)

        keys = keys.reshape(-1, self.heads, self.word)
        looked = content(memory, keys, strengths[:, :-1])
        if self.links:
            order, last = links_after(links[0], links[1], where)
            choice = torch.softmax(modes.reshape(-1, self.heads, 3), -1)
            looked, links = followed(order, read, looked, choice), (order, last)
        words = (looked @ memory).flatten(1)
        state = memory, usage, where, looked, links, words, hidden if self.gated else ()
        return torch.cat([hidden, words], -1), state

    def _control(self, units: Float[Tensor, "b units"], before: State) -> Float[Tensor, "b d"]:
        """The controller's units; gated ones keep a share of what they were."""
        if not self.gated:
            return torch.tanh(units)
        keep, new = units.chunk(2, -1)
        return torch.lerp(torch.tanh(new), before, torch.sigmoid(keep))
