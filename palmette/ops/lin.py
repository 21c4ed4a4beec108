"""The family of linear recurrences: `lin(erase='beta')` is DeltaNet.

One matrix-valued state a head, S [k v], which each token decays, erases from and writes to:

    S_t = (I - beta_t k_t k_t^T) Diag(e^{g_t}) S_{t-1} + w_t k_t v_t^T,      o_t = q_t^T S_t

Linear attention, RetNet, GLA, HGRN2, RWKV, Mamba-2, DeltaNet, Gated DeltaNet, Kimi's delta
attention and DeltaProduct are a knob or two apart.
"""

from fractions import Fraction
from typing import ClassVar

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._lin_module import LinearRecurrence
from palmette.ops._lin_parts import projection_widths

RANK = 16  # of the low-rank gates, as in GLA


@node
class Lin(Primitive):
    """A linear recurrence over a matrix-valued state, computed in chunks (see the file's head).

    Every combination of knobs is stable: decays are at most 1, an erasing token multiplies the
    state by a matrix of norm at most 1 (keys have unit length then), and what is written is
    bounded by the input.

    `decay` 'constant' is RetNet's, 'scalar' Mamba-2's -A dt of a head, 'vector' GLA's of a
    channel, 'vector_dt' Kimi's (-A dt of a channel, arXiv 2510.26692), 'tied' HGRN2's: the key's
    projection is the forget gate f, and the key is 1 - f, without feature map (arXiv 2404.07904).

    `erase` 'beta' is the delta rule (arXiv 2406.06484), 'beta2' lets beta reach 2 and so the
    eigenvalue -1 (arXiv 2411.12537); 'channel' gates each channel of the key that is erased and
    written by; 'free' erases I - c c^T in a gated direction c of its own, as RWKV-7 does
    (arXiv 2503.14456), symmetric so that it cannot grow.

    `write` 'raw' writes k v^T, or when beta erases, beta k v^T as the delta rule does; the others
    put a strength of their own in its place: 'beta' a sigmoid gate of the head, 'dt' the step of
    the decay (or a step of its own), 'complement' 1 - e^g (without decay a gate of its own).

    `householders` n > 1 writes, and where there is erasure erases, n times a token
    (DeltaProduct, arXiv 2502.10297); it decays once ('tied': at each write) and reads at the end.

    `read` 'bonus' sees the state before the token's last write and that write under learned
    weights (RWKV, arXiv 2404.05892); 'normalised' divides by the same recurrence over ones: by
    sum_j q.k_j where features are positive and nothing is erased (arXiv 2006.16236), elsewhere by
    max(|that|, 1) as the mLSTM does (arXiv 2405.04517).

    A convolution is followed by a SiLU. `out_norm` 'rms' norms each head before the gate,
    'rms_after' all of them together after it, as Mamba-2 does. Queries are scaled by k^(-1/2),
    except where 'dt' scales the writes.

    >>> place = Place(width=64, depth=1, hidden=1.0, vocabulary=256, context=128)
    >>> cost = Lin(erase="beta").cost(place, length=128)
    >>> cost.parameters, cost.state_bytes
    (17424, 6400)
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    breaks = frozenset({Effect.FORKS})
    odds: ClassVar[float] = 3.0

    heads: int = knob(4, 1, 2, 8, weights=(3, 1, 3, 1), meaning="heads; each has a state")
    key_ratio: Fraction = knob(
        Fraction(1),
        Fraction(1, 2),
        Fraction(3, 4),
        Fraction(2),
        weights=(4, 1, 1, 1),
        meaning="key over head size",
    )
    value_ratio: Fraction = knob(
        Fraction(1),
        Fraction(3, 2),
        Fraction(2),
        weights=(4, 1, 1),
        meaning="value over head size",
    )
    key_groups: str = knob(
        "heads", "one", weights=(4, 1), meaning="queries and keys for each head, or for all"
    )
    conv: int = knob(4, 0, 2, 3, weights=(5, 2, 1, 1), meaning="taps of the short convolution")
    bias: bool = knob(False, True, weights=(5, 1), meaning="a bias on q, k and v before the SiLU")
    feature: str = knob(
        "identity",
        "silu",
        "relu",
        "elu1",
        "softmax",
        "rms",
        weights=(6, 1, 1, 1, 1, 1),
        meaning="feature map of queries and keys; 'rms' is a norm with learned scales",
    )
    rotary: bool = knob(False, True, weights=(5, 1), meaning="rotary positions on q and k")
    decay: str = knob(
        "none",
        "constant",
        "scalar",
        "vector",
        "vector_dt",
        "tied",
        weights=(3, 1, 4, 2, 2, 1),
        meaning="how the state forgets",
    )
    write: str = knob(
        "raw", "beta", "dt", "complement", weights=(5, 1, 2, 1), meaning="strength of a write"
    )
    erase: str = knob(
        "none",
        "beta",
        "beta2",
        "channel",
        "free",
        weights=(4, 4, 2, 1, 1),
        meaning="what a token removes before it writes",
    )
    householders: int = knob(1, 2, 3, weights=(10, 2, 1), meaning="writes a token")
    read: str = knob(
        "inclusive", "bonus", "normalised", weights=(7, 1, 1), meaning="what a query sees"
    )
    skip: bool = knob(False, True, weights=(4, 1), meaning="adds D v, one D a head")
    out_norm: str = knob("rms", "none", "rms_after", weights=(6, 1, 1), meaning="on the output")
    out_gate: str = knob("none", "silu", "sigmoid", weights=(3, 3, 1), meaning="on the output")

    def cost(self, place: Place, length: int) -> Cost:
        """Exact parameters; multiply-adds of the recurrent form; a state that does not grow."""
        heads, steps = self.heads, self.householders
        keys, values = heads * self._key_size(place), heads * self._value_size(place)
        widths = self._widths(place)
        channels = widths["q"] + widths["k"] + widths["erase_key"] + widths["v"]
        normalised = self.read == "normalised"
        low_rank = RANK * keys * ((widths["decay"] > 0) + steps * (widths["erase"] > 0))

        matrices = place.width * (sum(widths.values()) + values) + channels * self.conv + low_rank
        vectors = sum(
            (
                channels * self.bias,
                2 * self._key_size(place) * (self.feature == "rms"),
                keys * (self.decay == "vector"),
                heads * (self.decay in ("scalar", "vector_dt")),
                keys if self.decay == "vector_dt" else widths["dt"],
                steps * keys * (widths["erase"] > 0),
                keys * (self.read == "bonus"),
                heads * self.skip,
                self._value_size(place) * (self.out_norm == "rms"),
                values * (self.out_norm == "rms_after"),
            )
        )
        state = keys * (self._value_size(place) + normalised)
        decays = steps if self.decay == "tied" else int(self.decay != "none")
        updates = decays + steps * self._passes() + 1  # decay, erase and write, read
        gates = values * ((self.out_gate != "none") + self.skip + normalised)
        bonus = (keys + values) * (self.read == "bonus")
        return Cost(
            parameters=matrices + vectors,
            flops_forward=2.0 * (matrices + state * updates + gates + bonus),
            state_bytes=4 * (state + channels * max(self.conv - 1, 0)),
        )

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            LinearRecurrence,
            width=place.width,
            heads=self.heads,
            key_heads=self._key_heads(),
            key_size=self._key_size(place),
            value_size=self._value_size(place),
            rank=RANK,
            conv=self.conv,
            bias=self.bias,
            feature=self.feature,
            rotary=self.rotary,
            decay=self.decay,
            write=self.write,
            erase=self.erase,
            householders=self.householders,
            read=self.read,
            skip=self.skip,
            out_norm=self.out_norm,
            out_gate=self.out_gate,
        )

    def _passes(self) -> int:
        """Passes over the state that one write takes.

        One adds k v^T. Erasing first reads a^T S; then b (a^T S) + k v^T is one outer product where
        b is k, as in the delta rule, and two where b is a direction of its own or k has a strength
        for each channel.
        """
        if self.erase == "none":
            return 1
        on_channels = (self.write, self.decay) == ("dt", "vector_dt") or (
            self.write == "complement" and self.decay in ("vector", "vector_dt", "tied")
        )
        return 3 if self.erase == "free" or on_channels else 2

    def _key_heads(self) -> int:
        return self.heads if self.key_groups == "heads" else 1

    def _key_size(self, place: Place) -> int:
        return max(1, round(_head_size(place, self.heads) * self.key_ratio))

    def _value_size(self, place: Place) -> int:
        return round(_head_size(place, self.heads) * self.value_ratio)

    def _widths(self, place: Place) -> dict[str, int]:
        return projection_widths(
            heads=self.heads,
            key_heads=self._key_heads(),
            key_size=self._key_size(place),
            value_size=self._value_size(place),
            rank=RANK,
            householders=self.householders,
            decay=self.decay,
            write=self.write,
            erase=self.erase,
            out_gate=self.out_gate,
        )


def _head_size(place: Place, heads: int) -> int:
    return max(1, round(place.width / heads))
