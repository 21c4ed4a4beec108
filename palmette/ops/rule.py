"""A recurrence whose update is spelled out: `rule(write(old(), key(), value()))` is Hebb's.

The state of a head is a matrix S [k v]. What a token makes of it is an expression of the terms in
`old`, `decay`, `erase`, `write`, `correct`, `blend`, `outer`, `move`, `squash` and `roll`, over the
token's `key`, `value` and `rate`: the door to updates that nobody has named yet.

*Every expression is stable.* Keys, values and rates come from the token alone, keys have length at
most 1 and rates lie in [0, 1]. With those fixed, each term is a map of S of Lipschitz constant at
most 1 in the Frobenius norm, by induction over the expression:

    old, outer        the identity, a constant
    decay, roll       Diag(g) with 0 <= g <= 1, a permutation of rows
    erase             I - c k k^T with 0 <= c <= 2: symmetric, eigenvalues in [-1, 1]
    write             a constant is added
    correct           S - g grad L(S), with L convex and its gradient 1-Lipschitz, since the error
                      is the gradient of such a loss and k, or the shortened v, is no longer than
                      1; a step of g <= 2 is then nonexpansive (Baillon and Haddad 1977)
    blend             g A + (1 - g) B with one g for the whole matrix
    move              |k| |l| times the constant 1 of the bound
    squash            1 for tanh and clip; 'unit' and softmax are gradients of sqrt(1 + |S|^2) and
                      of log-sum-exp, convex and 1-smooth

A map of constant 1 that takes 0 to something of norm w takes S to something of norm at most
|S| + w. So a state grows at most linearly, never exponentially, and gradients through time do not
grow at all. (More cannot be had without leaving out published rules: the delta rule's state can
grow as sqrt(t), by keys that are orthogonal to what they find.) After each token the state is then
projected onto the ball whose entries have a root mean square of at most 64, which is nonexpansive
too and is the identity inside: so the state is bounded for ever.
"""

from typing import ClassVar, cast

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._rule_module import RuledRecurrence, stream_widths, through_conv
from palmette.ops._term import Term

RANK = 16  # of the rates of channels


@node
class Rule(Primitive):
    """A recurrence by an expression, run token by token (see the file's head for its stability).

    S_t = update(S_{t-1}, token t), o_t = S_t^T q_t. Queries, keys and values are projections of the
    token, through a short convolution with a SiLU if `conv` is not 0; a unit query is scaled by
    k^(-1/2). The heads' outputs are normed, gated and projected as in `lin`.

    `rule(write(erase(old(), key(), rate()), key(), value(), rate()))` is DeltaNet
    (arXiv 2406.06484), with `decay(old(), rate(form='slow'))` for `old()` it is Gated DeltaNet
    (arXiv 2412.06464), and a `correct` in place of both is the delta rule for another loss.
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    breaks = frozenset({Effect.FORKS})
    odds: ClassVar[float] = 0.3

    update: Primitive = child(Sort.UPDATE, meaning="what a token makes of the state")
    heads: int = knob(4, 1, 2, 8, weights=(3, 1, 3, 1), meaning="heads; each has a state")
    conv: int = knob(4, 0, 2, weights=(4, 2, 1), meaning="taps of the short convolution")
    query: str = knob("unit", "softmax", weights=(4, 1), meaning="how a query's length is bounded")
    out_norm: str = knob("rms", "none", weights=(6, 1), meaning="on each head's output")
    out_gate: str = knob("none", "silu", "sigmoid", weights=(3, 2, 1), meaning="on the output")

    def simplified(self) -> Primitive:
        """Projections are named a, b, c in the order in which the text meets them."""
        letters: dict[str, str] = {}
        for name in self._streams():
            before = [other for other in letters if _kind(other) == _kind(name)]
            letters[name] = "abc"[len(before)]
        update = _renamed(self.update, letters)
        return self if update == self.update else self.with_nodes([update])

    def cost(self, place: Place, length: int) -> Cost:
        """Projections and the terms' own work; two passes bound the state and one reads it."""
        h, size = self.heads, self._head_size(place)
        widths = stream_widths(self._streams(), h, size, size, RANK)
        names = list(widths)
        channels = sum(width for name, width in widths.items() if through_conv(name))
        low_rank = sum(name.startswith("rates_") for name in names)
        slow = [name for name in names if "_slow_" in name]
        own_steps = sum(name.startswith("rate_") for name in slow)
        inner = h * size
        gate = inner * (self.out_gate != "none")
        matrices = place.width * (sum(widths.values()) + gate + inner)
        matrices += channels * self.conv + low_rank * RANK * inner
        vectors = h * (len(slow) + own_steps) + inner * low_rank + size * (self.out_norm == "rms")
        terms = sum(term.work(size, size) for term in self._terms())
        outputs = 2 * inner * (self.out_norm == "rms") + gate
        state = h * size * size
        return Cost(
            parameters=matrices + vectors,
            flops_forward=2.0 * (matrices + h * terms + 3 * state + 2 * inner + outputs),
            state_bytes=4 * (state + channels * max(self.conv - 1, 0)),
        )

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            RuledRecurrence,
            width=place.width,
            heads=self.heads,
            key_size=self._head_size(place),
            value_size=self._head_size(place),
            rank=RANK,
            streams=self._streams(),
            conv=self.conv,
            query=self.query,
            out_norm=self.out_norm,
            out_gate=self.out_gate,
            update=self.update.plan(place),
        )

    def _terms(self) -> list[Term]:
        return [cast("Term", term) for _, term in self.update.walk()]

    def _streams(self) -> tuple[str, ...]:
        """The projections that the expression reads, each once, by kind."""
        leaves = [term.stream for term in self._terms()]
        read_by_terms = [name for name in dict.fromkeys(leaves) if name is not None]
        kinds = ("key", "value", "rate", "rates")
        return tuple(n for kind in kinds for n in read_by_terms if n.partition("_")[0] == kind)

    def _head_size(self, place: Place) -> int:
        return max(1, round(place.width / self.heads))


def _kind(stream: str) -> str:
    return stream.rpartition("_")[0]


def _renamed(term: Primitive, letters: dict[str, str]) -> Primitive:
    if isinstance(term, Term) and term.stream is not None:
        return term.with_knob("of", letters[term.stream])
    return term.with_nodes([_renamed(kid, letters) for kid in term.nodes()])
