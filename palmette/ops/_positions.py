"""Where a token stands, as attention sees it: rotations of queries and keys, biases by distance."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from palmette.ops._pairs import turned_pairs


def rotate_by_position(x: Float[Tensor, "b t h k"], first: int = 0) -> Float[Tensor, "b t h k"]:
    """Rotary positions (RoPE, arXiv 2104.09864): features 2i and 2i + 1 turn by t 10000^(-2i/k).

    Time begins at `first`. Turned queries and keys have dot products that depend on their distance
    alone. The last feature of an odd head size stays as it is, and k is one less.
    """
    pairs = x.shape[-1] // 2
    if not pairs:
        return x
    frequency = 10000.0 ** (-torch.arange(pairs, device=x.device) / pairs)
    angle = torch.arange(first, first + x.shape[1], device=x.device)[:, None, None] * frequency
    turned = turned_pairs(x[..., : 2 * pairs], angle)
    return torch.cat((turned, x[..., 2 * pairs :]), -1) if x.shape[-1] % 2 else turned


def alibi_slopes(heads: int) -> list[float]:
    """How steeply each head's scores fall with distance (ALiBi, arXiv 2108.12409, section 3).

    For n heads, a power of two, 2^(-8/n), 2^(-16/n), … 2^-8. For another number the slopes of the
    power below, then every second one of the power above.

    >>> alibi_slopes(4)
    [0.25, 0.0625, 0.015625, 0.00390625]
    """
    power = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8 * i / power) for i in range(1, power + 1)]
    between = [2.0 ** (-4 * i / power) for i in range(1, 2 * power, 2)]
    return slopes + between[: heads - power]


def distance_bucket(distance: int) -> int:
    """The bucket of a distance in T5's relative positions (arXiv 1910.10683, section 2.1).

    Of 32 buckets 16 hold one distance each, the others hold ranges that grow geometrically up to
    128; the last one also holds whatever is further away.

    >>> [distance_bucket(distance) for distance in (0, 15, 16, 20, 127, 5000)]
    [0, 15, 16, 17, 31, 31]
    """
    if distance < 16:
        return distance
    return min(31, 16 + int(16 * math.log(distance / 16) / math.log(8)))
