"""The cost of `compressed` attention in closed form."""

from palmette.ops._base import Cost


def compressed_cost(
    *,
    width: int,
    length: int,
    heads: int,
    size: int,
    rank: int,
    groups: int,
    turned: int,
    window: int,
    pool: int,
    series: int,
    top: int,
    index_heads: int,
    index_size: int,
    index_turned: int,
    aligned: bool,
) -> Cost:
    """Maps, pools, scores; attention to the tokens and entries that a query is given on average.

    What decoding keeps are the last window - 1 tokens, the entries, and the pool that is open. In
    training all entries' scores are made, chosen or not: that is extra, and so are the shares of
    attention of the selector's loss (`aligned`).
    """
    features = heads * size
    out = groups * rank * width if groups else features * width
    matrices = width * rank + rank * features + width * size + features * rank * bool(groups) + out
    parameters = matrices + rank + size + heads
    reach = min(length, window)
    tokens = reach - reach * (reach - 1) / (2 * length)
    flops = 2.0 * matrices + 4.0 * (rank + features + size) + 4.0 * turned * (2 * heads + 1)
    kept = size * min(length, window - 1)
    extra = given = 0.0
    if pool:
        more, work, state = _pool_cost(width, size, pool, series, turned, length)
        parameters, flops, kept = parameters + more, flops + work, kept + state
        given = seen = _mean_of_ended(length, pool)
    if pool and top:
        more, work, state = _pool_cost(width, index_size, pool, series, index_turned, length)
        maps = rank * index_heads * index_size + width * index_heads
        parameters, kept = parameters + more + maps, kept + state
        flops += work + 2.0 * maps + 4.0 * index_turned * index_heads
        flops += 2.0 * index_heads * (index_size + 1) * seen
        given = _mean_of_ended(length, pool, top)
        extra = 3 * 4.0 * features * (seen - given) + 2.0 * features * seen * aligned
    flops += 4.0 * features * (tokens + given)
    return Cost(parameters, flops, state_bytes=4 * kept, flops_extra=extra)


def _pool_cost(
    width: int, size: int, tokens: int, series: int, turned: int, length: int
) -> tuple[int, float, int]:
    """Parameters, FLOPs a token, and the numbers that decoding keeps."""
    channels = series * size
    maps = 2 * width * channels
    flops = 2.0 * maps + 4.0 * channels + 4.0 * (size + turned) / tokens  # a softmax and a mean
    overlapped = 2 * tokens * size if series == 2 and length >= tokens else 0
    kept = length // tokens * size + length % tokens * 2 * channels + overlapped
    return maps + tokens * channels + size, flops, kept


def _mean_of_ended(length: int, pool: int, most: int | None = None) -> float:
    """The mean over queries of how many pools have ended, or of `most` if that is less.

    >>> _mean_of_ended(4, 2) == (0 + 1 + 1 + 2) / 4
    True
    """
    rising = length if most is None else min(length, most * pool)
    whole, rest = divmod(rising, pool)
    total = pool * whole * (whole - 1) // 2 + whole * (rest + 1)
    return (total + (length - rising) * (most or 0)) / length
