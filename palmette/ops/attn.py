"""Softmax attention (arXiv 1706.03762), its positions, norms, sinks and gates.

    q, k, v = W_q x, W_k x, W_v x, split into heads
    o = attention(q, k, v)      `kernels/attention.py` holds the equation, slow and fast
    y = W_o (gate * o)

Every query head has round(width / heads) features, whatever the width; with fewer key and value
heads than query heads, each is shared by a group of them.

The fused kernel that serves the plain cases has no second derivative on a CPU. Below an energy,
the one place where a second derivative is taken, attention is built otherwise, with explicit
scores (`kernels/forked_attention.py`): it reads t real tokens and then t candidates, and it can be
differentiated twice. So `attn` promises both `TWICE_DIFFERENTIABLE` and `FORKS` for what stands
there, at `Place(candidates=True)`.
"""

import math
from dataclasses import replace
from fractions import Fraction

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._positions import alibi_slopes, distance_bucket, rotate_by_position
from palmette.ops._stream import State
from palmette.ops.kernels.attention import attention, softmax_attention
from palmette.ops.kernels.forked_attention import forked_attention


@node
class Attn(Primitive):
    """Softmax attention: full or in a window, with grouped heads, positions, sinks and gates.

    >>> from palmette.ops._base import Place
    >>> place = Place(width=64, depth=1, hidden=1.0, vocabulary=256, context=128)
    >>> Attn(positions="rope").cost(place, length=128).parameters
    16384
    """

    sort = Sort.OPERATOR
    role = "token mixer"

    heads: int = knob(4, 1, 2, 8, weights=(4, 1, 2, 2), meaning="query heads")
    kv_heads: Fraction = knob(
        Fraction(1),
        Fraction(1, 2),
        Fraction(1, 4),
        weights=(4, 1, 1),
        meaning="key and value heads for each query head, at least one in all (arXiv 2305.13245)",
    )
    window: int = knob(
        0,
        16,
        32,
        64,
        weights=(3, 1, 1, 1),
        meaning="keys that a query sees, its own included; 0 for all before it",
        breaks={0: {Effect.CONSTANT_STATE, Effect.LINEAR_TIME}},
    )
    positions: str = knob(
        "none",
        "rope",
        "alibi",
        "relative",
        weights=(1, 4, 1, 1),
        meaning="none; rotary (arXiv 2104.09864); a slope by distance (arXiv 2108.12409); "
        "a learned bias by distance (arXiv 1910.10683)",
    )
    qk_norm: str = knob(
        "none",
        "rms",
        "l2",
        weights=(2, 1, 1),
        meaning="norm of queries and keys: RMS (arXiv 2505.09388) or cosines (arXiv 2010.04245)",
    )
    sink: bool = knob(
        False, True, weights=(3, 1), meaning="a learned logit for attending to nothing"
    )
    gate: str = knob(
        "none",
        "head",
        "element",
        weights=(2, 1, 1),
        meaning="sigmoid gate on each head or on each of its features (arXiv 2505.06708)",
    )
    bias: bool = knob(False, True, weights=(3, 1), meaning="bias of the query, value, output maps")
    forget: bool = knob(
        False,
        True,
        weights=(6, 1),
        meaning="a gate by which each head forgets what came before a token (arXiv 2503.02130)",
    )
    mask: str = knob(
        "causal",
        "none",
        weights=(6, 1),
        meaning="none: a query sees what comes after it too, with a window on both sides",
        breaks={
            "none": {Effect.CAUSAL, Effect.STREAMABLE, Effect.CONSTANT_STATE, Effect.FORKS},
        },
    )

    def sizes(self, width: int) -> tuple[int, int]:
        """Key and value heads, and the head size."""
        return max(1, int(self.heads * self.kv_heads)), max(1, round(width / self.heads))

    def simplified(self) -> "Attn":
        """Where there are too few heads to share one among so many, the share that there is."""
        return replace(self, kv_heads=Fraction(self.sizes(1)[0], self.heads))

    def cost(self, place: Place, length: int) -> Cost:
        """Scores and values over the mean number of visible keys; kept are keys and values.

        Below an energy half of the tokens are candidates, which see one key more.
        """
        d, h = place.width, self.heads
        g, k = self.sizes(d)
        gates = {"none": 0, "head": h, "element": h * k}[self.gate] + h * self.forget
        matrices = 2 * d * h * k + 2 * d * g * k + d * gates
        parameters = matrices + h * self.forget
        if self.bias:
            parameters += h * k + g * k + d
        if self.positions == "relative":
            parameters += h * (distance_bucket(self.window - 1 if self.window else 128) + 1)
        parameters += {"none": 0, "rms": 2 * k, "l2": h}[self.qk_norm]
        if self.sink:
            parameters += h

        kept = length if self.mask == "none" else min(length, self.window or length)
        visible = self.visible(length)
        if place.candidates:  # candidate i sees what token i + 1 would
            following = ((length + 1) * self.visible(length + 1) - 1) / length
            visible = (visible + following) / 2
        flops = 2.0 * matrices + 4.0 * h * k * visible
        if self.qk_norm != "none":
            flops += 4.0 * (h + g) * k  # a sum of squares and a scale
        if self.positions == "rope":
            flops += 4.0 * (h + g) * (k - k % 2)  # two multiply-adds a feature
        if self.gate != "none":
            flops += 2.0 * h * k
        return Cost(parameters, flops, state_bytes=4 * (2 * g * k + h * self.forget) * kept)

    def visible(self, length: int) -> float:
        """How many keys a query of this length sees on average, its own included."""
        reach = min(length, self.window or length)
        before = reach - reach * (reach - 1) / (2 * length)  # 1, 2, … reach, reach, … on average
        return 2 * before - 1 if self.mask == "none" else before

    def plan(self, place: Place) -> Call:
        """`SelfAttention` at this width."""
        kv_heads, head_size = self.sizes(place.width)
        return call(
            SelfAttention,
            width=place.width,
            heads=self.heads,
            kv_heads=kv_heads,
            head_size=head_size,
            window=self.window,
            positions=self.positions,
            qk_norm=self.qk_norm,
            sink=self.sink,
            gate=self.gate,
            bias=self.bias,
            forget=self.forget,
            mask=self.mask,
            candidates=place.candidates,
        )


class SelfAttention(nn.Module):
    """Self-attention, every option of it plain.

    width, heads, kv_heads, head_size   sizes; heads is a multiple of kv_heads
    window      keys that a query sees, its own included; 0 for all
    positions   none, rope, alibi, relative
    qk_norm     none; rms: RMS norm of each head's queries and keys with learned scales
                (arXiv 2505.09388); l2: cosines with a learned factor a head (arXiv 2010.04245)
    sink        a learned logit a head for attending to nothing
    gate        none; head: one sigmoid gate a head; element: one a feature (arXiv 2505.06708)
    bias        of the query, value and output maps
    forget      a gate a head, computed from the token, that lowers the scores of all keys before it
                (arXiv 2503.02130, equation 5)
    mask        causal, or none
    candidates  whether x holds t real tokens and then t candidates
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        kv_heads: int,
        head_size: int,
        window: int,
        positions: str,
        qk_norm: str,
        sink: bool,
        gate: str,
        bias: bool,
        forget: bool = False,
        mask: str = "causal",
        candidates: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = heads, kv_heads, head_size
        self.window, self.positions, self.qk_norm = window, positions, qk_norm
        self.both_ways, self.candidates = mask == "none", candidates
        self.query = nn.Linear(width, heads * head_size, bias=bias)
        # A bias of the keys would add one number to all scores of a query; softmax ignores it.
        self.key = nn.Linear(width, kv_heads * head_size, bias=False)
        self.value = nn.Linear(width, kv_heads * head_size, bias=bias)
        self.out = nn.Linear(heads * head_size, width, bias=bias)
        if positions == "relative":
            buckets = distance_bucket(window - 1 if window else 128) + 1
            self.relative = nn.Parameter(torch.zeros(buckets, heads))
            self.relative.no_decay = True  # type: ignore[attr-defined]
        if qk_norm == "rms":
            self.query_scale = nn.Parameter(torch.ones(head_size))
            self.key_scale = nn.Parameter(torch.ones(head_size))
        elif qk_norm == "l2":
            # The paper's start, log2(length^2 - length), at a length of 128.
            self.temperature = nn.Parameter(torch.full((heads,), math.log2(128**2 - 128)))
        self.sink = nn.Parameter(torch.zeros(heads)) if sink else None
        gates = {"none": 0, "head": heads, "element": heads * head_size}[gate]
        self.gate = nn.Linear(width, gates, bias=False) if gates else None
        self.forget = nn.Linear(width, heads) if forget else None

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Output t depends on inputs <= t, and with a window only on the last `window` of them.

        With candidates the second half of x stands one token later than the first.
        """
        q, k, v = self._heads(x)
        length = x.shape[1] // 2 if self.candidates else x.shape[1]
        if self.positions == "rope":
            q, k = (
                torch.cat(
                    [rotate_by_position(y[:, :length]), rotate_by_position(y[:, length:], 1)], 1
                )
                if self.candidates
                else rotate_by_position(y)
                for y in (q, k)
            )
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        forget = None if self.forget is None else self._log_kept(x).transpose(1, 2)
        if self.candidates:
            by_distance = self.by_distance(length + 1, x)
            o = forked_attention(
                q, k, v, window=self.window, by_distance=by_distance, sink=self.sink, forget=forget
            )
        else:
            o = attention(
                q,
                k,
                v,
                window=self.window,
                by_distance=self.by_distance(length, x),
                sink=self.sink,
                forget=forget,
                both_ways=self.both_ways,
            )
        return self._output(o.transpose(1, 2), x)

    def init_state(self, batch: int) -> State:
        """Keys and values [b g 0 k], what each head has kept of them [b h 0], tokens so far."""
        empty = self.key.weight.new_zeros(batch, self.kv_heads, 0, self.head_size)
        return empty, empty, empty.new_zeros(batch, self.heads, 0), 0

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token; with a window its keys are all that is kept."""
        keys, values, kept, position = state
        x = x.unsqueeze(1)
        q, k, v = self._heads(x)
        if self.positions == "rope":
            q, k = rotate_by_position(q, position), rotate_by_position(k, position)
        first = max(0, keys.shape[2] + 1 - self.window) if self.window else 0
        keys = torch.cat((keys[:, :, first:], k.transpose(1, 2)), 2)
        values = torch.cat((values[:, :, first:], v.transpose(1, 2)), 2)
        by_distance = self.by_distance(keys.shape[2], x)
        bias = x.new_zeros(1, 1, keys.shape[2])
        if by_distance is not None:
            bias = by_distance.flip(-1).unsqueeze(1)
        if self.forget is not None:
            kept = F.pad(kept[:, :, first:] + self._log_kept(x).mT, (0, 1))
            bias = bias + kept.unsqueeze(2)
        o = softmax_attention(q.transpose(1, 2), keys, values, bias=bias, sink=self.sink)
        y = self._output(o.transpose(1, 2), x).squeeze(1)
        return y, (keys, values, kept, position + 1)

    def _heads(
        self, x: Float[Tensor, "b t d"]
    ) -> tuple[Float[Tensor, "b t h k"], Float[Tensor, "b t g k"], Float[Tensor, "b t g k"]]:
        """Queries, keys and values, normed, not yet turned."""
        b, t, _ = x.shape
        q = self.query(x).view(b, t, self.heads, self.head_size)
        k = self.key(x).view(b, t, self.kv_heads, self.head_size)
        v = self.value(x).view(b, t, self.kv_heads, self.head_size)
        if self.qk_norm == "rms":
            q, k = unit_power(q) * self.query_scale, unit_power(k) * self.key_scale
        elif self.qk_norm == "l2":
            # Of unit power means of length sqrt(k), and attention divides by sqrt(k) once.
            factor = self.temperature[:, None] / math.sqrt(self.head_size)
            q, k = unit_power(q) * factor, unit_power(k)
        return q, k, v

    def _log_kept(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t h"]:
        """The log of the forget gate."""
        assert self.forget is not None, "asked for where there is one"
        return F.logsigmoid(self.forget(x))

    def _output(
        self, o: Float[Tensor, "b t h k"], x: Float[Tensor, "b t d"]
    ) -> Float[Tensor, "b t d"]:
        if self.gate is not None:
            o = o * torch.sigmoid(self.gate(x)).view(*o.shape[:-1], -1)
        y: Tensor = self.out(o.flatten(-2))
        return y

    def by_distance(self, length: int, like: Tensor) -> Float[Tensor, "h t"] | None:
        """What is added to the score of a key so many tokens away; None without such positions."""
        distances = range(length)
        if self.positions == "alibi":
            slopes = torch.tensor(alibi_slopes(self.heads), device=like.device, dtype=like.dtype)
            return -slopes[:, None] * torch.arange(len(distances), device=like.device)
        if self.positions == "relative":
            last = len(self.relative) - 1
            buckets = [min(last, distance_bucket(distance)) for distance in distances]
            return self.relative[torch.tensor(buckets, device=like.device)].T
        return None


def unit_power(x: Float[Tensor, "b t h k"]) -> Float[Tensor, "b t h k"]:
    """Each head's features over their root mean square."""
    power = torch.linalg.vecdot(x, x).unsqueeze(-1) / x.shape[-1]
    return x * torch.rsqrt(power + 1e-6)
