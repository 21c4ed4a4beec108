"""The family of linear recurrences: `lin(erase='beta')` is DeltaNet.

One matrix-valued state a head, S [k v], which each token decays, erases from and writes to:

    S_t = (I - beta_t k_t k_t^T) Diag(e^{g_t}) S_{t-1} + w_t k_t v_t^T,      o_t = q_t^T S_t

Linear attention, RetNet, GLA, HGRN2, RWKV, Mamba-2, DeltaNet, Gated DeltaNet and its second
version, Comba, Kimi's delta attention and DeltaProduct are a knob or two apart.
"""

from fractions import Fraction
from typing import ClassVar

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._lin_cost import recurrence_cost
from palmette.ops._lin_module import LinearRecurrence

RANK = 16  # of the gates of channels


@node
class Lin(Primitive):
    """A linear recurrence over a matrix-valued state, computed in chunks (see the file's head).

    Decays are at most 1, an erasing token multiplies the state by a matrix of norm at most 1 (keys
    have unit length then), and what is written is bounded by the input: every combination of knobs
    is stable but for two forms of erasure that are as published, see below.

    `decay` 'constant' is RetNet's, 'scalar' Mamba-2's -A dt of a head, 'vector' GLA's of a
    channel, 'vector_dt' Kimi's (-A dt of a channel, arXiv 2510.26692), 'vector_exp' RWKV-6's -e^z
    (arXiv 2404.05892), 'vector_sigmoid' RWKV-7's -e^(-1/2) sigmoid(z). 'tied' is HGRN's: the key's
    projection is the forget gate f, and the key is 1 - f, without feature map; in 'tied_floor' a
    learned lower bound keeps each channel's f up (HGRN2, arXiv 2404.07904).

    `erase` 'beta' is the delta rule (arXiv 2406.06484), 'beta2' lets beta reach 2 and so the
    eigenvalue -1 (arXiv 2411.12537), 'share' erases a learned share of what 'beta' does (Comba,
    arXiv 2506.02475); 'channel' gates each channel of the key that is erased and written by;
    'free' erases I - c c^T in a gated direction c of its own. 'channel_read' is Gated DeltaNet-2's
    I - k (r k)^T with a gate r for each channel; 'removal' RWKV-7's (arXiv 2503.14456): with the
    unit vector c of m k and a rate r for each channel it takes (r c) c^T from the decay and writes
    k (1 + (r - 1) n), m and n being learned. Gates that differ between channels make the norm of
    these two up to 1.16 where nothing decays.

    `write` 'raw' writes k v^T, or when beta erases, beta k v^T as the delta rule does; the others
    put a strength of their own in its place: 'beta' a sigmoid gate of the head, 'dt' the step of
    the decay (or a step of its own), 'complement' 1 - e^g (without decay a gate of its own),
    'channel' a sigmoid gate for each channel of the value.

    `householders` n > 1 writes, and where there is erasure erases, n times a token
    (DeltaProduct, arXiv 2502.10297); it decays once ('tied': at each write) and reads at the end.

    `read` 'bonus' sees the state before the token's last write and that write under learned
    weights (RWKV-6), 'echo' sees the state after it and adds that write under learned weights
    once the heads are normed (RWKV-7); 'corrected' reads by q - d k, d being learned (Comba);
    'normalised' divides by the same recurrence over ones: by sum_j q.k_j where features are
    positive and nothing is erased (arXiv 2006.16236), elsewhere by max(|that|, 1) as the mLSTM
    does (arXiv 2405.04517).

    Two taps without activation are RWKV's token shift, after the projections. `out_norm` 'rms'
    norms each head before the gate, 'rms_after' all of them together after it, as Mamba-2 does.
    Queries are scaled by k^(-1/2), except where 'dt' scales the writes; the gates of channels have
    rank 16, as in GLA.

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
    conv_activation: str = knob("silu", "none", weights=(8, 1), meaning="after the convolution")
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
        "tied_floor",
        "vector_exp",
        "vector_sigmoid",
        weights=(6, 2, 8, 4, 4, 1, 1, 1, 1),
        meaning="how the state forgets",
    )
    write: str = knob(
        "raw",
        "beta",
        "dt",
        "complement",
        "channel",
        weights=(10, 2, 4, 2, 1),
        meaning="strength of a write",
    )
    erase: str = knob(
        "none",
        "beta",
        "beta2",
        "channel",
        "free",
        "share",
        "channel_read",
        "removal",
        weights=(8, 8, 4, 2, 2, 1, 1, 1),
        meaning="what a token removes before it writes",
    )
    householders: int = knob(1, 2, 3, weights=(10, 2, 1), meaning="writes a token")
    read: str = knob(
        "inclusive",
        "bonus",
        "normalised",
        "corrected",
        "echo",
        weights=(14, 2, 2, 1, 1),
        meaning="what a query sees",
    )
    skip: bool = knob(False, True, weights=(4, 1), meaning="adds D v, one D a head")
    out_norm: str = knob("rms", "none", "rms_after", weights=(6, 1, 1), meaning="on the output")
    out_gate: str = knob("none", "silu", "sigmoid", weights=(3, 3, 1), meaning="on the output")

    def cost(self, place: Place, length: int) -> Cost:
        """Exact parameters; multiply-adds of the recurrent form; a state that does not grow."""
        return recurrence_cost(**dict(self.plan(place).arguments))

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
            conv_activation=self.conv_activation,
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

    def _key_heads(self) -> int:
        return self.heads if self.key_groups == "heads" else 1

    def _key_size(self, place: Place) -> int:
        return max(1, _share(_head_size(place, self.heads), self.key_ratio))

    def _value_size(self, place: Place) -> int:
        return _share(_head_size(place, self.heads), self.value_ratio)


def _share(size: int, ratio: Fraction) -> int:
    """`round(size * ratio)`; sizing asks often, and products of fractions are slow."""
    return round(size * ratio.numerator / ratio.denominator)


def _head_size(place: Place, heads: int) -> int:
    return max(1, round(place.width / heads))
