"""What `compressed` attention is made of: partial rotations, a pool of tokens, a selector."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from palmette.ops._norm import RmsNorm
from palmette.ops._pairs import turned_pairs
from palmette.ops._stream import State
from palmette.ops.kernels.pooled_attention import highest, marked, pooled


def turn_tail(
    x: Float[Tensor, "b t h k"],
    positions: Int[Tensor, " t"],
    size: int,
    base: int,
    back: bool = False,
) -> Float[Tensor, "b t h k"]:
    """Rotary positions (arXiv 2104.09864) on the last `size` features alone, an even number.

    Features 2i and 2i + 1 of these turn by position x base^(-2i/size); `back` turns them back.
    Where keys are values, attention's output carries the keys' turns: turned back by the query's
    position it depends on distances alone.

    >>> x = torch.tensor([1.0, 1.0, 0.0]).view(1, 1, 1, 3)
    >>> turn_tail(x, torch.tensor([1]), size=2, base=10_000).flatten()
    tensor([1.0000, 0.5403, 0.8415])
    """
    if size == 0:
        return x
    places = torch.arange(0, size, 2, device=x.device, dtype=torch.float) / size
    angle = positions[:, None, None] * (1.0 / base**places)
    turned = turned_pairs(x[..., -size:], -angle if back else angle)
    return torch.cat((x[..., :-size], turned), -1)


class Pool(nn.Module):
    """Every `tokens` tokens one entry of `size` features: softmax pooling, norm, rotation.

    With `overlap` an entry also reads the pool before its own, through maps of its own. An entry
    stands at the position of its pool's first token.
    """

    def __init__(
        self, *, width: int, size: int, tokens: int, overlap: bool, rotated: int, base: int
    ) -> None:
        super().__init__()
        self.tokens, self.series = tokens, 2 if overlap else 1
        self.size, self.rotated, self.base = size, rotated, base
        self.value = nn.Linear(width, self.series * size, bias=False)
        self.gate = nn.Linear(width, self.series * size, bias=False)
        self.bias = nn.Parameter(torch.zeros(tokens, self.series * size))
        self.bias.no_decay = True  # type: ignore[attr-defined]
        self.norm = RmsNorm(width=size)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b w k"]:
        """The entries of all complete pools."""
        return self._entries(pooled(self.value(x), self.gate(x), self.bias, self.series), 0)

    def init_state(self, batch: int) -> State:
        """The entries; values and gates of the open pool; those that its entry will overlap."""
        empty = self.bias.new_zeros(batch, 0, self.series * self.size)
        none = empty[..., : self.size]
        return none, empty, empty, none, none

    def step(self, x: Float[Tensor, "b d"], state: State) -> State:
        """One token; the last of a pool makes an entry, the state's first part."""
        entries, values, gates, values_before, gates_before = state
        values = torch.cat((values, self.value(x).unsqueeze(1)), 1)
        gates = torch.cat((gates, self.gate(x).unsqueeze(1)), 1)
        if values.shape[1] < self.tokens:
            return entries, values, gates, values_before, gates_before
        gates = gates + self.bias
        own = slice(-self.size, None)
        slots = torch.cat((values_before, values[..., own]), 1)
        shares = torch.cat((gates_before, gates[..., own]), 1).softmax(1)
        entry = self._entries((slots * shares).sum(1, keepdim=True), entries.shape[1])
        if self.series == 2:
            values_before, gates_before = values[..., : self.size], gates[..., : self.size]
        entries = torch.cat((entries, entry), 1)
        return entries, values[:, :0], gates[:, :0], values_before, gates_before

    def _entries(self, raw: Float[Tensor, "b w k"], first: int) -> Float[Tensor, "b w k"]:
        """Normed, and turned to where their pools begin."""
        number = torch.arange(first, first + raw.shape[1], device=raw.device)
        normed = self.norm(raw).unsqueeze(2)
        return turn_tail(normed, number * self.tokens, self.rotated, self.base).squeeze(2)


class Selector(nn.Module):
    """Chooses the `top` entries that a query attends to (DeepSeek's lightning indexer).

        score of entry s for query t = sum_h w_t,h ReLU(q_t,h . k_s) / sqrt(size heads)

    with entries k of its own, pooled like the attention's but smaller (DeepSeek-V3.2, arXiv
    2512.02556; pooled in V4). A choice has no gradient, so the selector learns in one of two ways:
    'loss', from a loss of its own, the divergence of its softmax from the shares of attention that
    the heads give the entries (the indexer's loss of V3.2, over all entries that can be seen);
    'straight', from the model's loss, as if the score were added to the logits of the entries that
    were chosen. Either way what it reads takes no gradient from it.
    """

    def __init__(
        self, *, width: int, rank: int, heads: int, size: int, top: int, learns: str, pool: Pool
    ) -> None:
        super().__init__()
        self.heads, self.size, self.top, self.learns = heads, size, top, learns
        self.pool = pool
        self.query = nn.Linear(rank, heads * size, bias=False)
        self.weight = nn.Linear(width, heads, bias=False)

    def scores(
        self,
        x: Float[Tensor, "b t d"],
        latent: Float[Tensor, "b t r"],
        entries: Float[Tensor, "b w k"],
        first: int = 0,
    ) -> Float[Tensor, "b t w"]:
        """Of all entries, whether they can be seen or not; time begins at `first`."""
        x, latent = x.detach(), latent.detach()
        positions = torch.arange(first, first + x.shape[1], device=x.device)
        q = self.query(latent).unflatten(-1, (self.heads, self.size))
        q = turn_tail(q, positions, self.pool.rotated, self.pool.base)
        matches = torch.relu(q.transpose(1, 2) @ entries.unsqueeze(1).mT)  # [b h t w]
        weights = self.weight(x).mT.unsqueeze(-1) * (self.size * self.heads) ** -0.5
        scores: Tensor = (matches * weights).sum(1)
        return scores

    def forward(
        self,
        x: Float[Tensor, "b t d"],
        latent: Float[Tensor, "b t r"],
        seen: Bool[Tensor, "t w"],
    ) -> tuple[Float[Tensor, "b t w"], Float[Tensor, "b t w"]]:
        """The scores, and what is added to the attention's: 0 for those chosen, -inf for others."""
        scores = self.scores(x, latent, self.pool(x.detach()))
        best = highest(scores.detach().masked_fill(~seen, -math.inf), self.top)
        hidden = ~(marked(best, scores.shape[-1]) & seen)
        bias = scores - scores.detach() if self.learns == "straight" else torch.zeros_like(scores)
        return scores, bias.masked_fill(hidden, -math.inf)


def divergence(
    shares: Float[Tensor, "b t w"], scores: Float[Tensor, "b t w"], seen: Bool[Tensor, "t w"]
) -> Float[Tensor, ""]:
    """The mean over queries of KL(shares || softmax(scores)), over the entries that are seen."""
    logs = scores.masked_fill(~seen, -math.inf).log_softmax(-1).masked_fill(~seen, 0.0)
    each: Tensor = (torch.special.xlogy(shares, shares) - shares * logs).sum(-1)
    return each.mean()
