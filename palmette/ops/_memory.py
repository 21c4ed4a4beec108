"""The memory of a differentiable neural computer for one token (Graves et al., Nature 2016).

It holds n words M [n w], and for every slot how much it is in use u [n], where the head wrote W [n]
and the heads read R [r n] at the token before; with links, also which slots were written last p [n]
and in what order L [n n]: L_ij is how much i was written right after j.

    content(k, s)  = softmax over slots of s cos(M, k)
    u <- (u + W - u W) prod_r (1 - free_r R_r)
    fresh[phi_j] = (1 - u[phi_j]) prod_{i<j} u[phi_i]        phi sorting u, the least used first
    W <- write (allocate fresh + (1 - allocate) content(key, strength))
    M <- M (1 - W erase^T) + W value^T
    L_ij <- (1 - W_i - W_j) L_ij + W_i p_j, zero where i = j;        p <- (1 - sum W) p + W
    R_r <- mode_1 L^T R_r + mode_2 content(key_r, strength_r) + mode_3 L R_r

W, p, each R_r, and each row and column of L have no negative entries and sums of at most 1; u lies
in [0, 1]. Without links a head reads by content alone (arXiv 1807.02658).
"""

import torch
from jaxtyping import Float
from torch import Tensor


def content(
    memory: Float[Tensor, "b n w"], keys: Float[Tensor, "b r w"], strengths: Float[Tensor, "b r"]
) -> Float[Tensor, "b r n"]:
    """Where the words are that look like each key; the stronger, the more sharply."""
    of_words = torch.rsqrt(torch.linalg.vecdot(memory, memory) + 1e-6).unsqueeze(-2)
    of_keys = torch.rsqrt(torch.linalg.vecdot(keys, keys) + 1e-6)
    sharp = (strengths * of_keys).unsqueeze(-1)
    return torch.softmax(sharp * of_words * (keys @ memory.mT), -1)


def usage_after(
    usage: Float[Tensor, "b n"],
    written: Float[Tensor, "b n"],
    read: Float[Tensor, "b r n"],
    free: Float[Tensor, "b r"],
) -> Float[Tensor, "b n"]:
    """What was written is in use; what was read by a head whose free gate is open no longer is.

    >>> used, written = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> usage_after(used, written, read=torch.tensor([[[1.0, 0.0]]]), free=torch.ones(1, 1))
    tensor([[0., 1.]])
    """
    usage = usage + written - usage * written
    for head in range(read.shape[1]):
        usage = usage * (1.0 - free[:, head, None] * read[:, head])
    return usage


def fresh_slots(usage: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """The allocation: the least used slot, and the next as far as that one is in use.

    Of slots that are used alike the first comes first.

    >>> fresh_slots(torch.tensor([[1.0, 0.5, 0.0]]))
    tensor([[0., 0., 1.]])
    >>> fresh_slots(torch.tensor([[1.0, 0.5, 0.5]]))
    tensor([[0.0000, 0.5000, 0.2500]])
    """
    least_first, order = usage.sort(dim=-1, stable=True)
    before = torch.cat([torch.ones_like(usage[:, :1]), least_first[:, :-1]], -1).cumprod(-1)
    return torch.zeros_like(usage).scatter(-1, order, (1.0 - least_first) * before)


def written_memory(
    memory: Float[Tensor, "b n w"],
    where: Float[Tensor, "b n"],
    erase: Float[Tensor, "b w"],
    value: Float[Tensor, "b w"],
) -> Float[Tensor, "b n w"]:
    """Erases and adds, as much as each slot is written."""
    where = where.unsqueeze(-1)
    return memory * (1.0 - where * erase.unsqueeze(-2)) + where * value.unsqueeze(-2)


def links_after(
    links: Float[Tensor, "b n n"], last: Float[Tensor, "b n"], where: Float[Tensor, "b n"]
) -> tuple[Float[Tensor, "b n n"], Float[Tensor, "b n"]]:
    """The order in which slots were written, and which of them were written last."""
    later, earlier = where.unsqueeze(-1), where.unsqueeze(-2)
    links = links - (later + earlier) * links + later * last.unsqueeze(-2)
    itself = torch.eye(where.shape[-1], dtype=torch.bool, device=where.device)
    return links.masked_fill(itself, 0.0), last + where - where.sum(-1, keepdim=True) * last


def followed(
    links: Float[Tensor, "b n n"],
    read: Float[Tensor, "b r n"],
    found: Float[Tensor, "b r n"],
    modes: Float[Tensor, "b r three"],
) -> Float[Tensor, "b r n"]:
    """Where heads read: what was written before their last place, by content, what came after."""
    there = torch.stack([read @ links, found, read @ links.mT], -1)
    return (modes.unsqueeze(-2) * there).sum(-1)
